"""Resumable uploads by TUS 1.0 (F§1.7). The bytes go where the object's will be; the row comes with the last one."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from aiohttp import web

from supapy.sandbox.api import rules
from supapy.sandbox.api.call import Call
from supapy.sandbox.api.database import STORAGE_SERVER
from supapy.sandbox.api.files import Stored, Writer, multipart_etag, now_text
from supapy.sandbox.api.refusals import StorageRefusal, TusRefusal
from supapy.sandbox.api.storage_buckets import upload_limits
from supapy.sandbox.api.storage_upload import check_permission, complete

VERSION = "1.0.0"
_EXTENSIONS = "creation,creation-with-upload,creation-defer-length,termination,expiration"
_BODY_TYPE = "application/offset+octet-stream"
_NUMBER = re.compile(r"0|[1-9]\d*")
_VALUE = re.compile(r"[0-9+/A-Za-z]*={0,2}")
_CHECKED = {
    "Upload-Offset": _NUMBER.fullmatch,
    "Upload-Length": _NUMBER.fullmatch,
    "Upload-Defer-Length": re.compile("1").fullmatch,
    "Tus-Resumable": re.compile(re.escape(VERSION)).fullmatch,
}
# Who writes to an upload. A second client waits, and then finds the offset changed: 409.
_writing: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()


@dataclass
class Upload:
    """An upload under way. `size` is None as long as the client hasn't said it."""

    bucket: str
    key: str
    version: str
    size: int | None
    metadata: dict[str, str | None]

    def address(self) -> str:
        """The last part of its URL."""
        return base64.urlsafe_b64encode(f"{self.bucket}/{self.key}/{self.version}".encode()).rstrip(b"=").decode()


async def options(_call: Call) -> web.Response:
    """OPTIONS /upload/resumable: what the server can do."""
    headers = {"Tus-Version": VERSION, "Tus-Extension": _EXTENSIONS, "Tus-Max-Size": str(rules.PROJECT_LIMIT_BYTES)}
    return _answer(204, headers)


async def create(call: Call) -> web.Response:
    """POST /upload/resumable: makes an upload, and takes its first bytes when they are in the request."""
    _check_headers(call)
    length, deferred = call.header("Upload-Length"), call.header("Upload-Defer-Length")
    if (length is None) == (deferred is None):
        raise TusRefusal(400, "Upload-Length or Upload-Defer-Length header required\n")
    metadata = _parse_metadata(call.header("Upload-Metadata"))
    call.bucket, call.key = metadata.get("bucketName") or "", metadata.get("objectName") or ""
    rules.check_bucket(call.bucket)
    rules.check_key(call.key)
    size = None if length is None else int(length)
    largest, mimes = await _limits(call)
    if size is not None and size > largest:
        raise TusRefusal(413, "Maximum size exceeded\n")
    await _check_permission(call, size, metadata)
    if (mime := metadata.get("contentType")) and mimes is not None:
        rules.check_mime(mime, mimes)
    metadata["cacheControl"] = _cache_control(metadata.get("cacheControl"))
    upload = Upload(call.bucket, call.key, str(uuid4()), size, metadata)
    path = _path(call, upload)
    call.services.files.keep_upload(path, asdict(upload))
    with Writer(path):
        pass
    host = call.header("Host") or "127.0.0.1"
    headers = {"Location": f"http://{host}/storage/v1/upload/resumable/{upload.address()}"}
    offset = 0
    if call.header("Content-Type") == _BODY_TYPE:
        offset = await _receive(call, upload, path, 0)
        headers["Upload-Offset"] = str(offset)
    if offset == size:
        await _finish(call, upload, path)
        headers["Tus-Complete"] = "1"
    return _answer(201, headers)


async def patch(call: Call) -> web.Response:
    """PATCH /upload/resumable/:id: the next bytes, which must begin where the last ended."""
    _check_headers(call)
    if call.header("Upload-Offset") is None:
        raise TusRefusal(403, "Upload-Offset header required\n")
    if (kind := call.header("Content-Type")) != _BODY_TYPE:
        raise TusRefusal(400, "Invalid content-type\n") if kind else TusRefusal(403, "Content-Type header required\n")
    upload, path = _find(call)
    await _check_permission(call, upload.size, upload.metadata)
    async with _writing.setdefault(path, asyncio.Lock()):
        offset = _offset(path)
        if offset != int(call.request.headers["Upload-Offset"]):
            raise TusRefusal(409, "Upload-Offset conflict\n")
        if (length := call.header("Upload-Length")) is not None:
            if upload.size is not None or int(length) < offset:
                raise TusRefusal(400, "Upload-Length or Upload-Defer-Length header required\n")
            upload.size = int(length)
            call.services.files.keep_upload(path, asdict(upload))
        offset = await _receive(call, upload, path, offset)
    headers = {"Upload-Offset": str(offset)}
    if offset == upload.size:
        await _finish(call, upload, path)
        headers["Tus-Complete"] = "1"
    return _answer(204, headers)


async def head(call: Call) -> web.Response:
    """HEAD /upload/resumable/:id: how far it is."""
    _check_headers(call)
    upload, path = _find(call)
    headers = {"Cache-Control": "no-store", "Upload-Offset": str(_offset(path))}
    if upload.size is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(upload.size)
    headers["Upload-Metadata"] = ",".join(
        name if value is None else f"{name} {base64.b64encode(value.encode()).decode()}"
        for name, value in upload.metadata.items()
    )
    return _answer(200, headers)


async def delete(call: Call) -> web.Response:
    """DELETE /upload/resumable/:id: gives it up. One that is complete is an object, and stays."""
    _check_headers(call)
    upload, path = _find(call)
    await _check_permission(call, upload.size, upload.metadata)
    async with _writing.setdefault(path, asyncio.Lock()):
        if _offset(path) == upload.size:
            raise TusRefusal(400, "Cannot terminate an already completed upload")
        call.services.files.remove(path)
    return _answer(204, {})


def as_tus(refusal: StorageRefusal) -> TusRefusal:
    """The same refusal in the manner of TUS: its true status, its message as text."""
    return TusRefusal(refusal.status, refusal.message)


def _answer(status: int, headers: Mapping[str, str]) -> web.Response:
    return web.Response(status=status, headers={"Tus-Resumable": VERSION, **headers})


def _check_headers(call: Call) -> None:
    if call.header("Tus-Resumable") is None:
        raise TusRefusal(412, "Tus-Resumable Required\n")
    wrong = [
        name.lower()
        for name, is_right in _CHECKED.items()
        if (value := call.header(name)) is not None and not is_right(value)
    ]
    if wrong:
        raise TusRefusal(400, f"Invalid {' '.join(wrong)}\n")


def _parse_metadata(header: str | None) -> dict[str, str | None]:
    if header is None:
        raise TusRefusal(400, "Metadata header is required")
    metadata: dict[str, str | None] = {}
    for pair in header.split(","):
        name, _, value = pair.partition(" ")
        if not name or not name.isascii() or name in metadata or len(value) % 4 or not _VALUE.fullmatch(value):
            raise TusRefusal(400, "Invalid upload-metadata\n")
        metadata[name] = base64.b64decode(value).decode("utf-8", "replace") if value else None
    return metadata


def _cache_control(value: str | None) -> str:
    """Only a whole number is honoured (F§1.7)."""
    return f"max-age={value}" if re.fullmatch(r"-?\d+", value or "") else "no-cache"


async def _limits(call: Call) -> tuple[int, list[str] | None]:
    """Bytes an upload may have, and the bucket's types. A limit of 0 is none here, unlike in F§1.6's uploads."""
    async with call.services.database.session(STORAGE_SERVER) as session:
        limit, mimes = await upload_limits(session, call.bucket)
    return min(limit or rules.PROJECT_LIMIT_BYTES, rules.PROJECT_LIMIT_BYTES), mimes


async def _check_permission(call: Call, size: int | None, metadata: Mapping[str, str | None]) -> None:
    await check_permission(
        call,
        upsert=call.header("x-upsert") == "true",
        owner=call.identity.subject or None,
        metadata={"mimetype": metadata.get("contentType"), "contentLength": size},
        user_metadata=_user_metadata(metadata),
    )


def _user_metadata(metadata: Mapping[str, str | None]) -> Any:
    try:
        return json.loads(metadata.get("metadata") or "null")
    except ValueError:
        return None


def _path(call: Call, upload: Upload) -> Path:
    return call.services.files.path(upload.bucket, upload.key, upload.version)


def _find(call: Call) -> tuple[Upload, Path]:
    """The upload that the URL names."""
    try:
        address = base64.urlsafe_b64decode(call.key + "=" * (-len(call.key) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        address = ""
    bucket, _, rest = address.partition("/")
    key, _, version = rest.rpartition("/")
    if not bucket or not version:
        raise TusRefusal(400, "Invalid upload id")
    rules.check_bucket(bucket)
    rules.check_key(key)
    path = call.services.files.path(bucket, key, version)
    try:
        upload = Upload(**call.services.files.upload(path))
    except FileNotFoundError as error:
        raise TusRefusal(404, "The file for this url was not found\n") from error
    call.bucket, call.key = bucket, key
    return upload, path


def _offset(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError as error:
        raise TusRefusal(410, "The file for this url no longer exists\n") from error


async def _receive(call: Call, upload: Upload, path: Path, offset: int) -> int:
    """Appends the request's body; what came before a connection broke is kept. Returns the new offset."""
    largest, _ = await _limits(call)
    room = largest - offset if upload.size is None else upload.size - offset
    if (call.request.content_length or 0) > room:
        raise TusRefusal(413, "upload's size exceeded\n")
    with Writer(path, offset) as writer:
        async with aclosing(call.pieces()) as pieces:
            async for piece in pieces:
                if writer.position + len(piece) > offset + room:
                    raise TusRefusal(413, "upload's size exceeded\n")
                writer.write(piece)
    return writer.position


async def _finish(call: Call, upload: Upload, path: Path) -> None:
    """The bytes are whole: now there is an object."""
    etag = await asyncio.to_thread(multipart_etag, path)
    stored = Stored(
        path.stat().st_size,
        etag,
        upload.metadata.get("contentType") or "application/octet-stream",
        upload.metadata.get("cacheControl") or "no-cache",
        now_text(),
    )
    call.services.files.describe(path, stored)
    owner = call.identity.subject or None
    await complete(call, upload.version, owner, stored.metadata(), _user_metadata(upload.metadata))
