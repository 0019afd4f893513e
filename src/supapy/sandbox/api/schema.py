"""The forms that requests' bodies and queries must have, with the Storage server's words for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from supapy.sandbox.api.refusals import bad_schema

_KINDS: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}


def take(body: Mapping[str, Any], name: str, kind: type, *, needed: bool = False, nullable: bool = False) -> Any:
    """A property of a body, None when it isn't there. Refuses a wrong type, and a missing one if it is `needed`."""
    if name not in body:
        if needed:
            raise bad_schema(f"body must have required property '{name}'")
        return None
    value = body[name]
    if value is None and nullable:
        return None
    value = _coerced(value, kind)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise bad_schema(f"body/{name} must be {_KINDS[kind]}")
    return value


def _coerced(value: Any, kind: type) -> Any:
    """The server bends a value to the type it wants where it can: a number to a text, a text to a number or a truth."""
    if kind is list:
        return value if isinstance(value, list) else [value]
    if kind is str:
        return "" if value is None else json.dumps(value) if isinstance(value, bool | int | float) else value
    if kind is bool:
        return {"true": True, 1: True, "false": False, 0: False, None: False}.get(_hashable(value), value)
    if kind is int and isinstance(value, str) and value.isdecimal():
        return int(value)
    return value


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else ""


def take_number(body: Mapping[str, Any], name: str, least: int) -> int | None:
    """A whole number that is `least` or more, None when it isn't there."""
    value: int | None = take(body, name, int)
    if value is not None and value < least:
        raise bad_schema(f"body/{name} must be >= {least}")
    return value


def take_texts(body: Mapping[str, Any], name: str, *, needed: bool = False, nullable: bool = False) -> list[str] | None:
    """A list of texts, None when it isn't there or null."""
    values: list[Any] | None = take(body, name, list, needed=needed, nullable=nullable)
    for index, value in enumerate(values or ()):
        if not isinstance(_coerced(value, str), str):
            raise bad_schema(f"body/{name}/{index} must be string")
    return None if values is None else [_coerced(value, str) for value in values]


def take_choice(body: Mapping[str, Any], name: str, choices: Sequence[str], where: str = "body") -> str | None:
    """One of `choices`, None when it isn't there."""
    value = body.get(name)
    if value is not None and value not in choices:
        raise bad_schema(f"{where}/{name} must be equal to one of the allowed values")
    return value


def query_number(query: Mapping[str, str], name: str, least: int) -> int | None:
    """A whole number of a query that is `least` or more, None when it isn't there."""
    if name not in query:
        return None
    try:
        value = int(query[name])
    except ValueError:
        raise bad_schema(f"querystring/{name} must be integer") from None
    if value < least:
        raise bad_schema(f"querystring/{name} must be >= {least}")
    return value


def query_text(query: Mapping[str, str], name: str) -> str:
    """A text that a query must have."""
    if name not in query:
        raise bad_schema(f"querystring must have required property '{name}'")
    return query[name]
