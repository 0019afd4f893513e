"""How many connections read the rows is the user's to say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.doors.commands import Commands
from tests.projects import superuser

from supapy.sandbox.project import SandboxProject


@contextmanager
def most_connected(project: SandboxProject) -> Iterator[set[int]]:
    """Collects the server's processes that serve psql while the block runs."""
    seen: set[int] = set()
    ended = threading.Event()

    def watch() -> None:
        with superuser(project.database) as watcher:
            while not ended.is_set():
                rows = watcher.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'psql'").fetchall()
                seen.update(pid for (pid,) in rows)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        ended.set()
        watching.join()


def test_a_backup_by_one_connection_is_equal_to_one_by_many(supapy: Commands, source: SandboxProject) -> None:
    with most_connected(source) as one_each:
        assert supapy("backup", "--no-storage", "--no-auth", "--jobs", "1").code == 0
    assert supapy("backup", "--no-storage", "--no-auth", "--jobs", "6").code == 0
    assert supapy("verify").code == 0
    # One for the script's rows, one for the rows as JSON.
    assert len(one_each) <= 2


def test_a_program_hears_of_every_table_on_its_way(supapy: Commands) -> None:
    told = supapy("--json", "backup", "--no-storage", "--no-auth").objects
    told += supapy("--json", "verify").objects
    for stage in ("database", "tables", "comparing database"):
        about = [one for one in told if one.get("stage") == stage]
        ended = {one["table"]: one["rows"] for one in about if one["event"] == "tableended"}
        assert (ended["public.trips"], ended["public.stops"]) == (20, 20)
        (total,) = [one["total"] for one in about if one["event"] == "expected"]
        assert sum(one["done"] for one in about if one["event"] == "tablemoved") == total


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_jobs_are_a_number_from_one_on(supapy: Commands, wrong: str) -> None:
    ran = supapy("backup", "--jobs", wrong)
    assert ran.code == 2
    assert "--jobs" in ran.err
    assert supapy.labels == []
