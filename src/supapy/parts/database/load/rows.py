"""Rows on their way from the script into tables: cut into chunks between two lines, each a transaction of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from supapy.errors import IntegrityError
from supapy.events import Expected, Listener, TableBegun, TableEnded, TableMoved
from supapy.model import Progress
from supapy.names import qualified
from supapy.parts.database.script.segments import Segment
from supapy.parts.database.sql.statements import column_list
from supapy.project.loading import LEAST_CHUNK_BYTES, Flow, LoadingPumps, Work
from supapy.project.mark import left_of
from supapy.project.postgres import Session

Note = Callable[[Iterable[tuple[int, int]]], str]
Read = Callable[[int, int], Iterable[bytes]]


@dataclass(slots=True)
class _Lines:
    """Lines for one table, [start, end) in the script; `end` is known once the flow has ended, and `count`, as the
    server counts rows, once they are in."""

    table: _Table
    flow: Flow
    start: int
    end: int
    count: int = 0

    def put(self, piece: bytes) -> None:
        self.end += len(piece)
        self.flow.put(piece)


@dataclass(slots=True)
class _Table:
    """A table whose rows come in: the statement that takes them, how many bytes of them aren't in yet, and how many
    rows this run has brought in."""

    name: str
    copy: str
    rows: int
    bytes: int
    left: int
    was_empty: bool
    count: int = 0

    def check(self) -> None:
        """Raises IntegrityError when all are in, and are fewer than were saved: the server takes a line of its own for
        the end. What was in before this run nobody has counted; there the comparison finds it."""
        if self.was_empty and self.count != self.rows:
            raise IntegrityError(
                "the rows in database.sql end before their end", "Somebody has changed the backup: take another."
            )


class Telling:
    """Tells of tables' rows as they come in, from many threads."""

    def __init__(self, stage: str, listener: Listener, progress: Progress) -> None:
        self._stage = stage
        self._listener = listener
        self._progress = progress
        self._lock = threading.Lock()

    def expected(self, total: int) -> None:
        """So many bytes are to come."""
        self._listener(Expected(self._stage, total))

    def begun(self, table: _Table) -> None:
        """The first of its rows are on their way."""
        self._listener(TableBegun(self._stage, table.name))

    def moved(self, lines: _Lines) -> None:
        """These are in. Raises IntegrityError when it were the last, and all of them are fewer than were saved."""
        table, size = lines.table, lines.end - lines.start
        self._progress(size)
        self._listener(TableMoved(self._stage, table.name, lines.count, size, size))
        with self._lock:
            table.left -= size
            table.count += lines.count
            ended = not table.left
        if ended:
            table.check()
            self.ended(table)

    def ended(self, table: _Table) -> None:
        """All of its rows are in."""
        self._listener(TableEnded(self._stage, table.name, table.rows, table.bytes))


class Feeder:
    """Gives tables' rows to pumps as they are read. Small tables go together, large ones in chunks."""

    def __init__(self, pumps: LoadingPumps, read: Read, note: Note, telling: Telling) -> None:
        self._pumps = pumps
        self._read = read
        self._note = note
        self._telling = telling
        self._together: list[_Lines] = []
        self._one_by_one = False

    def one_by_one(self) -> None:
        """From here on nothing is begun before all that was taken earlier is in."""
        self.settle()
        self._one_by_one = True

    def take(self, segment: Segment, done: list[tuple[int, int]]) -> None:
        """A table's rows but those that are in. Raises IntegrityError, and what has ended a pump."""
        copy = f"COPY {qualified(*segment.table['load_into'])}{column_list(segment.table['columns'])} FROM STDIN"
        stretches = left_in(segment, done)
        left = sum(end - start for start, end in stretches)
        name = f"{segment.table['schema']}.{segment.table['table']}"
        rows, size = segment.table["rows"], segment.table["rows_length"]
        table = _Table(name, copy, rows, size, left, was_empty=left == size)
        self._telling.begun(table)
        if not left:
            self._telling.ended(table)
        for start, end in stretches:
            if left < LEAST_CHUNK_BYTES:
                self._gather(table, start, end)
            else:
                self._stream(table, start, end)
        if self._one_by_one:
            self.settle()

    def settle(self) -> None:
        """Wait until all that was taken is in."""
        self._give_together()
        self._pumps.settle()

    def _gather(self, table: _Table, start: int, end: int) -> None:
        lines = _Lines(table, Flow(self._pumps), start, start)
        for piece in self._read(start, end):
            lines.put(piece)
        lines.flow.end()
        self._together.append(lines)
        if sum(one.end - one.start for one in self._together) >= LEAST_CHUNK_BYTES:
            self._give_together()

    def _give_together(self) -> None:
        if self._together:
            self._give(self._together)
            self._together = []

    def _stream(self, table: _Table, start: int, end: int) -> None:
        """A chunk is begun with its first bytes, and ends with the first line that makes it large enough: a row may be
        larger than memory has room for."""
        lines = self._begun(table, start)
        most = self._pumps.chunk_bytes(end - start)
        for piece in self._read(start, end):
            cut = piece.rfind(b"\n") + 1 if lines.end - lines.start + len(piece) >= most else 0
            if cut:
                lines.put(piece[:cut])
                self._ended(lines)
                lines = self._begun(table, lines.end)
                most = self._pumps.chunk_bytes(end - lines.start)
            if cut < len(piece):
                lines.put(piece[cut:])
        self._ended(lines)

    def _begun(self, table: _Table, start: int) -> _Lines:
        lines = _Lines(table, Flow(self._pumps), start, start)
        self._give([lines])
        return lines

    def _ended(self, lines: _Lines) -> None:
        lines.flow.end()
        if self._one_by_one:
            self._pumps.settle()

    def _give(self, lines: list[_Lines]) -> None:
        self._pumps.give(Work(partial(_load, lines, self._note, self._telling)))


def _load(every: list[_Lines], note: Note, telling: Telling, session: Session) -> None:
    with session.transaction():
        for lines in every:
            lines.count = session.copy_in(lines.table.copy, lines.flow)
        done = [(lines.start, lines.end) for lines in every if lines.start < lines.end]
        if done and (noted := note(done)):
            session.execute(noted)
    for lines in every:
        telling.moved(lines)


def left_in(segment: Segment, done: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where the rows of a table lie that aren't in yet."""
    begin = segment.offset + segment.table["rows_start"]
    return list(left_of(begin, begin + segment.table["rows_length"], done))
