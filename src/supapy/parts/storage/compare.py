"""Holding the saved buckets and objects against the live ones: rows field by field, files byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial

from supapy.errors import ApiError
from supapy.loop import pump, side_by_side
from supapy.model import Difference, Finding, Json, Proof
from supapy.parts.base import Source
from supapy.parts.storage.files import BUCKETS, OBJECTS, about_one_object, bucket_lines, object_lines
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.rows import array_lines, changed_columns, paired, parse, same
from supapy.project.schema import Table, tables_of
from supapy.stream import lines

PART = "storage"
# What describes the stored file: another upload of the same bytes has others (F§1.9).
_OF_THE_FILE = frozenset({"eTag", "contentLength", "httpStatusCode"})


def compare(backup: Source, moment: Moment, *, check_bytes: bool) -> Iterator[Finding]:
    """All differences, also in the bytes where these are to be checked."""
    tables = {table.name: table for table in tables_of(moment, "storage")}
    saved_buckets = map(parse, array_lines(backup.read(BUCKETS)))
    live_buckets = map(parse, lines(bucket_lines(moment, tables["buckets"])))
    yield from _rows("bucket", saved_buckets, live_buckets, tables["buckets"], [])
    found: list[Json] = []
    saved = map(parse, lines(backup.read(OBJECTS)))
    live = map(parse, lines(object_lines(moment, tables["objects"])))
    yield from _rows("object", saved, live, tables["objects"], found)
    if check_bytes:
        yield from _files(backup, moment.project, found)


def _rows(what: str, saved: Iterator[Json], live: Iterator[Json], table: Table, found: list[Json]) -> Iterator[Finding]:
    """Differences between rows; the saved rows that have a live one are added to `found`."""
    equal = 0
    for one, other in paired(saved, live, _key):
        if one is None or other is None:
            yield Difference(PART, _name(what, one or other or {}), "extra" if one is None else "missing")
            continue
        found.append(one)
        changed = _changed(one, other, table)
        if changed:
            yield Difference(PART, _name(what, one), "changed", ", ".join(changed))
        else:
            equal += 1
    yield Proof(PART, f"{what} rows", equal)


def _name(what: str, row: Json) -> str:
    return f"bucket {row['id']}" if what == "bucket" else f"object {row['bucket_id']}/{row['name']}"


def _key(row: Json) -> list[tuple[bool, str]]:
    """What both sides are sorted by, NULL last."""
    values = [row["bucket_id"], row["name"]] if "bucket_id" in row else [row["id"]]
    return [(value is None, value or "") for value in values]


def _changed(saved: Json, live: Json, table: Table) -> list[str]:
    """The columns that differ, without what belongs to the stored file; its metadata one by one, by their names."""
    columns = [column for column in table.columns if column.name != "metadata"]
    plain = changed_columns(_without_file(saved), _without_file(live), columns)
    before, now = saved.get("metadata"), live.get("metadata")
    if not isinstance(before, dict):
        # The upload has given the object some.
        return plain
    now = now if isinstance(now, dict) else {}
    described = sorted(key for key in before.keys() - _OF_THE_FILE if key not in now or not same(before[key], now[key]))
    return plain + [f"metadata.{key}" for key in described]


def _without_file(row: Json) -> Json:
    return {key: value for key, value in row.items() if key not in ("path", "version", "metadata")}


def _files(backup: Source, project: Project, rows: list[Json]) -> Iterator[Finding]:
    checked: list[Difference | None] = []
    there = (row for row in rows if row["path"] is not None and backup.has(row["path"]))
    side_by_side(project.loop, there, partial(_file, backup, project), checked.append, at_once=project.at_once)
    differences = [one for one in checked if one]
    yield from differences
    yield Proof(PART, "files byte for byte", len(checked) - len(differences))


async def _file(backup: Source, project: Project, row: Json) -> Difference | None:
    digest = hashlib.sha256()
    try:
        async with aclosing(project.storage.download(row["bucket_id"], row["name"])) as pieces:
            await pump(pieces, digest.update)
    except ApiError as error:
        if not about_one_object(error):
            raise
        return Difference(PART, _name("object", row), "missing", f"no bytes: {error.message}")
    if digest.hexdigest() == backup.sha256(row["path"]):
        return None
    return Difference(PART, _name("object", row), "changed", "its bytes")
