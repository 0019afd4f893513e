"""The routes of the Storage server (F§1), and who may take them."""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from aiohttp import web

from supapy.sandbox.api import (
    storage_buckets,
    storage_download,
    storage_list,
    storage_objects,
    storage_signed,
    storage_upload,
    tus,
)
from supapy.sandbox.api.call import Answer, Call


class Access(enum.Enum):
    """What a route asks of the caller."""

    KEY = "a valid token"
    SERVICE = "a valid token of the service role"
    OPTIONAL = "nothing, but a token is looked at"
    TUS = "a valid token; refusals are plain text"
    NONE = "nothing: the server acts on its own account"


Handler = Callable[[Call], Awaitable[Answer]]
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Route(NamedTuple):
    """One route. `operation` is what `storage.operation()` says in a policy."""

    method: str
    pattern: tuple[str, ...]
    handler: Handler
    access: Access
    operation: str

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """What the path's segments stand for, decoded; None when it is another route's path."""
        whole = self.pattern[-1] == "*"
        if len(segments) < len(self.pattern) or (len(segments) > len(self.pattern) and not whole):
            return None
        found: dict[str, str] = {}
        for index, (expected, segment) in enumerate(zip(self.pattern, segments, strict=False)):
            if expected == "*":
                found["*"] = _decoded("/".join(segments[index:]))
            elif expected.startswith(":"):
                found[expected[1:]] = _decoded(segment)
            elif expected != segment:
                return None
        return found


def _decoded(text: str) -> str:
    if _BROKEN.search(text):
        raise ValueError(text)
    return unquote(text, errors="strict")


def _route(method: str, path: str, handler: Handler, access: Access, operation: str = "") -> Route:
    return Route(method, tuple(path.split("/")), handler, access, operation)


async def _status(_call: Call) -> web.Response:
    return web.Response(status=200)


async def _version(_call: Call) -> web.Response:
    return web.Response(text="sandbox")


# Order matters: the first that fits is taken, so fixed words come before names.
_ROUTES = (
    _route("GET", "status", _status, Access.NONE),
    _route("GET", "version", _version, Access.NONE),
    _route("GET", "bucket", storage_buckets.list_all, Access.KEY, "storage.bucket.list"),
    _route("GET", "bucket/", storage_buckets.list_all, Access.KEY, "storage.bucket.list"),
    _route("POST", "bucket", storage_buckets.create, Access.KEY, "storage.bucket.create"),
    _route("POST", "bucket/", storage_buckets.create, Access.KEY, "storage.bucket.create"),
    _route("GET", "bucket/:bucket", storage_buckets.get, Access.KEY, "storage.bucket.get"),
    _route("PUT", "bucket/:bucket", storage_buckets.update, Access.KEY, "storage.bucket.update"),
    _route("DELETE", "bucket/:bucket", storage_buckets.delete, Access.KEY, "storage.bucket.delete"),
    _route("POST", "bucket/:bucket/empty", storage_buckets.empty, Access.SERVICE, "storage.bucket.empty"),
    _route(
        "GET", "object/authenticated/:bucket/*", storage_download.get, Access.KEY, "storage.object.get_authenticated"
    ),
    _route("GET", "object/public/:bucket/*", storage_download.get_public, Access.NONE),
    _route("GET", "object/sign/:bucket/*", storage_signed.get_signed, Access.NONE),
    _route(
        "GET", "object/info/authenticated/:bucket/*", storage_download.info, Access.KEY, "object.get_authenticated_info"
    ),
    _route("GET", "object/info/public/:bucket/*", storage_download.info_public, Access.NONE),
    _route("GET", "object/info/:bucket/*", storage_download.info, Access.OPTIONAL, "object.get_authenticated_info"),
    _route("GET", "object/:bucket/*", storage_download.get, Access.OPTIONAL, "storage.object.get_authenticated"),
    _route(
        "HEAD", "object/authenticated/:bucket/*", storage_download.head, Access.KEY, "object.head_authenticated_info"
    ),
    _route("HEAD", "object/info/authenticated/:bucket/*", storage_download.info, Access.KEY),
    _route("HEAD", "object/info/:bucket/*", storage_download.info, Access.OPTIONAL),
    _route("HEAD", "object/public/:bucket/*", storage_download.head_public, Access.NONE),
    _route("HEAD", "object/sign/:bucket/*", storage_signed.get_signed, Access.NONE),
    _route("HEAD", "object/:bucket/*", storage_download.head, Access.OPTIONAL, "object.head_authenticated_info"),
    _route("POST", "object/sign/:bucket/*", storage_signed.sign, Access.KEY, "storage.object.sign"),
    _route("POST", "object/sign/:bucket", storage_signed.sign_many, Access.KEY, "storage.object.sign_many"),
    _route("POST", "object/list/:bucket", storage_list.list_v1, Access.KEY, "storage.object.list"),
    _route("POST", "object/list-v2/:bucket", storage_list.list_v2, Access.KEY, "storage.object.list_v2"),
    _route("POST", "object/copy", storage_objects.copy, Access.KEY, "storage.object.copy"),
    _route("POST", "object/move", storage_objects.move, Access.KEY, "storage.object.move"),
    _route("POST", "object/upload/sign/:bucket/*", storage_signed.sign_upload, Access.KEY),
    _route("POST", "object/:bucket/*", storage_upload.create, Access.KEY, "storage.object.upload"),
    _route("PUT", "object/upload/sign/:bucket/*", storage_signed.upload_signed, Access.NONE),
    _route("PUT", "object/:bucket/*", storage_upload.replace, Access.KEY, "storage.object.upload_update"),
    _route("DELETE", "object/:bucket/*", storage_objects.delete, Access.KEY, "storage.object.delete"),
    _route("DELETE", "object/:bucket", storage_objects.delete_many, Access.KEY, "storage.object.delete_many"),
    _route("OPTIONS", "upload/resumable", tus.options, Access.NONE),
    _route("OPTIONS", "upload/resumable/*", tus.options, Access.NONE),
    _route("POST", "upload/resumable", tus.create, Access.TUS, "storage.tus.upload.create"),
    _route("POST", "upload/resumable/", tus.create, Access.TUS, "storage.tus.upload.create"),
    _route("PATCH", "upload/resumable/*", tus.patch, Access.TUS, "storage.tus.upload.part"),
    _route("HEAD", "upload/resumable/*", tus.head, Access.TUS, "storage.tus.upload.get"),
    _route("DELETE", "upload/resumable/*", tus.delete, Access.TUS, "storage.tus.upload.delete"),
)
_BY_METHOD: Mapping[str, tuple[Route, ...]] = {
    method: tuple(route for route in _ROUTES if route.method == method) for method in {route[0] for route in _ROUTES}
}


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a raw path below `/storage/v1/`, and what it names. Raises ValueError where it can't be decoded."""
    segments = path.split("/")
    for route in _BY_METHOD.get(method, ()):
        if (found := route.match(segments)) is not None:
            return route, found
    return None
