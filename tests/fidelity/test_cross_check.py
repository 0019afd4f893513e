"""What the Storage server shows against what the database has: another project's server, and a key that sees less."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from tests.fidelity.whole import as_superuser, backed_up, opened
from tests.projects import ProjectFactory
from tests.waiting import put

from supapy.back_up import back_up
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.errors import AccessDenied, ApiError, WrongProject
from supapy.parts.storage.by_sql import RowsBySql
from supapy.parts.storage.cross_check import MOST_LISTED_WHOLE
from supapy.project.project import Project
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.store.local import LocalStore

FILES = Choice(database=False, auth=False)


@pytest.fixture
def two(project_factory: ProjectFactory) -> SandboxProject:
    """A project with two buckets of two objects each."""
    sandbox = project_factory("two")
    as_superuser(sandbox, "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b'), ('c', 'c'), ('empty', 'empty')")
    with opened(sandbox) as project:
        for bucket in ("b", "c"):
            for key in ("one", "two"):
                put(project, bucket, key, key.encode())
    return sandbox


def says(sandbox: SandboxProject, path: str, said: object, status: int = 200, times: int = 9) -> None:
    """From now on the server answers so."""
    assert sandbox.api
    sandbox.api.faults.append(Fault(path=path, status=status, body=json.dumps(said).encode(), times=times))


def listed(*objects: tuple[str, str]) -> dict[str, object]:
    """A page of objects of these keys and times, that the database doesn't have."""
    shown = [
        {"id": str(uuid4()), "name": key, "metadata": None, "created_at": at, "updated_at": at, "last_accessed_at": at}
        for key, at in objects
    ]
    return {"hasNext": False, "folders": [], "objects": shown}


def test_a_key_that_sees_buckets_but_no_object_ends_the_backup(two: SandboxProject, tmp_path: Path) -> None:
    says(two, "/object/list-v2/", listed())
    with pytest.raises(AccessDenied, match="sees no object"):
        backed_up(two, tmp_path, FILES)
    assert list(tmp_path.iterdir()) == []


def test_without_a_database_a_key_that_sees_no_bucket_must_be_the_services_all_the_same(
    two: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    says(two, "/storage/v1/bucket$", [])
    says(two, "/auth/v1/admin/users", {"code": 403, "msg": "User not allowed"}, status=403)
    with Project(two.url, two.service_key) as project, pytest.raises(AccessDenied, match="refused the key"):
        back_up(project, Catalog(LocalStore(tmp_path)), FILES)
    empty = project_factory("empty")
    with Project(empty.url, empty.service_key) as project:
        assert back_up(project, Catalog(LocalStore(tmp_path)), FILES).manifest[1] == []


def test_a_server_of_another_project_with_buckets_of_the_same_names_ends_the_backup(
    two: SandboxProject, tmp_path: Path
) -> None:
    says(two, "/object/list-v2/", listed(("one", "2026-01-01T00:00:00.000Z")))
    with pytest.raises(WrongProject, match="no object in common"):
        backed_up(two, tmp_path, FILES)


def test_a_bucket_whose_objects_the_key_does_not_see_is_a_problem(two: SandboxProject, tmp_path: Path) -> None:
    says(two, "/object/list-v2/c$", listed())
    assert [problem.name for problem in backed_up(two, tmp_path, FILES).manifest[1]] == ["bucket c"]


def test_an_object_that_the_database_should_have_is_a_problem_and_one_that_is_new_is_none(
    two: SandboxProject, tmp_path: Path
) -> None:
    says(two, "/object/list-v2/c$", listed(("old", "2020-01-01T00:00:00.000Z"), ("new", "2999-01-01T00:00:00.000Z")))
    names = [problem.name for problem in backed_up(two, tmp_path, FILES).manifest[1]]
    assert names == ["c/old", "bucket c"]


def test_a_bucket_that_only_one_of_them_has_is_a_problem(two: SandboxProject, tmp_path: Path) -> None:
    other = {"id": "other", "created_at": "2020-01-01T00:00:00.000Z"}
    says(
        two,
        "/storage/v1/bucket$",
        [{"id": "b"}, other, {"id": "new", "created_at": "2999-01-01T00:00:00.000Z"}, {"id": "empty"}],
    )
    problems = {problem.name: problem.reason for problem in backed_up(two, tmp_path, FILES).manifest[1]}
    assert problems.keys() == {"bucket c", "bucket other"}
    assert "doesn't show it" in problems["bucket c"]
    assert "didn't have it" in problems["bucket other"]


def test_a_server_that_is_too_old_to_be_asked_is_none_to_be_relied_on_without_a_database(
    two: SandboxProject, tmp_path: Path
) -> None:
    said = {"statusCode": "400", "error": "FeatureNotEnabled", "message": "not available", "code": "FeatureNotEnabled"}
    says(two, "/object/list-v2/", said, status=400)
    assert backed_up(two, tmp_path, FILES).manifest[1] == []
    with Project(two.url, two.service_key) as project, pytest.raises(ApiError) as caught:
        back_up(project, Catalog(LocalStore(tmp_path)), FILES)
    assert "SUPABASE_DB_URL" in str(caught.value.hint)


def test_a_page_of_new_objects_does_not_make_it_another_project(two: SandboxProject, tmp_path: Path) -> None:
    with opened(two) as project, project.moment():
        put(project, "empty", "new", b"new")
    as_superuser(two, "SET session_replication_role = replica", "DELETE FROM storage.objects WHERE bucket_id = 'c'")
    backup = backed_up(two, tmp_path, FILES)
    assert backup.manifest[1] == []


def rows(sandbox: SandboxProject, bucket: str, count: int) -> None:
    """Objects of which only the rows are there: lists don't look at the bytes."""
    as_superuser(
        sandbox,
        "INSERT INTO storage.objects (bucket_id, name, created_at) "
        f"SELECT '{bucket}', 'k' || lpad(n::text, 5, '0'), '2020-01-01' FROM generate_series(1, {count}) n",
    )


def checked(sandbox: SandboxProject, *meanwhile: str) -> dict[str, str]:
    """The problems of a check before which all this has happened since the moment."""
    with opened(sandbox) as project, project.moment() as moment:
        # The moment begins with its first question.
        moment.value("SELECT 1")
        as_superuser(sandbox, "SET session_replication_role = replica", *meanwhile)
        return {problem.name: problem.reason for problem in RowsBySql(moment).check()}


def asked(sandbox: SandboxProject) -> int:
    """How many pages were asked for."""
    assert sandbox.api
    return len([seen for seen in sandbox.api.requests if "/object/list-v2/" in seen.raw_path])


# What a policy or a fault might hide from the key: the sandbox's server reads as this role.
HIDDEN = """
ALTER ROLE service_role NOBYPASSRLS;
CREATE POLICY "all" ON storage.objects FOR SELECT TO service_role USING (NOT ({0}));
CREATE POLICY "all" ON storage.buckets FOR SELECT TO service_role USING (true);
"""


@pytest.mark.parametrize(
    ("count", "hidden", "missing"),
    [
        (2500, "name = 'k00700'", "k00700"),
        (2500, "name = 'k01700'", "k01700"),
        (2500, "name > 'k02400'", "k02401"),
        (MOST_LISTED_WHOLE + 500, "name = 'k00700'", "k00700"),
        (MOST_LISTED_WHOLE + 500, "name > 'k10000'", "k10001"),
    ],
)
def test_a_server_that_leaves_objects_out_in_the_middle_or_at_the_end_of_a_bucket_is_named(
    two: SandboxProject, count: int, hidden: str, missing: str
) -> None:
    rows(two, "empty", count)
    assert checked(two) == {}
    assert asked(two) == 2 + (count // 1000 + 1 if count <= MOST_LISTED_WHOLE else 2)
    as_superuser(two, HIDDEN.format(f"bucket_id = 'empty' AND {hidden}"))
    reason = f"the Storage server lists not all objects that the database has: {missing} isn't there"
    assert checked(two) == {"bucket empty": reason}


def test_what_comes_goes_or_is_moved_while_the_backup_runs_is_no_problem(two: SandboxProject) -> None:
    rows(two, "empty", 2500)
    into = "INSERT INTO storage.objects (bucket_id, name) SELECT 'empty', 'k' ||"
    assert checked(two, f"{into} lpad(n::text, 5, '0') || 'new' FROM generate_series(1, 2500) n") == {}
    delete = "DELETE FROM storage.objects WHERE bucket_id = 'empty' AND"
    assert checked(two, f"{delete} name LIKE '%new'", f"{delete} name > 'k02000'", f"{delete} name < 'k00100'") == {}
    move = "UPDATE storage.objects SET name = '{}' || name WHERE name {}"
    assert checked(two, move.format("a", "< 'k00500' AND bucket_id = 'empty'"), move.format("z", "> 'k01500'")) == {}
    assert checked(two, "DELETE FROM storage.objects WHERE bucket_id IN ('b', 'empty')") == {}


def test_keys_with_line_breaks_where_a_page_ends_hold_no_list_up(two: SandboxProject) -> None:
    rows(two, "empty", 2500)
    broken = "UPDATE storage.objects SET name = name || E'\\n' WHERE name IN ('k01000', 'k01999', 'k02000')"
    as_superuser(two, "SET session_replication_role = replica", broken)
    assert checked(two) == {}
    assert asked(two) == 2 + 3
    as_superuser(two, HIDDEN.format("name = E'k02000\\n'"))
    assert list(checked(two)) == ["bucket empty"]


def test_what_users_wrote_as_deep_as_they_liked_hides_nothing(two: SandboxProject) -> None:
    assert two.api
    shown = listed(("old", "2020-01-01T00:00:00.000Z"))
    body = json.dumps(shown).replace('"metadata": null', f'"metadata": {"[" * 100_000}{"]" * 100_000}').encode()
    two.api.faults.append(Fault(path="/object/list-v2/c$", status=200, body=body, times=2))
    assert list(checked(two)) == ["c/old", "bucket c"]
