"""Signed URLs: links that carry their own permission (F§1.8)."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from supapy.sandbox.api import refusals, rules, schema, tokens
from supapy.sandbox.api.call import Answer, Call
from supapy.sandbox.api.storage_download import find_as_server, serve
from supapy.sandbox.api.storage_upload import check_permission, decoded_metadata, receive

# Hosted projects' setting.
_UPLOAD_SECONDS = 2 * 60 * 60
_MOST_AT_ONCE = 1000
# The last time that the real server's numbers hold to the millisecond.
_LAST_SECOND = (2**53 - 1) // 1000
_RESERVED = re.compile(r"%(?=3B|2F|3F|3A|40|26|3D|2B|24|2C|23)", re.IGNORECASE)
_VISIBLE = "select name from storage.objects where bucket_id = %s and name = any(%s)"


async def sign(call: Call) -> web.Response:
    """POST /object/sign/:bucket/*: a link to one object."""
    seconds = _seconds(await call.json())
    rules.check_bucket(call.bucket)
    rules.check_key(call.key)
    async with call.services.database.session(call.identity) as session:
        if not await session.rows(_VISIBLE, (call.bucket, [call.key])):
            raise refusals.no_such_key()
    raw_path = call.request.raw_path.partition("?")[0]
    url = _decode_uri(raw_path.partition("/object/sign/")[2])
    return web.json_response({"signedURL": _link(call, url, seconds)})


async def sign_many(call: Call) -> web.Response:
    """POST /object/sign/:bucket: links to many; each has its own error."""
    body = await call.json()
    seconds = _seconds(body)
    paths = schema.take_texts(body, "paths", needed=True) or []
    if not paths:
        raise refusals.bad_schema("body/paths must NOT have fewer than 1 items")
    if len(paths) > _MOST_AT_ONCE:
        raise refusals.bad_schema(f"body/paths must NOT have more than {_MOST_AT_ONCE} items")
    rules.check_bucket(call.bucket)
    async with call.services.database.session(call.identity) as session:
        found = {row["name"] for row in await session.rows(_VISIBLE, (call.bucket, paths))}
    missing = "Either the object does not exist or you do not have access to it"
    return web.json_response(
        [
            {"error": None, "path": path, "signedURL": _link(call, f"{call.bucket}/{path}", seconds)}
            if path in found
            else {"error": missing, "path": path, "signedURL": None}
            for path in paths
        ]
    )


async def get_signed(call: Call) -> Answer:
    """GET /object/sign/:bucket/*?token=: the token must name this very object."""
    claims = _verified(call, "download")
    return serve(call, await find_as_server(call), datetime.fromtimestamp(claims["exp"], UTC))


async def sign_upload(call: Call) -> web.Response:
    """POST /object/upload/sign/:bucket/*: a link by which one object may be uploaded."""
    rules.check_bucket(call.bucket)
    upsert = call.header("x-upsert") == "true"
    owner = call.identity.subject or None
    metadata = {"mimetype": call.header("Content-Type"), "contentLength": call.request.content_length}
    user_metadata = decoded_metadata(call.header("x-metadata"))
    await check_permission(call, upsert=upsert, owner=owner, metadata=metadata, user_metadata=user_metadata)
    url = f"{call.bucket}/{call.key}"
    claims = {"url": url, "upsert": upsert, "scope": "upload"} | ({"owner": owner} if owner else {})
    token = _token(call, claims, _UPLOAD_SECONDS)
    return web.json_response({"url": f"/object/upload/sign/{url}?token={token}", "token": token})


async def upload_signed(call: Call) -> web.Response:
    """PUT /object/upload/sign/:bucket/*?token=."""
    claims = _verified(call, "upload")
    await receive(call, upsert=bool(claims.get("upsert")), owner=claims.get("owner"))
    return web.json_response({"Key": f"{call.bucket}/{call.key}"})


def _seconds(body: dict[str, Any]) -> int:
    seconds = schema.take_number(body, "expiresIn", 1)
    if seconds is None:
        raise refusals.bad_schema("body must have required property 'expiresIn'")
    if time.time() + seconds > _LAST_SECOND:
        raise refusals.invalid_parameter("Invalid Parameter expiresIn")
    return seconds


def _link(call: Call, url: str, seconds: int) -> str:
    return f"/object/sign/{url}?token={_token(call, {'url': url, 'scope': 'download'}, seconds)}"


def _token(call: Call, claims: dict[str, Any], seconds: int) -> str:
    now = int(time.time())
    return tokens.sign({**claims, "iat": now, "exp": now + seconds}, call.services.jwt_secret)


def _verified(call: Call, scope: str) -> dict[str, Any]:
    token = schema.query_text(call.query, "token")
    rules.check_bucket(call.bucket)
    try:
        claims = tokens.verify(token, call.services.jwt_secret)
    except tokens.BadToken as error:
        raise refusals.invalid_token(str(error)) from error
    if claims.get("scope", "upload" if "upsert" in claims else "download") != scope:
        raise refusals.invalid_signature(f"Token is not scoped for {scope}")
    if claims.get("url") != f"{call.bucket}/{call.key}" or "exp" not in claims:
        raise refusals.invalid_signature()
    return claims


def _decode_uri(path: str) -> str:
    """What the real server does to the path it signs: reserved letters stay encoded, so a key with a `?` won't fit."""
    return unquote(_RESERVED.sub("%25", path))
