"""The table of contents of a pg_dump archive (-Fc), read from the archive's own header.

The listing that pg_restore prints is ambiguous for names with blanks and leaves out dependencies. Of a schema-only
archive the table of contents is all there is: every entry carries its SQL.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

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


class TocEntry(NamedTuple):
    """One entry: `kind` is pg_dump's word (TABLE, FK CONSTRAINT, ...), `catalog` and `oid` the row it was made from
    (0 where there is none), `schema` and `owner` "" where the kind has none."""

    id: int
    catalog: int
    oid: int
    name: str
    kind: str
    section: Section
    sql: str
    drop_sql: str
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
    reader.skip(7 * _INTEGER.size)
    reader.texts(3)
    return [_entry(reader, version, offset_size) for _ in range(reader.integer())]


def _entry(reader: _Reader, version: tuple[int, int], offset_size: int) -> TocEntry:
    number = reader.integer()
    reader.skip(_INTEGER.size)
    catalog, oid, name, kind = reader.texts(4)
    section = Section(reader.integer())
    sql, drop_sql, _, schema, _, access_method = reader.texts(6)
    if version >= (1, 16):
        reader.skip(_INTEGER.size)
    owner, _ = reader.texts(2)
    needs = tuple(int(text) for text in iter(reader.text, None))
    reader.skip(1 + offset_size)
    return TocEntry(
        *(number, int(catalog or 0), int(oid or 0), name or "", kind or "", section, sql or "", drop_sql or ""),
        *(schema or "", access_method or "", owner or "", needs),
    )


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

    def skip(self, count: int) -> None:
        self._at += count

    def integer(self) -> int:
        try:
            sign, value = _INTEGER.unpack_from(self._data, self._at)
        except struct.error:
            raise _cut_short() from None
        self._at += _INTEGER.size
        return -value if sign else int(value)

    def text(self) -> str | None:
        return self.texts(1)[0]

    def texts(self, count: int) -> list[str | None]:
        """So many texts that follow one another: thousands of entries have a dozen each."""
        data, at = self._data, self._at
        found: list[str | None] = []
        try:
            for _ in range(count):
                sign, length = _INTEGER.unpack_from(data, at)
                begin = at + _INTEGER.size
                at = begin if sign else begin + length
                found.append(None if sign else data[begin:at].decode())
        except struct.error:
            raise _cut_short() from None
        if at > len(data):
            raise _cut_short()
        self._at = at
        return found
