"""One running PostgreSQL server over a data folder."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg

from supapy.errors import ProjectError
from supapy.project.pgtools import PgTools
from supapy.sandbox import process
from supapy.secret import Secret

HOST = "127.0.0.1"
SUPERUSER = "supabase_admin"
# Half a second is usual; a machine that is busy with everything else still gets there.
START_TIMEOUT_S = 60
# A port found free may be taken before the server binds it, so another is tried.
PORT_ATTEMPTS = 5
# The last line of postmaster.pid, counted from 0.
STATUS_LINE = 7
# Stop quickly but cleanly, then without a checkpoint, then at once.
STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)


class Server:
    """A server as a child of this process. It ends with `stop`, and at the latest when this process exits."""

    def __init__(self, data: Path, log: Path, tools: PgTools) -> None:
        self.data = data
        self.log = log
        self.tools = tools
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._born = ""

    @property
    def pid(self) -> int | None:
        """The server's process, None when it isn't running."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, password: Secret, port: int = 0) -> None:
        """Start, wait until the superuser gets in (port 0: a free one). Raises ProjectError; nothing is left then."""
        for _ in range(0 if port else PORT_ATTEMPTS - 1):
            self.port = free_port()
            with contextlib.suppress(PortTaken):
                self._start(password)
                return
        self.port = port or free_port()
        self._start(password)

    def stop(self) -> None:
        """End the server; nothing happens if it isn't running."""
        if self._process:
            process.end(self._process.pid, self._born, STOP_SIGNALS, reap=self._process.poll)
            self._process.wait()
            self._process = None
            atexit.unregister(self.stop)

    def dsn(self, user: str, password: Secret) -> Secret:
        """A connection string in the form that the dashboard shows."""
        return Secret(f"postgresql://{user}:{password.reveal()}@{HOST}:{self.port}/postgres")

    def _start(self, password: Secret) -> None:
        written = self.log.stat().st_size if self.log.exists() else 0
        atexit.register(self.stop)
        self._process = process.start(
            [self.tools.path("postgres"), "-D", self.data, "-c", f"port={self.port}"],
            cwd=self.data.parent,
            log=self.log,
            env=environment(self.tools),
        )
        self._born = process.identity(self._process.pid) or ""
        try:
            self._wait(password, written)
        except BaseException:
            self.stop()
            raise

    def _wait(self, password: Secret, log_start: int) -> None:
        assert self._process
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._says_ready():
            if self._process.poll() is not None:
                said = self.log.read_bytes()[log_start:].decode(errors="replace")
                if "could not bind" in said:
                    raise PortTaken(f"port {self.port} is taken", "Choose another, or 0 for any free one.")
                raise ProjectError(f"the sandbox's PostgreSQL did not start: {'; '.join(said.splitlines()[-2:])}")
            if time.monotonic() > deadline:
                raise ProjectError(
                    f"the sandbox's PostgreSQL wasn't ready after {START_TIMEOUT_S} s", f"See {self.log}."
                )
            time.sleep(process.POLL_S)
        try:
            psycopg.connect(self.dsn(SUPERUSER, password).reveal()).close()
        except psycopg.OperationalError as error:
            raise ProjectError(f"the sandbox's PostgreSQL lets nobody in: {error}", f"See {self.log}.") from None

    def _says_ready(self) -> bool:
        """Whether the server's own status file says so. Only then is it sure that nobody else answers on the port."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > STATUS_LINE and lines[0] == str(self.pid) and lines[STATUS_LINE].strip() == "ready"


class PortTaken(ProjectError):
    """Someone else listens there."""


def environment(tools: PgTools) -> dict[str, str]:
    """All that PostgreSQL's own programs get to see of this process's environment: nothing of the user's."""
    return {"PATH": os.defpath, "LC_ALL": "C", **tools.environment}


def free_port() -> int:
    """A port on the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
