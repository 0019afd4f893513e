"""Ctrl-C, a polite kill and a closed terminal, at places where the run is held up: it ends in order and leaves nothing.

Each test waits until the run has come to a place where it can't go on, so that none depends on time.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from tests import waiting
from tests.doors.commands import FILES, Commands, run, settings_of
from tests.processes import children
from tests.projects import ProjectFactory, owner, superuser

from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Held = Callable[[], bool]


def until(true: Held, child: subprocess.Popen[str]) -> None:
    """Wait until the run is held up."""

    def held_up() -> bool:
        assert child.poll() is None, child.communicate()
        return true()

    waiting.until(held_up)


def interrupted(child: subprocess.Popen[str], number: signal.Signals) -> str:
    """Send the signal; gives what the run said at its end."""
    started = children(child.pid)
    child.send_signal(number)
    _, err = child.communicate()
    assert child.returncode == 130, err
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert "Traceback" not in err
    return err


@contextmanager
def stalled(project: SandboxProject, path: str) -> Iterator[Held]:
    """Answers to such requests stop in the middle; says whether one has."""
    assert project.api
    faults = [Fault(path=path, times=100, cut_after_bytes=1, stall=True)]
    project.api.faults.extend(faults)
    try:
        yield lambda: faults[0].times < 100
    finally:
        project.api.faults.clear()


@contextmanager
def blocked(project: SandboxProject, statement: str, waiting: str) -> Iterator[Held]:
    """Another session holds what the statement takes; says whether such a program waits for it."""
    with superuser(project.database) as connection, superuser(project.database) as watcher:
        connection.execute("BEGIN")
        connection.execute(statement)
        wait = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = %s"

        def held() -> bool:
            return watcher.execute(wait, (waiting,)).fetchone() != (0,)

        yield held
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_backup_interrupted_before_the_first_file_leaves_nothing(
    supapy: Commands, source: SandboxProject, number: signal.Signals
) -> None:
    with stalled(source, r"/storage/v1/bucket") as held, supapy.started("backup") as child:
        until(held, child)
        err = interrupted(child, number)
    assert err.splitlines() == [
        "error: interrupted",
        "hint: Nothing of it was kept; the backups made before are as they were.",
    ]
    assert supapy.labels == []
    assert supapy("backup").code == 0


def test_a_backup_interrupted_after_some_files_goes_on_from_there(supapy: Commands, source: SandboxProject) -> None:
    assert source.api
    with stalled(source, r"/object/authenticated/photos/trip/") as held, supapy.started("backup") as child:
        until(held, child)
        until(lambda: any("a.png" in one.read_text() for one in supapy.folder.glob("backups/*/.journal")), child)
        err = interrupted(child, signal.SIGINT)
    (left,) = supapy.labels
    assert err.splitlines()[0] == "error: interrupted"
    assert f"in {left}: `supapy backup --resume`" in err
    source.api.requests.clear()
    ran = supapy("--json", "backup", "--resume")
    assert ran.code == 0, ran.err
    asked = [seen.raw_path for seen in source.api.requests if "/object/authenticated/" in seen.raw_path]
    assert [path.rpartition("/")[2] for path in asked if "a.png" in path or "trip" in path] == ["b.png"]
    assert supapy.labels == [ran.result["label"]] != [left]


def test_a_backup_interrupted_within_pg_dump_leaves_no_child_and_no_secret_to_be_seen(
    supapy: Commands, source: SandboxProject
) -> None:
    # One of the platform's own, which pg_dump looks at and nothing before it.
    lock = "LOCK TABLE realtime.messages IN ACCESS EXCLUSIVE MODE"
    with blocked(source, lock, "pg_dump") as held, supapy.started("backup") as child:
        until(held, child)
        seen = [*children(child.pid).values(), *children().values()]
        assert any("pg_dump" in arguments for arguments in seen)
        secrets = [source.service_key.reveal(), source.db_url.reveal(), source.db_url.reveal().split(":")[2][:20]]
        assert not [arguments for arguments in seen for secret in secrets if secret in arguments]
        interrupted(child, signal.SIGINT)
    assert supapy.labels == []


def test_a_backup_interrupted_while_the_database_keeps_it_waiting_gives_the_connection_back(
    supapy: Commands, source: SandboxProject
) -> None:
    lock = "LOCK TABLE public.trips IN ACCESS EXCLUSIVE MODE"
    with blocked(source, lock, "supapy") as held, supapy.started("backup") as child:
        until(held, child)
        interrupted(child, signal.SIGTERM)
        until_no_session_left(source)
    assert supapy.labels == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_restore_interrupted_within_psql_leaves_no_child_and_says_what_is_there(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path, number: signal.Signals
) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target))
    with blocked(target, "CREATE TABLE public.trips ()", "psql") as held:
        with supapy.started("restore", saved, "--yes") as child:
            until(held, child)
            err = interrupted(child, number)
        assert err.splitlines()[0] == "error: interrupted"
        assert "half restored" in err
    until_no_session_left(target)
    assert supapy("restore", saved, "--yes").code == 0


def test_a_restore_interrupted_while_it_compares_says_that_all_is_back(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target))
    reading = r"/storage/v1/object/authenticated/"
    with stalled(target, reading) as held, supapy.started("restore", saved, "--yes") as child:
        until(held, child)
        err = interrupted(child, signal.SIGINT)
    assert "All was brought back, but not compared" in err
    assert "half restored" not in err
    assert supapy("verify", saved).code == 0


def test_a_restore_interrupted_among_the_files_can_be_done_again(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target))
    with stalled(target, r"/storage/v1/object/photos/") as held, supapy.started("restore", saved, "--yes") as child:
        until(held, child)
        assert "half restored" in interrupted(child, signal.SIGTERM)
    # Whatever ends the next one before it goes on says no more than it knows.
    locked = blocked(target, "LOCK TABLE storage.objects", "supapy")
    with locked as held, supapy.started("restore", saved, "--yes") as child:
        until(held, child)
        assert interrupted(child, signal.SIGINT).splitlines()[1:] == ["hint: This run wrote nothing."]
    unasked = supapy.process("restore", saved)
    assert unasked.code == 60
    assert "hint: This run wrote nothing. The target is half restored: run the same command again" in unasked.err
    ran = supapy("restore", saved, "--yes")
    assert ran.code == 0, ran.out + ran.err
    with owner(target.database) as connection:
        assert connection.execute("SELECT count(*) FROM storage.objects").fetchone() == (len(FILES),)


def test_a_restore_without_a_database_that_is_interrupted_says_how_it_goes_on(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target) | {"SUPABASE_DB_URL": ""})
    command = ("restore", saved, "--no-database", "--no-auth", "--yes")
    with stalled(target, r"/storage/v1/object/photos/") as held, supapy.started(*command) as child:
        until(held, child)
        err = interrupted(child, signal.SIGTERM)
    assert f"run the same command with --into {target.ref}" in err
    assert supapy(*command).code != 0, "what is there may be somebody else's"
    unasked = supapy.process(*command[:-1], "--into", target.ref)
    assert "hint: This run wrote nothing. Say --yes." in unasked.err
    ran = supapy(*command, "--into", target.ref)
    assert ran.code == 0, ran.out + ran.err
    assert f"{len(FILES)}   files byte for byte" in ran.out


def test_a_second_signal_while_it_ends_changes_nothing(supapy: Commands, source: SandboxProject) -> None:
    with stalled(source, r"/storage/v1/bucket") as held, supapy.started("backup") as child:
        until(held, child)
        child.send_signal(signal.SIGINT)
        interrupted(child, signal.SIGINT)
    assert supapy.labels == []


def test_a_signal_during_the_cleaning_up_does_not_cut_it_short(tmp_path: Path) -> None:
    program = (
        "import os, signal\nfrom supapy.cli.ending import heed_signals\nheed_signals()\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    os.kill(os.getpid(), signal.SIGTERM)\n    print('cleaned up')\n"
    )
    ran = run((sys.executable, "-c", program), {}, tmp_path)
    assert (ran.code, ran.out) == (0, "cleaned up\n")


def test_what_nohup_makes_deaf_stays_deaf(supapy: Commands, source: SandboxProject) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ExitStack() as lock:
            statement = "LOCK TABLE public.trips IN ACCESS EXCLUSIVE MODE"
            held = lock.enter_context(blocked(source, statement, "supapy"))
            with supapy.started("backup") as child:
                until(held, child)
                child.send_signal(signal.SIGHUP)
                lock.close()
                assert child.wait() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def until_no_session_left(project: SandboxProject) -> None:
    """Wait until the server has noticed that all our programs went."""
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('supapy', 'pg_dump', 'psql')"
    with psycopg.connect(project.database.admin_dsn.reveal(), autocommit=True) as connection:
        waiting.until(lambda: connection.execute(left).fetchone() == (0,), "programs that are still connected")
