"""The files: out of one project, into another, and then looked at with other eyes than supapy's."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.fidelity.whole import (
    Pair,
    as_superuser,
    backed_up,
    compared,
    differences,
    fetched,
    once,
    opened,
    restored,
)
from tests.projects import ProjectFactory
from tests.waiting import put

from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.errors import AccessDenied, ApiError, RestoreRefused, WrongProject
from supapy.events import Advanced, Event, Saved
from supapy.model import Difference, Item, Proof
from supapy.parts.storage import StoragePart
from supapy.project.project import Project
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.store.local import LocalStore

STORAGE = Choice(database=False, auth=False)
BIG = random.Random(3).randbytes(7 * 1024 * 1024 + 321)
OWNER = "11111111-2222-4333-8444-555555555555"

# (bucket, key, content, type, cache control) put through the server.
UPLOADS = [
    ("plain", "a", b"file a", "text/plain", "max-age=3600"),
    ("plain", "a/b", b"file a/b", "text/plain", "no-cache"),
    ("plain", "a/", b"file a/", "text/plain", "no-cache"),
    ("plain", "A/B", b"file A/B", "text/plain", "no-cache"),
    ("plain", "empty", b"", "application/x-empty", "no-cache"),
    ("plain", "big.bin", BIG, "application/octet-stream", "max-age=60"),
    ("plain", "page.html", b"<h1>hi</h1>", "text/html", "public, max-age=31536000, immutable"),
    ("plain", " q?x & y$@=;:+,(1)!*'.txt ", b"symbols", "text/plain", "no-cache"),
    ("plain", "//double//", b"slashes", "text/plain", "no-cache"),
    ("plain", "folder/.emptyFolderPlaceholder", b"", "application/octet-stream", "max-age=3600"),
    ("plain", "old row", b"of an old server", "text/plain", "no-cache"),
    ("plain", "odd metadata", b"odd", "text/plain", "no-cache"),
    ("plain", "odd type", b"odd", "text/plain", "no-cache"),
    ("bucket-id", "large.pdf", b"%PDF" * 100, "application/pdf", "no-cache"),
    ("Odd (Name) & Co", "x.txt", b"x", "text/plain", "no-cache"),
    ("objects.jsonl", "x.txt", b"in a bucket that is named like a file beside it", "text/plain", "no-cache"),
    ("..", "k", b"in a bucket of two dots", "text/plain", "no-cache"),
]
BUCKETS = f"""
INSERT INTO storage.buckets (id, name, public, owner, owner_id, avif_autodetection, created_at, updated_at) VALUES
 ('plain', 'plain', true, '{OWNER}', 'somebody', true, '2020-01-02 03:04:05.678901+00',
  '2021-02-03 04:05:06.000007+00'),
 ('bucket-id', 'Another name than its id', NULL, NULL, NULL, NULL, NULL, NULL),
 ('Odd (Name) & Co', 'Odd (Name) & Co', false, NULL, NULL, false, 'infinity', '-infinity'),
 ('objects.jsonl', 'objects.jsonl', false, NULL, NULL, false, now(), now()),
 ('..', '..', false, NULL, NULL, false, now(), now()),
 ('empty', 'empty', false, NULL, NULL, false, now(), now())
"""
# What the server would not do, or not so: owners, times, three kinds of nothing, limits that came after the objects.
ROWS = f"""
SET session_replication_role = replica;
UPDATE storage.objects SET owner = '{OWNER}', owner_id = 'any "sub" at all',
  created_at = '2019-12-31 23:59:59.999999+00', updated_at = '2022-02-02 02:02:02.000002+00',
  last_accessed_at = '0044-03-15 12:00:00+00 BC', user_metadata = '{{"n": 1.10, "b": [true, 1, null], "ä": "\\u2028"}}'
  WHERE name = 'page.html';
UPDATE storage.objects SET created_at = 'infinity', updated_at = NULL, user_metadata = '{{}}' WHERE name = 'a';
UPDATE storage.objects SET user_metadata = NULL WHERE name = 'a/b';
UPDATE storage.objects SET user_metadata = 'null' WHERE name = 'A/B';
UPDATE storage.objects SET user_metadata = '"text"' WHERE name = 'empty';
UPDATE storage.objects SET metadata = metadata || '{{"xRobotsTag": "noindex", "own": {{"a": 1.50}}}}'
  WHERE name = 'big.bin';
UPDATE storage.objects SET metadata = NULL WHERE name = 'old row';
UPDATE storage.objects SET metadata = '"odd"' WHERE name = 'odd metadata';
UPDATE storage.objects SET metadata = metadata || '{{"mimetype": "no\\nheader", "cacheControl": 7}}'
  WHERE name = 'odd type';
UPDATE storage.buckets SET file_size_limit = 3, allowed_mime_types = '{{image/png}}' WHERE id = 'bucket-id';
UPDATE storage.buckets SET file_size_limit = 0, allowed_mime_types = '{{}}' WHERE id = '..';
"""
DANGLING = """
INSERT INTO storage.objects (bucket_id, name, metadata, version) VALUES
 ('plain', 'dangling.txt', '{"size": 3, "mimetype": "text/plain", "eTag": "\\"0\\""}', gen_random_uuid()::text),
 ('plain', 'Ümlaut.txt', '{"size": 3, "mimetype": "text/plain"}', gen_random_uuid()::text)
"""
DANGLING_NAMES = {"plain/dangling.txt", "plain/Ümlaut.txt"}

_OBJECTS = """
SELECT bucket_id, name, to_jsonb(o) - 'version' - 'metadata', CASE jsonb_typeof(metadata)
    WHEN 'object' THEN metadata - '{eTag,contentLength,httpStatusCode}'::text[] ELSE metadata END
FROM storage.objects o ORDER BY bucket_id, name
"""


def fill(sandbox: SandboxProject) -> None:
    as_superuser(sandbox, BUCKETS)
    with opened(sandbox) as project:
        for bucket, key, content, mimetype, cache in UPLOADS:
            put(project, bucket, key, content, mimetype, cache)
    as_superuser(sandbox, ROWS)


@pytest.fixture(scope="module")
def module_projects(server_folder: Path) -> Iterator[ProjectFactory]:
    with ExitStack() as cleanup:
        yield ProjectFactory(server_folder, cleanup)


@pytest.fixture(scope="module")
def pair(module_projects: ProjectFactory, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    source, target = module_projects("source"), module_projects("target")
    fill(source)
    as_superuser(source, DANGLING)
    folder = tmp_path_factory.mktemp("backups")
    backup = backed_up(source, folder, STORAGE)
    return Pair(source, backup, target, restored(backup, target, STORAGE), folder)


# --- the backup ------------------------------------------------------------------------------------------------------


def test_every_file_is_there_under_a_name_that_anyone_can_find(pair: Pair) -> None:
    root = pair.folder / pair.backup.label / "storage"
    assert (root / "plain/page.html").read_bytes() == b"<h1>hi</h1>"
    assert (root / "plain/big.bin").read_bytes() == BIG
    assert (root / "plain/empty").read_bytes() == b""
    rows = [json.loads(line) for line in (root / "objects.jsonl").read_text().split("\n") if line]
    places = {(row["bucket_id"], row["name"]): pair.folder / pair.backup.label / row["path"] for row in rows}
    assert {name: places[name].read_bytes() for name in places if places[name].exists()} == {
        (bucket, key): content for bucket, key, content, *_ in UPLOADS
    }


def test_the_buckets_file_is_json_with_every_field(pair: Pair) -> None:
    saved = json.loads((pair.folder / pair.backup.label / "storage/buckets_metadata.json").read_text())
    columns = {
        name
        for (name,) in as_superuser(
            pair.source, "SELECT attname FROM pg_attribute WHERE attnum > 0 AND attrelid = 'storage.buckets'::regclass"
        )
    }
    assert {bucket["id"] for bucket in saved} == {
        "plain",
        "bucket-id",
        "Odd (Name) & Co",
        "objects.jsonl",
        "..",
        "empty",
    }
    assert all(set(bucket) == columns for bucket in saved)


def test_rows_without_bytes_are_problems_and_nothing_else_is(pair: Pair) -> None:
    assert {problem.name for problem in pair.backup.manifest[1]} == DANGLING_NAMES
    assert pair.backup.count("storage", "objects") == len(UPLOADS) + 2


def test_the_manifest_knows_the_version_of_each_object(pair: Pair) -> None:
    fingerprints = [
        entry.fingerprint for entry in pair.backup.entries("storage") if entry.path.startswith("storage/plain")
    ]
    assert None not in fingerprints
    assert len(set(fingerprints)) == len(fingerprints)


# --- the restore -----------------------------------------------------------------------------------------------------


def test_the_restore_says_that_everything_that_was_saved_is_back(pair: Pair) -> None:
    assert pair.outcome.problems == []
    assert pair.outcome.differences == []
    proofs = {proof.sort: proof.count for proof in pair.outcome.proofs}
    assert proofs == {"bucket rows": 6, "object rows": len(UPLOADS) + 2, "files byte for byte": len(UPLOADS)}


def test_every_field_of_every_bucket_is_the_same(pair: Pair) -> None:
    query = "SELECT to_jsonb(b) FROM storage.buckets b ORDER BY id"
    assert as_superuser(pair.target, query) == as_superuser(pair.source, query)


def test_every_field_of_every_object_is_the_same_but_for_those_of_its_stored_file(pair: Pair) -> None:
    saved = {row[:2]: row for row in as_superuser(pair.source, _OBJECTS)}
    live = {row[:2]: row for row in as_superuser(pair.target, _OBJECTS)}
    assert live.keys() == saved.keys()
    for name, row in saved.items():
        assert live[name][2] == row[2], name
        if isinstance(row[3], dict):
            assert live[name][3] == row[3], name


def test_user_metadata_keeps_its_three_kinds_of_nothing(pair: Pair) -> None:
    query = "SELECT name, user_metadata::text FROM storage.objects WHERE name = ANY('{a,a/b,A/B,empty}') ORDER BY name"
    assert sorted(as_superuser(pair.target, query)) == [
        ("A/B", "null"),
        ("a", "{}"),
        ("a/b", None),
        ("empty", '"text"'),
    ]


@pytest.mark.parametrize(("bucket", "key", "content"), [upload[:3] for upload in UPLOADS], ids=[u[1] for u in UPLOADS])
def test_every_file_is_served_as_it_was(pair: Pair, bucket: str, key: str, content: bytes) -> None:
    name = f"{quote(bucket, safe='').replace('..', '%2E%2E')}/{quote(key)}"
    status, body = fetched(pair.target, f"/storage/v1/object/authenticated/{name}")
    assert (status, hashlib.sha256(body).hexdigest()) == (200, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("key", ["page.html", "a", "big.bin", "empty"])
def test_the_server_tells_the_same_of_each_file(pair: Pair, key: str) -> None:
    kept = []
    for sandbox in (pair.source, pair.target):
        said = json.loads(fetched(sandbox, f"/storage/v1/object/info/plain/{key}")[1])
        kept.append(
            {name: said[name] for name in ("id", "size", "content_type", "cache_control", "metadata", "created_at")}
        )
    assert kept[0] == kept[1]


def test_a_limit_that_came_after_the_objects_is_back_and_holds(pair: Pair) -> None:
    with opened(pair.target) as project, pytest.raises(ApiError, match=r"41[35]"):
        put(project, "bucket-id", "new.pdf", b"%PDF", "application/pdf")


def test_a_second_restore_over_the_first_changes_nothing(pair: Pair) -> None:
    before = [row[:3] for row in as_superuser(pair.target, _OBJECTS)]
    with pytest.raises(RestoreRefused, match="isn't empty"):
        restored(pair.backup, pair.target, STORAGE)
    outcome = restored(pair.backup, pair.target, STORAGE, into=pair.target.ref)
    assert outcome.is_whole
    assert [row[:3] for row in as_superuser(pair.target, _OBJECTS)] == before


def test_a_refused_restore_sends_and_writes_nothing(pair: Pair) -> None:
    assert pair.target.api
    pair.target.api.requests.clear()
    query = "SELECT xmin::text, id::text FROM storage.objects UNION SELECT xmin::text, id FROM storage.buckets"
    before = sorted(as_superuser(pair.target, query))
    with pytest.raises(RestoreRefused):
        restored(pair.backup, pair.target, STORAGE)
    assert {seen.method for seen in pair.target.api.requests} <= {"GET"}
    assert sorted(as_superuser(pair.target, query)) == before


# --- the comparison --------------------------------------------------------------------------------------------------


@pytest.fixture
def small(project_factory: ProjectFactory, tmp_path: Path) -> tuple[SandboxProject, Backup]:
    sandbox = project_factory("small")
    as_superuser(sandbox, "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b'), ('c', 'c')")
    with opened(sandbox) as project:
        for key in ("one", "two", "three"):
            put(project, "b", key, key.encode())
    return sandbox, backed_up(sandbox, tmp_path / "backups", STORAGE)


CHANGES = [
    ("UPDATE storage.objects SET owner_id = 'x' WHERE name = 'one'", ("object b/one", "changed", "owner_id")),
    (
        "UPDATE storage.objects SET user_metadata = '{\"a\": 1}' WHERE name = 'one'",
        ("object b/one", "changed", "user_metadata"),
    ),
    (
        "UPDATE storage.objects SET user_metadata = NULL WHERE name = 'one'",
        ("object b/one", "changed", "user_metadata"),
    ),
    (
        "UPDATE storage.objects SET user_metadata = 'null' WHERE name = 'one'",
        ("object b/one", "changed", "user_metadata"),
    ),
    (
        "UPDATE storage.objects SET created_at = created_at + interval '1 microsecond' WHERE name = 'one'",
        ("object b/one", "changed", "created_at"),
    ),
    (
        "UPDATE storage.objects SET metadata = metadata || '{\"mimetype\": \"a/b\"}' WHERE name = 'one'",
        ("object b/one", "changed", "metadata.mimetype"),
    ),
    (
        "UPDATE storage.objects SET metadata = metadata - 'cacheControl' WHERE name = 'one'",
        ("object b/one", "changed", "metadata.cacheControl"),
    ),
    ("UPDATE storage.objects SET id = gen_random_uuid() WHERE name = 'one'", ("object b/one", "changed", "id")),
    ("DELETE FROM storage.objects WHERE name = 'two'", ("object b/two", "missing", "")),
    ("INSERT INTO storage.objects (bucket_id, name) VALUES ('b', 'new')", ("object b/new", "extra", "")),
    ("INSERT INTO storage.objects (bucket_id, name) VALUES (NULL, NULL)", ("object None/None", "extra", "")),
    ("UPDATE storage.buckets SET public = true WHERE id = 'c'", ("bucket c", "changed", "public")),
    (
        "UPDATE storage.buckets SET allowed_mime_types = '{}' WHERE id = 'c'",
        ("bucket c", "changed", "allowed_mime_types"),
    ),
    ("DELETE FROM storage.buckets WHERE id = 'c'", ("bucket c", "missing", "")),
    ("INSERT INTO storage.buckets (id, name) VALUES ('d', 'd')", ("bucket d", "extra", "")),
]


def test_a_comparison_names_each_thing_that_differs(small: tuple[SandboxProject, Backup]) -> None:
    sandbox, backup = small
    assert differences(backup, sandbox, STORAGE) == []
    kept = "CREATE TABLE IF NOT EXISTS public.{0} AS TABLE storage.{0}"
    as_superuser(sandbox, *(kept.format(name) for name in ("buckets", "objects")))
    for change, (name, kind, detail) in CHANGES:
        quiet = "SET session_replication_role = replica"
        as_superuser(sandbox, quiet, change)
        assert differences(backup, sandbox, STORAGE) == [Difference("storage", name, kind, detail)], change  # type: ignore[arg-type]
        columns = "id, bucket_id, name, owner, created_at, updated_at, last_accessed_at, metadata, version, owner_id"
        columns += ", user_metadata"
        as_superuser(
            sandbox,
            quiet,
            "DELETE FROM storage.objects",
            "DELETE FROM storage.buckets",
            "INSERT INTO storage.buckets TABLE public.buckets",
            f"INSERT INTO storage.objects ({columns}) SELECT {columns} FROM public.objects",
        )
    assert differences(backup, sandbox, STORAGE) == []


def test_a_comparison_reads_the_bytes_and_not_only_the_rows(small: tuple[SandboxProject, Backup]) -> None:
    sandbox, backup = small
    (stored,) = [
        path for path in (sandbox.root / "storage").rglob("*") if path.is_file() and path.read_bytes() == b"one"
    ]
    stored.write_bytes(b"eno")
    found = compared(backup, sandbox, STORAGE)
    assert [one for one in found if isinstance(one, Difference)] == [
        Difference("storage", "object b/one", "changed", "its bytes")
    ]
    assert Proof("storage", "files byte for byte", 2) in found
    stored.unlink()
    (missing,) = differences(backup, sandbox, STORAGE)
    assert (missing.name, missing.kind) == ("object b/one", "missing")


@pytest.mark.parametrize("said", ['"many"', "-1", "1.5", "null", "[]", "99999999999999999999"])
def test_a_size_that_is_none_does_not_keep_the_bytes_from_being_saved(
    small: tuple[SandboxProject, Backup], said: str, tmp_path: Path
) -> None:
    sandbox, _ = small
    as_superuser(
        sandbox, f"UPDATE storage.objects SET metadata = metadata || '{{\"size\": {said}}}' WHERE name = 'one'"
    )
    backup = backed_up(sandbox, tmp_path / "more", STORAGE)
    assert backup.manifest[1] == []
    assert b"".join(backup.read("storage/b/one")) == b"one"


def test_user_metadata_as_deep_as_a_visitor_could_make_it_harms_nothing(
    small: tuple[SandboxProject, Backup], project_factory: ProjectFactory, tmp_path: Path
) -> None:
    sandbox, _ = small
    deep = "(repeat('[', 2500) || repeat(']', 2500))::jsonb"
    as_superuser(
        sandbox, f"UPDATE storage.objects SET user_metadata = jsonb_build_object('a', {deep}) WHERE name = 'one'"
    )
    backup = backed_up(sandbox, tmp_path / "more", STORAGE)
    target = project_factory("target")
    assert restored(backup, target, STORAGE).is_whole
    kept = "SELECT metadata ->> 'mimetype', metadata ->> 'cacheControl' FROM storage.objects WHERE name = 'one'"
    assert as_superuser(target, kept) == [("text/plain", "no-cache")]


# --- a world that moves, and servers that fail -----------------------------------------------------------------------


@pytest.fixture
def many(project_factory: ProjectFactory) -> SandboxProject:
    sandbox = project_factory("many")
    as_superuser(sandbox, "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')")
    with opened(sandbox) as project:
        for number in range(120):
            put(project, "b", f"{number:03}", f"content of {number}".encode())
        put(project, "b", "big", BIG[: 5 * 1024 * 1024])
    return sandbox


def contents(backup: Backup) -> dict[str, bytes]:
    return {
        entry.name: b"".join(backup.read(entry.path))
        for entry in backup.entries("storage")
        if entry.name.startswith("b/")
    }


EXPECTED = {f"b/{number:03}": f"content of {number}".encode() for number in range(120)} | {
    "b/big": BIG[: 5 * 1024 * 1024]
}


def test_objects_that_change_while_they_are_saved_are_problems_and_never_mixed(
    many: SandboxProject, tmp_path: Path
) -> None:
    assert many.api
    # The begin of the big one arrives; when the rest is given it is another object.
    replaced = threading.Event()
    many.api.faults += [
        Fault(method="GET", path="/big$", cut_after_bytes=2 * 1024 * 1024),
        Fault(method="GET", path="/big$", after=replaced),
    ]
    with opened(many) as project:
        change = once(
            lambda: (
                put(project, "b", "110", b"replaced"),
                fetched(many, "/storage/v1/object/b/111", method="DELETE"),
                put(project, "b", "112a", b"new"),
            )
        )
        replace = once(lambda: (put(project, "b", "big", BIG[-5 * 1024 * 1024 :]), replaced.set()))

        def listener(event: Event) -> None:
            if isinstance(event, Saved) and event.entry.name == "buckets":
                change()
            if isinstance(event, Advanced) and event.name == "b/big":
                replace()

        backup = backed_up(many, tmp_path / "backups", STORAGE, listener)
    assert {problem.name for problem in backup.manifest[1]} == {"b/110", "b/111", "b/big"}
    assert contents(backup) == {
        name: content for name, content in EXPECTED.items() if name not in ("b/110", "b/111", "b/big")
    }
    rows = b"".join(backup.read("storage/objects.jsonl"))
    assert rows.count(b"\n") == 121, "the rows are those of the moment"


@pytest.mark.parametrize("how", [{}, {"reset": True}, {"unsized": True}], ids=["closed", "reset", "unsized"])
def test_answers_that_are_cut_never_make_a_short_file(
    many: SandboxProject, tmp_path: Path, how: dict[str, bool]
) -> None:
    assert many.api
    choose = random.Random(5)
    for number in range(0, 120, 5):
        many.api.faults.append(Fault(method="GET", path=f"/{number:03}$", cut_after_bytes=choose.randrange(10), **how))  # type: ignore[arg-type]
    for cut in (1, 1_500_000, 4_000_000):
        many.api.faults.append(Fault(method="GET", path="/big$", cut_after_bytes=cut, **how))  # type: ignore[arg-type]
    backup = backed_up(many, tmp_path / "backups", STORAGE)
    assert backup.manifest[1] == []
    assert contents(backup) == EXPECTED


def test_objects_that_can_not_be_read_are_problems_and_the_others_are_saved(
    many: SandboxProject, tmp_path: Path
) -> None:
    assert many.api
    wrapped = b'{"statusCode":"404","error":"not_found","message":"Object not found","code":"NoSuchKey"}'
    many.api.faults.append(Fault(method="GET", path="/007$", times=99, status=400, body=wrapped))
    many.api.faults.append(Fault(method="GET", path="/008$", times=99, status=500))
    backup = backed_up(many, tmp_path / "backups", STORAGE)
    assert {problem.name for problem in backup.manifest[1]} == {"b/007", "b/008"}
    assert contents(backup) == {name: content for name, content in EXPECTED.items() if name not in ("b/007", "b/008")}


def test_a_key_that_is_revoked_in_the_middle_ends_the_backup_and_what_is_left_is_none(
    many: SandboxProject, tmp_path: Path
) -> None:
    assert many.api
    refused = b'{"statusCode":"403","error":"Unauthorized","message":"jwt expired"}'
    many.api.faults.append(Fault(method="GET", path="/(0[5-9]|1)", times=999, status=400, body=refused))
    with pytest.raises(AccessDenied):
        backed_up(many, tmp_path / "backups", STORAGE)
    assert Catalog(LocalStore(tmp_path / "backups")).labels() == []
    assert len(many.api.requests) < 500, "nobody insists"


def test_a_server_of_another_project_is_found_out(many: SandboxProject, pair: Pair) -> None:
    mixed = Project(many.url, many.service_key, pair.source.db_url)
    with mixed, mixed.moment() as moment, pytest.raises(WrongProject):
        list(StoragePart().dump(moment))


def test_a_key_that_sees_nothing_is_found_out(many: SandboxProject) -> None:
    assert many.api
    many.api.faults.append(Fault(method="GET", path="/bucket$", status=200, body=b"[]"))
    with opened(many) as project, project.moment() as moment, pytest.raises(AccessDenied):
        list(StoragePart().dump(moment))


def test_nothing_is_asked_of_the_moment_while_another_thread_reads_from_it(many: SandboxProject) -> None:
    with opened(many) as project, project.moment() as moment:
        dumped = StoragePart().dump(moment)
        rows = next(one for one in dumped if isinstance(one, Item) and one.name == "objects")
        reading = iter(rows.open())
        first = next(reading)
        assert [one for one in dumped if isinstance(one, Item)] == []
        assert (first + b"".join(reading)).count(b"\n") == 121


def test_an_upload_that_the_target_refuses_is_a_problem_and_the_rest_comes_back(
    many: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = backed_up(many, tmp_path / "backups", STORAGE)
    target = project_factory("target")
    assert target.api
    wrapped = (
        b'{"statusCode":"413","error":"Payload too large","message":"The object exceeded the maximum allowed size"}'
    )
    target.api.faults.append(Fault(method="POST", path="/object/b/007$", times=99, status=400, body=wrapped))
    outcome = restored(backup, target, STORAGE)
    assert [problem.name for problem in outcome.problems] == ["b/007"]
    assert not outcome.is_whole
    assert {difference.name for difference in outcome.differences} == {"object b/007"}


def test_an_upload_whose_answers_are_lost_comes_through(
    many: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    with opened(many) as project:
        put(project, "b", "bigger", BIG)
    backup = backed_up(many, tmp_path / "backups", STORAGE)
    target = project_factory("target")
    assert target.api
    target.api.faults.append(Fault(method="PATCH", times=1, cut_after_bytes=0, reset=True))
    target.api.faults.append(Fault(method="PATCH", times=1, read_bytes=100_000))
    target.api.faults.append(Fault(method="POST", path="/object/b/01", times=3, cut_after_bytes=3, reset=True))
    assert restored(backup, target, STORAGE).is_whole


def test_uploads_that_have_not_come_to_their_end_are_named(project_factory: ProjectFactory, tmp_path: Path) -> None:
    sandbox = project_factory("uploading")
    as_superuser(
        sandbox,
        "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')",
        "INSERT INTO storage.s3_multipart_uploads (id, upload_signature, bucket_id, key, version) "
        "VALUES ('1', 's', 'b', 'k', 'v'), ('2', 's', 'b', 'l', 'v')",
    )
    _, problems, omissions = backed_up(sandbox, tmp_path, STORAGE).manifest
    assert (problems, [one.name for one in omissions]) == ([], ["2 uploads under way"])
