"""Bringing buckets and objects back by the Storage server alone, where the target's database can't be asked.

The server makes every row anew (F§1.6): what it doesn't let anybody say is named before anything is sent. The buckets
are made without limits, for objects may be older than a limit, and get theirs at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from supapy.errors import ApiError
from supapy.journal import Journal
from supapy.loop import side_by_side
from supapy.model import Json, Omission, Problem, Progress, Step
from supapy.names import many
from supapy.parts.base import Source
from supapy.parts.storage.compare import changed
from supapy.parts.storage.files import PART, about_one_object, metadata_of, saved_buckets, saved_objects
from supapy.parts.storage.listing import RowsAsListed, mime_types
from supapy.parts.storage.selection import EVERYTHING, Selection
from supapy.parts.storage.sending import has_bytes, send
from supapy.parts.storage.sent import Begun
from supapy.project.exact import members, paired, parse
from supapy.project.project import Project

_WITH_SQL = "Set SUPABASE_DB_URL, and they come back."
LOST_IN_A_RESTORE = (
    Omission(PART, "ids of objects: they get new ones, and rows that refer to the old ones point nowhere", _WITH_SQL),
    Omission(PART, "owners of buckets and objects: nobody owns them, whatever a policy asks", _WITH_SQL),
    Omission(PART, "times of buckets and objects: they are those of the restore", _WITH_SQL),
    Omission(
        PART, "what only SQL can write: own fields of metadata, and NULL for user metadata (it becomes {})", _WITH_SQL
    ),
)
_OPEN: Json = {"file_size_limit": None, "allowed_mime_types": None}


class _Found(NamedTuple):
    """An object's row, saved or live, and as text what users wrote into it."""

    row: Json
    user_metadata: str | None


def load_by_api(backup: Source, project: Project, only: Selection, journal: Journal) -> Iterator[Step | Omission]:
    """What won't come back, and the steps for the objects meant, in order. Each may be applied again: large
    uploads that the journal says were begun are gone on with."""
    yield from LOST_IN_A_RESTORE
    buckets = many(sum(1 for _ in saved_buckets(backup, only)), "bucket")
    sizes = [backup.size(one.row["path"]) for one in _saved(backup, only)]
    if only.takes_whole_buckets:
        yield Step(PART, f"{buckets}, without limits", partial(_make_buckets, backup, project, only, _OPEN))
    elif only.to_bucket is None:
        yield Step(PART, f"{buckets}, where missing", partial(_make_buckets, backup, project, only, None))
    title = f"bytes of {many(len(sizes), 'object')}, with types, cache times and user metadata"
    yield Step(PART, title, partial(_upload_all, backup, project, only, journal), sum(sizes), "bytes")
    if only.takes_whole_buckets:
        yield Step(PART, "limits of the buckets", partial(_limit_buckets, backup, project, only))


def _saved(backup: Source, only: Selection) -> Iterator[_Found]:
    """The objects meant that have their bytes in the backup."""
    for line in saved_objects(backup, only):
        row = parse(line)
        if row["path"] is not None and backup.has(row["path"]):
            written = row.get("user_metadata") not in (None, {})
            text = dict(members(line.decode()))["user_metadata"] if written else None
            yield _Found(row | ({"bucket_id": only.to_bucket} if only.to_bucket else {}), text)


def _make_buckets(
    backup: Source, project: Project, only: Selection, settings: Json | None, progress: Progress
) -> Iterable[Problem]:
    """Make the buckets; those that are there get the settings, or with None stay as they are."""
    there = {bucket["id"] for bucket in project.storage.buckets()}
    for row in map(parse, saved_buckets(backup, only)):
        if row.get("type") not in (None, "STANDARD"):
            yield Problem(PART, f"bucket {row['id']}", f"a bucket of type {row['type']} isn't made of files")
            continue
        public = {"public": bool(row.get("public"))}
        if row["id"] not in there:
            limits = {} if settings is not None else _limits(row)
            made = project.storage.create_bucket({"id": row["id"], "name": row["name"]} | public | limits)
        elif settings is not None:
            made = project.storage.change_bucket(row["id"], public | settings)
        else:
            continue
        yield from _refused(project, row, made)


def _limit_buckets(backup: Source, project: Project, only: Selection, progress: Progress) -> Iterable[Problem]:
    for row in map(parse, saved_buckets(backup, only)):
        if row.get("type") in (None, "STANDARD"):
            yield from _refused(project, row, project.storage.change_bucket(row["id"], _limits(row)))


def _limits(row: Json) -> Json:
    return {"file_size_limit": row.get("file_size_limit"), "allowed_mime_types": mime_types(row)}


def _refused(project: Project, row: Json, asked: Any) -> Iterator[Problem]:
    try:
        project.loop.run(asked)
    except ApiError as error:
        if not about_one_object(error):
            raise
        yield Problem(PART, f"bucket {row['id']}", f"the server didn't take it: {error.message}")


def _upload_all(
    backup: Source, project: Project, only: Selection, journal: Journal, progress: Progress
) -> Iterable[Problem]:
    index = RowsAsListed(project)
    live = (_Found(parse(line), None) for line in index.objects(only.in_target(EVERYTHING)))
    pairs = ((one, other) for one, other in paired(_saved(backup, only), live, _place) if one)
    failed: list[Problem | None] = []
    upload = partial(_upload, backup, project, index, Begun(journal), progress)
    side_by_side(project.loop, pairs, upload, failed.append, at_once=project.at_once)
    return [problem for problem in failed if problem]


def _place(one: _Found) -> tuple[str, str]:
    return one.row["bucket_id"], one.row["name"]


async def _upload(
    backup: Source,
    project: Project,
    index: RowsAsListed,
    begun: Begun,
    progress: Progress,
    pair: tuple[_Found, _Found | None],
) -> Problem | None:
    (row, user_metadata), there = pair
    bucket, key = row["bucket_id"], row["name"]
    if there and not changed(index, "object", row, there.row):
        said = there.row["metadata"]
        if await has_bytes(backup, project, row["path"], bucket, key, str(said["eTag"]), str(said["size"])):
            progress(backup.size(row["path"]))
            return None
    robots = metadata_of(row).get("xRobotsTag")
    # The server refuses an upload that brings any other JSON.
    is_object = user_metadata is not None and user_metadata.startswith("{")
    problem = await send(
        backup,
        project,
        bucket,
        row,
        progress,
        begun,
        user_metadata=user_metadata if is_object else None,
        robots=robots if isinstance(robots, str) else None,
    )
    if problem is None and user_metadata is not None and not is_object:
        return Problem(PART, f"{bucket}/{key}", "its user metadata aren't a JSON object: no upload can bring them")
    return problem
