"""From a request as it came in to its answer: faults, gateway, route, role, and what an error looks like."""

from __future__ import annotations

import json
import logging
from collections import deque

import psycopg
from aiohttp import web

from supapy.sandbox.api import auth, management, refusals, storage, tokens, tus
from supapy.sandbox.api.call import Answer, Call, Interrupted, Services
from supapy.sandbox.api.database import STORAGE_SERVER, Identity
from supapy.sandbox.api.faults import Fault, Seen
from supapy.sandbox.api.gateway import Gateway
from supapy.sandbox.api.sending import reset, send
from supapy.sandbox.api.storage import Access, Route

# Bytes of all headers together, as in the real server's runtime; more is refused (measured-traps, storage 9).
HEADERS_LIMIT_BYTES = 16 * 1024

_ANON = Identity("anon")
_log = logging.getLogger(__name__)


class Dispatcher:
    """Answers requests. `requests` and `faults` are the test's ends of it."""

    def __init__(self, services: Services, gateway: Gateway, requests: deque[Seen], faults: list[Fault]) -> None:
        self._services = services
        self._gateway = gateway
        self._requests = requests
        self._faults = faults

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request; what goes wrong here that nobody foresaw is logged, and a 500 to the client."""
        seen = Seen(request.method, request.raw_path)
        self._requests.append(seen)
        if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > HEADERS_LIMIT_BYTES:
            response = web.json_response({"message": "Exceeded maximum allowed HTTP header size"}, status=431)
            response.force_close()
            return response
        fault = next((fault for fault in self._faults if fault.takes(seen)), None)
        if fault is not None:
            await fault.due()
            if fault.status is not None:
                return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
        try:
            answer = await self._answer(request, fault.read_bytes if fault else None)
        except Interrupted:
            reset(request)
            return web.Response()
        try:
            return await send(request, answer, fault)
        except FileNotFoundError:
            # Another version took its place since the row was read.
            return refusals.internal().response()

    async def _answer(self, request: web.BaseRequest, read_bytes: int | None) -> Answer:
        path = request.raw_path.partition("?")[0]
        if path.startswith(management.PREFIX):
            return await management.answer(request, self._services.account, path)
        try:
            bearer = self._gateway.bearer(request.headers)
            answer: Answer | None = None
            if path.startswith("/storage/v1/"):
                answer = await self._storage(request, path.removeprefix("/storage/v1/"), bearer, read_bytes)
            elif path.startswith("/auth/v1/"):
                answer = await self._auth(request, path.removeprefix("/auth/v1/"), bearer, read_bytes)
        except refusals.GatewayRefusal as refusal:
            return refusal.response()
        return answer or web.Response(status=404, text="404 page not found\n")

    async def _storage(self, request: web.BaseRequest, path: str, bearer: str | None, read_bytes: int | None) -> Answer:
        try:
            try:
                found = storage.find(request.method, path)
            except ValueError:
                return refusals.bad_url(f"/{path}")
            if found is None:
                return refusals.not_found(request.method, f"/{path}")
            route, names = found
            call = Call(request, self._services, self._identity(route, bearer), names, read_bytes)
            return await self._plain(route, call) if route.access is Access.TUS else await route.handler(call)
        except (refusals.StorageRefusal, refusals.TusRefusal) as refusal:
            return refusal.response()
        except psycopg.Error as error:
            return refusals.from_database(error).response()
        except Interrupted:
            raise
        except Exception:
            if request.transport is None or request.transport.is_closing():
                # The client went away; whatever that broke, nobody is left to be told.
                return web.Response()
            _log.exception("%s %s", request.method, request.raw_path)
            return refusals.internal().response()

    async def _plain(self, route: Route, call: Call) -> Answer:
        """A resumable upload's refusals are plain text."""
        try:
            return await route.handler(call)
        except refusals.StorageRefusal as refusal:
            raise tus.as_tus(refusal) from refusal
        except psycopg.Error as error:
            raise tus.as_tus(refusals.from_database(error)) from error

    def _identity(self, route: Route, bearer: str | None) -> Identity:
        """On whose behalf the route acts. Refuses a token that the route asks for and that isn't good."""
        if route.access is Access.NONE:
            return STORAGE_SERVER
        if bearer is None and route.access is Access.OPTIONAL:
            return _ANON
        if bearer is None and route.access is not Access.TUS:
            raise refusals.bad_schema("headers must have required property 'authorization'")
        try:
            claims = tokens.verify(bearer or "", self._services.jwt_secret)
        except tokens.BadToken as error:
            if route.access is Access.OPTIONAL:
                return _ANON
            raise refusals.access_denied(str(error)) from error
        role = str(claims.get("role", "anon"))
        if route.access is Access.SERVICE and role != "service_role":
            raise refusals.access_denied("Access denied: Invalid role", http_status=403)
        # RLS means nothing to the service role, so it needn't be told anew for each operation.
        operation = "" if role == "service_role" else route.operation
        return Identity(role, json.dumps(claims), str(claims.get("sub", "")), operation)

    async def _auth(
        self, request: web.BaseRequest, path: str, bearer: str | None, read_bytes: int | None
    ) -> Answer | None:
        if bearer is None:
            raise refusals.GatewayRefusal("No API key found in request", "No `apikey` request header was found.")
        try:
            return await auth.answer(request, self._services, path, bearer, read_bytes)
        except refusals.AuthRefusal as refusal:
            return refusal.response(request.headers.get(refusals.AUTH_VERSION_HEADER))
        except psycopg.Error:
            _log.exception("%s %s", request.method, request.raw_path)
            message = "Database error querying schema"
            return refusals.AuthRefusal(500, "unexpected_failure", message).response(None)
