"""The one route of the Management API that the sandbox has: the root key of a project's vault (F§5.6)."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from aiohttp import web

from supapy.sandbox.account import Account

PREFIX = "/v1/projects/"
_ROUTE = re.compile(r"/v1/projects/([^/]+)/pgsodium")
_KEY = re.compile(r"[0-9a-f]{64}")


async def answer(request: web.BaseRequest, account: Account, path: str) -> web.Response:
    """Answers a request for `path`. The token is the account's: a project's own keys are of no use here."""
    found = _ROUTE.fullmatch(path)
    if found is None or request.method not in ("GET", "PUT"):
        return _said(404, f"Cannot {request.method} {path}")
    if request.headers.get("Authorization") != f"Bearer {account.access_token.reveal()}":
        return _said(401, "Unauthorized")
    file = account.root_key_file(unquote(found[1]))
    if file is None:
        return _said(404, "Project not found")
    if request.method == "PUT":
        try:
            said = json.loads(await request.read())
        except ValueError:
            said = None
        key = said.get("root_key") if isinstance(said, dict) else None
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            return _said(400, "root_key: a key of 64 hexadecimal digits is required")
        file.write_text(key)
    return web.json_response({"root_key": file.read_text()})


def _said(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)
