"""What happens, told to whoever listens. Silent by default; the command line draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from supapy.model import Difference, Entry, Omission, Problem, Proof


@dataclass(frozen=True, slots=True)
class Started:
    """A verb or one of its stages began. `total` counts its things, or its bytes when `unit` says so."""

    stage: str
    total: int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Advanced:
    """A stage got further by `amount` of its unit."""

    stage: str
    amount: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """A stage that moves tables knows how much there is to move, in bytes, against which `TableMoved` counts."""

    stage: str
    total: int


@dataclass(frozen=True, slots=True)
class TableBegun:
    """The rows of a table ("public.orders") begin to move."""

    stage: str
    table: str


@dataclass(frozen=True, slots=True)
class TableMoved:
    """So many more rows of a table, and bytes of its text, have moved; `done` is what that is of the expected total."""

    stage: str
    table: str
    rows: int
    bytes: int
    done: int


@dataclass(frozen=True, slots=True)
class TableEnded:
    """All rows of a table have moved: so many, and so many bytes of text."""

    stage: str
    table: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A stage ended well."""

    stage: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The draft took an item."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Noted:
    """A problem, an omission, a difference or a proof became known."""

    what: Problem | Omission | Difference | Proof


@dataclass(frozen=True, slots=True)
class BegunAnew:
    """The snapshot was lost for that reason, mostly with its connection: nothing of what was read in it is kept, and
    the run begins anew, with a new one."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retrying:
    """For some seconds a server has answered nothing well, for that reason: it is asked again and again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Left:
    """A backup was given up, but so many files of it, of so many bytes, stay for a run that takes it up."""

    label: str
    files: int
    bytes: int


Event = (
    Started
    | Advanced
    | Expected
    | TableBegun
    | TableMoved
    | TableEnded
    | Finished
    | Saved
    | Noted
    | Left
    | BegunAnew
    | Retrying
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that hears nothing."""


def to_json(event: Event) -> dict[str, Any]:
    """One event as a plain dict, for a log line."""
    match event:
        case Saved(entry):
            return {"event": "saved", **entry.to_json()}
        case Noted(Proof() as proof):
            return {"event": "proved", **asdict(proof)}
        case Noted(what):
            assert not isinstance(what, Proof)
            return {"event": "noted", **what.to_json()}
        case _:
            return {"event": type(event).__name__.lower(), **asdict(event)}
