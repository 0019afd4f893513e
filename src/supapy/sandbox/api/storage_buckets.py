"""The bucket routes (F§1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg
from aiohttp import web

from supapy.sandbox.api import refusals, rules, schema
from supapy.sandbox.api.call import Call
from supapy.sandbox.api.database import STORAGE_SERVER, Session, shown_time

_COLUMNS = ", ".join(
    (
        "id, name, coalesce(owner::text, '') as owner, public",
        "file_size_limit, allowed_mime_types",
        *(f"{shown_time(column)} as {column}" for column in ("created_at", "updated_at")),
    )
)
_ORDERS = ("asc", "desc")
_SORTS = ("id", "name", "created_at", "updated_at")
# Python clients before these versions fail on a bucket with a `type` (F§1.2).
_OLD_CLIENTS = (
    ("x-client-info", re.compile(r"supabase-py/(\d+)\.(\d+)\.(\d+)", re.IGNORECASE), (2, 18, 0)),
    ("user-agent", re.compile(r"supabase-py/storage3 v(\d+)\.(\d+)\.(\d+)", re.IGNORECASE), (0, 12, 1)),
)


async def list_all(call: Call) -> web.Response:
    """GET /bucket: all that the caller's role may see; there is no default limit."""
    limit = schema.query_number(call.query, "limit", 1)
    offset = schema.query_number(call.query, "offset", 0)
    sort = schema.take_choice(call.query, "sortColumn", _SORTS, "querystring")
    order = schema.take_choice(call.query, "sortOrder", _ORDERS, "querystring") or "asc"
    kind = "" if _is_old_client(call) else ", type"
    query = (
        f"select {_COLUMNS}{kind} from storage.buckets where name ilike %s"
        + (f" order by buckets.{sort} {order}" if sort else "")
        + " limit %s offset %s"
    )
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", call.query.get("search", "")) + "%"
    async with call.services.database.session(call.identity) as session:
        return web.json_response(await session.rows(query, (pattern, limit, offset)))


async def get(call: Call) -> web.Response:
    """GET /bucket/:id: one, without its `type`."""
    async with call.services.database.session(call.identity) as session:
        row = await session.row(f"select {_COLUMNS} from storage.buckets where id = %s", (call.bucket,))
    if row is None:
        raise refusals.no_such_bucket()
    return web.json_response(row)


async def create(call: Call) -> web.Response:
    """POST /bucket: unknown properties are ignored."""
    body = await call.json()
    name: str = schema.take(body, "name", str, needed=True)
    bucket: str = schema.take(body, "id", str) or name
    public: bool = schema.take(body, "public", bool) or False
    kind = schema.take_choice(body, "type", ("STANDARD", "ANALYTICS"))
    limits = _limits(body)
    rules.check_new_bucket(name)
    if kind == "ANALYTICS":
        message = "The feature Iceberg buckets are not enabled for this tenant is not enabled for this resource"
        raise refusals.StorageRefusal(409, "FeatureNotEnabled", message, "FeatureNotEnabled")
    owner = call.identity.subject or None
    columns = {"id": bucket, "name": name, "public": public, "owner": as_uuid(owner), "owner_id": owner, **limits}
    query = f"insert into storage.buckets ({', '.join(columns)}) values ({', '.join(['%s'] * len(columns))})"
    async with call.services.database.session(call.identity) as session:
        try:
            await session.run(query, list(columns.values()))
        except psycopg.errors.UniqueViolation as error:
            raise refusals.already_exists("BucketAlreadyExists") from error
    return web.json_response({"name": name})


async def update(call: Call) -> web.Response:
    """PUT /bucket/:id: what isn't named stays as it is, null clears a limit, `updated_at` doesn't move."""
    body = await call.json()
    if not body.keys() & {"public", "file_size_limit", "allowed_mime_types"}:
        needed = ("public", "file_size_limit", "allowed_mime_types")
        missing = ", ".join(f"body must have required property '{name}'" for name in needed)
        raise refusals.bad_schema(f"{missing}, body must match a schema in anyOf")
    columns = _limits(body)
    if "public" in body:
        columns["public"] = schema.take(body, "public", bool)
    rules.check_bucket(call.bucket)
    sets = ", ".join(f"{column} = %s" for column in columns)
    async with call.services.database.session(call.identity) as session:
        if not await session.run(f"update storage.buckets set {sets} where id = %s", [*columns.values(), call.bucket]):
            raise refusals.no_such_bucket()
    return web.json_response({"message": "Successfully updated"})


async def delete(call: Call) -> web.Response:
    """DELETE /bucket/:id: an empty one only."""
    database = call.services.database
    async with database.session(STORAGE_SERVER) as session:
        if not await session.row("select 1 from storage.buckets where id = %s", (call.bucket,)):
            raise refusals.no_such_bucket()
        if await session.row("select 1 from storage.objects where bucket_id = %s limit 1", (call.bucket,)):
            raise refusals.bucket_not_empty()
    async with database.session(call.identity) as session:
        if not await session.run("delete from storage.buckets where id = %s", (call.bucket,)):
            raise refusals.no_such_bucket()
    return web.json_response({"message": "Successfully deleted"})


async def empty(call: Call) -> web.Response:
    """POST /bucket/:id/empty: the real server queues it, here it is done when the answer comes."""
    query = "delete from storage.objects where bucket_id = %s returning name, version"
    files = call.services.files
    async with call.services.database.session(STORAGE_SERVER) as session:
        if not await session.row("select 1 from storage.buckets where id = %s", (call.bucket,)):
            raise refusals.no_such_bucket()
        for row in await session.rows(query, (call.bucket,)):
            files.remove(files.path(call.bucket, row["name"], row["version"]))
    return web.json_response({"message": "Empty bucket has been queued. Completion may take up to an hour."})


async def upload_limits(session: Session, bucket: str) -> tuple[int | None, list[str] | None]:
    """A bucket's size limit and list of types. Refuses a bucket that isn't there."""
    row = await session.row("select file_size_limit, allowed_mime_types from storage.buckets where id = %s", (bucket,))
    if row is None:
        raise refusals.no_such_bucket()
    return row["file_size_limit"], row["allowed_mime_types"]


def as_uuid(text: str | None) -> UUID | None:
    """The old column `owner` takes a token's subject only where it is a UUID (F§1.9)."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _limits(body: Mapping[str, Any]) -> dict[str, Any]:
    """The two limits among a body's properties, as columns."""
    columns: dict[str, Any] = {}
    if "file_size_limit" in body:
        limit = body["file_size_limit"]
        if isinstance(limit, str) and limit.isdecimal():
            limit = int(limit)
        if not isinstance(limit, int | str | None) or (isinstance(limit, int) and limit < 0):
            raise refusals.bad_schema("body/file_size_limit must match a schema in anyOf")
        columns["file_size_limit"] = None if limit is None else rules.size_limit_bytes(limit)
    if "allowed_mime_types" in body:
        mimes = schema.take_texts(body, "allowed_mime_types", nullable=True)
        if mimes is not None:
            mimes = [mime for mime in mimes if mime]
            rules.check_mime_list(mimes)
        columns["allowed_mime_types"] = mimes
    return columns


def _is_old_client(call: Call) -> bool:
    for header, pattern, since in _OLD_CLIENTS:
        match = pattern.search(call.header(header) or "")
        if match and tuple(map(int, match.groups())) < since:
            return True
    return False
