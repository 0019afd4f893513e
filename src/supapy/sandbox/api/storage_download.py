"""Downloads, HEAD and info (F§1.5)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from supapy.sandbox.api import refusals, rules
from supapy.sandbox.api.call import Answer, Call, Download
from supapy.sandbox.api.database import STORAGE_SERVER, shown_time
from supapy.sandbox.api.files import Stored

# One query: the bucket whether or not the object is there.
_FIND = """
    select b.public, o.id, o.version, o.metadata ->> 'xRobotsTag' as robots
    from storage.buckets b left join storage.objects o on o.bucket_id = b.id and o.name = %s where b.id = %s
"""
_FIND_INFO = f"""
    select b.public, o.id::text, o.name, o.version, o.bucket_id, o.metadata, o.user_metadata,
           {shown_time("o.updated_at")} as updated_at, {shown_time("o.created_at")} as created_at
    from storage.buckets b left join storage.objects o on o.bucket_id = b.id and o.name = %s where b.id = %s
"""
_VISIBLE = "select 1 from storage.objects where bucket_id = %s and name = %s"


async def get(call: Call) -> Answer:
    """GET /object/:bucket/* and /object/authenticated/:bucket/*."""
    return serve(call, await _find(call, _FIND))


async def get_public(call: Call) -> Answer:
    """GET /object/public/:bucket/*: a bucket that isn't public is as good as none."""
    return serve(call, await _find(call, _FIND, public_only=True))


async def head(call: Call) -> web.Response:
    """HEAD: answered from the row, also when the bytes are gone."""
    return _head(call, await _find(call, _FIND_INFO))


async def head_public(call: Call) -> web.Response:
    """HEAD /object/public/:bucket/*."""
    return _head(call, await _find(call, _FIND_INFO, public_only=True))


async def info(call: Call) -> web.Response:
    """GET /object/info/:bucket/* and /object/info/authenticated/:bucket/*."""
    return _info(await _find(call, _FIND_INFO))


async def info_public(call: Call) -> web.Response:
    """GET /object/info/public/:bucket/*."""
    return _info(await _find(call, _FIND_INFO, public_only=True))


def _info(row: dict[str, Any]) -> web.Response:
    """Answered from the row, also when the bytes are gone; its `metadata` is what users wrote."""
    metadata = row["metadata"] or {}
    body = {
        "id": row["id"],
        "name": row["name"],
        "version": row["version"],
        "bucket_id": row["bucket_id"],
        "size": metadata.get("size"),
        "content_type": metadata.get("mimetype"),
        "cache_control": metadata.get("cacheControl"),
        "etag": metadata.get("eTag"),
        "metadata": row["user_metadata"],
        "last_modified": row["updated_at"],
        "created_at": row["created_at"],
    }
    headers = {"ETag": metadata.get("eTag"), "Cache-Control": metadata.get("cacheControl")}
    return web.json_response(body, headers={name: value for name, value in headers.items() if value})


async def find_as_server(call: Call) -> dict[str, Any]:
    """The row for a signed URL: the token is the permission."""
    async with call.services.database.session(STORAGE_SERVER) as session:
        row = await session.row(_FIND, (call.key, call.bucket))
    if row is None or row["id"] is None:
        raise refusals.no_such_key()
    return row


def serve(call: Call, row: dict[str, Any], expires: datetime | None = None) -> Answer:
    """The bytes of a row, whole or in part; 304 where the client has them; 500 where there are none."""
    path = call.services.files.path(call.bucket, call.key, row["version"])
    try:
        stored = call.services.files.described(path)
    except FileNotFoundError:
        return refusals.internal().response()
    headers = _headers(stored.mimetype, stored.etag, row["robots"])
    headers["Last-Modified"] = _http_time(stored.modified)
    if expires:
        headers["Expires"] = format_datetime(expires, usegmt=True)
    else:
        headers["Cache-Control"] = _cache_control(call, stored.cache_control, stored.etag, "stale-while-revalidate=30")
    if (name := call.query.get("download")) is not None:
        safe = quote(name, safe="!'()*-._~")
        headers["Content-Disposition"] = (
            f"attachment; filename={safe}; filename*=UTF-8''{safe}" if name else "attachment;"
        )
    if _unchanged(call, stored):
        return web.Response(status=304, headers=headers)
    wanted = call.header("Range")
    if wanted is None:
        return Download(path, 0, stored.size, 200, headers)
    start, length = rules.byte_range(wanted, stored.size)
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{stored.size}"
    return Download(path, start, length, 206, headers)


async def _find(call: Call, query: str, *, public_only: bool = False) -> dict[str, Any]:
    """The row, if the caller may read it. A missing bucket and a hidden one look the same."""
    database = call.services.database
    async with database.session(STORAGE_SERVER) as session:
        row = await session.row(query, (call.key, call.bucket))
    if row is None or not (row["public"] or (call.authenticated and not public_only)):
        raise refusals.no_such_bucket()
    rules.check_key(call.key)
    if row["id"] is None:
        raise refusals.no_such_key()
    if not row["public"] and not call.is_service:
        async with database.session(call.identity) as session:
            if not await session.row(_VISIBLE, (call.bucket, call.key)):
                raise refusals.no_such_key()
    return row


def _head(call: Call, row: dict[str, Any]) -> web.Response:
    metadata = row["metadata"] or {}
    headers = _headers(metadata.get("mimetype"), metadata.get("eTag"), metadata.get("xRobotsTag"))
    if isinstance(length := metadata.get("contentLength"), int):
        headers["Content-Length"] = str(length)
    if isinstance(modified := metadata.get("lastModified"), str):
        headers["Last-Modified"] = _http_time(modified)
    if isinstance(cache := metadata.get("cacheControl"), str) and cache:
        headers["Cache-Control"] = _cache_control(call, cache, metadata.get("eTag"), "must-revalidate")
    return web.Response(status=200, headers=headers)


def _headers(mimetype: str | None, etag: str | None, robots: str | None) -> dict[str, str]:
    headers = {"Accept-Ranges": "bytes", "X-Robots-Tag": robots or "none"}
    if mimetype:
        # A guard against scripts: no page is ever served as one.
        headers["Content-Type"] = "text/plain" if "text/html" in mimetype else mimetype
    if etag:
        headers["ETag"] = etag
    return headers


def _cache_control(call: Call, value: str, etag: str | None, addition: str) -> str:
    """A client that asks with another version's eTag gets an addition, so the header isn't what was stored (F§1.5)."""
    known = call.header("If-None-Match")
    return f"{value}, {addition}" if known and known != etag else value


def _unchanged(call: Call, stored: Stored) -> bool:
    if call.header("If-None-Match") == stored.etag:
        return True
    since = call.header("If-Modified-Since")
    try:
        return since is not None and _time(stored.modified).replace(microsecond=0) <= parsedate_to_datetime(since)
    except ValueError:
        return False


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _http_time(text: str) -> str:
    return format_datetime(_time(text).astimezone(UTC), usegmt=True)
