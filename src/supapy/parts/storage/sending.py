"""Putting an object's saved bytes into a target, unless it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from supapy.errors import ApiError
from supapy.model import Json, Problem, Progress
from supapy.parts.base import Source
from supapy.parts.storage.files import PART, about_one_object, metadata_of
from supapy.parts.storage.sent import Begun
from supapy.project.project import Project
from supapy.project.storage_api import TUS_PIECE_BYTES, in_seconds, unsaid


async def has_bytes(backup: Source, project: Project, path: str, bucket: str, key: str, etag: str, size: str) -> bool:
    """Whether the target's object, of which the server says eTag and size, has the very bytes saved at `path`: a
    restore that was killed needn't send them again.

    They are read and compared: an eTag is no proof, and reading costs the target less than writing.
    """
    if size != str(backup.size(path)):
        return False
    try:
        return await project.storage.sha256(bucket, key, etag) == backup.sha256(path)
    except ApiError as error:
        if not about_one_object(error):
            raise
        return False


async def send(
    backup: Source,
    project: Project,
    bucket: str,
    row: Json,
    progress: Progress,
    begun: Begun,
    *,
    user_metadata: str | None = None,
    robots: str | None = None,
) -> Problem | None:
    """Upload the bytes of a saved row into a bucket, over what stands there, with the type and the cache control that
    its metadata name. Gives the problem when the server refuses, or can't be told all of it. A large upload that
    was begun before is gone on with."""
    metadata = metadata_of(row)
    key, path = row["name"], row["path"]
    size = backup.size(path)
    cache_control = _header(metadata.get("cacheControl"), "no-cache")
    mimetype = _header(metadata.get("mimetype"), "application/octet-stream")
    this = (backup.sha256(path), bucket, key, mimetype)
    try:
        await project.storage.upload(
            bucket,
            key,
            _reader(backup, path, progress),
            size,
            mimetype=mimetype,
            cache_control=cache_control,
            user_metadata=user_metadata,
            robots=robots,
            begun=begun.address(*this),
            note_begun=partial(begun.note, *this),
        )
    except ApiError as error:
        if not about_one_object(error):
            raise
        return Problem(PART, f"{bucket}/{key}", f"the server didn't take it: {error.message}")
    lacking = unsaid(size, cache_control, user_metadata, robots)
    if size > TUS_PIECE_BYTES and not in_seconds(cache_control):
        others = unsaid(size, "no-cache", user_metadata, robots)
        short = user_metadata if not unsaid(size, "no-cache", user_metadata) else None
        if await _said_later(project, bucket, key, cache_control, mimetype, short):
            lacking = others
    if lacking:
        reason = f"an upload of {size:,} bytes can't say all of it, so it is served without: {', '.join(lacking)}"
        return Problem(PART, f"{bucket}/{key}", reason)
    return None


async def _said_later(
    project: Project, bucket: str, key: str, cache_control: str, mimetype: str, user_metadata: str | None
) -> bool:
    """Whether the server could be told the cache control once the object was there. It copies nothing above 5 GB."""
    try:
        await project.storage.say_cache_control(bucket, key, cache_control, mimetype, user_metadata)
    except ApiError as error:
        if not about_one_object(error):
            raise
        return False
    return True


def _reader(backup: Source, path: str, progress: Progress) -> Callable[[int, int | None], Iterator[bytes]]:
    furthest = 0

    def read(start: int, end: int | None) -> Iterator[bytes]:
        # What is read again, or was sent by an earlier run, counts once all the same.
        nonlocal furthest
        at = start
        for piece in backup.read(path, start, end):
            at += len(piece)
            if at > furthest:
                progress(at - furthest)
                furthest = at
            yield piece

    return read


def _header(value: object, otherwise: str) -> str:
    """A value as it may stand in a header. The row gets the true one afterwards, whatever it is."""
    plain = isinstance(value, str) and value.isascii() and value.isprintable() and value.strip()
    # A body of that type would be taken for a form (traps, storage API 10).
    return str(value) if plain and not str(value).startswith("multipart/") else otherwise
