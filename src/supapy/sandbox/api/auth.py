"""The routes of the Auth server (F§2), and who may take them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from supapy.sandbox.api import auth_admin, auth_sessions, tokens
from supapy.sandbox.api.call import Call, Services
from supapy.sandbox.api.database import Identity
from supapy.sandbox.api.refusals import AuthRefusal

Handler = Callable[[Call], Awaitable[web.Response]]

_ADMIN_ROLES = ("service_role", "supabase_admin")


async def _health(_call: Call) -> web.Response:
    body = {"version": "sandbox", "name": "GoTrue", "description": "supapy's sandbox answers as GoTrue does"}
    return web.json_response(body)


async def _settings(_call: Call) -> web.Response:
    return web.json_response(
        {
            "external": {"email": True, "phone": True, "anonymous_users": False},
            "disable_signup": False,
            "mailer_autoconfirm": False,
            "phone_autoconfirm": False,
            "sms_provider": "",
            "saml_enabled": False,
            "passkeys_enabled": False,
        }
    )


async def _jwks(_call: Call) -> web.Response:
    """Only public keys are shown, and the sandbox signs with a secret."""
    return web.json_response({"keys": []})


_OPEN: dict[tuple[str, str], Handler] = {
    ("GET", "health"): _health,
    ("GET", "settings"): _settings,
    ("GET", ".well-known/jwks.json"): _jwks,
    ("POST", "token"): auth_sessions.token,
}
_USERS: dict[str, Handler] = {"GET": auth_admin.list_all, "POST": auth_admin.create}
_ONE_USER: dict[str, Handler] = {"GET": auth_admin.get, "PUT": auth_admin.update, "DELETE": auth_admin.delete}


async def answer(
    request: web.BaseRequest, services: Services, path: str, bearer: str | None, read_bytes: int | None
) -> web.Response | None:
    """Answers a request for `path` below `/auth/v1/`; None when there is no such route."""
    method = request.method
    if handler := _OPEN.get((method, path)):
        return await handler(Call(request, services, Identity("anon"), {}, read_bytes))
    if (method, path) == ("GET", "user"):
        identity = _identity(bearer, services)
        return await auth_sessions.user(Call(request, services, identity, {}, read_bytes))
    if not path.startswith("admin/users"):
        return None
    rest = path.removeprefix("admin/users").removeprefix("/")
    found = _ONE_USER.get(method) if rest else _USERS.get(method)
    if found is None or "/" in rest:
        return None
    identity = _identity(bearer, services)
    if identity.role not in _ADMIN_ROLES:
        raise AuthRefusal(403, "not_admin", "User not allowed")
    return await found(Call(request, services, identity, {"*": rest}, read_bytes))


def _identity(bearer: str | None, services: Services) -> Identity:
    if not bearer:
        raise AuthRefusal(401, "no_authorization", "This endpoint requires a valid Bearer token")
    try:
        claims = tokens.verify(bearer, services.jwt_secret)
    except tokens.BadToken as error:
        message = f"invalid JWT: unable to parse or verify signature, {error}"
        raise AuthRefusal(403, "bad_jwt", message) from error
    return Identity(str(claims.get("role", "")), json.dumps(claims), str(claims.get("sub", "")))
