"""The Auth server's routes for administrators (F§2.2, F§2.4). No mail is ever sent."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import UUID, uuid4

import psycopg
from aiohttp import web
from psycopg.types.json import Jsonb

from supapy.sandbox.api import auth_users as users
from supapy.sandbox.api.auth_requests import (
    audience,
    failed,
    failed_in_database,
    mapping,
    not_valid,
    number,
    read_json,
    text,
    truth,
)
from supapy.sandbox.api.call import Call
from supapy.sandbox.api.database import AUTH_SERVER, Session
from supapy.sandbox.api.refusals import AuthRefusal

_DEFAULT_PER_PAGE = 50
_CANNOT_LOAD = "Database error loading user"
# Columns without a default that the server reads as texts (F§2.6).
_EMPTY = dict.fromkeys(("confirmation_token", "recovery_token", "email_change_token_new", "email_change"), "")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_METADATA = (("app_metadata", "raw_app_meta_data"), ("user_metadata", "raw_user_meta_data"))


async def list_all(call: Call) -> web.Response:
    """GET /admin/users: a page of users, without identities and factors."""
    query = parse_qs(call.request.rel_url.raw_query_string)
    page = max(number(query, "page", 1), 1)
    per_page = number(query, "per_page", _DEFAULT_PER_PAGE)
    if per_page == 0:
        # The real server divides by it.
        raise failed("Internal Server Error")
    aud = audience(call)
    where = "instance_id = %(instance)s and aud = %(aud)s"
    if "filter" in query:
        where += " and (email like %(filter)s or raw_user_meta_data ->> 'full_name' ilike %(filter)s)"
    parameters = {
        "instance": users.INSTANCE,
        "aud": aud,
        "filter": f"%{query.get('filter', [''])[0]}%",
        "limit": per_page,
        "offset": (page - 1) * per_page,
    }
    rows = f"select to_jsonb(u) as row from auth.users u where {where} order by {_order(query)}"
    async with call.services.database.session(AUTH_SERVER) as session:
        total = (await session.rows(f"select count(*) as n from auth.users where {where}", parameters))[0]["n"]
        found = await session.rows(f"{rows} limit %(limit)s offset %(offset)s", parameters)
    body = {"users": [users.as_json(row["row"], "Database error finding users") for row in found], "aud": aud}
    headers = {"X-Total-Count": str(total), "Link": _links(query, page, per_page, total)}
    return web.json_response(body, headers=headers)


async def get(call: Call) -> web.Response:
    """GET /admin/users/:id: one user, with identities and factors."""
    async with call.services.database.session(AUTH_SERVER) as session:
        return web.json_response((await _load(session, call))[1])


async def create(call: Call) -> web.Response:
    """POST /admin/users: a user with a password, a hash, or a password that nobody knows."""
    body = await read_json(call)
    email, phone = _addresses(body)
    aud = text(body, "aud") or audience(call)
    if not email and not phone:
        raise not_valid("Cannot create a user without either an email or phone")
    database = call.services.database
    async with database.session(AUTH_SERVER) as session:
        await _refuse_duplicates(session, email, phone, aud)
    user_id = _wanted_id(text(body, "id"))
    providers = [name for name, value in (("email", email), ("phone", phone)) if value]
    app = {"provider": providers[0], "providers": providers}
    columns = _EMPTY | {
        "instance_id": users.INSTANCE,
        "id": user_id,
        "aud": aud,
        "role": text(body, "role") or "authenticated",
        "email": email or None,
        "phone": phone or None,
        "encrypted_password": await _encrypted(call, body),
        "raw_app_meta_data": Jsonb(users.merged(app, mapping(body, "app_metadata") or {})),
        "raw_user_meta_data": Jsonb(mapping(body, "user_metadata") or {}),
    }
    marks = ", ".join(["%s"] * len(columns))
    query = f"insert into auth.users ({', '.join(columns)}, created_at, updated_at) values ({marks}, now(), now())"
    async with database.session(AUTH_SERVER) as session:
        try:
            async with session.transaction():
                await session.run(query, list(columns.values()))
                await _put_identities(
                    session, user_id, email, phone, {"email_verified": False, "phone_verified": False}
                )
                await _confirm_and_ban(session, user_id, body)
        except psycopg.Error as error:
            raise failed_in_database("Database error creating new user", error) from error
        found = await users.find(session, user_id, _CANNOT_LOAD)
    if found is None:
        # A trigger of the user's has taken the row away, or the audience was another instance's.
        raise failed(_CANNOT_LOAD)
    return web.json_response(found[1])


async def update(call: Call) -> web.Response:
    """PUT /admin/users/:id: what is named changes; metadata are merged. A password hash is not looked at."""
    async with call.services.database.session(AUTH_SERVER) as session:
        row, _ = await _load(session, call)
    body = await read_json(call)
    email, phone = _addresses(body)
    user_id = UUID(row["id"])
    columns: dict[str, Any] = {"role": text(body, "role"), "email": email, "phone": phone}
    if password := text(body, "password"):
        columns["encrypted_password"] = await users.hash_password(call.services.database, password)
    for name, column in _METADATA:
        if (changes := mapping(body, name)) is not None:
            columns[column] = Jsonb(users.merged(row[column], changes))
    columns = {column: value for column, value in columns.items() if value}
    sets = ", ".join([*(f"{column} = %s" for column in columns), "updated_at = now()"])
    async with call.services.database.session(AUTH_SERVER) as session:
        try:
            async with session.transaction():
                await session.run(f"update auth.users set {sets} where id = %s", [*columns.values(), user_id])
                verified = {f"{kind}_verified": truth(body, f"{kind}_confirm") for kind in ("email", "phone")}
                await _put_identities(session, user_id, email, phone, verified)
                await _confirm_and_ban(session, user_id, body)
        except psycopg.Error as error:
            raise failed_in_database("Error updating user", error) from error
        return web.json_response((await _load(session, call))[1])


async def delete(call: Call) -> web.Response:
    """DELETE /admin/users/:id: for good, or so that only the row stays (`should_soft_delete`)."""
    async with call.services.database.session(AUTH_SERVER) as session:
        row, _ = await _load(session, call)
        body = await read_json(call, may_be_empty=True)
        try:
            async with session.transaction():
                if not truth(body, "should_soft_delete"):
                    await session.run("delete from auth.users where id = %s", (row["id"],))
                elif row["deleted_at"] is None:
                    for statement in _SOFT_DELETE:
                        await session.run(statement, (row["id"],))
        except psycopg.Error as error:
            raise failed_in_database("Database error deleting user", error) from error
    return web.json_response({})


# A confirmed e-mail address also leaves its mark in what users say of themselves.
_CONFIRM = {
    "email": """update auth.users set email_confirmed_at = now(), confirmation_token = '',
                  raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || '{"email_verified": true}'
                where id = %s""",
    "phone": "update auth.users set phone_confirmed_at = now(), confirmation_token = '' where id = %s",
}
# What is left of the user says nothing of who it was.
_SOFT_DELETE = (
    """update auth.users set
         email = encode(sha256((id::text || email)::bytea), 'hex'),
         phone = left(encode(sha256((id::text || phone)::bytea), 'hex'), 15),
         encrypted_password = null, confirmation_token = '', recovery_token = '', email_change = '',
         email_change_token_current = '', email_change_token_new = '', phone_change = '', phone_change_token = '',
         raw_user_meta_data = '{}', raw_app_meta_data = '{}', deleted_at = now()
       where id = %s""",
    """update auth.identities set
         identity_data = '{}', provider_id = encode(sha256((id::text || provider_id)::bytea), 'hex')
       where user_id = %s""",
    "delete from auth.one_time_tokens where user_id = %s",
    "delete from auth.mfa_factors where user_id = %s",
    "delete from auth.webauthn_credentials where user_id = %s",
    "delete from auth.sessions where user_id = %s",
)


async def _load(session: Session, call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    """The user that the path names: row and JSON."""
    try:
        user_id = UUID(call.key)
    except ValueError:
        raise not_valid("user_id must be an UUID", 404) from None
    found = await users.find(session, user_id, _CANNOT_LOAD)
    if found is None:
        raise AuthRefusal(404, "user_not_found", "User not found")
    return found


def _addresses(body: Mapping[str, Any]) -> tuple[str, str]:
    email, phone = text(body, "email").lower(), text(body, "phone").removeprefix("+")
    if email and not _EMAIL.fullmatch(email):
        raise not_valid("Unable to validate email address: invalid format")
    if phone and not phone.isdecimal():
        raise not_valid("Invalid phone number format (E.164 required)")
    return email, phone


def _wanted_id(given: str) -> UUID:
    if not given:
        return uuid4()
    try:
        user_id = UUID(given)
    except ValueError:
        raise not_valid("ID must conform to the uuid v4 format") from None
    if user_id.int == 0:
        raise not_valid("ID cannot be a nil uuid")
    return user_id


async def _encrypted(call: Call, body: Mapping[str, Any]) -> str:
    """The column `encrypted_password` of a new user."""
    password, given_hash = text(body, "password"), text(body, "password_hash")
    if body.get("password") is not None and given_hash:
        raise not_valid("Only a password or a password hash should be provided")
    if given_hash:
        users.check_hash(given_hash)
        return given_hash
    return await users.hash_password(call.services.database, password or secrets.token_urlsafe(48))


async def _refuse_duplicates(session: Session, email: str, phone: str, aud: str) -> None:
    query = "select 1 from auth.users where instance_id = %s and aud = %s and is_sso_user = false"
    if email and await session.row(f"{query} and lower(email) = %s", (users.INSTANCE, aud, email)):
        message = "A user with this email address has already been registered"
        raise AuthRefusal(422, "email_exists", message)
    if phone and await session.row(f"{query} and phone = %s", (users.INSTANCE, aud, phone)):
        raise AuthRefusal(422, "phone_exists", "Phone number already registered by another user")


async def _put_identities(
    session: Session, user_id: UUID, email: str, phone: str, verified: Mapping[str, bool]
) -> None:
    for provider, address in (("email", email), ("phone", phone)):
        if address:
            await users.put_identity(session, user_id, provider, {provider: address, **verified})


async def _confirm_and_ban(session: Session, user_id: UUID, body: Mapping[str, Any]) -> None:
    for kind, statement in _CONFIRM.items():
        if truth(body, f"{kind}_confirm"):
            await session.run(statement, (user_id,))
    if ban := text(body, "ban_duration"):
        length = users.duration(ban)
        query = "update auth.users set banned_until = case when %s > interval '0' then now() + %s end where id = %s"
        await session.run(query, (length, length, user_id))


def _order(query: Mapping[str, list[str]]) -> str:
    column, _, direction = query.get("sort", ["created_at desc"])[0].partition(" ")
    if column != "created_at":
        raise not_valid(f"Bad Sort Parameters: bad field for sort '{column}'")
    if direction.lower() not in ("", "asc", "desc"):
        message = f"Bad Sort Parameters: bad direction for sort '{direction}', only 'asc' and 'desc' allowed"
        raise not_valid(message)
    return f"created_at {direction or 'desc'}"


def _links(query: Mapping[str, list[str]], page: int, per_page: int, total: int) -> str:
    """The header Link: no `next` on the last page. The addresses are the server's, without the gateway's /auth/v1."""
    last = -(-total // per_page)
    links = [(page + 1, "next")] if last > page else []
    return ", ".join(
        f'</admin/users?{urlencode(sorted({**query, "page": [str(number)]}.items()), doseq=True)}>; rel="{name}"'
        for number, name in [*links, (last, "last")]
    )
