"""Uploads in one request (F§1.6)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from aiohttp import BodyPartReader, web
from psycopg.types.json import Jsonb

from supapy.sandbox.api import refusals, rules
from supapy.sandbox.api.call import PIECE_BYTES, Call
from supapy.sandbox.api.database import STORAGE_SERVER
from supapy.sandbox.api.files import Stored, Writer, now_text
from supapy.sandbox.api.storage_buckets import as_uuid, upload_limits

_DEFAULT_MIME = "application/octet-stream"
_DEFAULT_CACHE = "no-cache"

_PREVIOUS = "with old as (select version from storage.objects where bucket_id = %(bucket)s and name = %(name)s)"
_INSERT = """
    insert into storage.objects (bucket_id, name, owner, owner_id, metadata, user_metadata, version)
    values (%(bucket)s, %(name)s, %(owner)s, %(owner_id)s, %(metadata)s, %(user_metadata)s, %(version)s)
"""
# Id, times and owner of a row that is there stay (F§1.6), but for an owner that the token names; so do the user's
# metadata when a resumable upload brings none.
_UPSERT = f"""
    {_INSERT} on conflict (name, bucket_id) do update set
      metadata = excluded.metadata, version = excluded.version,
      user_metadata = coalesce(excluded.user_metadata, objects.user_metadata),
      owner = coalesce(excluded.owner, objects.owner), owner_id = coalesce(excluded.owner_id, objects.owner_id)
"""


@dataclass(frozen=True, slots=True)
class _Incoming:
    """What a request brings: its bytes and what it says of them."""

    pieces: AsyncGenerator[bytes, None]
    mimetype: str
    cache_control: str
    user_metadata: Any
    declared_bytes: int | None


async def create(call: Call) -> web.Response:
    """POST /object/:bucket/*: a new object, or with `x-upsert: true` also a new version."""
    return await _upload(call, upsert=call.header("x-upsert") == "true", owner=call.identity.subject or None)


async def replace(call: Call) -> web.Response:
    """PUT /object/:bucket/*: always an upsert."""
    return await _upload(call, upsert=True, owner=call.identity.subject or None)


async def receive(call: Call, *, upsert: bool, owner: str | None) -> str:
    """Takes the body in as an object and returns the object's id."""
    rules.check_bucket(call.bucket)
    async with call.services.database.session(STORAGE_SERVER) as session:
        limit, mimes = await upload_limits(session, call.bucket)
    incoming = await _incoming(call)
    most = rules.largest_body(call.key, limit)
    if mimes and not rules.is_placeholder(call.key):
        rules.check_mime(incoming.mimetype, mimes)
    if not _is_form(call) and (incoming.declared_bytes or 0) > most:
        raise refusals.too_large()
    rules.check_key(call.key)
    declared = {"mimetype": incoming.mimetype, "contentLength": incoming.declared_bytes}
    await check_permission(call, upsert=upsert, owner=owner, metadata=declared, user_metadata=incoming.user_metadata)
    version = str(uuid4())
    path = call.services.files.path(call.bucket, call.key, version)
    try:
        with Writer(path) as writer:
            async with aclosing(incoming.pieces) as pieces:
                async for piece in pieces:
                    writer.write(piece)
                    # Only a form's file is measured as it comes in; a body of unknown length has no limit (F§1.6).
                    if _is_form(call) and writer.position > most:
                        raise refusals.too_large()
        etag = f'"{writer.digest()}"'
        stored = Stored(writer.position, etag, incoming.mimetype, incoming.cache_control, now_text())
        call.services.files.describe(path, stored)
        said = incoming.user_metadata if isinstance(incoming.user_metadata, dict) else {}
        return await complete(call, version, owner, _row_metadata(call, stored), said)
    except BaseException:
        call.services.files.remove(path)
        raise


async def check_permission(
    call: Call, *, upsert: bool, owner: str | None, metadata: dict[str, Any], user_metadata: Any
) -> None:
    """Whether the caller's role may write this row: by writing it, and taking that back."""
    if isinstance(user_metadata, list | str) and user_metadata:
        raise refusals.invalid_parameter("invalid input syntax for type json")
    parameters = _parameters(call, "1", owner, metadata, user_metadata)
    async with call.services.database.session(call.identity) as session:
        try:
            async with session.transaction(keep=False):
                await session.run(_UPSERT if upsert else _INSERT, parameters)
        except psycopg.errors.UniqueViolation as error:
            raise refusals.already_exists("KeyAlreadyExists") from error


async def complete(
    call: Call, version: str, owner: str | None, metadata: dict[str, Any], user_metadata: dict[str, Any] | None
) -> str:
    """Writes the row for bytes that are in, forgets the bytes of the version before, and returns the row's id."""
    query = f"{_PREVIOUS} {_UPSERT} returning id::text, (select version from old) as old_version"
    async with call.services.database.session(STORAGE_SERVER) as session:
        row = await session.row(query, _parameters(call, version, owner, metadata, user_metadata))
    if row is None:
        raise refusals.internal()
    if row["old_version"] not in (None, version):
        call.services.files.remove(call.services.files.path(call.bucket, call.key, row["old_version"]))
    return str(row["id"])


def decoded_metadata(header: str | None) -> Any:
    """The header `x-metadata`: JSON in base64. What can't be read counts as nothing (measured-traps, storage 9)."""
    try:
        return json.loads(base64.b64decode(header + "=" * (-len(header) % 4))) if header else None
    except (ValueError, binascii.Error):
        return None


async def _upload(call: Call, *, upsert: bool, owner: str | None) -> web.Response:
    object_id = await receive(call, upsert=upsert, owner=owner)
    return web.json_response({"Id": object_id, "Key": f"{call.bucket}/{call.key}"})


def _parameters(
    call: Call, version: str, owner: str | None, metadata: dict[str, Any], user_metadata: Any
) -> dict[str, object]:
    return {
        "bucket": call.bucket,
        "name": call.key,
        "owner": as_uuid(owner),
        "owner_id": owner,
        "metadata": Jsonb(metadata),
        "user_metadata": None if user_metadata is None else Jsonb(user_metadata),
        "version": version,
    }


def _row_metadata(call: Call, stored: Stored) -> dict[str, Any]:
    robots = call.header("x-robots-tag")
    return {**stored.metadata(), "xRobotsTag": robots} if robots else stored.metadata()


def _is_form(call: Call) -> bool:
    return (call.header("Content-Type") or "").startswith("multipart/form-data")


async def _incoming(call: Call) -> _Incoming:
    if _is_form(call):
        return await _from_form(call)
    mimetype = call.header("Content-Type") or _DEFAULT_MIME
    rules.check_content_type(mimetype)
    return _Incoming(
        call.pieces(),
        mimetype,
        call.header("Cache-Control") or _DEFAULT_CACHE,
        decoded_metadata(call.header("x-metadata")),
        call.request.content_length,
    )


async def _from_form(call: Call) -> _Incoming:
    """The first file of a form, with the fields that came before it."""
    fields: dict[str, str] = {}
    try:
        await call.welcome_body()
        reader = await call.request.multipart()
        while isinstance(part := await reader.next(), BodyPartReader):
            if part.filename is not None:
                break
            fields[part.name or ""] = await _field(part)
        else:
            raise refusals.invalid_request("No content provided")
    except ValueError as error:
        raise refusals.invalid_request("Unexpected end of multipart data") from error
    text = fields.get("metadata", fields.get("userMetadata"))
    try:
        user_metadata = json.loads(text) if text is not None else None
    except ValueError:
        user_metadata = None
    cache = fields.get("cacheControl")
    return _Incoming(
        _part_pieces(part),
        fields.get("contentType") or part.headers.get("Content-Type") or _DEFAULT_MIME,
        f"max-age={cache}" if cache else _DEFAULT_CACHE,
        user_metadata,
        call.request.content_length,
    )


async def _field(part: BodyPartReader) -> str:
    data = b""
    while piece := await part.read_chunk(PIECE_BYTES):
        data += piece[: rules.FIELD_LIMIT_BYTES - len(data)]
    return data.decode("utf-8", "replace")


async def _part_pieces(part: BodyPartReader) -> AsyncGenerator[bytes, None]:
    while piece := await part.read_chunk(PIECE_BYTES):
        yield piece
