"""Where the storage part's files lie in a backup, and how their rows are read."""

from __future__ import annotations

from collections.abc import Iterator

from supapy.errors import ApiError
from supapy.project.moment import Moment
from supapy.project.rows import json_of, lines_out
from supapy.project.schema import Table

FOLDER = "storage/"
BUCKETS = "storage/buckets_metadata.json"
OBJECTS = "storage/objects.jsonl"

# What the server says of one object while the others may still be had; anything else is about the server itself.
_ABOUT_ONE_OBJECT = frozenset({400, 404, 409, 412, 413, 415, 416, 500})


def about_one_object(error: ApiError) -> bool:
    """Whether an error concerns the object asked for only, so that the others are worth asking for."""
    return error.status in _ABOUT_ONE_OBJECT


def live(table: Table) -> str:
    """A FROM clause: the current version of every object as `o`, by bucket and key.

    Newer servers keep older versions and delete markers among the rows (F§1.9): these aren't objects any more.
    """
    columns = {column.name for column in table.columns}
    current = [
        condition
        for column, condition in (
            ("archived_at", "o.archived_at IS NULL"),
            ("is_delete_marker", "NOT o.is_delete_marker"),
        )
        if column in columns
    ]
    where = f" WHERE {' AND '.join(current)}" if current else ""
    return f'{table.sql} o{where} ORDER BY o.bucket_id COLLATE "C", o.name COLLATE "C", o.id'


def bucket_lines(moment: Moment, table: Table) -> Iterator[bytes]:
    """Every field of every bucket as JSON lines, by id."""
    return lines_out(moment, f'SELECT {json_of(table.columns, "b")} FROM {table.sql} b ORDER BY b.id COLLATE "C"')


def object_lines(moment: Moment, table: Table) -> Iterator[bytes]:
    """Every field of every live object as JSON lines, by bucket and key."""
    return lines_out(moment, f"SELECT {json_of(table.columns, 'o')} FROM {live(table)}")
