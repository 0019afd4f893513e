"""The files in the repository's root: each does what its name says, from a checkout, and takes what it always took."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
from tests.doors.commands import Commands, env_file, environment, run, settings_of
from tests.projects import ProjectFactory, owner

from supapy.sandbox.project import SandboxProject
from supapy.settings import load

ROOT = Path(__file__).resolve().parents[2]


def door(name: str) -> tuple[str, Path]:
    return sys.executable, ROOT / name


@pytest.mark.parametrize("name", ["cli.py", "supabase_backup.py", "supabase_restore.py", "test_connection.py"])
def test_a_door_is_no_more_than_a_door(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= 20


def test_cli_py_is_the_command(source: SandboxProject, tmp_path: Path) -> None:
    ran = run((*door("cli.py"), "--json", "backup", "--no-storage"), settings_of(source), tmp_path)
    assert ran.code == 0
    assert Path(tmp_path, ran.result["path"], "database.sql").exists()
    assert run((*door("cli.py"), "--version"), {}, tmp_path).out.startswith("supapy ")


def test_test_connection_py_is_the_doctor(source: SandboxProject, tmp_path: Path) -> None:
    ran = run(door("test_connection.py"), settings_of(source), tmp_path)
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "ready")
    missing = run((*door("test_connection.py"), "--json"), {}, tmp_path)
    assert missing.code == 2
    assert missing.result["failed"] == 3


def test_the_example_backs_up_lists_and_compares_and_restores_only_when_told_so(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    ran = run(door("example_usage.py"), settings_of(source), tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-4:] == [
        "database: equal",
        "storage: equal",
        "auth: equal",
        "nothing was restored: that takes the words `restore FILE.env`",
    ]
    target = project_factory("other")
    arguments = ("restore", env_file(target, tmp_path))
    ran = run((*door("example_usage.py"), *arguments), settings_of(source), tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == f"restored into {target.url}, 0 differences"
    with owner(target.database) as connection:
        assert connection.execute("SELECT count(*) FROM public.stops").fetchone() == (20,)


def test_the_example_tells_what_is_missing(tmp_path: Path) -> None:
    ran = run(door("example_usage.py"), {}, tmp_path)
    assert ran.code == 2
    assert ran.err.startswith("error: SUPABASE_URL is not set")
    assert run((*door("example_usage.py"), "frob"), {}, tmp_path).code == 2


def test_the_classes_take_and_offer_what_they_always_did() -> None:
    from supabase_backup import SupabaseBackup
    from supabase_restore import SupabaseRestore

    def signature(what: object) -> str:
        return str(inspect.signature(what)).partition(", *, ")[0]  # type: ignore[arg-type]

    assert signature(SupabaseBackup).replace(" | None", "").replace("'", "") == (
        "(supabase_url: str = None, supabase_key: str = None, db_url: str = None, backup_dir: str = ./backups"
    )
    assert [name for name in vars(SupabaseBackup) if not name.startswith("_")] == [
        "create_backup",
        "backup_database",
        "backup_storage",
        "backup_auth_users",
        "list_backups",
    ]
    assert (
        signature(SupabaseBackup.create_backup) == "(self, include_storage: 'bool' = True, include_auth: 'bool' = True"
    )
    assert list(inspect.signature(SupabaseRestore).parameters)[:3] == ["supabase_url", "supabase_key", "db_url"]
    assert [name for name in vars(SupabaseRestore) if not name.startswith("_")] == [
        "restore_backup",
        "restore_database",
        "restore_storage",
        "restore_auth_users",
        "verify_restore",
    ]
    assert list(inspect.signature(SupabaseRestore.restore_backup).parameters)[1:6] == [
        "backup_path",
        "restore_database",
        "restore_storage",
        "restore_auth",
        "confirm",
    ]


def test_the_example_of_settings_names_every_setting_and_holds_no_value_but_the_folder(tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes((ROOT / ".env.example").read_bytes())
    settings = load(tmp_path / "env", environment({}))
    assert not any(settings.values.values())
    assert settings.backup_dir == Path("./backups")
    text = (ROOT / ".env.example").read_text()
    for name in (*settings.values, "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY", "BACKUP_DIR", "SUPAPY_PG_BIN"):
        assert name in text


def test_a_folder_with_a_file_of_settings_needs_no_more(source: SandboxProject, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(source.env_text())
    assert Commands(tmp_path, {})("backup", "--no-storage", "--no-database").code == 0
