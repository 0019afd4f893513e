"""Listeners that show how far a run is. Events come from many threads, one stage after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    FileSizeColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from supapy.cli.words import shown, size
from supapy.events import (
    Advanced,
    BegunAnew,
    Event,
    Expected,
    Finished,
    Listener,
    Noted,
    Retrying,
    Saved,
    Started,
    TableBegun,
    TableEnded,
    TableMoved,
    to_json,
)
from supapy.model import Difference, Proof
from supapy.names import many

# A program that follows a run wants to know that it gets on, not of every piece that passed.
TOLD_EVERY_S = 1.0


@dataclass
class _Stage:
    """What was heard of one stage."""

    name: str
    unit: str = ""
    begun: float = field(default_factory=time.monotonic)
    amount: int = 0
    saved: int = 0
    saved_bytes: int = 0
    proofs: int = 0
    differences: int = 0
    rows: int = 0
    row_bytes: int = 0

    def hear(self, event: Event) -> None:
        match event:
            case Advanced(_, amount):
                self.amount += amount
            case TableMoved():
                self.rows += event.rows
                self.row_bytes += event.bytes
            case Saved(entry):
                self.saved += 1
                self.saved_bytes += entry.size
            case Noted(Proof()):
                self.proofs += 1
            case Noted(Difference()):
                self.differences += 1

    def summary(self) -> str:
        """What it came to, and how long it took: "storage: 1,122 files, 21.7 MB (4 s)"."""
        took_s = time.monotonic() - self.begun
        return f"{shown(self.name)}: {self._amount()}" + (f" ({took_s:,.0f} s)" if took_s >= 1 else "")

    def _amount(self) -> str:
        if self.differences:
            return many(self.differences, "difference")
        if self.proofs:
            return "equal"
        if self.saved:
            return f"{many(self.saved, 'file')}, {size(self.saved_bytes)}"
        if self.amount:
            return size(self.amount) if self.unit == "bytes" else many(self.amount, self.unit.removesuffix("s"))
        return "done"


def lines(say: Callable[[str], None]) -> Listener:
    """One line for each stage that ended, with what it came to."""
    stage = _Stage("")
    lock = threading.Lock()

    def listen(event: Event) -> None:
        nonlocal stage
        with lock:
            match event:
                case Started(name, _, unit):
                    stage = _Stage(name, unit)
                case BegunAnew(reason):
                    say(_anew(reason))
                case Retrying(reason):
                    say(_again(reason))
                case Finished():
                    say(stage.summary())
                case _:
                    stage.hear(event)

    return listen


def events(tell: Callable[[dict[str, Any]], None]) -> Listener:
    """Every event as an object; the pieces of a transfer are put together, one object a second."""
    waiting: dict[tuple[str, str | None], Advanced | TableMoved] = {}
    last = time.monotonic()
    lock = threading.Lock()

    def flush() -> None:
        nonlocal last
        for event in waiting.values():
            tell(to_json(event))
        waiting.clear()
        last = time.monotonic()

    def listen(event: Event) -> None:
        with lock:
            if isinstance(event, Advanced | TableMoved):
                key = (event.stage, event.table if isinstance(event, TableMoved) else None)
                waiting[key] = _together(waiting.get(key), event)
                if time.monotonic() - last >= TOLD_EVERY_S:
                    flush()
            else:
                if isinstance(event, Finished | TableEnded | BegunAnew):
                    flush()
                tell(to_json(event))

    return listen


def _anew(reason: str) -> str:
    return f"{shown(reason)}: everything is read anew, at another moment"


def _again(reason: str) -> str:
    return f"{shown(reason)}: it is tried again, for some minutes at most"


def _together(one: Advanced | TableMoved | None, other: Advanced | TableMoved) -> Advanced | TableMoved:
    """What two events tell of one stage, or of one table."""
    if isinstance(one, Advanced) and isinstance(other, Advanced):
        return Advanced(one.stage, one.amount + other.amount)
    if isinstance(one, TableMoved) and isinstance(other, TableMoved):
        sums = (one.rows + other.rows, one.bytes + other.bytes, one.done + other.done)
        return TableMoved(one.stage, one.table, *sums)
    return Advanced(other.stage, other.amount) if isinstance(other, Advanced) else other


class _Bar:
    """The bar of one stage; a line takes its place when the stage has ended."""

    def __init__(self, console: Console, event: Started) -> None:
        self._stage = _Stage(event.stage, event.unit)
        self._console = console
        self._progress = Progress(
            _Shortened("{task.description}", markup=False, table_column=Column()),
            BarColumn(bar_width=24),
            *_columns(event),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(shown(event.stage), total=event.total)
        self._progress.start()
        self._by_tables = False

    def hear(self, event: Event) -> None:
        self._stage.hear(event)
        match event:
            case Advanced(_, amount) if not self._by_tables:
                self._progress.advance(self._task, amount)
            case Expected(_, total):
                self._by_tables = True
                self._progress.columns = (*self._progress.columns[:2], *_table_columns())
                self._progress.update(self._task, total=total, completed=0, rows="", table="")
            case TableBegun(_, table):
                self._progress.update(self._task, table=shown(table))
            case TableMoved(_, _, _, _, done):
                moved = f"{self._stage.rows:,} rows, {size(self._stage.row_bytes)}"
                self._progress.update(self._task, advance=done, rows=moved)

    def stop(self) -> None:
        """Take the bar away, and give the cursor back."""
        self._progress.stop()

    def end(self) -> None:
        """The stage has ended well."""
        self.stop()
        self._console.print(Text(self._stage.summary()))


def _columns(event: Started) -> list[ProgressColumn]:
    """Amount, rate and time left, as far as the stage can say."""
    if event.unit == "bytes":
        amount = DownloadColumn() if event.total else FileSizeColumn()
        return [amount, TransferSpeedColumn(), _time_left() if event.total else TimeElapsedColumn()]
    return [*([MofNCompleteColumn()] if event.total else []), TimeElapsedColumn()]


def _time_left() -> ProgressColumn:
    """What a narrow terminal shows last of all less of."""
    return TimeRemainingColumn(table_column=Column(no_wrap=True))


class _Shortened(TextColumn):
    """A text on one line that gives way where the terminal is narrow."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


def _table_columns() -> list[ProgressColumn]:
    """How far all tables are, the time left, what has moved, and the table that moves now."""
    texts = [
        _Shortened("{task.fields[" + name + "]}", markup=False, table_column=Column()) for name in ("rows", "table")
    ]
    return [TaskProgressColumn(), _time_left(), *texts]


@contextmanager
def bars(console: Console) -> Iterator[Listener]:
    """A bar for each stage. Between the stages nothing moves, so that a question can be asked."""
    bar: _Bar | None = None
    lock = threading.Lock()

    def listen(event: Event) -> None:
        nonlocal bar
        with lock:
            match event:
                case Started():
                    bar = _Bar(console, event)
                case Finished() if bar:
                    bar.end()
                    bar = None
                case BegunAnew(reason):
                    if bar:
                        bar.stop()
                        bar = None
                    console.print(Text(_anew(reason), "yellow"))
                case Retrying(reason):
                    console.print(Text(_again(reason), "yellow"))
                case _ if bar:
                    bar.hear(event)

    try:
        yield listen
    finally:
        if bar:
            bar.stop()
