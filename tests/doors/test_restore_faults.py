"""What a target can have against a restore: no room, no right to write, limits of time, locks of others."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.doors.commands import Commands, settings_of
from tests.projects import ProjectFactory, few_locks, owner, superuser

from supapy.sandbox import process
from supapy.sandbox.project import SandboxProject

# The server says that its disk is full wherever there is a role of that name.
APP = """
CREATE FUNCTION public.fits(n int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'no_room') THEN
        RAISE EXCEPTION 'could not extend file "base/5/16384": No space left on device' USING ERRCODE = '53100';
    END IF;
    RETURN true;
END $$;
CREATE TABLE public.filling (n int PRIMARY KEY CHECK (public.fits(n)));
INSERT INTO public.filling SELECT generate_series(1, 1000);
CREATE TABLE public.sorted (body text);
INSERT INTO public.sorted SELECT md5(n::text) || repeat(md5(n::text), 8) FROM generate_series(1, 20000) n;
CREATE INDEX ON public.sorted (body);
DO $$
BEGIN
    FOR n IN 1 .. 40 LOOP
        EXECUTE format('CREATE TABLE public.small_%s (id int PRIMARY KEY)', n);
    END LOOP;
END $$;
"""


@pytest.fixture(scope="module")
def saved(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with ExitStack() as cleanup:
        project = ProjectFactory(server_folder, cleanup)("app")
        with owner(project.database) as connection:
            connection.execute(APP.encode())
        commands = Commands(tmp_path_factory.mktemp("saved"), settings_of(project))
        assert commands("backup", "--no-storage", "--no-auth").code == 0
        yield commands.folder / "backups" / commands.labels[0]


@pytest.fixture(params=["as a whole", "in pieces"])
def target(request: pytest.FixtureRequest, project_factory: ProjectFactory) -> SandboxProject:
    target = project_factory("target")
    if request.param == "in pieces":
        few_locks(target.database)
    return target


def by_admin(project: SandboxProject, *statements: str) -> None:
    with superuser(project.database) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_a_target_that_runs_out_of_room_says_so_and_is_finished_once_there_is_room(
    saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    by_admin(target, "CREATE ROLE no_room")
    ran = supapy("restore", saved, "--yes")
    assert ran.code == 27, ran.err
    assert "No space left on device" in ran.err
    assert "disk is full: enlarge it" in ran.err
    assert "half restored: run the same command again" in ran.err
    by_admin(target, "DROP ROLE no_room")
    ran = supapy("restore", saved, "--yes")
    assert ran.code == 0, ran.out + ran.err


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system of that size in the folder, which the server may write to; gives what makes it larger."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    folder.mkdir()
    try:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
        if made.returncode != 0:
            pytest.skip(f"no small disk is to be had here: {made.stderr.decode().strip()}")
        try:
            process.give(folder)
            yield lambda size: void(subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True))
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        folder.rmdir()


def void(_: object) -> None:
    """What a command gives isn't wanted."""


def test_a_disk_that_is_full_for_real_is_no_loss_either(
    saved: Path, server_folder: Path, target: SandboxProject, tmp_path: Path
) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    with ExitStack() as stack:
        enlarge = stack.enter_context(small_disk(server_folder / "disk", "4m"))
        stack.callback(target.database.stop)
        by_admin(
            target,
            f"CREATE TABLESPACE small LOCATION '{server_folder / 'disk'}'",
            "GRANT CREATE ON TABLESPACE small TO postgres",
            "ALTER SYSTEM SET default_tablespace = 'small'",
            "SELECT pg_reload_conf()",
        )
        ran = supapy("restore", saved, "--yes")
        assert ran.code == 27, ran.out + ran.err
        assert "No space left on device" in ran.err
        assert "disk is full: enlarge it" in ran.err
        assert "half restored: run the same command again" in ran.err
        said = supapy("doctor")
        assert "half restored" in said.out + said.err
        enlarge("100m")
        ran = supapy("restore", saved, "--yes")
        assert ran.code == 0, ran.out + ran.err


def test_a_limit_on_temporary_files_is_named(saved: Path, project_factory: ProjectFactory, tmp_path: Path) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target))
    small = ("temp_file_limit = '1MB'", "maintenance_work_mem = '1MB'", "max_parallel_maintenance_workers = 0")
    by_admin(target, *(f"ALTER SYSTEM SET {setting}" for setting in small), "SELECT pg_reload_conf()")
    ran = supapy("restore", saved, "--yes")
    assert ran.code == 27, ran.out + ran.err
    assert "have temp_file_limit raised" in ran.err
    by_admin(target, "ALTER SYSTEM RESET temp_file_limit", "SELECT pg_reload_conf()")
    ran = supapy("restore", saved, "--yes")
    assert ran.code == 0, ran.out + ran.err


def test_limits_of_time_that_the_role_has_do_not_cut_a_restore_short(
    saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    for name in ("lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"):
        by_admin(target, f"ALTER ROLE postgres SET {name} = '100ms'")
    by_admin(target, "ALTER ROLE postgres SET statement_timeout = '100ms'")
    ran = supapy("restore", saved, "--yes")
    # They aren't the source's, and stay: a restore takes nothing away that the target has in addition.
    assert ran.code in (0, 3), ran.err
    assert "timeout" not in ran.err


def test_a_read_only_target_is_refused_before_anything_is_written(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target))
    by_admin(target, "ALTER DATABASE postgres SET default_transaction_read_only = on")
    ran = supapy("restore", saved, "--yes", "--into", "target")
    assert ran.code == 60
    assert "set to be read-only" in ran.err
    assert "This run wrote nothing" in ran.err


def test_a_standby_is_refused_before_anything_is_written(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target))
    target.database.stop()
    signal = target.database.root / "data" / "standby.signal"
    signal.touch()
    signal.chmod(0o644)
    target.database.start(target.database.port)
    ran = supapy("restore", saved, "--yes")
    assert ran.code == 60, ran.err
    assert "standby" in ran.err
