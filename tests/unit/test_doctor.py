"""The checks one by one: what they say of a project in order, and of one that isn't."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from tests.doors.commands import ADA
from tests.projects import ProjectFactory, superuser

from supapy.doctor import Check, examine
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.settings import Settings, load

NAMES = [
    "settings",
    "project",
    "database",
    "PostgreSQL programs",
    "rights",
    "Storage server",
    "Auth server",
    "backup folder",
]


@pytest.fixture(scope="module")
def shop(server_folder: Path) -> Iterator[SandboxProject]:
    """A project with a bucket and a user in it, which the tests leave as it is."""
    with ExitStack() as cleanup:
        project = ProjectFactory(server_folder, cleanup)("shop")
        with superuser(project.database) as connection:
            connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')")
            connection.execute(ADA)
        yield project


def settings(project: SandboxProject, folder: Path, **other: str) -> Settings:
    values = {
        "SUPABASE_URL": project.url,
        "SUPABASE_KEY": project.service_key.reveal(),
        "SUPABASE_DB_URL": project.db_url.reveal(),
        "BACKUP_DIR": str(folder / "backups"),
    }
    empty = folder / "empty.env"
    empty.touch()
    return load(environment=values | other)


def found(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in examine(settings)}


def failed(checks: dict[str, Check]) -> dict[str, int]:
    return {name: check.exit_code for name, check in checks.items() if check.state == "failed"}


def test_a_project_in_order_passes_every_check_and_the_folder_is_not_made(shop: SandboxProject, tmp_path: Path) -> None:
    checks = found(settings(shop, tmp_path))
    assert list(checks) == NAMES
    assert {check.state for check in checks.values()} == {"ok"}
    assert checks["project"].text == "shop, with the service_role key"
    assert checks["Storage server"].text == "it answers; buckets: 1, the same as in the database"
    assert checks["Auth server"].text == "it answers; users: 1, as many as in the database"
    assert " free; the database takes 0.0" in checks["backup folder"].text
    assert not (tmp_path / "backups").exists()


def test_each_missing_setting_is_a_check_of_its_own(tmp_path: Path) -> None:
    checks = list(examine(load(environment={"BACKUP_DIR": str(tmp_path)})))
    assert [check.name for check in checks] == ["settings"] * 3 + ["backup folder"]
    assert [check.exit_code for check in checks] == [2, 2, 2, 0]
    assert "SUPABASE_KEY is not set" in checks[1].text


def test_a_project_without_a_database_connection_is_ready_for_its_files(shop: SandboxProject, tmp_path: Path) -> None:
    checks = found(settings(shop, tmp_path, SUPABASE_DB_URL=""))
    assert failed(checks) == {}
    assert checks["settings"].state == "warning"
    assert "--no-database --no-auth" in checks["settings"].text
    assert checks["Storage server"].text == "it answers; buckets: 1"


def test_a_key_that_is_wrong_does_not_keep_the_database_from_being_looked_at(
    shop: SandboxProject, tmp_path: Path
) -> None:
    checks = found(settings(shop, tmp_path, SUPABASE_KEY=shop.anon_key.reveal()))
    assert failed(checks) == {"project": 22}
    assert {"database", "rights", "backup folder"} <= checks.keys()
    assert "Storage server" not in checks


def test_a_database_that_is_not_there_does_not_keep_the_servers_from_being_asked(
    shop: SandboxProject, tmp_path: Path
) -> None:
    checks = found(settings(shop, tmp_path, SUPABASE_DB_URL="postgresql://postgres:x@127.0.0.1:1/postgres"))
    assert failed(checks) == {"database": 21}
    assert checks["Storage server"].text == "it answers; buckets: 1"
    assert checks["Auth server"].text == "it answers; users: 1"
    assert checks["database"].hint


def test_a_server_that_is_down_is_told_after_two_tries(shop: SandboxProject, tmp_path: Path) -> None:
    assert shop.api
    shop.api.requests.clear()
    shop.api.faults.append(Fault(path="/auth/v1/", times=100, status=503))
    try:
        checks = found(settings(shop, tmp_path))
    finally:
        shop.api.faults.clear()
    assert failed(checks) == {"Auth server": 26}
    assert len([seen for seen in shop.api.requests if seen.raw_path.startswith("/auth/v1/")]) == 2


def test_servers_and_database_of_two_projects_are_told_apart(
    shop: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    other = project_factory("other")
    checks = found(settings(shop, tmp_path, SUPABASE_DB_URL=other.db_url.reveal()))
    assert failed(checks) == {"Storage server": 24}
    assert checks["Auth server"].state == "warning"
    assert checks["Auth server"].text == "users: 1 here, 0 in the database"
    with superuser(other.database) as connection:
        connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('c', 'c')")
    turned = found(settings(other, tmp_path, SUPABASE_DB_URL=shop.db_url.reveal()))
    assert turned["Storage server"].text == "buckets: 1 here, 1 in the database, 0 the same"


def test_a_role_of_too_little_right_is_told(shop: SandboxProject, tmp_path: Path) -> None:
    password = "a password for the test"
    with superuser(shop.database) as connection:
        connection.execute(f"CREATE ROLE clerk LOGIN PASSWORD '{password}'")
        connection.execute("GRANT USAGE ON SCHEMA storage, auth TO clerk")
        connection.execute("GRANT SELECT ON storage.buckets, storage.objects, auth.users TO clerk")
    parts = psycopg.conninfo.conninfo_to_dict(shop.db_url.reveal())
    clerk = psycopg.conninfo.make_conninfo(**parts | {"user": "clerk", "password": password})  # type: ignore[arg-type]
    said = [check for check in examine(settings(shop, tmp_path, SUPABASE_DB_URL=clerk)) if check.name == "rights"]
    assert [(check.state, check.exit_code) for check in said] == [("failed", 22), ("warning", 0), ("warning", 0)]
    assert "row level security" in said[0].text
    assert "pg_read_all_data" in said[1].text
    assert "session_replication_role" in said[2].text


def test_a_folder_that_can_not_be_written_to_is_told(shop: SandboxProject, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    checks = found(settings(shop, tmp_path, BACKUP_DIR=str(tmp_path / "file")))
    assert failed(checks) == {"backup folder": 30}


def test_files_that_would_fill_the_disk_are_a_warning(project_factory: ProjectFactory, tmp_path: Path) -> None:
    project = project_factory("huge")
    with superuser(project.database) as connection:
        connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')")
        connection.execute(
            "INSERT INTO storage.objects (bucket_id, name, metadata) "
            """VALUES ('b', 'huge', '{"size": 1000000000000000}')"""
        )
    check = found(settings(project, tmp_path))["backup folder"]
    assert check.state == "warning"
    assert "files 1,000,000.00 GB" in check.text
