"""Work on the database by several connections at once: rows that flow in, statements that keep out of each other's way.

Rows are handed over while they are read, in bounded memory. A connection that ends amid a piece of work leaves nothing
of it: what is done is committed by the work itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from supapy.errors import SqlError
from supapy.project.postgres import Session, connect
from supapy.secret import Secret

# What was read and isn't sent yet, over all pumps: enough that none stands still while another one's rows are read.
MOST_WAITING_BYTES = 48 * 1024 * 1024
# Less than this isn't worth a transaction of its own: its begin and end take the server as long as a megabyte of rows.
LEAST_CHUNK_BYTES = 4 * 1024 * 1024
# A deadlock, and a lock that wasn't to be had in time: each may be the doing of the pumps beside it.
_IN_EACH_OTHERS_WAY = ("40P01", "55P03")


@dataclass(frozen=True, slots=True)
class Work:
    """Something to be done by one connection.

    `claims` are the tables it locks, and whether against all others: what claims the same isn't begun meanwhile, which
    saves waiting and isn't relied on. Work that may be done `again` is, by itself, where others were in its way.
    """

    run: Callable[[Session], None]
    claims: Mapping[object, bool] = field(default_factory=dict)
    again: bool = False
    alone: bool = False

    def fits(self, running: Sequence[Work]) -> bool:
        """Whether it can be done beside those."""
        if self.alone:
            return not running
        return not any(
            other.alone or any(mine or other.claims.get(table, False) for table, mine in self._common(other))
            for other in running
        )

    def _common(self, other: Work) -> Iterator[tuple[object, bool]]:
        return ((table, mine) for table, mine in self.claims.items() if table in other.claims)


class LoadingPumps:
    """Up to `jobs` connections that take work in its order, whichever is free. To be used as a context manager.

    Each begins with the statements of `opening`. A server that spares fewer connections is loaded by those it spares.
    Leaving the block on an error, also Ctrl-C, cancels what is under way in the server.
    """

    def __init__(self, dsn: Secret, jobs: int, opening: Sequence[str]) -> None:
        self._dsn = dsn
        self._opening = opening
        # All below is looked at and changed under this condition's lock only.
        self.changed = threading.Condition()
        self.warnings: list[str] = []
        self._waiting: list[Work] = []
        self._running: list[Work] = []
        self._sessions: set[Session] = set()
        self._refused = 0
        self._error: BaseException | None = None
        self._closed = False
        self.waiting_bytes = 0
        self._threads = [threading.Thread(target=self._pump) for _ in range(max(jobs, 1))]

    def chunk_bytes(self, left: int) -> int:
        """How much of something of which so many bytes are left is best done as one piece of work: all pumps are at it
        at once, a piece each while the next are being read, and come to its end together."""
        jobs = len(self._threads)
        return max(min(left // (2 * jobs), MOST_WAITING_BYTES // (2 * (jobs + 1))), LEAST_CHUNK_BYTES)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        with self.changed:
            self._closed = True
            self.changed.notify_all()
            under_way = list(self._sessions) if kind else []
        for session in under_way:
            session.abort()
        for thread in self._threads:
            thread.join()

    def give(self, *work: Work) -> None:
        """Have this done, when its turn comes. Raises what has ended a pump: SqlError, AccessDenied or Unreachable."""
        with self.changed:
            self.check()
            self._waiting += work
            self.changed.notify_all()

    def settle(self) -> None:
        """Wait until all that was given is done. Raises what has ended a pump."""
        with self.changed:
            self.changed.wait_for(lambda: self._error or not (self._waiting or self._running))
            self.check()

    def check(self) -> None:
        """Raises what has ended a pump; for those who hold `changed`."""
        if self._error:
            raise self._error

    @property
    def has_ended(self) -> bool:
        """Whether nothing is done any more; for those who hold `changed`."""
        return self._closed or self._error is not None

    def _pump(self) -> None:
        connected = False
        try:
            with connect(self._dsn) as session, self._registered(session):
                for statement in self._opening:
                    session.execute(statement)
                connected = True
                while work := self._next():
                    try:
                        self._do(work, session)
                    finally:
                        self._end(work, session)
        except BaseException as error:
            with self.changed:
                self._refused += not connected
                if connected or self._refused == len(self._threads):
                    self._error = self._error or error
                self.changed.notify_all()

    @contextmanager
    def _registered(self, session: Session) -> Iterator[None]:
        with self.changed:
            self._sessions.add(session)
        try:
            yield
        finally:
            with self.changed:
                self._sessions.discard(session)

    def _next(self) -> Work | None:
        """The first that fits; None when there will be no more."""
        with self.changed:
            self.changed.wait_for(lambda: self.has_ended or self._fitting())
            if self.has_ended:
                return None
            work = self._fitting()
            assert work
            self._waiting.remove(work)
            self._running.append(work)
            return work

    def _fitting(self) -> Work | None:
        return next((work for work in self._waiting if work.fits(self._running)), None)

    def _do(self, work: Work, session: Session) -> None:
        try:
            work.run(session)
        except SqlError as error:
            if not work.again or work.alone or error.sqlstate not in _IN_EACH_OTHERS_WAY:
                raise
            with self.changed:
                self._waiting.append(Work(work.run, alone=True))

    def _end(self, work: Work, session: Session) -> None:
        with self.changed:
            self._running.remove(work)
            self.warnings += session.warnings
            session.warnings.clear()
            self.changed.notify_all()


class Flow:
    """Bytes on their way to one piece of work: put in as they are read, taken out by iterating.

    Putting waits while more than `MOST_WAITING_BYTES` are on their way through all flows; a single piece always is let
    in. Taking raises when nobody will put in more.
    """

    def __init__(self, pumps: LoadingPumps) -> None:
        self._pumps = pumps
        self._pieces: deque[bytes] = deque()
        self._whole = False

    def put(self, piece: bytes) -> None:
        """Hand one more piece over. Raises what has ended a pump."""
        pumps = self._pumps
        with pumps.changed:
            pumps.changed.wait_for(
                lambda: pumps.has_ended or not self._pieces or pumps.waiting_bytes + len(piece) <= MOST_WAITING_BYTES
            )
            pumps.check()
            self._pieces.append(piece)
            pumps.waiting_bytes += len(piece)
            pumps.changed.notify_all()

    def end(self) -> None:
        """It was the last piece."""
        with self._pumps.changed:
            self._whole = True
            self._pumps.changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._taken():
            yield piece

    def _taken(self) -> bytes:
        pumps = self._pumps
        with pumps.changed:
            pumps.changed.wait_for(lambda: pumps.has_ended or self._pieces or self._whole)
            if self._pieces:
                piece = self._pieces.popleft()
                pumps.waiting_bytes -= len(piece)
                pumps.changed.notify_all()
                return piece
            if not self._whole:
                raise Unfinished
            return b""


class Unfinished(Exception):
    """Whoever gave the work has gone before all its bytes had come."""
