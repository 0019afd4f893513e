"""Signing in and staying signed in (F§2.5, F§2.6)."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from aiohttp import web

from supapy.sandbox.api import auth_users as users
from supapy.sandbox.api import tokens
from supapy.sandbox.api.auth_requests import audience, failed, not_valid, read_json, text
from supapy.sandbox.api.call import Call
from supapy.sandbox.api.database import AUTH_SERVER, Session
from supapy.sandbox.api.refusals import AuthRefusal

# Hosted projects' settings.
_TOKEN_SECONDS = 60 * 60
_REUSE_INTERVAL = timedelta(seconds=10)
_REFRESH_TOKEN = re.compile(r"[a-z0-9]{12}")
_WRONG = AuthRefusal(400, "invalid_credentials", "Invalid login credentials")
_CANNOT_QUERY = "Database error querying schema"


async def token(call: Call) -> web.Response:
    """POST /token?grant_type=…: by password or by refresh token."""
    match call.query.get("grant_type"):
        case "password":
            return await _by_password(call)
        case "refresh_token":
            return await _by_refresh_token(call)
        case _:
            raise AuthRefusal(400, "invalid_credentials", "unsupported_grant_type")


async def user(call: Call) -> web.Response:
    """GET /user: who the token is."""
    async with call.services.database.session(AUTH_SERVER) as session:
        if not call.identity.subject:
            raise AuthRefusal(403, "bad_jwt", "invalid claim: missing sub claim")
        try:
            user_id = UUID(call.identity.subject)
        except ValueError:
            raise AuthRefusal(400, "bad_jwt", "invalid claim: sub claim must be a UUID") from None
        found = await users.find(session, user_id, "Database error loading user")
    if found is None:
        raise AuthRefusal(403, "user_not_found", "User from sub claim in JWT does not exist")
    return web.json_response(found[1])


async def _by_password(call: Call) -> web.Response:
    body = await read_json(call)
    email, phone, password = text(body, "email"), text(body, "phone").removeprefix("+"), text(body, "password")
    if email and phone:
        raise not_valid("Only an email address or phone number should be provided on login.")
    if not email and not phone:
        raise not_valid("missing email or phone")
    query = "select id from auth.users u where instance_id = %s and aud = %s and is_sso_user = false"
    query += " and lower(email) = %s" if email else " and phone = %s"
    async with call.services.database.session(AUTH_SERVER) as session:
        named = await session.row(query, (users.INSTANCE, audience(call), email.lower() or phone))
        found = await users.find(session, named["id"], _CANNOT_QUERY) if named else None
    if found is None:
        raise _WRONG
    row = found[0]
    if not row["encrypted_password"]:
        raise _WRONG
    if _is_banned(row):
        raise AuthRefusal(400, "user_banned", "User is banned")
    if not await users.is_password(call.services.database, password, row["encrypted_password"]):
        raise _WRONG
    if email and row["email_confirmed_at"] is None:
        raise AuthRefusal(400, "email_not_confirmed", "Email not confirmed")
    if phone and row["phone_confirmed_at"] is None:
        raise AuthRefusal(400, "phone_not_confirmed", "Phone not confirmed")
    async with call.services.database.session(AUTH_SERVER) as session:
        try:
            async with session.transaction():
                session_id, refresh_token = await _new_session(call, session, row)
        except psycopg.Error as error:
            raise failed("Database error granting user") from error
        return await _answer(call, session, UUID(row["id"]), session_id, refresh_token)


async def _by_refresh_token(call: Call) -> web.Response:
    given = text(await read_json(call), "refresh_token")
    if not _REFRESH_TOKEN.fullmatch(given):
        raise not_valid("Refresh token is not valid")
    async with call.services.database.session(AUTH_SERVER) as session:
        async with session.transaction():
            old = await session.row(
                "select user_id, session_id, revoked, updated_at from auth.refresh_tokens where token = %s for update",
                (given,),
            )
            if old is None:
                message = "Invalid Refresh Token: Refresh Token Not Found"
                raise AuthRefusal(400, "refresh_token_not_found", message)
            if old["session_id"] is None:
                raise AuthRefusal(400, "session_not_found", "Invalid Refresh Token: No Valid Session Found")
            new = await _swapped(session, given, old)
        if new is None:
            raise AuthRefusal(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
        return await _answer(call, session, UUID(old["user_id"]), old["session_id"], new)


async def _new_session(call: Call, session: Session, row: Mapping[str, Any]) -> tuple[UUID, str]:
    session_id = uuid4()
    await session.run(
        "insert into auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)"
        " values (%s, %s, now(), now(), 'aal1', %s, %s)",
        (session_id, row["id"], call.header("User-Agent"), call.request.remote),
    )
    refresh_token = await _insert_token(session, row["id"], session_id, None)
    await session.run(
        "insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)"
        " values (%s, %s, now(), now(), 'password')",
        (uuid4(), session_id),
    )
    await session.run("update auth.users set last_sign_in_at = now(), updated_at = now() where id = %s", (row["id"],))
    return session_id, refresh_token


async def _swapped(session: Session, given: str, old: Mapping[str, Any]) -> str | None:
    """The token that follows `given`; None when `given` was used before, and then its session has none any more."""
    if old["revoked"]:
        active = await session.row(
            "select token, parent from auth.refresh_tokens where session_id = %s and revoked = false"
            " order by id desc limit 1",
            (old["session_id"],),
        )
        if active and active["parent"] == given:
            # The client never got the answer.
            return str(active["token"])
        if datetime.now(UTC) > old["updated_at"] + _REUSE_INTERVAL:
            await session.run(
                "update auth.refresh_tokens set revoked = true, updated_at = now() where session_id = %s",
                (old["session_id"],),
            )
            return None
    await session.run("update auth.refresh_tokens set revoked = true, updated_at = now() where token = %s", (given,))
    await session.run(
        "update auth.sessions set refreshed_at = now() at time zone 'UTC', updated_at = now() where id = %s",
        (old["session_id"],),
    )
    return await _insert_token(session, old["user_id"], old["session_id"], given)


async def _insert_token(session: Session, user_id: str, session_id: UUID, parent: str | None) -> str:
    refresh_token = secrets.token_hex(6)
    await session.run(
        "insert into auth.refresh_tokens"
        " (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)"
        " values (%s, %s, %s, false, now(), now(), %s, %s)",
        (users.INSTANCE, refresh_token, user_id, parent, session_id),
    )
    return refresh_token


async def _answer(call: Call, session: Session, user_id: UUID, session_id: UUID, refresh_token: str) -> web.Response:
    found = await users.find(session, user_id, _CANNOT_QUERY)
    if found is None:
        raise AuthRefusal(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
    row, who = found
    if _is_banned(row):
        raise AuthRefusal(400, "user_banned", "Invalid Refresh Token: User Banned")
    now = int(time.time())
    claims = {
        "iss": f"http://{call.header('Host')}/auth/v1",
        "sub": str(user_id),
        "aud": who["aud"],
        "exp": now + _TOKEN_SECONDS,
        "iat": now,
        "email": who["email"],
        "phone": who["phone"],
        "app_metadata": who["app_metadata"],
        "user_metadata": who["user_metadata"],
        "role": who["role"],
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
        "session_id": str(session_id),
        "is_anonymous": who["is_anonymous"],
    }
    return web.json_response(
        {
            "access_token": tokens.sign(claims, call.services.jwt_secret),
            "token_type": "bearer",
            "expires_in": _TOKEN_SECONDS,
            "expires_at": now + _TOKEN_SECONDS,
            "refresh_token": refresh_token,
            "user": who,
            "weak_password": None,
        }
    )


def _is_banned(row: Mapping[str, Any]) -> bool:
    until = row["banned_until"]
    if until is None or until == "-infinity":
        return False
    return until == "infinity" or datetime.fromisoformat(until) > datetime.now(UTC)
