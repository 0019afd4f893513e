"""Rows by several connections at once, all in one snapshot: psql children that copy into pipes.

A row never becomes an object of Python's: bytes pass by, many rows at a time. Where the server makes few large rows of
many, the driver does as well, and spares the processes and the pipes. The statements are taken in their order
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
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain, pairwise
from typing import IO, Protocol

from supapy.model import Piece
from supapy.project.pgtools import PgTools
from supapy.project.postgres import Session, connect
from supapy.project.programs import GRACE_S, PSQL_ARGUMENTS, failure, running
from supapy.project.usual import settings
from supapy.secret import Secret

# More connections than this a small project doesn't spare; its other users need some (F§4.1).
MOST_JOBS = 8
# What waits for its turn, over all pumps: enough that none stands still while another one's output is read.
MOST_WAITING_BYTES = 48 * 1024 * 1024
# What an output is handed over in: much enough to be worth compressing by itself.
PIECE_BYTES = 1024 * 1024
# A random line of so many characters and a newline ends each output.
MARK_BYTES = 33
# The setting that holds it: shown, it comes at a third of what a query of it costs.
_MARK = "supapy.mark"
# What is shown comes as it is: neither a head nor anything around it.
_ARGUMENTS = (*PSQL_ARGUMENTS, "--no-align", "--tuples-only")
# Small tables are read so many by one request, so that neither the line's delay nor ours counts for each.
MOST_TOGETHER = 16
# Beyond the usual settings: a range of a table is read by its place on disk, whatever the statistics suggest, and by
# one process: there are several pumps already, and starting workers takes longer than reading a range does.
_MORE_SETTINGS: Mapping[str, str] = {"enable_seqscan": "off", "max_parallel_workers_per_gather": "0"}


def usual_jobs() -> int:
    """How many pumps are used unless told otherwise: one a core, since here and in the server they keep one busy."""
    return min(os.cpu_count() or 1, MOST_JOBS)


class Pumps:
    """What groups of `COPY … TO STDOUT` statements put out, read in one snapshot by at most `jobs` children.

    A server that spares fewer connections is read by those that it spares. `close` it, whatever happens: the children
    end then. Errors of theirs are raised where their output is read. `prepare` is done with each piece as soon as it
    is there, many at once: it gives the same bytes, perhaps knowing more of them. `major` is the server's. `large_rows`
    are read without psql.
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
        prepare: Callable[[Piece], bytes] = bytes,
        large_rows: bool = False,
    ) -> None:
        self._tools = tools
        self._dsn = dsn
        self._opening = _opening(snapshot, major)
        self._reader: Callable[[], AbstractContextManager[_Reader]] = self._driver if large_rows else self._psql
        self._groups = groups
        self._prepare = prepare
        self._statements = list(chain.from_iterable(groups))
        # How many statements from each on make up a group by themselves: these are small, and taken together.
        self._alone = _runs(groups)
        self._outputs: list[deque[bytes]] = [deque() for _ in self._statements]
        # All below is looked at and changed under this condition's lock only.
        self._changed = threading.Condition()
        self._begun = 0
        self._reading = 0
        self._waiting_bytes = 0
        self._refused = 0
        self._under_way: set[_UnderWay] = set()
        self._error: BaseException | None = None
        self._closed = False
        self._threads = [threading.Thread(target=self._work) for _ in range(min(max(jobs, 1), len(self._statements)))]

    def outputs(self) -> Iterator[Output]:
        """Begin, and give for each group the output of its statements, one after another, in pieces; each is read to
        its end before the next. Reading raises what ended a child: SqlError, AccessDenied or Unreachable."""
        for thread in self._threads:
            thread.start()
        ends = list(accumulate(map(len, self._groups), initial=0))
        return (Output(self._taken, first, end) for first, end in pairwise(ends))

    def close(self) -> None:
        """End the children, also amid a statement, which is cancelled in the server. Closing twice is safe."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            under_way = list(self._under_way)
        for reader in under_way:
            reader.cancel()
        end = time.monotonic() + GRACE_S
        begun = [thread for thread in self._threads if thread.ident]
        for thread in begun:
            thread.join(max(0.0, end - time.monotonic()))
        # Only one that waits for a server that is gone is still there.
        for reader in under_way:
            reader.kill()
        for thread in begun:
            thread.join()

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
            with self._reader() as reader:
                connected = True
                while numbers := self._next():
                    outputs = reader.outputs([self._statements[number] for number in numbers])
                    for number, output in zip(numbers, outputs, strict=True):
                        for piece in output:
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
    def _psql(self) -> Iterator[_Psql]:
        with (
            tempfile.TemporaryFile() as said,
            running(self._tools, "psql", _ARGUMENTS, self._dsn, said.fileno(), stdout=subprocess.PIPE) as child,
            self._known(_UnderWay(partial(child.send_signal, signal.SIGINT), child.kill)),
        ):
            yield _Psql(child, said, self._opening)

    @contextmanager
    def _driver(self) -> Iterator[_Driver]:
        with connect(self._dsn) as session, self._known(_UnderWay(session.abort, session.abort)):
            yield _Driver(session, self._opening)

    @contextmanager
    def _known(self, reader: _UnderWay) -> Iterator[None]:
        with self._changed:
            if self._closed:
                raise _Closed
            self._under_way.add(reader)
        try:
            yield
        finally:
            with self._changed:
                self._under_way.discard(reader)

    def _next(self) -> range:
        """The statements that are to be run next by whoever asks; none when there is nothing left to do."""
        with self._changed:
            first = self._begun
            if self._closed or first == len(self._statements):
                return range(0)
            # Fewer towards the end, so that all end at about the same time.
            together = self._alone[first] // (4 * len(self._threads))
            self._begun += max(1, min(together, MOST_TOGETHER))
            return range(first, self._begun)

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


class Output:
    """What a group of statements puts out, in pieces. `read` counts the statements that were read to their end."""

    def __init__(self, take: Callable[[int], bytes], first: int, end: int) -> None:
        self._take = take
        self._first = first
        self._end = end
        self.read = 0

    def __iter__(self) -> Output:
        return self

    def __next__(self) -> bytes:
        while self._first + self.read < self._end:
            if piece := self._take(self._first + self.read):
                return piece
            self.read += 1
        raise StopIteration


def _runs(groups: Sequence[Sequence[str]]) -> list[int]:
    """For each statement, how many from it on are the only ones of their groups; 0 for one of several."""
    runs: list[int] = []
    run = 0
    for group in reversed(groups):
        run = run + 1 if len(group) == 1 else 0
        runs += [run] * len(group)
    return runs[::-1]


class _Closed(Exception):
    """Nobody reads on."""


class _Reader(Protocol):
    """Statements run on a connection within the snapshot."""

    def outputs(self, statements: Sequence[str]) -> Iterator[Iterator[Piece]]: ...


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """How a reader's statement is cancelled in the server, and how a reader is ended that doesn't hear of it."""

    cancel: Callable[[], None]
    kill: Callable[[], None]


class _Driver:
    """One connection of this process within the snapshot."""

    def __init__(self, session: Session, opening: Sequence[str]) -> None:
        self._session = session
        for statement in opening:
            session.execute(statement)

    def outputs(self, statements: Sequence[str]) -> Iterator[Iterator[bytes]]:
        """What each of the statements puts out, in pieces of whole rows."""
        return map(self._session.copy_out, statements)


class _Psql:
    """One psql within the snapshot; making it waits until it is there. Raises why it isn't."""

    def __init__(self, child: subprocess.Popen[bytes], said: IO[bytes], opening: Sequence[str]) -> None:
        self._child = child
        self._said = said
        self._buffer = bytearray(PIECE_BYTES + MARK_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._mark = f"{secrets.token_hex(MARK_BYTES // 2)}\n".encode()
        set_mark = f"SET {_MARK} = '{self._mark.decode().strip()}'"
        for output in self.outputs([" \\; ".join((*opening, set_mark))]):
            for _ in output:
                pass

    def outputs(self, statements: Sequence[str]) -> Iterator[Iterator[memoryview]]:
        """What each of the statements puts out, in pieces that are to be used at once; they are sent together. A line
        of ours follows each, which nobody can know beforehand."""
        assert self._child.stdin is not None
        sql = " \\; ".join(f"{statement} \\; SHOW {_MARK}" for statement in statements)
        # One that is gone has said why, which is told when its output ends.
        with suppress(BrokenPipeError):
            self._child.stdin.write(f"{sql};\n".encode())
            self._child.stdin.flush()
        last = len(statements)
        return (self._until_mark(is_last=number == last) for number in range(1, last + 1))

    def _until_mark(self, *, is_last: bool) -> Iterator[memoryview]:
        mark = self._mark
        searched = 0
        while True:
            # Nothing comes after the last, so that it needn't be searched for.
            begin = max(0, self._filled - len(mark)) if is_last else searched
            end = self._buffer.find(mark, begin, self._filled)
            if end >= 0:
                if end:
                    yield self._view[:end]
                self._drop(end + len(mark))
                return
            if self._filled == len(self._buffer):
                yield self._view[:PIECE_BYTES]
                self._drop(PIECE_BYTES)
            searched = max(0, self._filled - len(mark))
            self._fill()

    def _fill(self) -> None:
        assert self._child.stdout is not None
        got = os.readv(self._child.stdout.fileno(), [self._view[self._filled :]])
        if not got:
            self._said.seek(0)
            raise failure("psql", self._child.wait(), self._said.read().decode("utf-8", "replace"))
        self._filled += got

    def _drop(self, size: int) -> None:
        rest = bytes(self._view[size : self._filled])
        self._view[: len(rest)] = rest
        self._filled = len(rest)


def _opening(snapshot: str, major: int) -> Sequence[str]:
    """The statements that a connection begins with."""
    wanted = {**settings(major), **_MORE_SETTINGS}
    sets = (f"SET {name} = '{value}'" for name, value in wanted.items())
    begin = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", f"SET TRANSACTION SNAPSHOT '{snapshot}'")
    return (*begin, *sets)
