"""What an object has beside its bytes, and what a bucket may be: saved, brought back, or named."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fidelity.whole import as_superuser, backed_up, differences, fetched, restored
from tests.projects import ProjectFactory
from tests.waiting import put

from supapy.choice import Choice
from supapy.project.project import Project
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


def test_a_cache_control_that_a_large_upload_cannot_say_is_named_and_stands_in_the_row(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    source, target = project_factory("source"), project_factory("target")
    as_superuser(source, BUCKET)
    with opened(source) as project:
        put(project, "b", "large", b"x" * 7_000_000)
        put(project, "b", "small", b"x", cache="public, max-age=5, immutable")
    said = "public, max-age=31536000, immutable"
    as_superuser(
        source,
        f"UPDATE storage.objects SET metadata = metadata || '{{\"cacheControl\": \"{said}\"}}' WHERE name = 'large'",
    )
    backup = backed_up(source, tmp_path, STORAGE)
    outcome = restored(backup, target, STORAGE)
    assert [(problem.name, said in problem.reason) for problem in outcome.problems] == [("b/large", True)]
    assert outcome.differences == []
    rows = as_superuser(target, "SELECT name, metadata ->> 'cacheControl' FROM storage.objects ORDER BY name")
    assert rows == [("large", said), ("small", "public, max-age=5, immutable")]


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
