"""A restore that breaks off amid rows or indexes: the target says so, and the same command finishes it.

The source's own functions wait for a lock when the target's server comes to a certain row, and hold the run up there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests import waiting
from tests.doors.commands import Commands, settings_of
from tests.doors.test_changed_scripts import forged
from tests.doors.test_interrupts import until, until_no_session_left
from tests.projects import ProjectFactory, few_locks, owner, superuser

from supapy.sandbox.project import SandboxProject

# 20 MB of rows, several chunks; one table is loaded after all others, since its check calls a function.
APP = """
CREATE FUNCTION public.passes(place text, id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF id = 3000 THEN
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(pg_catalog.hashtext(place));
    END IF;
    RETURN true;
END $$;
CREATE TABLE public.first (id int PRIMARY KEY, body text);
CREATE TABLE public.held (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text, first int REFERENCES public.first,
    CHECK (public.passes('rows', id)));
CREATE UNIQUE INDEX held_twice ON public.held (id, body);
CREATE INDEX waiting ON public.held (public.passes('index', id));
INSERT INTO public.first SELECT n, repeat('first ', 250) FROM generate_series(1, 4000) n;
INSERT INTO public.held (body, first) SELECT repeat('row ', 1000), n FROM generate_series(1, 4000) n;
DO $$
BEGIN
    FOR n IN 1 .. 40 LOOP
        EXECUTE format('CREATE TABLE public.small_%s (id int PRIMARY KEY)', n);
        EXECUTE format('INSERT INTO public.small_%s VALUES (%s)', n, n);
    END LOOP;
END $$;
CREATE ROLE app_reader;
GRANT SELECT ON public.held TO app_reader WITH GRANT OPTION;
CREATE TABLE public.given (id int);
GRANT app_reader TO postgres;
GRANT CREATE ON SCHEMA public TO app_reader;
ALTER TABLE public.given OWNER TO app_reader;
REVOKE CREATE ON SCHEMA public FROM app_reader;
REVOKE app_reader FROM postgres;
"""
COUNTS = "SELECT (SELECT count(*) FROM public.first), (SELECT count(*) FROM public.held)"


@pytest.fixture(scope="module")
def app(server_folder: Path) -> Iterator[SandboxProject]:
    with ExitStack() as cleanup:
        project = ProjectFactory(server_folder, cleanup)("app")
        with owner(project.database) as connection:
            connection.execute(APP.encode())
        yield project


@pytest.fixture(scope="module")
def saved(app: SandboxProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    commands = Commands(folder, settings_of(app))
    ran = commands("backup", "--no-storage", "--no-auth")
    assert ran.code == 0, ran.err
    return folder / "backups" / commands.labels[0]


@pytest.fixture
def target(project_factory: ProjectFactory) -> SandboxProject:
    target = project_factory("target")
    few_locks(target.database)
    return target


@contextmanager
def held_up(project: SandboxProject, place: str) -> Iterator[tuple[Callable[[], bool], Callable[[], None]]]:
    """The target's server waits at that place; says whether one does, and lets it go on."""
    with superuser(project.database) as holder, superuser(project.database) as watcher:
        holder.execute("SELECT pg_advisory_lock(hashtext(%s))", (place,))
        wait = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
        yield lambda: watcher.execute(wait).fetchone() != (0,), holder.close


def one(project: SandboxProject, query: str) -> tuple[object, ...] | None:
    with superuser(project.database) as connection:
        return connection.execute(query.encode()).fetchone()


def assert_finished(supapy: Commands, target: SandboxProject, saved: Path, *options: str) -> None:
    """The same command ends well, which means that the target is equal, and nothing of the mark stays."""
    ran = supapy("restore", saved, "--yes", *options)
    assert ran.code == 0, ran.out + ran.err
    assert "goes on where it was" in ran.out
    assert one(target, COUNTS) == (4000, 4000)
    assert one(target, "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == (44,)
    assert one(target, "SELECT count(*) FROM pg_namespace WHERE nspname = 'supapy_restore'") == (0,)
    lent = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'app_reader'::regrole AND NOT admin_option"
    assert one(target, lent) == (0,)


@pytest.mark.parametrize("place", ["rows", "index"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_breaks_off_is_named_and_finished_by_the_same_command(
    saved: Path, target: SandboxProject, tmp_path: Path, place: str, number: signal.Signals
) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    with held_up(target, place) as (held, go_on):
        with supapy.started("restore", saved, "--yes", "--jobs", "2") as child:
            until(held, child)
            child.send_signal(number)
            _, err = child.communicate()
        if number == signal.SIGINT:
            assert child.returncode == 130
            assert "half restored: run the same command again" in err
            until_no_session_left(target)
        assert one(target, "SELECT count(*) > 0 FROM supapy_restore.done") == (True,)
        for role in ("anon", "authenticated", "service_role", "authenticator"):
            seen = f"SELECT has_schema_privilege('{role}', 'supapy_restore', 'USAGE')"
            assert one(target, seen) == (False,)
        go_on()
    assert_finished(supapy, target, saved, "--jobs", "2")


@pytest.mark.parametrize("place", ["rows", "index"])
def test_a_small_database_comes_in_as_a_whole_or_not_at_all(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path, place: str
) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target))
    with held_up(target, place) as (held, go_on):
        with supapy.started("restore", saved, "--yes") as child:
            until(held, child)
            child.kill()
            child.communicate()
        go_on()
    until_no_session_left(target)
    assert one(target, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == (0,)
    assert_finished(supapy, target, saved)


def test_what_a_killed_run_left_at_work_is_ended_first(saved: Path, target: SandboxProject, tmp_path: Path) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    with held_up(target, "index") as (held, go_on):
        with supapy.started("restore", saved, "--yes") as child:
            until(held, child)
            child.kill()
            child.communicate()
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory'"
        left = one(target, waiting)
        assert left
        with supapy.started("restore", saved, "--yes") as child:
            until(lambda: one(target, waiting) not in (left, None), child)
            assert one(target, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {left[0]}") == (0,)
            go_on()
            out, err = child.communicate()
        assert child.returncode == 0, out + err


def test_until_then_no_other_restore_goes_in_and_doctor_says_why(
    saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    with held_up(target, "rows") as (held, go_on), supapy.started("restore", saved, "--yes") as child:
        until(held, child)
        beside = supapy("restore", saved, "--yes")
        assert beside.code == 60
        assert "another restore into this project is under way" in beside.err
        child.send_signal(signal.SIGINT)
        child.communicate()
        go_on()
    other = supapy("restore", saved, "--yes", "--no-database", "--into", "target")
    assert other.code == 60 or other.code == 2
    assert supapy("backup", "--no-storage", "--no-auth").code == 3
    another = supapy("restore", "--latest", "--yes", "--into", "target")
    assert another.code == 60
    assert "half restored" in another.err
    assert saved.name in another.err
    awake = supapy("restore", saved, "--yes", "--no-quiesce")
    assert awake.code == 60
    assert "with other options (then without, now --no-quiesce; then --quiesce, now without)" in awake.err
    assert f"supapy restore {saved.name} --no-auth --no-storage --quiesce" in awake.err
    said = supapy("doctor")
    assert "half restored" in said.out + said.err
    assert_finished(supapy, target, saved)


def test_one_that_another_version_began_is_left_to_that(saved: Path, target: SandboxProject, tmp_path: Path) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    with superuser(target.database) as connection:
        connection.execute("CREATE SCHEMA supapy_restore")
        connection.execute(
            "CREATE TABLE supapy_restore.restore AS SELECT %s AS label, 'app' AS source, '' AS digest,"
            " '{\"format\": 99}' AS choice, '[]' AS held",
            (saved.name,),
        )
    ran = supapy("restore", saved, "--yes")
    assert ran.code == 60
    assert f"{saved.name} of project app was on its way in, by another version of supapy" in ran.err
    assert "Finish that first with that version" in ran.err


def durable(project: SandboxProject) -> None:
    """The server keeps what it says is kept, and writes its log for nothing else: what nobody has waited for is lost
    when it crashes, where chance would have most of it on the disk."""
    with superuser(project.database) as connection:
        for setting in (
            "fsync = on",
            "full_page_writes = on",
            "synchronous_commit = on",
            "wal_buffers = '64MB'",
            "wal_writer_delay = '10s'",
            "wal_writer_flush_after = '1GB'",
            "bgwriter_lru_maxpages = 0",
            "autovacuum = off",
        ):
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
    project.database.stop()
    project.database.start(project.database.port)


def stop(project: SandboxProject) -> None:
    project.database.stop()


def crash(project: SandboxProject) -> None:
    """Its processes end at once, and write nothing more."""
    assert project.database.pid
    os.kill(project.database.pid, signal.SIGQUIT)
    waiting.until(lambda: project.database.pid is None)
    project.database.stop()


@pytest.mark.parametrize("end", [stop, crash])
def test_a_server_that_ends_amid_the_rows_is_no_loss(
    saved: Path, target: SandboxProject, tmp_path: Path, end: Callable[[SandboxProject], None]
) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    durable(target)
    with ExitStack() as stack:
        held, _ = stack.enter_context(held_up(target, "rows"))
        child = stack.enter_context(supapy.started("restore", saved, "--yes"))
        until(held, child)
        noted = one(target, "SELECT count(*) FROM supapy_restore.done")
        end(target)
        target.database.start(target.database.port)
        _, err = child.communicate()
        assert child.returncode == 21
        assert "lost" in err
        assert "half restored" in err
    # Of what was noted before the crash, some went with it.
    assert (one(target, "SELECT count(*) FROM supapy_restore.done") == noted) == (end is stop)
    assert_finished(supapy, target, saved)


def test_a_server_that_crashes_right_after_a_restore_has_lost_nothing(
    saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    durable(target)
    with superuser(target.database) as connection:
        # Whatever the role's commits wait for as a rule: the last one does.
        connection.execute("ALTER ROLE postgres SET synchronous_commit = off")
    ran = supapy("restore", saved, "--yes", "--jobs", "2")
    crash(target)
    target.database.start(target.database.port)
    assert ran.code == 0, ran.out + ran.err
    assert one(target, COUNTS) == (4000, 4000)
    assert one(target, "SELECT count(*) FROM pg_namespace WHERE nspname = 'supapy_restore'") == (0,)
    again = supapy("verify", saved)
    assert again.code == 0, again.out + again.err


def test_rows_that_end_before_their_end_are_missed(saved: Path, target: SandboxProject, tmp_path: Path) -> None:
    script = (saved / "database.sql").read_bytes()

    def ended(segment: dict[str, Any]) -> bytes:
        if segment["name"] != "rows of public.first":
            return b""
        return script[segment["offset"] : segment["offset"] + segment["rows_start"]] + b"\\.\n"

    ran = Commands(tmp_path, settings_of(target))("restore", forged(saved, tmp_path, ended, toc=True), "--yes")
    assert ran.code == 50, ran.err
    assert "the rows in database.sql end before their end" in ran.err
