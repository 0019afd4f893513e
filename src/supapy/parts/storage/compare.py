"""Holding the saved buckets and objects against the live ones: rows field by field, files byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial

from supapy.errors import ApiError
from supapy.loop import pump, side_by_side
from supapy.model import Difference, Finding, Json, Match, Proof
from supapy.parts.base import Source
from supapy.parts.storage.files import (
    PART,
    about_one_object,
    bucket_lines,
    fingerprint,
    object_lines,
    saved_buckets,
    saved_objects,
    takes_row,
)
from supapy.parts.storage.selection import Selection
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.rows import changed_columns, paired, parse, same
from supapy.project.schema import Table, tables_of
from supapy.stream import lines

# What describes the stored file: another upload of the same bytes has others (F§1.9).
_OF_THE_FILE = frozenset({"eTag", "contentLength", "httpStatusCode"})


def compare(backup: Source, moment: Moment, only: Selection, *, check_bytes: bool) -> Iterator[Finding]:
    """All differences among the objects meant, also in the bytes where these are to be checked."""
    made_with = Selection.of(backup.metadata.get("storage_only"))
    tables = {table.name: table for table in tables_of(moment, "storage")}
    if only.takes_whole_buckets:
        buckets = map(parse, lines(bucket_lines(moment, tables["buckets"])))
        there = (row for row in buckets if made_with.takes_bucket(row["id"]) and only.takes_bucket(row["id"]))
        yield from _rows("bucket", map(parse, saved_buckets(backup, only)), there, tables["buckets"], [])
    found: list[tuple[Json, Json]] = []
    saved = (_as_restored(parse(line), only) for line in saved_objects(backup, only))
    objects = map(parse, lines(object_lines(moment, tables["objects"])))
    live = (row for row in objects if takes_row(made_with, row) and _is_meant(row, only))
    yield from _rows("object", saved, live, tables["objects"], found)
    if check_bytes:
        yield from _files(backup, moment.project, found)


def _rows(
    what: str, saved: Iterator[Json], live: Iterator[Json], table: Table, found: list[tuple[Json, Json]]
) -> Iterator[Finding]:
    """Differences between rows; the pairs of saved and live rows are added to `found`."""
    equal = 0
    for one, other in paired(saved, live, _key):
        if one is None or other is None:
            yield Difference(PART, _name(what, one or other or {}), "extra" if one is None else "missing")
            continue
        found.append((one, other))
        changed = _changed(one, other, table)
        if changed:
            yield Difference(PART, _name(what, one), "changed", ", ".join(changed))
        else:
            equal += 1
    yield Proof(PART, f"{what} rows", equal)


def _is_meant(row: Json, only: Selection) -> bool:
    if only.to_bucket is None:
        return takes_row(only, row)
    return bool(row["bucket_id"] == only.to_bucket and only.takes(only.buckets[0], row["name"] or ""))


def _as_restored(row: Json, only: Selection) -> Json:
    """A saved row as it is where it was restored to: in another bucket it is another object, with an id of its own."""
    if only.to_bucket is None:
        return row
    return {key: value for key, value in row.items() if key != "id"} | {"bucket_id": only.to_bucket}


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


def _files(backup: Source, project: Project, found: list[tuple[Json, Json]]) -> Iterator[Finding]:
    checked: list[Difference | Match] = []
    there = (pair for pair in found if pair[0]["path"] is not None and backup.has(pair[0]["path"]))
    side_by_side(project.loop, there, partial(_file, backup, project), checked.append, at_once=project.at_once)
    yield from checked
    yield Proof(PART, "files byte for byte", sum(isinstance(one, Match) for one in checked))


async def _file(backup: Source, project: Project, pair: tuple[Json, Json]) -> Difference | Match:
    saved, live = pair
    metadata = live.get("metadata")
    etag = metadata.get("eTag") if isinstance(metadata, dict) else None
    digest = hashlib.sha256()
    try:
        # Of the version in the row: what is found equal is known by it from then on.
        etag = etag if isinstance(etag, str) else None
        async with aclosing(project.storage.download(live["bucket_id"], live["name"], etag)) as pieces:
            await pump(pieces, digest.update)
    except ApiError as error:
        if not about_one_object(error):
            raise
        return Difference(PART, _name("object", live), "missing", f"no bytes: {error.message}")
    if digest.hexdigest() != backup.sha256(saved["path"]):
        return Difference(PART, _name("object", live), "changed", "its bytes")
    return Match(PART, f"{live['bucket_id']}/{live['name']}", saved["path"], fingerprint(live))
