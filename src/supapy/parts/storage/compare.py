"""Holding the saved buckets and objects against the live ones: rows field by field, files byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import itemgetter
from typing import Any

from supapy.errors import ApiError
from supapy.model import Difference, Finding, Json, Proof
from supapy.parts.base import Source
from supapy.parts.storage.files import BUCKETS, OBJECTS, about_one_object, bucket_lines, object_lines
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.rows import array_lines, changed_columns, paired, parse
from supapy.project.schema import tables_of
from supapy.stream import in_order, lines

PART = "storage"
# What describes the stored file: another upload of the same bytes has others (F§1.9).
_OF_THE_FILE = frozenset({"eTag", "contentLength", "httpStatusCode"})


def compare(backup: Source, moment: Moment, streams: int) -> Iterator[Finding]:
    """All differences; bytes are read by that many downloads at once, not at all with 0."""
    tables = {table.name: table for table in tables_of(moment, "storage")}
    saved_buckets = map(parse, array_lines(backup.read(BUCKETS)))
    live_buckets = map(parse, lines(bucket_lines(moment, tables["buckets"])))
    yield from _rows("bucket", saved_buckets, live_buckets, itemgetter("id"), [])
    found: list[Json] = []
    saved = map(parse, lines(backup.read(OBJECTS)))
    live = map(parse, lines(object_lines(moment, tables["objects"])))
    yield from _rows("object", saved, live, itemgetter("bucket_id", "name"), found)
    if streams:
        yield from _files(backup, moment.project, found, streams)


def _rows(what: str, saved: Iterator[Json], live: Iterator[Json], key: Any, found: list[Json]) -> Iterator[Finding]:
    """Differences between rows; the saved rows that have a live one are added to `found`."""
    same = 0
    for one, other in paired(saved, live, key):
        if one is None or other is None:
            yield Difference(PART, _name(what, one or other or {}), "extra" if one is None else "missing")
            continue
        found.append(one)
        changed = changed_columns(_comparable(one), _comparable(other))
        if changed:
            yield Difference(PART, _name(what, one), "changed", ", ".join(changed))
        else:
            same += 1
    yield Proof(PART, f"{what} rows", same)


def _name(what: str, row: Json) -> str:
    return f"bucket {row['id']}" if what == "bucket" else f"object {row['bucket_id']}/{row['name']}"


def _comparable(row: Json) -> Json:
    """The row without what belongs to the stored file, its metadata one by one so that a change can be named."""
    plain = {key: value for key, value in row.items() if key not in ("path", "version", "metadata")}
    metadata = row.get("metadata") or {}
    return plain | {f"metadata.{key}": value for key, value in metadata.items() if key not in _OF_THE_FILE}


def _files(backup: Source, project: Project, rows: list[Json], streams: int) -> Iterator[Finding]:
    same = 0
    checks = (
        partial(_file, backup, project, row) for row in rows if row["path"] is not None and backup.has(row["path"])
    )
    with ThreadPoolExecutor(streams, thread_name_prefix="supapy-compare") as pool:
        for difference in in_order(pool, checks, interrupt=project.hang_up):
            if difference:
                yield difference
            else:
                same += 1
    yield Proof(PART, "files byte for byte", same)


def _file(backup: Source, project: Project, row: Json) -> Difference | None:
    digest = hashlib.sha256()
    try:
        for piece in project.storage.download(row["bucket_id"], row["name"]):
            digest.update(piece)
    except ApiError as error:
        if not about_one_object(error):
            raise
        return Difference(PART, _name("object", row), "missing", f"no bytes: {error.message}")
    if digest.hexdigest() == backup.sha256(row["path"]):
        return None
    return Difference(PART, _name("object", row), "changed", "its bytes")
