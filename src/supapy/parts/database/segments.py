"""Where everything lies in database.sql, noted while it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

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
            "sha256": self.sha256,
            **self.table,
        }

    @classmethod
    def from_json(cls, said: Json) -> Segment:
        """The inverse of `to_json`."""
        own = ("name", "kind", "part", "offset", "length", "sha256")
        rest = {key: value for key, value in said.items() if key not in own}
        return cls(**{key: said[key] for key in own}, table=rest)


class Segments:
    """Keeps count while segments are written one after another."""

    def __init__(self) -> None:
        self.written: list[Segment] = []
        self._offset = 0

    def write(
        self, name: str, kind: str, pieces: Iterable[bytes], *, part: str = "database", table: Json | None = None
    ) -> Iterator[bytes]:
        """The same bytes, put into larger pieces; the segment is noted once they were all taken."""
        segment = Segment(name, kind, part, self._offset)
        digest = hashlib.sha256()
        for piece in _gathered(pieces):
            digest.update(piece)
            segment.length += len(piece)
            yield piece
        segment.sha256 = digest.hexdigest()
        segment.table = table or {}
        self._offset += segment.length
        self.written.append(segment)


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    for piece in pieces:
        if not gathered and len(piece) >= PIECE_BYTES:
            yield piece
            continue
        gathered += piece
        if len(gathered) >= PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
