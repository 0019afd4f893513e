"""The first waist: what a kind of content must be able to do. Each part is one implementation; none knows another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from supapy.journal import Journal
from supapy.model import Dump, Entry, Finding, Json, Omission, Step
from supapy.project.moment import Moment
from supapy.project.project import Project


class Source(Protocol):
    """A committed backup as a part sees it."""

    @property
    def metadata(self) -> Json:
        """What `metadata.json` says."""

    @property
    def source_ref(self) -> str:
        """The project it was made of; empty where it doesn't say."""

    def entries(self, part: str) -> Iterable[Entry]:
        """The part's entries, in the order they were saved."""

    def has(self, path: str) -> bool:
        """Whether the backup has a file at that path (as its manifest says)."""

    def count(self, part: str, what: str) -> int:
        """How many of `what` the part saved, as its items counted them; 0 when they didn't."""

    def size(self, path: str) -> int:
        """A file's size in bytes. Raises IntegrityError when there is no such file."""

    def sha256(self, path: str) -> str:
        """A file's digest. Raises IntegrityError when there is no such file."""

    def read(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """A file's content, or the bytes [start, end) of it, decoded. A whole read raises IntegrityError on damage."""

    def read_json(self, path: str) -> Json:
        """A small JSON file's content. Raises IntegrityError when it isn't an object."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something in the target that a restore would meet. One that is `final` stays even if the target is named; its
    `hint` says what helps. What is `held` there counts as this restore's own work once it has begun."""

    part: str
    text: str
    final: bool = False
    held: bool = False
    hint: str = ""


def comparing(part: str) -> str:
    """The stage in which a part is compared."""
    return f"comparing {part}"


class Part(Protocol):
    """One kind of content of a project.

    `side_by_side` says whether its items may be open at the same time.
    """

    name: str
    side_by_side: bool

    def dump(self, moment: Moment) -> Dump:
        """What is to be saved, lazily and in a stable order, with problems and omissions among it. Reads only."""

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """What the target holds already, where this part would write. Reads only."""

    def load(self, backup: Source, project: Project, journal: Journal) -> Iterator[Step | Omission]:
        """The steps that bring the part back, in order; before them what is known not to come back. They may note in
        the journal what the next restore needn't do again if this one is cut short."""

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """The differences between backup and live project, and what was found equal. Reads only."""
