"""Where the storage part's files lie in a backup, and how their rows are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from supapy.errors import ApiError
from supapy.model import Json, Omission
from supapy.names import few, many
from supapy.parts.base import Source
from supapy.parts.storage.selection import Scope, Selection
from supapy.project.answers import RETRYABLE
from supapy.project.exact import parse
from supapy.project.rows import array_lines
from supapy.stream import lines

PART = "storage"
FOLDER = "storage/"
BUCKETS = "storage/buckets_metadata.json"
OBJECTS = "storage/objects.jsonl"
# Buckets of another kind that are named; more are counted.
MOST_NAMED = 10

# What the server says of one object while the others may still be had: also what it answered to every try, for when
# that happens to one after the other the requests themselves end it.
_ABOUT_ONE_OBJECT = frozenset({400, 404, 409, 412, 413, 415, 416}) | RETRYABLE


def about_one_object(error: ApiError) -> bool:
    """Whether an error concerns the object asked for only, so that the others are worth asking for."""
    return error.status in _ABOUT_ONE_OBJECT


def fingerprint(row: Json) -> str | None:
    """What stays the same as long as an object's bytes do; None for a row that says too little to know.

    A version names one upload and no other (F§1.9); the rest guards against rows that were written by hand.
    """
    if not isinstance(row.get("version"), str):
        return None
    said = metadata_of(row)
    return f"{row['version']}|{said.get('eTag')}|{said.get('size')}|{row.get('updated_at')}"


def metadata_of(row: Json) -> Json:
    """What the server has written down about an object's file; nothing where the row has no such thing: anyone who may
    write the row may write anything there."""
    metadata = row.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def saved_buckets(backup: Source, only: Selection) -> Iterator[bytes]:
    """The rows of the buckets meant that a backup has, as lines."""
    every = array_lines(backup.read(BUCKETS))
    return every if only.is_everything else (line for line in every if only.takes_bucket(parse(line)["id"]))


def saved_objects(backup: Source, only: Selection) -> Iterator[bytes]:
    """The rows of the objects meant that a backup has, as lines."""
    every = lines(backup.read(OBJECTS))
    return every if only.is_everything else (line for line in every if takes_row(only, parse(line)))


def takes_row(scope: Scope, row: Json) -> bool:
    """Whether the object of a row is meant."""
    return scope.takes(row["bucket_id"] or "", row["name"] or "")


def elsewhere(kind: str, names: Sequence[str]) -> Omission:
    """What is said of buckets whose contents no list of objects shows (F§1.14)."""
    remedy = "Their contents lie outside the files: export them with their own tools (Iceberg, vectors)."
    return Omission(PART, f"{many(len(names), kind)}: {few(names, MOST_NAMED)}", remedy)
