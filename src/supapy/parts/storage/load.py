"""Bringing buckets and objects back so that ids, owners and times are what they were (F§1.11).

The rows go in first, without limits on the buckets: objects may be older than a limit (F§1.6). The bytes are then put
over them by upsert, which keeps a row's id, creation and owner; what it changes is set back by SQL at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from supapy.errors import ApiError
from supapy.loop import side_by_side
from supapy.model import Json, Problem, Progress, Step
from supapy.parts.base import Source
from supapy.parts.storage.files import BUCKETS, OBJECTS, about_one_object
from supapy.project.postgres import Session
from supapy.project.project import Project
from supapy.project.rows import (
    array_lines,
    insert_staged,
    insertable,
    parse,
    stage,
    staged_keys,
    unknown_columns,
    update_staged,
    upsert,
)
from supapy.project.schema import Column, Table, tables_of
from supapy.stream import lines

# What describes the stored file, not the object: the new file has its own (F§1.11).
_OF_THE_FILE = "'{eTag,size,contentLength,httpStatusCode}'::text[]"
_LIMITS = ("file_size_limit", "allowed_mime_types")
PART = "storage"


def load(backup: Source, project: Project) -> Iterator[Step]:
    """The steps, in order. Each may be applied again."""
    buckets, objects = backup.count(PART, "buckets"), backup.count(PART, "objects")
    sizes = [backup.size(path) for path in _paths(backup) if backup.has(path)]
    yield Step(PART, f"{buckets:,} buckets, without limits", partial(_load_buckets, backup, project))
    yield Step(PART, f"rows of {objects:,} objects", partial(_load_objects, backup, project))
    upload = partial(_upload_all, backup, project)
    yield Step(PART, f"bytes of {len(sizes):,} objects", upload, sum(sizes), "bytes")
    yield Step(PART, "owners, times and metadata of the objects", partial(_settle_objects, backup, project))
    yield Step(PART, "limits of the buckets", partial(_settle_buckets, backup, project))


def _paths(backup: Source) -> Iterator[str]:
    return (row["path"] for row in _objects(backup) if row["path"] is not None)


def _objects(backup: Source) -> Iterator[Json]:
    return map(parse, lines(backup.read(OBJECTS)))


@contextmanager
def _quiet(project: Project) -> Iterator[tuple[Session, dict[str, Table]]]:
    """A transaction in which no trigger acts: the platform's would set updated_at to now (F§1.9)."""
    with project.session() as session, session.transaction():
        session.execute("SET LOCAL session_replication_role = replica")
        yield session, {table.name: table for table in tables_of(session, "storage")}


def _load_buckets(backup: Source, project: Project, progress: Progress) -> Iterable[Problem]:
    with _quiet(project) as (session, tables):
        if not stage(session, array_lines(backup.read(BUCKETS))):
            return []
        keys, table = staged_keys(session), tables["buckets"]
        columns = insertable(table, keys)
        insert_staged(
            session, table, columns, conflict=upsert(("id",), columns), instead=dict.fromkeys(_LIMITS, "NULL")
        )
        return _unknown(table, keys)


def _load_objects(backup: Source, project: Project, progress: Progress) -> Iterable[Problem]:
    with _quiet(project) as (session, tables):
        if not stage(session, lines(backup.read(OBJECTS))):
            return []
        keys, table = staged_keys(session), tables["objects"]
        del keys["path"]
        columns = insertable(table, keys | {"version": True})
        # A version names a stored file, and the upload gives each object a new one. Until then it names none: saved
        # ones belong to the other project, and over NULL the server's file store deletes the upload with "the rest".
        conflict = upsert(("bucket_id", "name"), _without_version(columns))
        insert_staged(session, table, columns, conflict=conflict, instead={"version": "gen_random_uuid()::text"})
        return _unknown(table, keys)


def _without_version(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.name != "version"]


def _unknown(table: Table, keys: dict[str, bool]) -> list[Problem]:
    reason = "the target's Storage server has no such column: left out"
    return [Problem(PART, f"storage.{table.name}.{column}", reason) for column in unknown_columns(table, keys)]


def _upload_all(backup: Source, project: Project, progress: Progress) -> Iterable[Problem]:
    there = (row for row in _objects(backup) if row["path"] is not None and backup.has(row["path"]))
    failed: list[Problem | None] = []
    upload = partial(_upload, backup, project, progress)
    side_by_side(project.loop, there, upload, failed.append, at_once=project.at_once)
    return [problem for problem in failed if problem]


async def _upload(backup: Source, project: Project, progress: Progress, row: Json) -> Problem | None:
    metadata = row.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    path = row["path"]
    size = backup.size(path)
    try:
        await project.storage.upload(
            row["bucket_id"],
            row["name"],
            _reader(backup, path, progress),
            size,
            mimetype=_header(metadata.get("mimetype"), "application/octet-stream"),
            cache_control=_header(metadata.get("cacheControl"), "no-cache"),
        )
    except ApiError as error:
        if not about_one_object(error):
            raise
        return Problem(PART, f"{row['bucket_id']}/{row['name']}", f"the server didn't take it: {error.message}")
    return None


def _reader(backup: Source, path: str, progress: Progress) -> Callable[[int, int | None], Iterator[bytes]]:
    def read(start: int, end: int | None) -> Iterator[bytes]:
        for piece in backup.read(path, start, end):
            progress(len(piece))
            yield piece

    return read


def _header(value: object, otherwise: str) -> str:
    """A value as it may stand in a header. The row gets the true one afterwards, whatever it is."""
    plain = isinstance(value, str) and value.isascii() and value.isprintable() and value.strip()
    # A body of that type would be taken for a form (traps, storage API 10).
    return str(value) if plain and not str(value).startswith("multipart/") else otherwise


def _settle_objects(backup: Source, project: Project, progress: Progress) -> Iterable[Problem]:
    with _quiet(project) as (session, tables):
        if stage(session, lines(backup.read(OBJECTS))):
            table = tables["objects"]
            # Where no object had user metadata, no row names them; the upload has given every object some.
            columns = _without_version(insertable(table, staged_keys(session) | {"user_metadata": False}))
            metadata = f"coalesce(t.metadata, '{{}}') || (r.metadata::text::jsonb - {_OF_THE_FILE})"
            is_object = "pg_catalog.json_typeof(r.metadata) = 'object'"
            instead = {"metadata": f"CASE WHEN {is_object} THEN {metadata} ELSE t.metadata END"}
            update_staged(session, table, columns, key=("bucket_id", "name"), instead=instead)
    return []


def _settle_buckets(backup: Source, project: Project, progress: Progress) -> Iterable[Problem]:
    with _quiet(project) as (session, tables):
        if stage(session, array_lines(backup.read(BUCKETS))):
            table = tables["buckets"]
            update_staged(session, table, insertable(table, staged_keys(session)), key=("id",))
    return []
