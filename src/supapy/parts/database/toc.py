"""The table of contents of a pg_dump archive (-Fc), read from the archive's own header.

The listing that pg_restore prints is ambiguous for names with blanks and leaves out dependencies. Of a schema-only
archive the table of contents is all there is: every entry carries its SQL.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from supapy.errors import ToolMissing

_MAGIC = b"PGDMP"
_CUSTOM_FORMAT = 1
# A sign, and four bytes: an int of C's, everywhere.
_INTEGER = struct.Struct("<BI")
# 1.14: PostgreSQL 12 to 15; 1.15: 16; 1.16: 17 and 18.
_KNOWN_VERSIONS = ((1, 14), (1, 15), (1, 16))


class Section(IntEnum):
    """When an entry is restored. Comments say NONE: they follow their object."""

    NONE = 1
    PRE_DATA = 2
    DATA = 3
    POST_DATA = 4


@dataclass(frozen=True, slots=True)
class TocEntry:
    """One entry: `kind` is pg_dump's word (TABLE, FK CONSTRAINT, ...), `catalog` and `oid` the row it was made from
    (0 where there is none), `schema` and `owner` "" where the kind has none."""

    id: int
    catalog: int
    oid: int
    name: str
    kind: str
    section: Section
    sql: str = field(repr=False)
    drop_sql: str = field(repr=False)
    schema: str
    access_method: str
    owner: str
    needs: tuple[int, ...]


def read_toc(archive: bytes) -> list[TocEntry]:
    """All entries, in the archive's order, in which each stands after what it needs.

    Raises ToolMissing for an archive of a format this version doesn't know.
    """
    reader = _Reader(archive)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise ToolMissing("pg_dump wrote no archive", "Check that pg_dump is PostgreSQL's own.")
    major, minor, _revision, int_size, offset_size, form = reader.take(6)
    version = (major, minor)
    if version not in _KNOWN_VERSIONS or form != _CUSTOM_FORMAT or 1 + int_size != _INTEGER.size:
        raise ToolMissing(
            f"pg_dump wrote an archive of unknown format {major}.{minor}",
            "Use pg_dump of PostgreSQL 15 to 18, or a newer supapy.",
        )
    # The compression: a level until 1.14, one byte naming the method since.
    reader.take(1) if version >= (1, 15) else reader.integer()
    for _ in range(7):
        reader.integer()
    for _ in range(3):
        reader.text()
    return [_entry(reader, version, offset_size) for _ in range(reader.integer())]


def _entry(reader: _Reader, version: tuple[int, int], offset_size: int) -> TocEntry:
    number = reader.integer()
    reader.integer()
    catalog, oid = int(reader.text() or 0), int(reader.text() or 0)
    name, kind = reader.text() or "", reader.text() or ""
    section = Section(reader.integer())
    sql, drop_sql = reader.text() or "", reader.text() or ""
    reader.text()
    schema = reader.text() or ""
    reader.text()
    access_method = reader.text() or ""
    if version >= (1, 16):
        reader.integer()
    owner = reader.text() or ""
    reader.text()
    needs = tuple(int(text) for text in iter(reader.text, None))
    reader.take(1 + offset_size)
    return TocEntry(number, catalog, oid, name, kind, section, sql, drop_sql, schema, access_method, owner, needs)


def _cut_short() -> ToolMissing:
    return ToolMissing("pg_dump's archive is cut short", "Check that the temporary folder has space.")


class _Reader:
    """Reads the archive's integers (a sign byte, then little-endian) and texts (length, then UTF-8; -1 for none)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise _cut_short()
        self._at += count
        return piece

    def integer(self) -> int:
        try:
            sign, value = _INTEGER.unpack_from(self._data, self._at)
        except struct.error:
            raise _cut_short() from None
        self._at += _INTEGER.size
        return -value if sign else int(value)

    def text(self) -> str | None:
        length = self.integer()
        return None if length < 0 else self.take(length).decode()
