"""Named sandboxes: processes of their own that are found again, and never taken for others."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.projects import DEFAULT_MAJOR, reachable_folder

from supapy.errors import ProjectError, UsageError
from supapy.sandbox import process
from supapy.sandbox.registry import Registry

MAJOR = DEFAULT_MAJOR


@pytest.fixture
def home() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder


@pytest.fixture
def registry(home: Path) -> Iterator[Registry]:
    registry = Registry(home)
    yield registry
    for sandbox in registry.list():
        registry.down(sandbox.name, delete=True)


def state(home: Path, name: str) -> dict[str, dict[str, int]]:
    return dict(json.loads((home / name / "state.json").read_text()))


def settings(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_two_sandboxes_run_side_by_side_and_their_processes_end_with_them(registry: Registry, home: Path) -> None:
    one, two = settings(registry.up("one", MAJOR)), settings(registry.up("two", MAJOR))
    of_the_project = {"SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_ANON_KEY", "SUPABASE_DB_URL", "SUPABASE_MANAGEMENT_URL"}
    assert one.keys() == {*of_the_project, "SUPABASE_ACCESS_TOKEN"}
    assert not {one[name] for name in of_the_project} & set(two.values())
    assert one["SUPABASE_ACCESS_TOKEN"] == two["SUPABASE_ACCESS_TOKEN"]
    assert [(sandbox.name, sandbox.major, bool(sandbox.url)) for sandbox in registry.list()] == [
        ("one", MAJOR, True),
        ("two", MAJOR, True),
    ]
    pids = [state(home, name)[kind]["pid"] for name in ("one", "two") for kind in ("server", "database")]
    assert all(process.identity(pid) for pid in pids)
    registry.down("one")
    assert [bool(process.identity(pid)) for pid in pids] == [False, False, True, True]
    registry.down("two")
    assert not any(process.identity(pid) for pid in pids)
    assert [bool(sandbox.url) for sandbox in registry.list()] == [False, False]


def test_a_sandbox_that_is_up_stays_as_it_is(registry: Registry, home: Path) -> None:
    first = registry.up("one", MAJOR)
    pid = state(home, "one")["server"]["pid"]
    assert registry.up("one", MAJOR) == first == registry.environment("one")
    assert state(home, "one")["server"]["pid"] == pid


def test_down_keeps_what_is_in_it_and_delete_does_not(registry: Registry, home: Path) -> None:
    dsn = settings(registry.up("one", MAJOR))["SUPABASE_DB_URL"]
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept ()")
    registry.down("one")
    dsn = settings(registry.up("one", MAJOR))["SUPABASE_DB_URL"]
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT to_regclass('public.kept')").fetchone() == ("kept",)
    registry.down("one", delete=True)
    assert not (home / "one").exists()
    assert registry.list() == []


def test_a_database_whose_serving_process_was_killed_is_ended_too(registry: Registry, home: Path) -> None:
    registry.up("one", MAJOR)
    server, database = (state(home, "one")[kind]["pid"] for kind in ("server", "database"))
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    assert process.identity(database)
    assert not registry.list()[0].url
    with pytest.raises(UsageError, match="not up"):
        registry.environment("one")
    registry.up("one", MAJOR)
    assert not process.identity(database)
    assert registry.list()[0].url


def test_another_process_that_got_the_pid_of_a_dead_sandbox_is_left_alone(registry: Registry, home: Path) -> None:
    registry.up("one", MAJOR)
    registry.down("one")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        said = state(home, "one")
        said["server"]["pid"] = said["database"]["pid"] = bystander.pid
        (home / "one" / "state.json").write_text(json.dumps(said))
        assert not registry.list()[0].url
        registry.down("one", delete=True)
        assert bystander.poll() is None
        bystander.communicate(b"\n")
    assert bystander.returncode == 0


def test_the_state_with_its_keys_is_readable_to_its_owner_only(registry: Registry, home: Path) -> None:
    registry.up("one", MAJOR)
    assert stat.S_IMODE((home / "one" / "state.json").stat().st_mode) == 0o600


def test_a_sandbox_that_cannot_start_says_why_and_leaves_no_process(registry: Registry, home: Path) -> None:
    registry.up("one", MAJOR)
    registry.down("one")
    (home / "one" / "database" / "data" / "postgresql.conf").write_text("nonsense_setting = 1\n")
    with pytest.raises(ProjectError, match="nonsense_setting"):
        registry.up("one", MAJOR)
    assert not (home / "one" / "database" / "data" / "postmaster.pid").exists()


def test_another_major_than_a_sandbox_has_is_refused(registry: Registry) -> None:
    registry.up("one", MAJOR)
    with pytest.raises(UsageError, match=f"has PostgreSQL {MAJOR}"):
        registry.up("one", 15)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "A", ".hidden", "x" * 41, "1st"])
def test_a_name_that_is_no_plain_word_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(UsageError, match="no name"):
        registry.up(name, MAJOR)


def test_a_sandbox_that_there_is_not_cannot_be_taken_down(registry: Registry) -> None:
    with pytest.raises(UsageError, match="no sandbox"):
        registry.down("none")
