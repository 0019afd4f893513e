"""What an object has beside its bytes, and what a bucket may be: saved, brought back, or named."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from tests.fidelity.whole import as_superuser, backed_up, differences, fetched, restored
from tests.projects import ProjectFactory
from tests.waiting import put

from supapy.backup import Backup
from supapy.choice import Choice
from supapy.project.project import Project
from supapy.restore import restore
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject

STORAGE = Choice(database=False, auth=False)
BUCKET = "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')"


def opened(sandbox: SandboxProject) -> Project:
    return Project(sandbox.url, sandbox.service_key, sandbox.db_url)


def test_two_hundred_kilobytes_of_user_metadata_and_a_robots_tag_come_back(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    source, target = project_factory("source"), project_factory("target")
    as_superuser(source, BUCKET)
    with opened(source) as project:
        put(project, "b", "k", b"x")
    long = json.dumps({"text": "ä\n" * 70_000})
    robots = json.dumps({"xRobotsTag": "noindex"})
    as_superuser(source, f"UPDATE storage.objects SET user_metadata = $${long}$$, metadata = metadata || '{robots}'")
    assert restored(backed_up(source, tmp_path, STORAGE), target, STORAGE).is_whole
    look = "SELECT user_metadata::text, metadata ->> 'xRobotsTag' FROM storage.objects"
    assert as_superuser(target, look) == as_superuser(source, look)
    assert fetched(target, "/storage/v1/object/authenticated/b/k") == (200, b"x")


SAID = "public, max-age=31536000, immutable"


@pytest.fixture
def large(project_factory: ProjectFactory, tmp_path: Path) -> Backup:
    """A backup with an object whose cache control no upload in pieces can say, and user metadata."""
    source = project_factory("source")
    as_superuser(source, BUCKET)
    with opened(source) as project:
        put(project, "b", "large", b"x" * 7_000_000)
    as_superuser(
        source,
        f"""UPDATE storage.objects SET user_metadata = '{{"a": 1}}',
        metadata = metadata || '{{"cacheControl": "{SAID}"}}'""",
    )
    return backed_up(source, tmp_path, STORAGE)


@pytest.mark.parametrize("by_sql", [True, False])
def test_a_cache_control_that_a_large_upload_cannot_say_is_served_all_the_same(
    project_factory: ProjectFactory, large: Backup, by_sql: bool
) -> None:
    target = project_factory("target")
    with Project(target.url, target.service_key, target.db_url if by_sql else None) as project:
        outcome = restore(large, project, STORAGE, confirm=lambda plan: True)
    assert outcome.is_whole
    look = "SELECT metadata ->> 'cacheControl', metadata ->> 'mimetype', user_metadata FROM storage.objects"
    assert as_superuser(target, look) == [(SAID, "text/plain", {"a": 1})]
    key = target.service_key.reveal()
    request = Request(
        f"{target.url}/storage/v1/object/authenticated/b/large", headers={"Authorization": f"Bearer {key}"}
    )
    with urlopen(request) as answer:
        assert (answer.headers["Cache-Control"], len(answer.read())) == (SAID, 7_000_000)


def test_a_cache_control_that_the_server_can_not_be_told_is_a_problem_and_stands_in_the_row(
    project_factory: ProjectFactory, large: Backup
) -> None:
    target = project_factory("target")
    assert target.api
    target.api.faults.append(Fault(method="POST", path="/object/copy$", times=99, status=413))
    outcome = restored(large, target, STORAGE)
    assert [(problem.name, SAID in problem.reason) for problem in outcome.problems] == [("b/large", True)]
    assert outcome.differences == []
    assert as_superuser(target, "SELECT metadata ->> 'cacheControl' FROM storage.objects") == [(SAID,)]


def test_older_versions_and_delete_markers_are_no_objects(project_factory: ProjectFactory, tmp_path: Path) -> None:
    source, target = project_factory("source"), project_factory("target")
    as_superuser(source, BUCKET)
    with opened(source) as project:
        for key in ("now", "archived", "deleted"):
            put(project, "b", key, b"x")
    as_superuser(
        source,
        "ALTER TABLE storage.objects ADD COLUMN IF NOT EXISTS archived_at timestamptz, "
        "ADD COLUMN IF NOT EXISTS is_delete_marker boolean NOT NULL DEFAULT false",
        "UPDATE storage.objects SET archived_at = now() WHERE name = 'archived'",
        "UPDATE storage.objects SET is_delete_marker = true WHERE name = 'deleted'",
    )
    backup = backed_up(source, tmp_path, STORAGE)
    assert [entry.name for entry in backup.entries("storage")] == ["buckets", "b/now", "objects"]
    assert [omission.name for omission in backup.manifest[2]] == ["2 older versions and delete markers of objects"]
    restored(backup, target, STORAGE)
    assert as_superuser(target, "SELECT name FROM storage.objects") == [("now",)]


def test_buckets_of_other_kinds_are_named(project_factory: ProjectFactory, tmp_path: Path) -> None:
    source = project_factory("source")
    as_superuser(
        source,
        "INSERT INTO storage.buckets_analytics (name) VALUES ('lake')",
        "INSERT INTO storage.buckets_vectors (id) VALUES ('one'), ('two')",
    )
    backup = backed_up(source, tmp_path, STORAGE)
    assert [omission.name for omission in backup.manifest[2]] == [
        "1 analytics bucket: lake",
        "2 vector buckets: one, two",
    ]
    assert differences(backup, source, STORAGE) == []
