"""One request on its way through a handler, and what a handler may answer."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from supapy.sandbox.account import Account
from supapy.sandbox.api import refusals
from supapy.sandbox.api.database import Database, Identity
from supapy.sandbox.api.files import Files
from supapy.secret import Secret

# Bytes of a JSON body: both servers stop there (F§2.1).
JSON_LIMIT_BYTES = 1024 * 1024
# A piece of an upload is at most this long, whatever the socket gave.
PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers share."""

    database: Database
    files: Files
    jwt_secret: Secret
    account: Account


@dataclass(frozen=True, slots=True)
class Download:
    """An answer whose body is a piece of a file: the server streams it."""

    path: Path
    start: int
    length: int
    status: int
    headers: Mapping[str, str]


Answer = web.Response | Download


class Interrupted(Exception):
    """A fault on order ends the connection while the request's body is being read."""


class Call:
    """A request, whose it is, and what its path names."""

    def __init__(
        self,
        request: web.BaseRequest,
        services: Services,
        identity: Identity,
        path: Mapping[str, str],
        read_bytes: int | None = None,
    ) -> None:
        self.request = request
        self.services = services
        self.identity = identity
        self.bucket = path.get("bucket", "")
        self.key = path.get("*", "")
        self._read_bytes = read_bytes

    @property
    def authenticated(self) -> bool:
        """Whether a valid token came with it."""
        return self.identity.claims != ""

    @property
    def is_service(self) -> bool:
        """Whether RLS means nothing to the caller."""
        return self.identity.role == "service_role"

    @cached_property
    def query(self) -> dict[str, str]:
        """The query, decoded; of a name that comes twice the last value."""
        return dict(parse_qsl(self.request.rel_url.raw_query_string, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """A header of the request."""
        return self.request.headers.get(name)

    async def body(self) -> bytes:
        """The whole body, when it is a small one. Raises StorageRefusal beyond 1 MiB."""
        data = b""
        async for piece in self.pieces():
            data += piece
            if len(data) > JSON_LIMIT_BYTES:
                raise refusals.StorageRefusal(413, "Error", "Request body is too large", "EntityTooLarge", 413)
        return data

    async def json(self) -> dict[str, Any]:
        """The body of a Storage request, an object in JSON."""
        if (self.header("Content-Type") or "").partition(";")[0].strip() != "application/json":
            raise refusals.bad_schema("body must be object")
        data = await self.body()
        if not data:
            raise refusals.bad_json("Body cannot be empty when")
        try:
            parsed = json.loads(data)
        except ValueError as error:
            raise refusals.bad_json("Body is not valid JSON but") from error
        if not isinstance(parsed, dict):
            raise refusals.bad_schema("body must be object")
        return parsed

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes in. A client that waits for leave to send it gets it now, and not before."""
        await self.welcome_body()
        taken = 0
        while piece := await self.request.content.read(PIECE_BYTES):
            if self._read_bytes is not None and taken + len(piece) >= self._read_bytes:
                yield piece[: self._read_bytes - taken]
                raise Interrupted
            taken += len(piece)
            yield piece

    async def welcome_body(self) -> None:
        """Tells a client that asked whether its body is welcome that it is."""
        if (self.header("Expect") or "").lower() == "100-continue" and self.request.transport is not None:
            self.request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
