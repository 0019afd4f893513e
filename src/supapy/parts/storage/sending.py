"""Putting an object's saved bytes into a target, unless it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from supapy.errors import ApiError
from supapy.model import Json, Problem, Progress
from supapy.parts.base import Source
from supapy.parts.storage.files import PART, about_one_object, metadata_of
from supapy.parts.storage.sent import Begun
from supapy.project.project import Project
from supapy.project.saying import TUS_PIECE_BYTES, Said


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
    mimetype = _header(metadata.get("mimetype"), "application/octet-stream")
    said = Said(mimetype, _header(metadata.get("cacheControl"), "no-cache"), user_metadata, robots)
    this = (backup.sha256(path), bucket, key, mimetype)
    try:
        await project.storage.upload(
            bucket,
            key,
            _reader(backup, path, progress),
            size,
            said,
            begun=begun.address(*this),
            note_begun=partial(begun.note, *this),
        )
    except ApiError as error:
        if not about_one_object(error):
            raise
        return Problem(PART, f"{bucket}/{key}", f"the server didn't take it: {error.message}")
    lacking, others = said.unsaid(size), said.usual_cache_control.unsaid(size)
    # It is there by now, so that its cache control can be said in another way.
    if size > TUS_PIECE_BYTES and lacking != others and await _said_later(project, bucket, key, said):
        lacking = others
    if lacking:
        reason = f"an upload of {size:,} bytes can't say all of it, so it is served without: {', '.join(lacking)}"
        return Problem(PART, f"{bucket}/{key}", reason)
    return None


async def _said_later(project: Project, bucket: str, key: str, said: Said) -> bool:
    """Whether the server could be told the cache control once the object was there. It copies nothing above 5 GB."""
    try:
        short = replace(said, user_metadata=None) if said.has_long_metadata else said
        await project.storage.say_cache_control(bucket, key, short)
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
