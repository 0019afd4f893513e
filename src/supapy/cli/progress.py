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
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from supapy.cli.screen import many, shown, size
from supapy.events import Advanced, Event, Finished, Listener, Noted, Saved, Started, to_json
from supapy.model import Difference, Proof

# A program that follows a run wants to know that it gets on, not of every piece that passed.
TOLD_EVERY_S = 1.0


@dataclass
class _Stage:
    """What was heard of one stage."""

    unit: str = ""
    amount: int = 0
    saved: int = 0
    saved_bytes: int = 0
    differences: int = 0
    proofs: list[Proof] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        match event:
            case Advanced(_, amount):
                self.amount += amount
            case Saved(entry):
                self.saved += 1
                self.saved_bytes += entry.size
            case Noted(Proof() as proof):
                self.proofs.append(proof)
            case Noted(Difference()):
                self.differences += 1

    def summary(self) -> str:
        """How much it was, in words."""
        said = [f"{proof.count:,} {proof.sort} equal" for proof in self.proofs if proof.count]
        if self.differences:
            said.append(many(self.differences, "difference"))
        if self.saved:
            said += [many(self.saved, "file"), size(self.saved_bytes)]
        elif self.amount:
            said.append(size(self.amount) if self.unit == "bytes" else f"{self.amount:,} {self.unit}")
        return ", ".join(said) or "done"


def lines(say: Callable[[str], None]) -> Listener:
    """One line for each stage that ended, with what it came to."""
    stage = _Stage()
    lock = threading.Lock()

    def listen(event: Event) -> None:
        nonlocal stage
        with lock:
            match event:
                case Started(_, _, unit):
                    stage = _Stage(unit)
                case Finished(name):
                    say(f"{shown(name)}: {stage.summary()}")
                case _:
                    stage.hear(event)

    return listen


def events(tell: Callable[[dict[str, Any]], None]) -> Listener:
    """Every event as an object; the pieces of a transfer are put together, one object a second."""
    waiting: dict[str, int] = {}
    last = time.monotonic()
    lock = threading.Lock()

    def flush() -> None:
        nonlocal last
        for stage, amount in waiting.items():
            tell(to_json(Advanced(stage, amount)))
        waiting.clear()
        last = time.monotonic()

    def listen(event: Event) -> None:
        with lock:
            if isinstance(event, Advanced):
                waiting[event.stage] = waiting.get(event.stage, 0) + event.amount
                if time.monotonic() - last >= TOLD_EVERY_S:
                    flush()
            else:
                if isinstance(event, Finished):
                    flush()
                tell(to_json(event))

    return listen


class _Bar:
    """The bar of one stage; it stays on the screen when the stage has ended."""

    def __init__(self, console: Console, event: Started) -> None:
        self._stage = _Stage(event.unit)
        self._total = event.total
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            *_columns(event),
            TextColumn("{task.fields[summary]}", markup=False),
            console=console,
        )
        self._task = self._progress.add_task(shown(event.stage), total=event.total, summary="")
        self._progress.start()

    def hear(self, event: Event) -> None:
        self._stage.hear(event)
        if isinstance(event, Advanced):
            self._progress.advance(self._task, event.amount)

    def end(self, *, whole: bool) -> None:
        if whole:
            summary = "" if self._total else self._stage.summary()
            done = self._stage.amount or 1
            self._progress.update(self._task, total=done, completed=done, summary=summary)
        self._progress.stop()


def _columns(event: Started) -> list[ProgressColumn]:
    """Amount, rate and time left, as far as the stage can say."""
    if event.unit == "bytes":
        left = [TimeRemainingColumn()] if event.total else []
        return [DownloadColumn(), TransferSpeedColumn(), *left] if event.total else [TimeElapsedColumn()]
    return [MofNCompleteColumn()] if event.total and event.unit else [TimeElapsedColumn()]


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
                    if bar:
                        bar.end(whole=False)
                    bar = _Bar(console, event)
                case Finished() if bar:
                    bar.end(whole=True)
                    bar = None
                case _ if bar:
                    bar.hear(event)

    try:
        yield listen
    finally:
        if bar:
            bar.end(whole=False)
