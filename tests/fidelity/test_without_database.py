"""Files of a project whose database can't be asked: what the Storage server shows is saved, and what it doesn't is
said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.doors.commands import Commands, settings_of
from tests.fidelity.test_storage import BIG
from tests.fidelity.whole import as_superuser, backed_up, fetched, opened, restored
from tests.hostile import NAMES
from tests.projects import ProjectFactory
from tests.waiting import put

from supapy.back_up import back_up
from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.doors import SupabaseBackup, SupabaseRestore
from supapy.errors import RestoreRefused, UsageError
from supapy.model import Difference, Json, Omission, Proof
from supapy.parts.storage.by_sql import RowsBySql
from supapy.parts.storage.listing import LOST_IN_A_BACKUP, RowsAsListed
from supapy.parts.storage.selection import EVERYTHING, Selection
from supapy.project.exact import parse
from supapy.project.project import Project
from supapy.restore import Outcome, restore
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.store.local import LocalStore
from supapy.verify import hold_against

FILES = Choice(database=False, auth=False)
ROBOTS = "noindex, nofollow"
BUCKETS = """
INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types) VALUES
 ('plain', 'plain', true, NULL, NULL), ('bucket-id', 'Another name', NULL, NULL, '{}'), ('empty', 'empty', false, 0,
 '{image/*,application/pdf}')
"""
UPLOADS = {
    ("bucket-id", "x"): b"x",
    ("plain", " q?x & y$@=;:+,(1)!*'.txt "): b"symbols",
    ("plain", "//double//"): b"slashes",
    ("plain", "A"): b"large a",
    ("plain", "a"): b"file a",
    ("plain", "a/"): b"file a/",
    ("plain", "a/b"): b"file a/b",
    ("plain", "big.bin"): BIG,
    ("plain", "empty"): b"",
    ("plain", "page.html"): b"<h1>hi</h1>",
}
LARGE = json.dumps({"text": "ü" * 100_000})
ROWS = f"""
SET session_replication_role = replica;
UPDATE storage.objects SET user_metadata = '{{"n": 1.5, "b": [true, null], "ä": "\\u2028", "i": 12}}',
  metadata = metadata || '{{"mimetype": "text/html", "xRobotsTag": "{ROBOTS}", "cacheControl": "private, max-age=5"}}',
  created_at = '2020-01-02 03:04:05.678901+00', owner_id = 'somebody' WHERE name = 'page.html';
UPDATE storage.objects SET user_metadata = NULL WHERE name = 'a';
UPDATE storage.objects SET user_metadata = '{LARGE}' WHERE name = 'a/b';
UPDATE storage.objects SET created_at = '2021-01-01 00:00:00+00', updated_at = '2021-01-01 00:00:00.1+00'
  WHERE name = 'A';
UPDATE storage.objects SET user_metadata = '{{"a": 1}}' WHERE name = 'big.bin';
"""


@contextmanager
def served(sandbox: SandboxProject) -> Iterator[Project]:
    """The project by its servers alone."""
    with Project(sandbox.url, sandbox.service_key) as project:
        yield project


def saved(sandbox: SandboxProject, folder: Path) -> Backup:
    with served(sandbox) as project:
        return back_up(project, Catalog(LocalStore(folder)), FILES)


def fill(sandbox: SandboxProject) -> None:
    as_superuser(sandbox, BUCKETS)
    with opened(sandbox) as project:
        for (bucket, key), content in UPLOADS.items():
            put(project, bucket, key, content)
    as_superuser(sandbox, ROWS)


@dataclass
class Source:
    sandbox: SandboxProject
    backup: Backup
    folder: Path

    def rows(self) -> list[Json]:
        text = (self.folder / self.backup.label / "storage/objects.jsonl").read_text()
        return [json.loads(line) for line in text.split("\n") if line]


@pytest.fixture(scope="module")
def source(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with ExitStack() as cleanup:
        sandbox = ProjectFactory(server_folder, cleanup)("source")
        fill(sandbox)
        folder = tmp_path_factory.mktemp("backups")
        yield Source(sandbox, saved(sandbox, folder), folder)


def differences(backup: Backup, project: Project) -> list[Difference]:
    return [one for one in hold_against(backup, project, FILES) if isinstance(one, Difference)]


# --- the backup ------------------------------------------------------------------------------------------------------


def test_every_file_is_saved_and_what_the_list_does_not_show_is_said(source: Source) -> None:
    _, problems, omissions = source.backup.manifest
    assert (problems, omissions) == ([], [LOST_IN_A_BACKUP])
    found = {(row["bucket_id"], row["name"]): b"".join(source.backup.read(row["path"])) for row in source.rows()}
    assert found == UPLOADS
    assert source.backup.metadata["moment"]["snapshot"] is None
    assert "server_version" not in source.backup.metadata["source"]


def test_the_rows_are_those_of_the_database_as_far_as_they_go(source: Source, tmp_path: Path) -> None:
    by_sql = backed_up(source.sandbox, tmp_path, FILES)
    for name in ("objects.jsonl", "buckets_metadata.json"):
        path = f"{{}}/{{}}/storage/{name}"
        listed, every = (
            [json.loads(line.rstrip(",")) for line in Path(path.format(*where)).read_text().split("\n") if "{" in line]
            for where in ((source.folder, source.backup.label), (tmp_path, by_sql.label))
        )
        assert len(listed) == len(every)
        for one, whole in zip(listed, every, strict=True):
            assert one == {key: _milliseconds(value) for key, value in whole.items() if key in one}
            lacking = {"owner", "owner_id", "avif_autodetection", "versioning_status", "path_tokens"}
            assert whole.keys() - one.keys() <= lacking | {"archived_at", "is_delete_marker", "is_versioned"}


def _milliseconds(value: object) -> object:
    """A time as the server shows it; anything else as it is."""
    is_time = isinstance(value, str) and value.endswith("+00") and "." in value
    return f"{str(value)[:-3][:23].rstrip('0')}+00" if is_time else value


def test_the_next_backup_fetches_nothing_that_is_the_same(source: Source) -> None:
    assert source.sandbox.api
    with served(source.sandbox) as project:
        before = len(source.sandbox.api.requests)
        again = back_up(project, Catalog(LocalStore(source.folder)), FILES)
    asked = [seen.raw_path for seen in list(source.sandbox.api.requests)[before:]]
    assert [path for path in asked if "/object/authenticated/" in path] == []
    assert again.manifest[1] == []
    assert len(list(again.entries("storage"))) == len(UPLOADS) + 2


def test_a_backup_from_the_list_comes_back_by_sql(source: Source, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    assert restored(source.backup, target, FILES).is_whole
    query = 'SELECT id, bucket_id, name, user_metadata FROM storage.objects ORDER BY name COLLATE "C"'
    assert as_superuser(target, query) == as_superuser(source.sandbox, query)
    with served(target) as project:
        assert differences(source.backup, project) == []


def test_the_list_names_every_key_that_the_database_has(project_factory: ProjectFactory) -> None:
    sandbox = project_factory("hostile")
    as_superuser(sandbox, "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b'), ('c', 'c')")
    keys = sorted({name for name in NAMES if name and "\0" not in name})
    with opened(sandbox) as project, project.session() as session:
        session.execute("INSERT INTO storage.objects (bucket_id, name) SELECT 'b', unnest(%s::text[])", (keys,))
        siblings = "'z' || chr(32 + n % 90) || (n / 90)"
        session.execute(
            f"INSERT INTO storage.objects (bucket_id, name) SELECT 'c', {siblings} FROM generate_series(0, 1199) n"
        )
        # Where the first page of a thousand ends, and that of 937.
        for number in (936, 999):
            session.execute(
                "UPDATE storage.objects SET name = name || E'\\n' WHERE id = (SELECT id FROM storage.objects "
                f"WHERE bucket_id = 'c' ORDER BY name COLLATE \"C\" OFFSET {number} LIMIT 1)"
            )
    with opened(sandbox) as project, project.moment() as moment:
        rows = [
            [(row["bucket_id"], row["name"], row["id"]) for row in map(parse, index.objects(EVERYTHING))]
            for index in (RowsBySql(moment), RowsAsListed(project))
        ]
    assert len(rows[0]) == len(keys) + 1200
    assert rows[1] == rows[0]


def test_rows_without_bytes_and_keys_that_the_server_refuses_are_problems_each_by_its_name(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    sandbox = project_factory("dangling")
    as_superuser(
        sandbox,
        "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')",
        "INSERT INTO storage.objects (bucket_id, name, version, metadata) SELECT 'b', name, gen_random_uuid()::text, "
        "'{\"size\": 3}' FROM unnest('{dangling.txt,Ümlaut.txt}'::text[]) name",
    )
    with opened(sandbox) as project:
        put(project, "b", "whole", b"whole")
    for backup in (saved(sandbox, tmp_path / "served"), backed_up(sandbox, tmp_path / "sql", FILES)):
        assert sorted(problem.name for problem in backup.manifest[1]) == ["b/dangling.txt", "b/Ümlaut.txt"]
        assert b"".join(backup.read("storage/b/whole")) == b"whole"


def test_user_metadata_that_can_not_be_had_are_a_problem_and_the_bytes_are_saved(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    sandbox = project_factory("undescribed")
    as_superuser(sandbox, "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')")
    with opened(sandbox) as project:
        put(project, "b", "one", b"one")
        put(project, "b", "two", b"two")
    assert sandbox.api
    sandbox.api.faults.append(Fault(path="/object/info/authenticated/b/one$", times=99, status=500))
    backup = saved(sandbox, tmp_path)
    (problem,) = backup.manifest[1]
    assert (problem.name, "user metadata" in problem.reason) == ("b/one", True)
    assert b"".join(backup.read("storage/b/one")) == b"one"


@pytest.mark.parametrize("by_sql", [True, False])
def test_buckets_of_other_kinds_are_named_as_not_saved(
    project_factory: ProjectFactory, tmp_path: Path, by_sql: bool
) -> None:
    sandbox = project_factory("elsewhere")
    assert sandbox.api
    if by_sql:
        as_superuser(
            sandbox,
            "INSERT INTO storage.buckets_analytics (name, deleted_at) VALUES ('lake', NULL), ('drained', now())",
            "INSERT INTO storage.buckets_vectors (id) VALUES ('one'), ('two')",
        )
        backup = backed_up(sandbox, tmp_path, FILES)
    else:
        vectors = {"vectorBuckets": [{"vectorBucketName": "one"}, {"vectorBucketName": "two"}]}
        sandbox.api.faults += [
            Fault(path="/iceberg/bucket$", status=200, body=b'[{"id": "lake", "name": "lake"}]'),
            Fault(path="/vector/ListVectorBuckets$", status=200, body=json.dumps(vectors).encode()),
        ]
        backup = saved(sandbox, tmp_path)
    named = [omission.name for omission in backup.manifest[2] if isinstance(omission, Omission)]
    assert named[:2] == ["1 analytics bucket: lake", "2 vector buckets: one, two"]
    assert backup.manifest[1] == []


def test_a_server_that_fails_to_tell_of_other_buckets_is_said_to(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    sandbox = project_factory("silent")
    assert sandbox.api
    names = [{"name": f"lake {number:02}"} for number in range(12)]
    sandbox.api.faults += [
        Fault(path="/iceberg/bucket$", status=200, body=json.dumps(names).encode()),
        Fault(path="/vector/ListVectorBuckets$", status=500, times=99),
    ]
    backup = saved(sandbox, tmp_path)
    first, second, _ = (omission.name for omission in backup.manifest[2])
    assert first == f"12 analytics buckets: {', '.join(one['name'] for one in names[:10])} and 2 more"
    assert second == "vector buckets, if there are any"
    assert backup.manifest[1] == []


# --- the comparison --------------------------------------------------------------------------------------------------

CHANGES = [
    ("UPDATE storage.objects SET user_metadata = '{\"a\": 2}' WHERE name = 'page.html'", ("user_metadata", "changed")),
    (
        "UPDATE storage.objects SET metadata = metadata || '{\"mimetype\": \"a/b\"}' WHERE name = 'page.html'",
        ("metadata.mimetype", "changed"),
    ),
    (
        "UPDATE storage.objects SET metadata = metadata - 'xRobotsTag' WHERE name = 'page.html'",
        ("metadata.xRobotsTag", "changed"),
    ),
    ("UPDATE storage.objects SET name = 'page2.html' WHERE name = 'page.html'", ("", "missing")),
    ("UPDATE storage.buckets SET public = false WHERE id = 'plain'", ("public", "changed")),
    ("UPDATE storage.buckets SET allowed_mime_types = '{}' WHERE id = 'empty'", ("allowed_mime_types", "changed")),
    ("UPDATE storage.buckets SET file_size_limit = 1 WHERE id = 'plain'", ("file_size_limit", "changed")),
]


def test_a_backup_by_sql_is_held_against_what_the_server_shows(source: Source, tmp_path: Path) -> None:
    backup = backed_up(source.sandbox, tmp_path, FILES)
    with served(source.sandbox) as project:
        found = list(hold_against(backup, project, FILES))
    proofs = {one.sort: one.count for one in found if isinstance(one, Proof)}
    assert [one for one in found if isinstance(one, Difference)] == []
    assert proofs == {
        "bucket rows without ids, owners and times": 3,
        "object rows without ids, owners and times": len(UPLOADS),
        "files byte for byte": len(UPLOADS),
    }


def test_a_comparison_with_what_the_server_shows_names_each_thing_that_differs(source: Source, tmp_path: Path) -> None:
    backup = saved(source.sandbox, tmp_path)
    quiet = "SET session_replication_role = replica"
    kept = "CREATE TABLE public.{0} AS TABLE storage.{0}"
    as_superuser(source.sandbox, *(kept.format(name) for name in ("buckets", "objects")))
    with served(source.sandbox) as project:
        for change, (detail, kind) in CHANGES:
            as_superuser(source.sandbox, quiet, change)
            (first, *_) = differences(backup, project)
            assert (first.detail, first.kind) == (detail, kind), change
            as_superuser(
                source.sandbox,
                quiet,
                "UPDATE storage.buckets b SET public = p.public, allowed_mime_types = p.allowed_mime_types, "
                "file_size_limit = p.file_size_limit FROM public.buckets p WHERE p.id = b.id",
                "UPDATE storage.objects o SET name = p.name, metadata = p.metadata, user_metadata = p.user_metadata "
                "FROM public.objects p WHERE p.id = o.id",
            )
        assert differences(backup, project) == []
    as_superuser(source.sandbox, "DROP TABLE public.buckets, public.objects")
    assert fetched(source.sandbox, "/storage/v1/object/authenticated/plain/a")[1] == b"file a"


# --- the restore -----------------------------------------------------------------------------------------------------

SHOWN = """
SELECT bucket_id, name, metadata - '{lastModified,eTag}'::text[], coalesce(user_metadata, '{}')
FROM storage.objects ORDER BY bucket_id, name COLLATE "C"
"""
SETTINGS = """
SELECT id, name, coalesce(public, false), type, file_size_limit, allowed_mime_types FROM storage.buckets ORDER BY id
"""


def brought_back(backup: Backup, sandbox: SandboxProject, choice: Choice = FILES, into: str | None = None) -> Outcome:
    with served(sandbox) as project:
        return restore(backup, project, choice, into=into, confirm=lambda plan: True)


@dataclass
class Target:
    sandbox: SandboxProject
    outcome: Outcome


@pytest.fixture(scope="module")
def target(server_folder: Path, source: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Restored by the server alone from a backup that has all that SQL shows."""
    backup = backed_up(source.sandbox, tmp_path_factory.mktemp("by-sql"), FILES)
    with ExitStack() as cleanup:
        sandbox = ProjectFactory(server_folder, cleanup)("target")
        yield Target(sandbox, brought_back(backup, sandbox))


def test_a_restore_by_the_server_alone_says_what_it_loses_and_loses_nothing_else(
    source: Source, target: Target
) -> None:
    assert [omission.name.split()[0] for omission in target.outcome.plan.omissions] == [
        "ids",
        "owners",
        "times",
        "what",
    ]
    assert (target.outcome.problems, target.outcome.differences) == ([], [])
    assert as_superuser(target.sandbox, SHOWN) == as_superuser(source.sandbox, SHOWN)
    assert as_superuser(target.sandbox, SETTINGS) == as_superuser(source.sandbox, SETTINGS)
    for (bucket, key), content in UPLOADS.items():
        status, body = fetched(target.sandbox, f"/storage/v1/object/authenticated/{bucket}/{quote(key)}")
        assert (status, body) == (200, content), key


def test_a_restore_that_is_run_again_sends_only_what_is_not_there(source: Source, target: Target) -> None:
    assert target.sandbox.api
    as_superuser(
        target.sandbox,
        "UPDATE storage.objects SET user_metadata = '{\"other\": 1}' WHERE name = 'page.html'",
        "SET session_replication_role = replica",
        "DELETE FROM storage.objects WHERE name = 'A'",
    )
    before = len(target.sandbox.api.requests)
    outcome = brought_back(source.backup, target.sandbox, into=target.sandbox.ref)
    assert outcome.is_whole
    sent = [seen.raw_path for seen in list(target.sandbox.api.requests)[before:] if seen.method in ("POST", "PATCH")]
    assert sorted(
        path for path in sent if "/object/plain" in path or "/object/bucket" in path or "/upload/" in path
    ) == [
        "/storage/v1/object/plain/A",
        "/storage/v1/object/plain/page.html",
    ]


def test_the_next_backup_of_the_target_fetches_nothing(source: Source, target: Target) -> None:
    assert target.sandbox.api
    brought_back(source.backup, target.sandbox, into=target.sandbox.ref)
    before = len(target.sandbox.api.requests)
    backup = saved(target.sandbox, source.folder)
    asked = [seen.raw_path for seen in list(target.sandbox.api.requests)[before:]]
    assert [path for path in asked if "/object/authenticated/" in path] == []
    assert backup.manifest[1] == []


def test_limits_come_last_and_a_bucket_that_is_there_is_opened_first(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    first, second = project_factory("first"), project_factory("second")
    as_superuser(first, "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b'), ('limit', 'limit')")
    with opened(first) as project:
        put(project, "b", "one.txt", b"a text")
    as_superuser(
        first, "UPDATE storage.buckets SET file_size_limit = 3, allowed_mime_types = '{image/png}' WHERE id = 'b'"
    )
    as_superuser(
        second,
        "INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types) "
        "VALUES ('b', 'b', true, 1, '{a/b}')",
    )
    backup = saved(first, tmp_path)
    with pytest.raises(RestoreRefused, match="isn't empty: it holds 1 storage bucket"):
        brought_back(backup, second)
    assert brought_back(backup, second, into="second").is_whole
    assert as_superuser(second, SETTINGS) == as_superuser(first, SETTINGS)


def test_what_the_server_does_not_take_is_a_problem_and_the_rest_comes_back(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    first, second = project_factory("first"), project_factory("second")
    as_superuser(
        first,
        "INSERT INTO storage.buckets (id, name) VALUES ('Ä', 'Ä'), ('b', 'b')",
        "INSERT INTO storage.buckets (id, name, type) VALUES ('lake', 'lake', 'ANALYTICS')",
    )
    with opened(first) as project:
        put(project, "b", "one", b"one")
        put(project, "b", "large", BIG)
        put(project, "b", "long", b"long")
    as_superuser(
        first,
        """UPDATE storage.objects SET metadata = metadata || '{"cacheControl": "private", "xRobotsTag": "noindex"}'
        WHERE name = 'large'""",
        f"""UPDATE storage.objects SET user_metadata = '{LARGE}', metadata = metadata || '{{"cacheControl": "private"}}'
        WHERE name = 'long'""",
        "UPDATE storage.objects SET user_metadata = '[1]' WHERE name = 'one'",
    )
    backup = backed_up(first, tmp_path, FILES)
    outcome = brought_back(backup, second)
    names = ["bucket lake", "bucket Ä", "b/large", "b/long", "b/one", "bucket Ä"]
    assert [problem.name for problem in outcome.problems] == names
    assert "served without: robots tag noindex" in outcome.problems[2].reason
    assert {(one.name, one.detail or one.kind) for one in outcome.differences} == {
        ("bucket lake", "missing"),
        ("bucket Ä", "missing"),
        ("object b/large", "metadata.xRobotsTag"),
        ("object b/long", "metadata.cacheControl"),
        ("object b/one", "user_metadata"),
    }
    assert fetched(second, "/storage/v1/object/authenticated/b/large") == (200, BIG)


def test_some_objects_go_into_another_bucket(source: Source, project_factory: ProjectFactory, tmp_path: Path) -> None:
    sandbox = project_factory("rescue")
    with served(source.sandbox) as project:
        one_bucket = Choice(database=False, auth=False, only=Selection(("plain",)))
        part = back_up(project, Catalog(LocalStore(tmp_path)), one_bucket)
    moved = Choice(database=False, auth=False, only=Selection(("plain",), ("a",), to_bucket="rescued"))
    with pytest.raises(RestoreRefused, match="it has no bucket rescued"):
        brought_back(source.backup, sandbox, moved, into="rescue")
    as_superuser(sandbox, "INSERT INTO storage.buckets (id, name, public) VALUES ('rescued', 'rescued', false)")
    assert brought_back(part, sandbox, moved, into="rescue").is_whole
    assert as_superuser(sandbox, 'SELECT bucket_id, name FROM storage.objects ORDER BY name COLLATE "C"') == [
        ("rescued", key) for key in ("a", "a/", "a/b")
    ]
    some = Choice(database=False, auth=False, only=Selection((), ("a",)))
    assert brought_back(source.backup, sandbox, some, into="rescue").is_whole
    assert as_superuser(sandbox, "SELECT id, public FROM storage.buckets WHERE id <> 'rescued' ORDER BY id") == [
        ("bucket-id", False),
        ("empty", False),
        ("plain", True),
    ]


def test_the_library_does_all_this_without_a_database(
    source: Source, project_factory: ProjectFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = project_factory("library")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUPABASE_DB_URL", raising=False)
    here, there = ((one.url, one.service_key.reveal(), "") for one in (source.sandbox, sandbox))
    with pytest.raises(UsageError, match="the database part needs SUPABASE_DB_URL"):
        SupabaseBackup(*here).create_backup()
    path = SupabaseBackup(*here).backup_storage()
    assert SupabaseRestore(*there).restore_storage(path, confirm=True)["details"] == []
    assert SupabaseRestore(*there).verify_restore(path)["storage"] is True


def test_the_commands_do_all_this_without_a_database(
    source: Source, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    sandbox = project_factory("other")
    here, there = (Commands(tmp_path, settings_of(one) | {"SUPABASE_DB_URL": ""}) for one in (source.sandbox, sandbox))
    made = here("backup", "--no-database", "--no-auth")
    assert made.code == 0
    assert f"left out: {LOST_IN_A_BACKUP.name}" in made.out
    assert here("backup", "--no-database", "--no-auth", "--full", "--concurrency", "1").code == 0
    back = there("restore", "--latest", "--yes", "--no-database", "--no-auth")
    assert back.code == 0, back.err
    assert back.out.count("won't come back: ") == 4
    assert back.out.index("won't come back: ids") < back.out.index("object rows without ids, owners and times")
    held = there("--json", "verify")
    assert (held.code, held.result["differences"]) == (0, [])
    assert there("verify", "--bucket", "plain", "--quick").code == 0
    with served(sandbox) as project:
        put(project, "plain", "a", b"other")
    assert "changed: storage object plain/a" in there("verify").out
    assert there("verify", "--bucket", "bucket-id").code == 0
