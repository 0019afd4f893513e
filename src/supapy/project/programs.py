"""PostgreSQL's own programs as children of this process.

Nothing secret stands in their arguments: the connection goes by the environment, which holds nothing else of ours.
A child never outlives the call, whatever ends it.
"""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from supapy.errors import AccessDenied, ConnectionLost, ProjectError, SqlError, ToolMissing, Unreachable
from supapy.project.pgtools import PgTools
from supapy.project.postgres import environment, remedy
from supapy.secret import Secret

# No start-up file, no chatter, a stop at the first error, and of an error only its first line: details quote rows.
PSQL_ARGUMENTS = (
    "-X",
    "-q",
    "-v",
    "ON_ERROR_STOP=1",
    "-v",
    "VERBOSITY=terse",
    "-v",
    "SHOW_CONTEXT=never",
    "-f",
    "-",
)
# What a child is given to cancel its statement and go, before it is killed.
GRACE_S = 3
# A pipe that holds more than the usual 64 KiB: both its ends wake up less often.
PIPE_BYTES = 1024 * 1024
# psql says so by its exit code when the connection was lost.
_PSQL_CONNECTION_LOST = 2

_NOT_MADE = re.compile(r"connection to server .*failed:")
# What libpq and the server say of a connection that stood; a snapshot is gone when the connection that held it is.
_LOST = re.compile(
    r"connection to server|server closed the connection|terminating connection|no connection to the server"
    r"|could not (?:receive data from|send data to) server|SSL connection has been closed|SSL SYSCALL"
    r'|snapshot "[^"]*" does not exist|invalid snapshot identifier|could not import the requested snapshot'
)

_MESSAGE = re.compile(
    r"^(?:psql:[^\n]*?:\d+: )?(?:(?:psql|pg_dump): )?(DEBUG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|error|warning): +",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Message:
    """What a program or the server behind it said. `level` is in capitals: WARNING, ERROR, ..."""

    level: str
    text: str


def run(
    tools: PgTools, program: str, arguments: Sequence[str], dsn: Secret, feed: Iterable[bytes] = ()
) -> list[Message]:
    """Run a program to its end, feeding its standard input, and give what it said; its output is not kept.

    Raises SqlError, AccessDenied or Unreachable when it fails. Any exception, also one out of `feed` or Ctrl-C,
    cancels what the program was doing and ends it.
    """
    with tempfile.TemporaryFile() as said, running(tools, program, arguments, dsn, said.fileno()) as child:
        assert child.stdin is not None
        # A program that stopped early breaks the pipe; why it stopped is told by what it said.
        with suppress(BrokenPipeError):
            for piece in feed:
                child.stdin.write(piece)
                child.stdin.flush()
        with suppress(BrokenPipeError):
            child.stdin.close()
        return _ended(program, child, said)


@contextmanager
def beside(
    tools: PgTools, program: str, arguments: Sequence[str], dsn: Secret
) -> Iterator[Callable[[], list[Message]]]:
    """A program that runs beside what the block does, and no longer. What this gives waits for the program's end, and
    gives and raises what `run` does."""
    with tempfile.TemporaryFile() as said, running(tools, program, arguments, dsn, said.fileno()) as child:
        yield lambda: _ended(program, child, said)


def _ended(program: str, child: subprocess.Popen[bytes], said: IO[bytes]) -> list[Message]:
    code = child.wait()
    said.seek(0)
    text = said.read().decode("utf-8", "replace")
    if code != 0:
        raise failure(program, code, text)
    return _messages(text)


def psql(tools: PgTools, dsn: Secret, feed: Iterable[bytes], *, one_transaction: bool = False) -> list[Message]:
    """Let psql run a script given in pieces, if so wanted all of it or nothing.

    Raises SqlError with the first error, after which nothing was run.
    """
    return run(tools, "psql", [*PSQL_ARGUMENTS, *(["--single-transaction"] if one_transaction else [])], dsn, feed)


@contextmanager
def running(
    tools: PgTools, program: str, arguments: Sequence[str], dsn: Secret, said: int, *, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs as long as the block, at the most; what it complains of goes into the file `said`."""
    # Its own session: Ctrl-C reaches this process only, which then ends the child in order.
    child = subprocess.Popen(
        [tools.path(program), *arguments],
        env={**tools.environment, **environment(dsn), "LC_MESSAGES": "C", "PGCLIENTENCODING": "UTF8"},
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=said,
        start_new_session=True,
    )
    if child.stdout is not None and sys.platform == "linux":
        # An account may have so much in pipes and no more.
        with suppress(OSError):
            fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child that still runs. Its input stays open until it is gone: psql takes an end of input for the end of
    the data, and would keep half a table."""
    try:
        if child.poll() is None:
            # SIGINT makes psql and pg_dump cancel their statement in the server, which would otherwise finish it.
            child.send_signal(signal.SIGINT)
            # One that waits for a reader of its output needn't.
            if child.stdout is not None:
                child.stdout.close()
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_S)
    finally:
        child.kill()
        child.wait()
        if child.stdin is not None:
            with suppress(BrokenPipeError):
                child.stdin.close()
        if child.stdout is not None:
            child.stdout.close()


def _messages(text: str) -> list[Message]:
    found = list(_MESSAGE.finditer(text))
    ends = [*(match.start() for match in found), len(text)][1:]
    return [Message(match[1].upper(), text[match.end() : end].strip()) for match, end in zip(found, ends, strict=False)]


def failure(program: str, code: int, text: str) -> ProjectError:
    """Why a program failed, by its exit code and what it said: SqlError, AccessDenied or Unreachable."""
    errors = [message.text for message in _messages(text) if message.level in ("ERROR", "FATAL", "PANIC")]
    first = (errors or text.strip().splitlines() or [f"exit code {code}"])[0].splitlines()[0]
    if _NOT_MADE.search(first):
        return Unreachable(f"{program} gets no connection: {first}", "Run the command again.")
    if _LOST.search(first) or (program == "psql" and code == _PSQL_CONNECTION_LOST):
        return ConnectionLost(f"{program} lost the database: {first}", "Run the command again.")
    if "permission denied" in first or "must be owner" in first:
        return AccessDenied(
            f"{program} was refused: {first}", "Connect as the project's postgres role, which supapy is made for."
        )
    if "invalid command \\restrict" in text:
        return ToolMissing(
            f"this {program} is too old to be safe: it doesn't know \\restrict",
            "Take one of 15.14, 16.10, 17.6 or newer: `supapy pg install 17`, or update the system's.",
        )
    return SqlError(f"{program} stopped: {first}", remedy(first))
