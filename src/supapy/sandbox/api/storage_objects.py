"""Objects that are there already: moving, copying, deleting (F§1.8)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web
from psycopg.types.json import Jsonb

from supapy.sandbox.api import refusals, rules, schema
from supapy.sandbox.api.call import Call
from supapy.sandbox.api.database import OBJECT_TIMES, STORAGE_SERVER
from supapy.sandbox.api.files import Stored, now_text
from supapy.sandbox.api.storage_upload import check_permission, complete, decoded_metadata

_MOST_AT_ONCE = 1000
_ROW = f"""
    name, bucket_id, coalesce(owner::text, '') as owner, coalesce(owner_id, '') as owner_id,
    coalesce(version, '') as version, id::text, {OBJECT_TIMES}, metadata, user_metadata
"""
_FIND = "from storage.objects where bucket_id = %s and name = %s"


async def delete(call: Call) -> web.Response:
    """DELETE /object/:bucket/*: one object."""
    if call.header("Content-Type") == "application/json" and not call.request.can_read_body:
        raise refusals.bad_json("Body cannot be empty when")
    rules.check_bucket(call.bucket)
    where = (call.bucket, call.key)
    async with call.services.database.session(STORAGE_SERVER) as session:
        row = await session.row(f"select version {_FIND}", where)
    if row is None:
        raise refusals.no_such_key()
    async with call.services.database.session(call.identity) as session:
        if not await session.run(f"delete {_FIND}", where):
            raise refusals.access_denied("Access denied")
    call.services.files.remove(call.services.files.path(*where, row["version"]))
    return web.json_response({"message": "Successfully deleted"})


async def delete_many(call: Call) -> web.Response:
    """DELETE /object/:bucket: exact keys, though they are called prefixes; unknown ones are silently absent."""
    names = schema.take_texts(await call.json(), "prefixes", needed=True) or []
    if not names:
        raise refusals.bad_schema("body/prefixes must NOT have fewer than 1 items")
    if len(names) > _MOST_AT_ONCE:
        message = f"Bulk object requests are limited to {_MOST_AT_ONCE} objects per request."
        raise refusals.invalid_request(message)
    rules.check_bucket(call.bucket)
    query = f"delete from storage.objects where bucket_id = %s and name = any(%s) returning {_ROW}"
    async with call.services.database.session(call.identity) as session:
        rows = await session.rows(query, (call.bucket, names))
    for row in rows:
        call.services.files.remove(call.services.files.path(call.bucket, row["name"], row["version"] or None))
    return web.json_response(rows)


async def move(call: Call) -> web.Response:
    """POST /object/move: the row keeps its id, the bytes get a new version."""
    source, target = _two_ends(await call.json())
    rules.check_key(target[1])
    version = str(uuid4())
    change = "update storage.objects set bucket_id = %s, name = %s, version = %s where bucket_id = %s and name = %s"
    changed = (*target, version, *source)
    async with call.services.database.session(call.identity) as session:
        row = await session.row(f"select version, metadata {_FIND}", source)
        if row is None:
            raise refusals.no_such_key()
        async with session.transaction(keep=False):
            await session.run(change, changed)
    if source != target:
        files = call.services.files
        old, new = files.path(*source, row["version"]), files.path(*target, version)
        stored = await _copy_bytes(call, old, new, {})
        async with call.services.database.session(STORAGE_SERVER) as session, session.transaction():
            await session.run(change, changed)
            await session.run(
                "update storage.objects set metadata = %s where bucket_id = %s and name = %s",
                (Jsonb(stored.metadata()), *target),
            )
        files.remove(old)
    return web.json_response({"message": "Successfully moved"})


async def copy(call: Call) -> web.Response:
    """POST /object/copy: a new row with the source's bytes."""
    body = await call.json()
    source, target = _two_ends(body)
    whole = schema.take(body, "copyMetadata", bool) is not False
    wanted: dict[str, Any] = schema.take(body, "metadata", dict) or {}
    rules.check_key(target[1])
    async with call.services.database.session(call.identity) as session:
        row = await session.row(f"select version, metadata, user_metadata {_FIND}", source)
    if row is None:
        raise refusals.no_such_key()
    changes: dict[str, str] = (
        {} if whole else {name: wanted[name] for name in ("cacheControl", "mimetype") if name in wanted}
    )
    metadata = {**(row["metadata"] or {}), **changes}
    user_metadata = row["user_metadata"] if whole else decoded_metadata(call.header("x-metadata"))
    owner = call.identity.subject or None
    call.bucket, call.key = target
    await check_permission(
        call,
        upsert=call.header("x-upsert") == "true",
        owner=owner,
        metadata=metadata,
        user_metadata=user_metadata,
    )
    version = str(uuid4())
    files = call.services.files
    stored = await _copy_bytes(call, files.path(*source, row["version"]), files.path(*target, version), changes)
    metadata |= {"lastModified": stored.modified, "eTag": stored.etag}
    object_id = await complete(call, version, owner, metadata, user_metadata)
    async with call.services.database.session(STORAGE_SERVER) as session:
        copied = await session.row(f"select {_ROW} {_FIND}", target) or {}
    return web.json_response({"Id": object_id, "Key": f"{target[0]}/{target[1]}", **copied})


def _two_ends(body: dict[str, Any]) -> tuple[tuple[str, str], tuple[str, str]]:
    bucket: str = schema.take(body, "bucketId", str, needed=True)
    source: str = schema.take(body, "sourceKey", str, needed=True)
    target: str = schema.take(body, "destinationKey", str, needed=True)
    target_bucket: str = schema.take(body, "destinationBucket", str) or bucket
    rules.check_bucket(bucket)
    return (bucket, source), (target_bucket, target)


async def _copy_bytes(call: Call, source: Path, target: Path, changes: dict[str, str]) -> Stored:
    files = call.services.files
    old = files.described(source)
    await asyncio.to_thread(files.copy, source, target)
    stored = Stored(
        old.size,
        old.etag,
        changes.get("mimetype", old.mimetype),
        changes.get("cacheControl", old.cache_control),
        now_text(),
    )
    files.describe(target, stored)
    return stored
