"""Bringing buckets and objects back so that ids, owners and times are what they were (F§1.11).

The rows go in first, without limits on the buckets: objects may be older than a limit (F§1.6). The bytes are then put
over them by upsert, which keeps a row's id, creation and owner; what it changes is set back by SQL at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from supapy.journal import Journal
from supapy.loop import side_by_side
from supapy.model import Json, Problem, Progress, Step
from supapy.names import many
from supapy.parts.base import Source
from supapy.parts.storage.files import PART, saved_buckets, saved_objects
from supapy.parts.storage.selection import Selection
from supapy.parts.storage.sending import has_bytes, send
from supapy.parts.storage.sent import Begun, Sent
from supapy.project.exact import parse
from supapy.project.postgres import Session
from supapy.project.project import Project
from supapy.project.rows import (
    amend_staged,
    insert_staged,
    insertable,
    stage,
    staged_keys,
    unknown_columns,
    update_staged,
    upsert,
)
from supapy.project.schema import Column, Table, tables_of

# What describes the stored file, not the object: the new file has its own (F§1.11).
_OF_THE_FILE = "'{eTag,size,contentLength,httpStatusCode}'::text[]"
_LIMITS = ("file_size_limit", "allowed_mime_types")


def load(backup: Source, project: Project, only: Selection, journal: Journal) -> Iterator[Step]:
    """The steps for the objects meant, in order. Each may be applied again: what the journal says was sent isn't."""
    buckets = sum(1 for _ in saved_buckets(backup, only))
    rows = [parse(line)["path"] for line in saved_objects(backup, only)]
    sizes = [backup.size(path) for path in rows if path is not None and backup.has(path)]
    if only.takes_whole_buckets:
        yield Step(PART, f"{many(buckets, 'bucket')}, without limits", partial(_load_buckets, backup, project, only))
    elif only.to_bucket is None:
        yield Step(PART, f"{many(buckets, 'bucket')}, where missing", partial(_load_buckets, backup, project, only))
    yield Step(PART, f"rows of {many(len(rows), 'object')}", partial(_load_objects, backup, project, only))
    upload = partial(_upload_all, backup, project, only, journal)
    yield Step(PART, f"bytes of {many(len(sizes), 'object')}", upload, sum(sizes), "bytes")
    yield Step(PART, "owners, times and metadata of the objects", partial(_settle_objects, backup, project, only))
    if only.takes_whole_buckets:
        yield Step(PART, "limits of the buckets", partial(_settle_buckets, backup, project, only))


@contextmanager
def _quiet(project: Project) -> Iterator[tuple[Session, dict[str, Table]]]:
    """A transaction in which no trigger acts: the platform's would set updated_at to now (F§1.9)."""
    with project.session() as session, session.transaction():
        session.execute("SET LOCAL session_replication_role = replica")
        yield session, {table.name: table for table in tables_of(session, "storage")}


def _load_buckets(backup: Source, project: Project, only: Selection, progress: Progress) -> Iterable[Problem]:
    """Without limits, which come last; a bucket of which only some objects are meant keeps its settings if it is there,
    and has the saved ones if not."""
    with _quiet(project) as (session, tables):
        if not stage(session, saved_buckets(backup, only)):
            return []
        keys, table = staged_keys(session), tables["buckets"]
        columns = insertable(table, keys)
        if only.takes_whole_buckets:
            conflict, instead = upsert(("id",), columns), dict.fromkeys(_LIMITS, "NULL")
        else:
            conflict, instead = "ON CONFLICT DO NOTHING", {}
        insert_staged(session, table, columns, conflict=conflict, instead=instead)
        return _unknown(table, keys)


def _stage_objects(session: Session, backup: Source, only: Selection) -> int:
    count = stage(session, saved_objects(backup, only))
    if only.to_bucket is not None:
        amend_staged(session, {"bucket_id": only.to_bucket}, without="id")
    return count


def _load_objects(backup: Source, project: Project, only: Selection, progress: Progress) -> Iterable[Problem]:
    with _quiet(project) as (session, tables):
        if not _stage_objects(session, backup, only):
            return []
        keys, table = staged_keys(session), tables["objects"]
        del keys["path"]
        columns = insertable(table, keys | {"version": True})
        # A version names a stored file, and the upload gives each object a new one. Until then it names none: saved
        # ones belong to the other project, and over NULL the server's file store deletes the upload with "the rest".
        # What is there already describes its own file until that is replaced.
        conflict = upsert(("bucket_id", "name"), _but(columns, "version", "metadata"))
        insert_staged(session, table, columns, conflict=conflict, instead={"version": _waiting("r.")})
        return _unknown(table, keys)


def _waiting(row: str = "") -> str:
    """SQL: the version of an object that waits for its bytes. Nobody else gives it this one."""
    return f"pg_catalog.md5({row}bucket_id || '/' || {row}name || ' waits for its bytes')::uuid::text"


def _but(columns: Sequence[Column], *names: str) -> list[Column]:
    return [column for column in columns if column.name not in names]


def _unknown(table: Table, keys: dict[str, bool]) -> list[Problem]:
    reason = "the target's Storage server has no such column: left out"
    return [Problem(PART, f"storage.{table.name}.{column}", reason) for column in unknown_columns(table, keys)]


def _upload_all(
    backup: Source, project: Project, only: Selection, journal: Journal, progress: Progress
) -> Iterable[Problem]:
    rows = (parse(line) for line in saved_objects(backup, only))
    there = (row for row in rows if row["path"] is not None and backup.has(row["path"]))
    failed: list[Problem | None] = []
    with project.session() as session:
        found, begun, sent = _uploaded(session), Begun(journal), Sent(journal, session)
        upload = partial(_upload, backup, project, only, found, begun, sent, progress)
        try:
            side_by_side(project.loop, there, upload, failed.append, at_once=project.at_once)
        finally:
            sent.note_rest()
    return [problem for problem in failed if problem]


@dataclass(frozen=True, slots=True)
class _Found:
    """An object that has its bytes, as its row tells of it."""

    version: str
    etag: str
    size: str


def _uploaded(session: Session) -> dict[tuple[str, str], _Found]:
    """Every object that has its bytes: those that an earlier run has brought back among them."""
    rows = session.rows(
        "SELECT bucket_id, name, version, metadata ->> 'eTag', metadata ->> 'size' FROM storage.objects "
        f"WHERE version IS DISTINCT FROM {_waiting()} AND bucket_id IS NOT NULL AND name IS NOT NULL"
    )
    return {(bucket, key): _Found(*map(str, about)) for bucket, key, *about in rows}


async def _upload(
    backup: Source,
    project: Project,
    only: Selection,
    found: dict[tuple[str, str], _Found],
    begun: Begun,
    sent: Sent,
    progress: Progress,
    row: Json,
) -> Problem | None:
    bucket, key, path = only.to_bucket or row["bucket_id"], row["name"], row["path"]
    sha256, size = backup.sha256(path), backup.size(path)
    live = found.get((bucket, key))
    if live and sent.is_whole(sha256, bucket, key, live.version):
        progress(size)
        return None
    problem = None
    if live and await has_bytes(backup, project, path, bucket, key, live.etag, live.size):
        progress(size)
    else:
        problem = await send(backup, project, bucket, row, progress, begun)
    if problem is None:
        await sent.add(sha256, bucket, key, size)
    return problem


def _settle_objects(backup: Source, project: Project, only: Selection, progress: Progress) -> Iterable[Problem]:
    with _quiet(project) as (session, tables):
        if _stage_objects(session, backup, only):
            table = tables["objects"]
            # Where no object had user metadata, no row names them; the upload has given every object some.
            columns = _but(insertable(table, staged_keys(session) | {"user_metadata": False}), "version")
            metadata = f"coalesce(t.metadata, '{{}}') || (r.metadata::text::jsonb - {_OF_THE_FILE})"
            is_object = "pg_catalog.json_typeof(r.metadata) = 'object'"
            instead = {"metadata": f"CASE WHEN {is_object} THEN {metadata} ELSE t.metadata END"}
            update_staged(session, table, columns, key=("bucket_id", "name"), instead=instead)
    return []


def _settle_buckets(backup: Source, project: Project, only: Selection, progress: Progress) -> Iterable[Problem]:
    with _quiet(project) as (session, tables):
        if stage(session, saved_buckets(backup, only)):
            table = tables["buckets"]
            update_staged(session, table, insertable(table, staged_keys(session)), key=("id",))
    return []
