"""The nouns: what can be saved, what was saved, and what is said about what could not be.

Nothing here reads or writes. Everything that ends up in a manifest turns itself into a plain dict and back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
# Some of the bytes that pass by. A view is of memory that waits to be used again: whoever wants to keep it copies it.
Piece = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to save, not saved yet.

    `open` is called once, when the draft takes the item, and gives its bytes in pieces; those that give them
    asynchronously are taken side by side. It raises `Unreadable` when this one thing can't be had though the project
    can: the draft then records a `Problem` and goes on. Any other error ends the backup. `fingerprint` is the same as
    long as the content is: where it is known from before, the bytes aren't asked for.
    `size` (bytes) and `md5` (hex) are what the source says of the bytes; bytes that differ from it are never committed.
    `counts` says what is in it for a summary: {"users": 1200}. Its bytes are kept `as_it_is` also in a backup that is
    compressed, where they mostly are compressed already.
    """

    part: str
    name: str
    path: str
    open: Callable[[], Iterable[bytes] | AsyncGenerator[Piece, None]]
    size: int | None = None
    md5: str | None = None
    fingerprint: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    as_it_is: bool = False


# How content may be encoded in a store, each with what it adds to a file's name.
ENCODINGS = {"zstd": ".zst"}


@dataclass(frozen=True, slots=True)
class Encoded:
    """How an entry's bytes lie in the store: the encodings they went through, in that order, and `size` and `sha256` of
    what came out."""

    encodings: tuple[str, ...]
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was saved: a line of the manifest. `size` in bytes, `sha256` as hex, both of the content, which is
    what the store has under `path` unless it was `encoded`."""

    part: str
    name: str
    path: str
    size: int
    sha256: str
    fingerprint: str | None = None
    encoded: Encoded | None = None

    @property
    def stored_path(self) -> str:
        """Where its bytes lie: "database.sql.zst"."""
        return self.path + "".join(ENCODINGS[name] for name in self.encoded.encodings) if self.encoded else self.path

    @property
    def stored_size(self) -> int:
        """How many bytes it takes in the store."""
        return self.encoded.size if self.encoded else self.size

    def to_json(self) -> Json:
        said: Json = {"kind": "entry", "part": self.part, "name": self.name, "path": self.path, "size": self.size}
        said["sha256"] = self.sha256
        if self.encoded:
            said |= {"encodings": list(self.encoded.encodings), "stored_size": self.encoded.size}
            said["stored_sha256"] = self.encoded.sha256
        # `asdict` copies, which is most of the time that a hundred thousand unchanged objects take.
        return said if self.fingerprint is None else said | {"fingerprint": self.fingerprint}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that should have been saved faithfully and wasn't. A run with a problem ends with exit 3."""

    part: str
    name: str
    reason: str

    def to_json(self) -> Json:
        return {"kind": "problem", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Omission:
    """Something known never to be saved, and what to do about it. It doesn't change the exit code."""

    part: str
    name: str
    remedy: str

    def to_json(self) -> Json:
        return {"kind": "omission", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Difference:
    """What a comparison found: `name` is missing on the live side, extra there, or changed."""

    part: str
    name: str
    kind: Literal["missing", "extra", "changed"]
    detail: str = ""

    def to_json(self) -> Json:
        return {"kind": "difference", "part": self.part, "name": self.name, "change": self.kind, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Proof:
    """What a comparison looked at and found equal: `count` things of one sort."""

    part: str
    sort: str
    count: int


@dataclass(frozen=True, slots=True)
class Match:
    """What a comparison found equal byte for byte: the live thing of that name, known by its fingerprint from then on,
    is the saved file at `path`."""

    part: str
    name: str
    path: str
    fingerprint: str | None


Finding = Difference | Proof | Match
# Told how much was done since it was told last.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One act of a restore: it says what it will do, and does it when applied. Applying it again is safe.

    `apply` is given a function to report progress to, in `unit`s of which there are `total`, and gives what could
    not be brought back.
    """

    part: str
    title: str
    apply: Callable[[Progress], Iterable[Problem]]
    total: int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Stat:
    """A file in a store: its path and its size in bytes."""

    path: str
    size: int


@dataclass(slots=True)
class Totals:
    """How much of one part was saved: `bytes` of content, and what they take in the store."""

    entries: int = 0
    bytes: int = 0
    stored_bytes: int = 0
    problems: int = 0
    omissions: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> Json:
        return asdict(self)


Dumped = Item | Problem | Omission
# Closed when its reader stops early, so that what it holds open is let go in order.
Dump = Generator[Dumped, None, None]
