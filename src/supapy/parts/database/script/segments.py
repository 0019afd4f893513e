"""Where everything lies in database.sql, noted while it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from supapy.model import Json

# Small texts are put together up to this size before they are handed on.
PIECE_BYTES = 256 * 1024


@dataclass(slots=True)
class Segment:
    """One stretch of the script; `offset` and `length` are bytes.

    `part` is whose content it is: who restores that part otherwise leaves the segment out. `table` says more of a
    segment of rows: schema, table, columns, rows, and where COPY's own lines lie from the segment's beginning on
    (`rows_start`, `rows_length`, bytes).
    """

    name: str
    kind: str
    part: str
    offset: int
    length: int = 0
    sha256: str = ""
    table: Json = field(default_factory=dict)

    def to_json(self) -> Json:
        """A plain dict, for database.toc.json."""
        return {
            "name": self.name,
            "kind": self.kind,
            "part": self.part,
            "offset": self.offset,
            "length": self.length,
            **({"sha256": self.sha256} if self.sha256 else {}),
            **self.table,
        }

    @classmethod
    def from_json(cls, said: Json) -> Segment:
        """The inverse of `to_json`."""
        own = ("name", "kind", "part", "offset", "length")
        rest = {key: value for key, value in said.items() if key not in (*own, "sha256")}
        return cls(**{key: said[key] for key in own}, sha256=said.get("sha256", ""), table=rest)


class Statement(NamedTuple):
    """What makes one thing of the schema, and where in the script it stands; `offset` and `length` are bytes.

    `kind`, `schema` and `name` are pg_dump's words of its archive (INDEX, FK CONSTRAINT, …); `table` is the (schema,
    name) of the relation that the thing is a piece of. `needs` are the ids of statements that must have run before;
    what the platform or PostgreSQL itself makes isn't among them. Each one runs by itself, in the settings that the
    script begins with.
    """

    id: int
    kind: str
    schema: str
    name: str
    table: tuple[str, str] | None
    needs: tuple[int, ...]
    offset: int
    length: int

    @property
    def full_name(self) -> str:
        """The thing's name, for people."""
        return f"{self.schema}.{self.name}" if self.schema else self.name

    def to_json(self) -> Json:
        """A plain dict, for database.toc.json."""
        return {
            "id": self.id,
            "kind": self.kind,
            "schema": self.schema,
            "name": self.name,
            "table": self.table,
            "needs": self.needs,
            "offset": self.offset,
            "length": self.length,
        }

    @classmethod
    def from_json(cls, said: Json) -> Statement:
        """The inverse of `to_json`."""
        table = said["table"]
        return cls(**said | {"table": (table[0], table[1]) if table else None, "needs": tuple(said["needs"])})


class Segments:
    """Keeps count while segments are written one after another."""

    def __init__(self) -> None:
        self.written: list[Segment] = []
        self._offset = 0

    @property
    def end(self) -> int:
        """Where the next segment begins."""
        return self._offset

    def write(
        self, name: str, kind: str, pieces: Iterable[bytes], *, part: str = "database", table: Json | None = None
    ) -> Iterator[bytes]:
        """The same pieces; the segment is noted once they were all taken."""
        digest = hashlib.sha256() if kind == "sql" else None
        length = 0
        for piece in pieces:
            if digest:
                digest.update(piece)
            length += len(piece)
            yield piece
        sha256 = digest.hexdigest() if digest else ""
        self.written.append(Segment(name, kind, part, self._offset, length, sha256, table or {}))
        self._offset += length


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces: what becomes of each costs more than a small one itself. Those that are large
    stay as they are."""
    gathered = bytearray()
    for piece in pieces:
        is_large = len(piece) >= PIECE_BYTES
        if not is_large:
            gathered += piece
        if gathered and (is_large or len(gathered) >= PIECE_BYTES):
            yield bytes(gathered)
            gathered.clear()
        if is_large:
            # As it is: it may know how it is compressed.
            yield piece
    if gathered:
        yield bytes(gathered)
