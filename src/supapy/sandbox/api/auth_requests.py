"""Reading what the Auth server is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import psycopg

from supapy.sandbox.api.call import Call
from supapy.sandbox.api.refusals import AuthRefusal, DatabaseRefusal, StorageRefusal

_KINDS: Mapping[type, str] = {str: "string", dict: "object", bool: "boolean"}


def not_valid(message: str, status: int = 400) -> AuthRefusal:
    return AuthRefusal(status, "validation_failed", message)


def failed(message: str) -> AuthRefusal:
    """What a failure in the database looks like from outside."""
    return AuthRefusal(500, "unexpected_failure", message)


def failed_in_database(message: str, error: psycopg.Error) -> AuthRefusal:
    """A failed statement: users' own constraints and exceptions are shown, everything else is not."""
    shown = isinstance(error, psycopg.errors.IntegrityError | psycopg.errors.RaiseException)
    return DatabaseRefusal(error) if shown else failed(message)


async def read_json(call: Call, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The body, an object in JSON."""
    try:
        data = await call.body()
    except StorageRefusal as error:
        message = "Request body too large (max 1048576 bytes)"
        raise AuthRefusal(413, "request_entity_too_large", message) from error
    if not data and may_be_empty:
        return {}
    try:
        parsed = json.loads(data)
    except ValueError as error:
        raise _bad_json(str(error)) from error
    if not isinstance(parsed, dict):
        raise _bad_json("it isn't an object")
    return parsed


def text(body: Mapping[str, Any], name: str) -> str:
    """A property that is a text; empty when it isn't there or null."""
    value: str = _take(body, name, str) or ""
    return value


def truth(body: Mapping[str, Any], name: str) -> bool:
    """A property that is true or false; false when it isn't there or null."""
    return bool(_take(body, name, bool))


def mapping(body: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A property that is an object; None when it isn't there or null."""
    value: dict[str, Any] | None = _take(body, name, dict)
    return value


def number(query: Mapping[str, list[str]], name: str, default: int) -> int:
    """A number of a query."""
    given = query.get(name, [""])[0]
    if not given:
        return default
    if not given.isdecimal():
        message = f'Bad Pagination Parameters: strconv.ParseUint: parsing "{given}": invalid syntax'
        raise not_valid(message)
    return int(given)


def audience(call: Call) -> str:
    """Whose users are meant (F§2.2)."""
    return call.header("X-JWT-AUD") or "authenticated"


def _take(body: Mapping[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise _bad_json(f"{name} must be {_KINDS[kind]}")
    return value


def _bad_json(reason: str) -> AuthRefusal:
    return AuthRefusal(400, "bad_json", f"Could not parse request body as JSON: {reason}")
