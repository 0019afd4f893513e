"""What is saved of the Storage server, and how the pieces are named."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from supapy.errors import AccessDenied, ApiError, Unreadable, WrongProject
from supapy.model import Dump, Finding, Item, Omission, Problem, Step
from supapy.names import folder_names, object_paths
from supapy.parts.base import Obstacle, Source
from supapy.parts.storage.compare import compare
from supapy.parts.storage.files import BUCKETS, FOLDER, OBJECTS, about_one_object, bucket_lines, live, object_lines
from supapy.parts.storage.load import load
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.rows import as_array
from supapy.project.schema import Table, tables_of
from supapy.stream import lines

_PLAIN_ETAG = re.compile(r'"?([0-9a-f]{32})"?')
_SIZE = re.compile(r"[0-9]{1,18}")
# Buckets whose contents lie outside storage.objects (F§1.14).
_ELSEWHERE = {"buckets_analytics": "analytics buckets", "buckets_vectors": "vector buckets"}


@dataclass(frozen=True, slots=True)
class _Listed:
    """An object row as far as its bytes are concerned. `path` is where they go, None when the row names none."""

    bucket: str | None
    key: str | None
    size: int | None
    etag: str | None
    fingerprint: str
    path: str | None = None


class StoragePart:
    """Buckets, objects and their bytes. `check_bytes` says whether a comparison reads every live object's bytes."""

    name = "storage"
    side_by_side = True

    def __init__(self, *, check_bytes: bool = True) -> None:
        self._check_bytes = check_bytes

    def dump(self, moment: Moment) -> Dump:
        """The buckets, every object's bytes, the objects' rows; problems for rows without bytes."""
        tables = {table.name: table for table in tables_of(moment, "storage")}
        _check_one_project(moment, tables["buckets"])
        # Read at once: the items after it are opened by other threads, and the moment has one connection.
        buckets = b"".join(as_array(bucket_lines(moment, tables["buckets"])))
        count = moment.value("SELECT count(*) FROM storage.buckets")
        yield Item(self.name, "buckets", BUCKETS, lambda: [buckets], counts={"buckets": count})
        listed = _listed(moment, tables["objects"])
        for one in listed:
            if one.path is None:
                yield Problem(self.name, f"{one.bucket}/{one.key}", "its row names no bucket or no key")
            else:
                yield Item(
                    self.name,
                    f"{one.bucket}/{one.key}",
                    one.path,
                    partial(_bytes, moment.project, one),
                    size=one.size,
                    md5=_md5(one.etag),
                    fingerprint=one.fingerprint,
                )
        paths = [one.path for one in listed]
        rows = partial(_with_paths, moment, tables["objects"], paths)
        # Last, and nothing asked of the moment after it: another thread reads the rows over its one connection.
        yield from _omissions(moment, tables)
        yield Item(self.name, "objects", OBJECTS, rows, counts={"objects": len(listed)})

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """The buckets and objects that are there."""
        for table in ("buckets", "objects"):
            if count := moment.value(f"SELECT count(*) FROM storage.{table}"):
                yield Obstacle(self.name, f"{count} storage {table}")

    def load(self, backup: Source, project: Project) -> Iterator[Step]:
        """Buckets open, rows, bytes, rows set right, buckets' limits."""
        return load(backup, project)

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """Buckets and objects by their rows and, unless told otherwise, every object by its bytes."""
        return compare(backup, moment, check_bytes=self._check_bytes)


def _check_one_project(moment: Moment, table: Table) -> None:
    """Raises when the Storage server's buckets show that it isn't this database's, or that the key sees nothing.

    A key of too little right doesn't fail: it lists no bucket (F§1.1).
    """
    # Older servers have no other type, and no such column.
    standard = " WHERE type::text = 'STANDARD'" if "type" in {column.name for column in table.columns} else ""
    saved = {bucket for (bucket,) in moment.rows(f"SELECT id FROM storage.buckets{standard}")}
    served = {bucket["id"] for bucket in moment.project.storage.buckets()}
    if saved and not served:
        raise AccessDenied(
            "the key sees no bucket, but the database has some",
            "SUPABASE_KEY must be the service_role key or a secret key of this project.",
        )
    if served and not saved & served:
        raise WrongProject(
            "the Storage server and the database have no bucket in common",
            "SUPABASE_URL and SUPABASE_DB_URL must be of one project.",
        )


def _listed(moment: Moment, table: Table) -> list[_Listed]:
    rows = [
        _Listed(bucket, key, _size(size), etag, f"{version}|{etag}|{size}|{updated}")
        for bucket, key, size, etag, version, updated in moment.rows(
            "SELECT o.bucket_id, o.name, o.metadata ->> 'size', o.metadata ->> 'eTag', o.version, "
            f"o.updated_at::text FROM {live(table)}"
        )
    ]
    folders = _folders({one.bucket for one in rows if one.bucket is not None})
    return [
        _Listed(one.bucket, one.key, one.size, one.etag, one.fingerprint, path)
        for bucket, group in groupby(rows, key=lambda one: one.bucket)
        for one, path in _paths(folders.get(bucket or ""), list(group))
    ]


def _folders(buckets: set[str]) -> dict[str, str]:
    """The folder of each bucket; the two files that lie beside them have taken their names already."""
    taken = [BUCKETS.removeprefix(FOLDER), OBJECTS.removeprefix(FOLDER)]
    ordered = sorted(buckets)
    return dict(zip(ordered, list(folder_names([*taken, *ordered]))[len(taken) :], strict=True))


def _paths(folder: str | None, rows: list[_Listed]) -> Iterator[tuple[_Listed, str | None]]:
    named = iter(object_paths(one.key for one in rows if one.key is not None))
    for one in rows:
        yield one, None if folder is None or one.key is None else f"{FOLDER}{folder}/{next(named)}"


def _size(said: str | None) -> int | None:
    """The size in the metadata, when it is one: anyone who may write the row may write anything there."""
    return int(said) if said and _SIZE.fullmatch(said) else None


def _md5(etag: str | None) -> str | None:
    """The md5 that an eTag is, when it is one: an upload in parts has another kind (F§1.9)."""
    plain = _PLAIN_ETAG.fullmatch(etag or "")
    return plain[1] if plain else None


async def _bytes(project: Project, one: _Listed) -> AsyncGenerator[bytes, None]:
    assert one.bucket is not None
    assert one.key is not None
    try:
        async with aclosing(project.storage.download(one.bucket, one.key, one.etag, one.size)) as pieces:
            async for piece in pieces:
                yield piece
    except ApiError as error:
        if not about_one_object(error):
            raise
        raise Unreadable(f"the server gave no bytes of the version in the moment: {error.message}") from None


def _with_paths(moment: Moment, table: Table, paths: list[str | None]) -> Iterator[bytes]:
    for line, path in zip(lines(object_lines(moment, table)), paths, strict=True):
        yield b'{"path":' + json.dumps(path, ensure_ascii=False).encode() + b"," + line[1:] + b"\n"


def _omissions(moment: Moment, tables: dict[str, Table]) -> Iterator[Omission]:
    for table, what in _ELSEWHERE.items():
        if table in tables and (count := moment.value(f"SELECT count(*) FROM {tables[table].sql}")):
            yield Omission(
                "storage", f"{count} {what}", "Export their contents with their own tools (Iceberg, vectors)."
            )
    every = moment.value("SELECT count(*) FROM storage.objects")
    current = moment.value(f"SELECT count(*) FROM (SELECT FROM {live(tables['objects'])}) o")
    if every > current:
        yield Omission(
            "storage", f"{every - current} older versions of objects", "Only each object's current version is saved."
        )
