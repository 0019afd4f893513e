"""What is saved of the Storage server, and how the pieces are named."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from functools import partial
from itertools import groupby
from operator import itemgetter
from tempfile import SpooledTemporaryFile

from supapy.errors import ApiError, Unreadable, UsageError
from supapy.journal import Journal
from supapy.model import ENCODINGS, Dump, Finding, Item, Json, Omission, Piece, Problem, Step
from supapy.names import folder_names, many, object_paths
from supapy.parts.base import Obstacle, Source
from supapy.parts.storage.by_api import load_by_api
from supapy.parts.storage.compare import compare
from supapy.parts.storage.files import (
    BUCKETS,
    FOLDER,
    OBJECTS,
    PART,
    about_one_object,
    fingerprint,
    metadata_of,
    saved_buckets,
    saved_objects,
    takes_row,
)
from supapy.parts.storage.index import index_of
from supapy.parts.storage.load import load
from supapy.parts.storage.selection import EVERYTHING, Fitting, Scope, Selection
from supapy.project.exact import parse
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.rows import as_array

_PLAIN_ETAG = re.compile(r'"?([0-9a-f]{32})"?')
_SIZE = re.compile(r"[0-9]{1,18}")
# A longer list of objects waits in a file.
LARGEST_LIST_IN_MEMORY_BYTES = 8 * 1024 * 1024


class StoragePart:
    """Buckets, objects and their bytes, of those that are `only` meant. `check_bytes` says whether a comparison reads
    every live object's bytes."""

    name = PART
    side_by_side = True

    def __init__(self, *, only: Selection = EVERYTHING, check_bytes: bool = True) -> None:
        self._only = only
        self._check_bytes = check_bytes

    def dump(self, moment: Moment) -> Dump:
        """The buckets, every object's bytes, the objects' rows; problems for rows without bytes."""
        index = index_of(moment)
        yield from index.check()
        # Read at once: the items after it are opened by other threads, and the moment has one connection.
        scope = EVERYTHING if self._only.is_everything else Fitting(self._only)
        chosen = list(index.buckets(scope))
        buckets = b"".join(as_array(line + b"\n" for line in chosen))
        yield Item(self.name, "buckets", BUCKETS, lambda: [buckets], counts={"buckets": len(chosen)})
        listed = _Listed()
        for line in index.objects(scope):
            listed.add(line)
        yield from _unused(scope)
        paths = list(_paths(map(parse, listed.lines())))
        for row, path in zip(map(parse, listed.lines()), paths, strict=True):
            yield _saved(moment.project, row, path)
        yield from index.remarks()
        yield Item(self.name, "objects", OBJECTS, partial(_rows, listed, paths), counts={"objects": len(paths)})

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """The buckets and objects that are there; a bucket that isn't, where everything is to go into one."""
        index = index_of(moment)
        for what, count in index.counts().items():
            if count:
                yield Obstacle(self.name, many(count, f"storage {what.removesuffix('s')}"), held=True)
        bucket = self._only.to_bucket
        if bucket is not None and not any(True for _ in index.buckets(self._only.in_target(EVERYTHING))):
            yield Obstacle(self.name, f"it has no bucket {bucket}", final=True)

    def load(self, backup: Source, project: Project, journal: Journal) -> Iterator[Step | Omission]:
        """Buckets open, rows, bytes, rows set right, buckets' limits; without a database buckets and bytes only."""
        _check_meant(backup, self._only)
        if project.has_database:
            return load(backup, project, self._only, journal)
        return load_by_api(backup, project, self._only, journal)

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """Buckets and objects by their rows and, unless told otherwise, every object by its bytes."""
        return compare(backup, moment, self._only, check_bytes=self._check_bytes)


class _Listed:
    """The objects' rows as the moment had them. They lie in a file, which goes with the last one who may read it."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(LARGEST_LIST_IN_MEMORY_BYTES)  # noqa: SIM115 (closed by `__del__`)

    def __del__(self) -> None:
        self._file.close()

    def add(self, line: bytes) -> None:
        self._file.write(line + b"\n")

    def lines(self) -> Iterator[bytes]:
        """All of them, from the first. One reader at a time."""
        self._file.seek(0)
        return iter(self._file)


def _unused(scope: Scope) -> Iterator[Problem | Omission]:
    """What was asked for and isn't there: it isn't saved. What was to be left out and isn't there is no loss."""
    if isinstance(scope, Fitting):
        for said in scope.unused_buckets.values():
            yield Problem(PART, said, "there is no such bucket")
        for said in scope.unused_prefixes.values():
            yield Problem(PART, said, "no file that is meant begins like this")
        for said in scope.unused_exclusions.values():
            yield Omission(PART, f"{said}: no file looks like this", "Nothing was left out by it: is it spelt right?")


def _check_meant(backup: Source, only: Selection) -> None:
    """Raises UsageError when something that was said of the files fits none of the backup."""
    if only.is_everything:
        return
    fitting = Fitting(only)
    buckets = [parse(line)["id"] for line in saved_buckets(backup, EVERYTHING)]
    meant = [bucket for bucket in buckets if fitting.takes_bucket(bucket)]
    some = [takes_row(fitting, parse(line)) for line in saved_objects(backup, EVERYTHING)]
    if fitting.unused:
        raise UsageError(
            f"the backup has nothing that fits {', '.join(fitting.unused)}",
            f"Nothing was written. It has files of the buckets: {', '.join(buckets) or 'none'}.",
        )
    if not any(some) and not (meant and only.takes_whole_buckets):
        raise UsageError("of the backup's files none is left", "Nothing was written. Say less with --exclude.")


def _saved(project: Project, row: Json, path: str | None) -> Item | Problem:
    name = f"{row['bucket_id']}/{row['name']}"
    if path is None:
        return Problem(PART, name, "its row names no bucket or no key")
    said = metadata_of(row)
    etag, size = said.get("eTag"), _size(said.get("size"))
    etag = etag if isinstance(etag, str) else None
    return Item(
        PART,
        name,
        path,
        partial(_bytes, project, row["bucket_id"], row["name"], etag, size),
        size=size,
        md5=_md5(etag),
        fingerprint=fingerprint(row),
        as_it_is=True,
    )


def _folders(buckets: set[str]) -> dict[str, str]:
    """The folder of each bucket; the two files that lie beside them, encoded or not, have taken their names already."""
    beside = [path.removeprefix(FOLDER) for path in (BUCKETS, OBJECTS)]
    taken = [name + ending for name in beside for ending in ("", *ENCODINGS.values())]
    ordered = sorted(buckets)
    return dict(zip(ordered, list(folder_names([*taken, *ordered]))[len(taken) :], strict=True))


def _paths(rows: Iterator[Json]) -> Iterator[str | None]:
    """Where each object's bytes go; None for a row that names no object. The rows come by bucket."""
    keys = [(bucket, [row["name"] for row in group]) for bucket, group in groupby(rows, key=itemgetter("bucket_id"))]
    folders = _folders({bucket for bucket, _ in keys if bucket is not None})
    for bucket, names in keys:
        named = iter(object_paths(name for name in names if name is not None))
        for name in names:
            whole = None if name is None else next(named)
            yield None if whole is None or bucket is None else f"{FOLDER}{folders[bucket]}/{whole}"


def _size(said: object) -> int | None:
    """The size in the metadata, when it is one: anyone who may write the row may write anything there."""
    return int(str(said)) if type(said) in (int, str) and _SIZE.fullmatch(str(said)) else None


def _md5(etag: str | None) -> str | None:
    """The md5 that an eTag is, when it is one: an upload in parts has another kind (F§1.9)."""
    plain = _PLAIN_ETAG.fullmatch(etag or "")
    return plain[1] if plain else None


async def _bytes(
    project: Project, bucket: str, key: str, etag: str | None, size: int | None
) -> AsyncGenerator[Piece, None]:
    try:
        async with aclosing(project.storage.download(bucket, key, etag, size)) as pieces:
            async for piece in pieces:
                yield piece
    except ApiError as error:
        if not about_one_object(error):
            raise
        raise Unreadable(f"the server gave no bytes of the version in the moment: {error.message}") from None


def _rows(listed: _Listed, paths: list[str | None]) -> Iterator[bytes]:
    for line, path in zip(listed.lines(), paths, strict=True):
        yield b'{"path":' + json.dumps(path, ensure_ascii=False).encode() + b"," + line[1:]
