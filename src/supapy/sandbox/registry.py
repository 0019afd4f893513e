"""The named sandboxes of a user: each a folder, and while it is up a process that serves it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import platformdirs

from supapy.errors import ProjectError, UsageError
from supapy.project import pgtools
from supapy.sandbox import private, process
from supapy.sandbox.project import SandboxProject
from supapy.sandbox.server import STOP_SIGNALS

NAME_RULE = re.compile(r"[a-z][a-z0-9-]{0,39}")
# Making the template and starting both servers on a busy machine.
UP_TIMEOUT_S = 180
# How soon the serving process notices that its database is gone.
WATCH_S = 1.0
# The serving process stops its database on the first.
SERVE_STOP_SIGNALS = (signal.SIGTERM, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Life:
    """A process by its pid and its birth, so that a later one with the same pid isn't taken for it."""

    pid: int
    born: str

    @property
    def lives(self) -> bool:
        return process.identity(self.pid) == self.born


@dataclass(frozen=True, slots=True)
class State:
    """What is written down about a sandbox while it is up. `environment` is the text of its `.env`."""

    name: str
    major: int
    server: Life
    database: Life
    database_port: int
    api_port: int
    environment: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One line of the list. `url` is empty while it is down."""

    name: str
    major: int
    url: str


class Registry:
    """The sandboxes in one folder, by name."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or _home()

    def up(self, name: str, major: int, bin_dir: Path | None = None) -> str:
        """Start a sandbox, made if there is none of that name; one that is up stays as it is. Returns its `.env` text.

        Raises UsageError for a bad name or another major than it has, ProjectError if it doesn't start.
        """
        folder = self._folder(name)
        with self._locked():
            state = self._read(folder)
            if state and state.major != major:
                raise UsageError(
                    f"sandbox {name} has PostgreSQL {state.major}", f"Take it away first: sandbox down {name} --delete."
                )
            if state and state.server.lives:
                return state.environment
            if state:
                _end(state)
            tools = pgtools.find_or_install(major, bin_dir=bin_dir)
            process.make_folder(folder)
            return self._serve(folder, tools)

    def down(self, name: str, *, delete: bool = False) -> None:
        """Stop a sandbox, and with `delete` remove it with all it holds. Raises UsageError if there is none."""
        folder = self._folder(name)
        with self._locked():
            if not folder.exists():
                raise UsageError(f"there is no sandbox {name}", "`supapy sandbox list` shows those there are.")
            if state := self._read(folder):
                _end(state)
            if delete:
                shutil.rmtree(folder)

    def environment(self, name: str) -> str:
        """The `.env` text of a sandbox that is up. Raises UsageError if it isn't."""
        state = self._read(self._folder(name))
        if not state or not state.server.lives:
            raise UsageError(f"sandbox {name} is not up", f"Start it: supapy sandbox up {name}.")
        return state.environment

    def list(self) -> list[Sandbox]:
        """All, by name."""
        found = [self._read(folder) for folder in sorted(self.home.glob("*/")) if (folder / "state.json").exists()]
        return [
            Sandbox(state.name, state.major, f"http://127.0.0.1:{state.api_port}" if state.server.lives else "")
            for state in found
            if state
        ]

    def _folder(self, name: str) -> Path:
        if not NAME_RULE.fullmatch(name):
            raise UsageError(
                f"{name!r} is no name for a sandbox", "Use a letter, then letters, digits and -; 40 at most."
            )
        return self.home / name

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time starts, stops and removes."""
        try:
            process.make_folder(self.home)
            lock = (self.home / ".lock").open("w")
        except OSError as error:
            raise ProjectError(
                f"the folder {self.home} can't be used: {error.strerror}",
                "Set XDG_STATE_HOME to a folder you may write.",
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self, folder: Path) -> State | None:
        try:
            said = json.loads((folder / "state.json").read_text())
        except FileNotFoundError:
            return None
        return State(**{**said, "server": Life(**said["server"]), "database": Life(**said["database"])})

    def _serve(self, folder: Path, tools: pgtools.PgTools) -> str:
        """Start the serving process and wait until it has written its state. It outlives this one."""
        before = self._read(folder)
        ports = [str(before.database_port), str(before.api_port)] if before else ["0", "0"]
        log = folder / "sandbox.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "supapy.sandbox", folder, str(tools.major), tools.bin, *ports],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + UP_TIMEOUT_S
            while not ((state := self._read(folder)) and state.server.pid == child.pid and state.server.lives):
                if child.poll() is not None:
                    said = log.read_text(errors="replace").strip().splitlines()
                    raise ProjectError(said[-1] if said else "the sandbox ended at once", f"See {log}.")
                if time.monotonic() > deadline:
                    raise ProjectError(f"the sandbox wasn't up after {UP_TIMEOUT_S} s", f"See {log}.")
                time.sleep(process.POLL_S)
        except BaseException:
            child.terminate()
            child.wait()
            raise
        child.returncode = 0  # it's nobody's child from here on: nobody waits for it
        return state.environment


def serve(folder: Path, major: int, bin_dir: Path, database_port: int, api_port: int) -> None:
    """Run a sandbox in this process until it is told to stop (SIGTERM) or its database ends."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    project = SandboxProject(folder, folder.name, pgtools.find_or_install(major, bin_dir=bin_dir))
    try:
        project.up(database_port, api_port)
        _write(folder / "state.json", project, major)
        while project.database.pid and not stop.wait(WATCH_S):
            pass
    finally:
        project.down()


def _write(file: Path, project: SandboxProject, major: int) -> None:
    database = project.database
    assert project.api and database.pid
    state = State(
        name=project.ref,
        major=major,
        server=Life(os.getpid(), process.identity(os.getpid()) or ""),
        database=Life(database.pid, process.identity(database.pid) or ""),
        database_port=database.port,
        api_port=project.api.port,
        environment=project.env_text(),
    )
    private.write(file, json.dumps(asdict(state)))


def _end(state: State) -> None:
    """End what serves a sandbox, and its database where that was left behind."""
    for life, signals in ((state.server, SERVE_STOP_SIGNALS), (state.database, STOP_SIGNALS)):
        if not process.end(life.pid, life.born, signals):
            raise ProjectError(f"process {life.pid} of sandbox {state.name} doesn't end")


def _home() -> Path:
    """Where sandboxes are kept: as root where the account of its servers can get to."""
    state = Path("/var/lib/supapy") if os.geteuid() == 0 else platformdirs.user_state_path("supapy")
    return state / "sandboxes"
