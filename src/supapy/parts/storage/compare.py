"""Holding the saved buckets and objects against the live ones: rows field by field, files byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from supapy.errors import ApiError
from supapy.loop import side_by_side
from supapy.model import Difference, Finding, Json, Match, Proof
from supapy.parts.base import Source
from supapy.parts.storage.files import (
    PART,
    about_one_object,
    fingerprint,
    metadata_of,
    saved_buckets,
    saved_objects,
)
from supapy.parts.storage.index import Index, index_of
from supapy.parts.storage.selection import Selection
from supapy.project.exact import changed_columns, paired, parse, same
from supapy.project.moment import Moment
from supapy.project.project import Project

# What describes the stored file: another upload of the same bytes has others (F§1.9).
_OF_THE_FILE = frozenset({"eTag", "contentLength", "httpStatusCode"})
_TIMES = ("created_at", "updated_at", "last_accessed_at")
_MICROSECONDS = re.compile(r"(\.[0-9]{3})[0-9]+(?=\+)")


def compare(backup: Source, moment: Moment, only: Selection, *, check_bytes: bool) -> Iterator[Finding]:
    """All differences among the objects meant, also in the bytes where these are to be checked."""
    index = index_of(moment)
    scope = only.in_target(Selection.of(backup.metadata.get("storage_only")))
    if only.takes_whole_buckets:
        buckets = map(parse, saved_buckets(backup, only))
        yield from _rows("bucket", index, buckets, map(parse, index.buckets(scope)), [])
    found: list[tuple[Json, Json]] = []
    objects = (_as_restored(parse(line), only) for line in saved_objects(backup, only))
    live = map(parse, index.objects(scope))
    if not backup.metadata.get("moment", {}).get("snapshot"):
        # It was made from the server's list, whose times end there.
        live = map(_to_the_millisecond, live)
    yield from _rows("object", index, objects, live, found)
    if check_bytes:
        yield from _files(backup, moment.project, found)


def _rows(
    what: str, index: Index, saved: Iterator[Json], live: Iterator[Json], found: list[tuple[Json, Json]]
) -> Iterator[Finding]:
    """Differences between rows; the pairs of saved and live rows are added to `found`."""
    equal = 0
    for one, other in paired(saved, live, _key):
        if one is None or other is None:
            yield Difference(PART, _name(what, one or other or {}), "extra" if one is None else "missing")
            continue
        found.append((one, other))
        if columns := changed(index, what, one, other):
            yield Difference(PART, _name(what, one), "changed", ", ".join(columns))
        else:
            equal += 1
    yield Proof(PART, f"{what} rows{index.sort}", equal)


def _as_restored(row: Json, only: Selection) -> Json:
    """A saved row as it is where it was restored to: in another bucket it is another object, with an id of its own."""
    if only.to_bucket is None:
        return row
    return {key: value for key, value in row.items() if key != "id"} | {"bucket_id": only.to_bucket}


def _to_the_millisecond(row: Json) -> Json:
    cut = {key: _MICROSECONDS.sub(r"\1", row[key]) for key in _TIMES if isinstance(row.get(key), str)}
    # PostgreSQL writes no zeros at the end of a fraction.
    return row | {key: re.sub(r"\.?0*\+", "+", text) if "." in text else text for key, text in cut.items()}


def _name(what: str, row: Json) -> str:
    return f"bucket {row['id']}" if what == "bucket" else f"object {row['bucket_id']}/{row['name']}"


def _key(row: Json) -> list[tuple[bool, str]]:
    """What both sides are sorted by, NULL last."""
    values = [row["bucket_id"], row["name"]] if "bucket_id" in row else [row["id"]]
    return [(value is None, value or "") for value in values]


def changed(index: Index, what: str, saved: Json, live: Json) -> list[str]:
    """The columns that differ, without what belongs to the stored file; its metadata one by one, by their names."""
    saved, live = index.comparable(saved), index.comparable(live)
    others = [column for column in index.columns(f"{what}s") if column.name != "metadata"]
    plain = changed_columns(_without_file(saved), _without_file(live), others)
    before, now = saved.get("metadata"), metadata_of(live)
    if not isinstance(before, dict):
        # The upload has given the object some.
        return plain
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
    etag = metadata_of(live).get("eTag")
    try:
        # Of the version in the row: what is found equal is known by it from then on.
        sha256 = await project.storage.sha256(live["bucket_id"], live["name"], etag if isinstance(etag, str) else None)
    except ApiError as error:
        if not about_one_object(error):
            raise
        return Difference(PART, _name("object", live), "missing", f"no bytes: {error.message}")
    if sha256 != backup.sha256(saved["path"]):
        return Difference(PART, _name("object", live), "changed", "its bytes")
    return Match(PART, f"{live['bucket_id']}/{live['name']}", saved["path"], fingerprint(live))
