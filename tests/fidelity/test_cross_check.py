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
