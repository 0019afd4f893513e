"""Rows by several connections at once, all in one snapshot: psql children that copy into pipes.

A row never becomes an object of Python's: bytes pass by, many rows at a time. The statements are taken in their order
and read in their order; what is ahead of its turn waits in memory, of which there is never more than a fixed amount.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from typing import IO

from supapy.project.pgtools import PgTools
from supapy.project.postgres import settings
from supapy.project.programs import GRACE_S, PSQL_ARGUMENTS, failure, running
from supapy.secret import Secret

# More connections than this a small project doesn't spare; its other users need some (F§4.1).
MOST_JOBS = 8
# What waits for its turn, over all pumps: enough that none stands still while another one's output is read.
MOST_WAITING_BYTES = 48 * 1024 * 1024
# What an output is handed over in: much enough to be worth compressing by itself.
PIECE_BYTES = 1024 * 1024
# Beyond the usual settings: a range of a table is read by its place on disk, whatever the statistics suggest.
_MORE_SETTINGS: Mapping[str, str] = {"enable_seqscan": "off"}


def usual_jobs() -> int:
    """How many pumps are used unless told otherwise: one a core, since here and in the server they keep one busy."""
    return min(os.cpu_count() or 1, MOST_JOBS)


class Pumps:
    """What groups of `COPY … TO STDOUT` statements put out, read in one snapshot by at most `jobs` children.

    A server that spares fewer connections is read by those that it spares. `close` it, whatever happens: the children
    end then. Errors of theirs are raised where their output is read. `prepare` is done with each piece as soon as it
    is there, many at once: it gives the same bytes, perhaps knowing more of them. `major` is the server's.
    """

    def __init__(
        self,
        tools: PgTools,
        dsn: Secret,
        snapshot: str,
        groups: Sequence[Sequence[str]],
        *,
        major: int,
        jobs: int,
        prepare: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._tools = tools
        self._dsn = dsn
        self._opening = _opening(snapshot, major)
        self._groups = groups
        self._prepare = prepare
        self._statements = list(chain.from_iterable(groups))
        self._outputs: list[deque[bytes]] = [deque() for _ in self._statements]
        # All below is looked at and changed under this condition's lock only.
        self._changed = threading.Condition()
        self._begun = 0
        self._reading = 0
        self._waiting_bytes = 0
        self._refused = 0
        self._children: set[subprocess.Popen[bytes]] = set()
        self._error: BaseException | None = None
        self._closed = False
        self._threads = [threading.Thread(target=self._work) for _ in range(min(max(jobs, 1), len(self._statements)))]

    def outputs(self) -> Iterator[Iterator[bytes]]:
        """Begin, and give for each group the output of its statements, one after another, in pieces; each is read to
        its end before the next. Reading raises what ended a child: SqlError, AccessDenied or Unreachable."""
        for thread in self._threads:
            thread.start()
        numbers = iter(range(len(self._statements)))
        return (chain.from_iterable(self._read(next(numbers)) for _ in group) for group in self._groups)

    def close(self) -> None:
        """End the children, also amid a statement, which is cancelled in the server. Closing twice is safe."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            children = list(self._children)
        for child in children:
            child.send_signal(signal.SIGINT)
        end = time.monotonic() + GRACE_S
        begun = [thread for thread in self._threads if thread.ident]
        for thread in begun:
            thread.join(max(0.0, end - time.monotonic()))
        # Only one that waits for a server that is gone is still there.
        for child in children:
            child.kill()
        for thread in begun:
            thread.join()

    def _read(self, number: int) -> Iterator[bytes]:
        while piece := self._taken(number):
            yield piece

    def _taken(self, number: int) -> bytes:
        """The next piece of an output; none is left after an empty one."""
        with self._changed:
            self._reading = number
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._outputs[number] or self._error)
            if self._error:
                raise self._error
            piece = self._outputs[number].popleft()
            self._waiting_bytes -= len(piece)
            return piece

    def _work(self) -> None:
        connected = False
        try:
            with self._child() as psql:
                connected = True
                while (number := self._next()) is not None:
                    for piece in psql.output(self._statements[number]):
                        self._put(number, self._prepare(piece))
                    self._put(number, b"")
        except _Closed:
            pass
        except BaseException as error:
            with self._changed:
                self._refused += not connected
                if connected or self._refused == len(self._threads):
                    self._error = self._error or error
                self._changed.notify_all()

    @contextmanager
    def _child(self) -> Iterator[_Psql]:
        with (
            tempfile.TemporaryFile() as said,
            running(self._tools, "psql", PSQL_ARGUMENTS, self._dsn, said.fileno(), stdout=subprocess.PIPE) as child,
        ):
            with self._changed:
                if self._closed:
                    raise _Closed
                self._children.add(child)
            try:
                yield _Psql(child, said, self._opening)
            finally:
                with self._changed:
                    self._children.discard(child)

    def _next(self) -> int | None:
        with self._changed:
            if self._closed or self._begun == len(self._statements):
                return None
            self._begun += 1
            return self._begun - 1

    def _put(self, number: int, piece: bytes) -> None:
        """Hand a piece over, once there is room; for the output that is being read there always is, for one piece."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or self._waiting_bytes + len(piece) <= MOST_WAITING_BYTES
                    or (number == self._reading and not self._outputs[number])
                )
            )
            if self._closed:
                raise _Closed
            self._outputs[number].append(piece)
            self._waiting_bytes += len(piece)
            self._changed.notify_all()


class _Closed(Exception):
    """Nobody reads on."""


class _Psql:
    """One psql within the snapshot; making it waits until it is there. Raises why it isn't."""

    def __init__(self, child: subprocess.Popen[bytes], said: IO[bytes], opening: str) -> None:
        self._child = child
        self._said = said
        for _ in self.output(opening):
            pass

    def output(self, statement: str) -> Iterator[bytes]:
        """What one statement puts out, in pieces. A line of ours follows it, which nobody can know beforehand."""
        assert self._child.stdout is not None
        mark = secrets.token_hex(16)
        self._tell(f"{statement} \\; COPY (SELECT '{mark}') TO STDOUT;\n")
        end = mark.encode() + b"\n"
        gathered = bytearray()
        while not gathered.endswith(end):
            if len(gathered) >= PIECE_BYTES + len(end):
                yield bytes(gathered[: -len(end)])
                del gathered[: -len(end)]
            piece = os.read(self._child.stdout.fileno(), PIECE_BYTES)
            if not piece:
                self._said.seek(0)
                raise failure("psql", self._child.wait(), self._said.read().decode("utf-8", "replace"))
            gathered += piece
        if len(gathered) > len(end):
            yield bytes(gathered[: -len(end)])

    def _tell(self, sql: str) -> None:
        assert self._child.stdin is not None
        # One that is gone has said why, which is told when its output ends.
        with suppress(BrokenPipeError):
            self._child.stdin.write(sql.encode())
            self._child.stdin.flush()


def _opening(snapshot: str, major: int) -> str:
    """The statements that a connection begins with, to be sent as one."""
    wanted = {**settings(major), **_MORE_SETTINGS}
    sets = (f"SET {name} = '{value}'" for name, value in wanted.items())
    begin = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", f"SET TRANSACTION SNAPSHOT '{snapshot}'")
    return " \\; ".join((*begin, *sets))
