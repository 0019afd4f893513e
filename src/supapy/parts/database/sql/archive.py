"""The table of contents of a pg_dump archive (-Fc), read from the archive's own header.

The listing that pg_restore prints is ambiguous for names with blanks and leaves out dependencies. Of a schema-only
archive the table of contents is all there is: every entry carries its SQL.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from supapy.errors import ToolMissing

_MAGIC = b"PGDMP"
_CUSTOM_FORMAT = 1
# The version, three bytes; the sizes of an integer and an offset; the format.
_HEAD = struct.Struct("6B")
# A sign, and four bytes, the lowest first: an int of C's, everywhere.
_INTEGER = struct.Struct("<BI")
# 1.14: PostgreSQL 12 to 15; 1.15: 16; 1.16: 17 and 18.
_KNOWN_VERSIONS = ((1, 14), (1, 15), (1, 16))


class Section(IntEnum):
    """When an entry is restored. Comments say NONE: they follow their object."""

    NONE = 1
    PRE_DATA = 2
    DATA = 3
    POST_DATA = 4


_SECTIONS = {one.value: one for one in Section}
# What stands before each text, in bytes: mostly nothing. Of an entry these are its number and whether it has data, its
# section, and since 1.16 the kind of its relation.
_ONE = (0,)
_HEAD_TEXTS = (0, 0, 0)
_BEFORE_SECTION = (2 * _INTEGER.size, 0, 0, 0)
_AFTER_SECTION = (_INTEGER.size, 0, 0, 0, 0, 0, 0, 0)
_AFTER_SECTION_SINCE_16 = (_INTEGER.size, 0, 0, 0, 0, 0, _INTEGER.size, 0)


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
    if not archive.startswith(_MAGIC):
        raise ToolMissing("pg_dump wrote no archive", "Check that pg_dump is PostgreSQL's own.")
    try:
        return list(_entries(archive))
    except (IndexError, struct.error, UnicodeDecodeError):
        raise ToolMissing("pg_dump's archive is cut short", "Check that the temporary folder has space.") from None


def _entries(archive: bytes) -> Iterator[TocEntry]:
    at = len(_MAGIC) + _HEAD.size
    major, minor, _revision, int_size, offset_size, form = _HEAD.unpack_from(archive, len(_MAGIC))
    version = (major, minor)
    if version not in _KNOWN_VERSIONS or form != _CUSTOM_FORMAT or 1 + int_size != _INTEGER.size:
        raise ToolMissing(
            f"pg_dump wrote an archive of unknown format {major}.{minor}",
            "Use pg_dump of PostgreSQL 15 to 18, or a newer supapy.",
        )
    # The compression: a level until 1.14, one byte naming the method since; then when it was written.
    at += (1 if version >= (1, 15) else _INTEGER.size) + 7 * _INTEGER.size
    at, _ = _texts(archive, at, _HEAD_TEXTS)
    (_, count), at = _INTEGER.unpack_from(archive, at), at + _INTEGER.size
    after_section = _AFTER_SECTION_SINCE_16 if version >= (1, 16) else _AFTER_SECTION
    for _ in range(count):
        _, number = _INTEGER.unpack_from(archive, at)
        at, (catalog, oid, name, kind) = _texts(archive, at, _BEFORE_SECTION)
        _, section = _INTEGER.unpack_from(archive, at)
        at, (sql, drop_sql, _, schema, _, access_method, owner, _) = _texts(archive, at, after_section)
        needs: list[int] = []
        while not archive[at]:
            at, (needed,) = _texts(archive, at, _ONE)
            needs.append(int(needed))
        at += _INTEGER.size + 1 + offset_size
        yield TocEntry(
            *(number, int(catalog or 0), int(oid or 0), name, kind, _SECTIONS[section], sql, drop_sql),
            *(schema, access_method, owner, tuple(needs)),
        )


def _texts(data: bytes, at: int, gaps: tuple[int, ...]) -> tuple[int, list[str]]:
    """The texts from a place on (a length, then UTF-8; a negative one for none, which is "" here), each after so many
    other bytes; and where they end. Thousands of entries have a dozen each: no function is called for each."""
    found: list[str] = []
    for gap in gaps:
        sign, length = _INTEGER.unpack_from(data, at + gap)
        begin = at + gap + _INTEGER.size
        at = begin if sign else begin + length
        # Most are empty.
        found.append(data[begin:at].decode() if at > begin else "")
    if at >= len(data):
        # An entry ends with other things than a text.
        raise IndexError
    return at, found
