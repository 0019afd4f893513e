"""The properties of a thing in the catalogs, as they are saved and compared."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Hashable
from typing import Any

from supapy.parts.database.platform import platform
from supapy.parts.database.sql.spelling import settled

Properties = dict[str, Any]

# A longer text stands as its digest: the text itself is in database.sql.
LONGEST_TEXT_CHARACTERS = 120
# Properties that hold passwords, or may.
_SECRET_PROPERTIES = frozenset({"password", "users", "secret"})
# Properties that a server prints otherwise once it has read them back; so it does the rows that a publication sends.
_SQL = frozenset({"definition", "using", "check", "default", "partition key", "tables"})
# What copies are made of.
_WHOLE = frozenset({"type"})
_QUALIFIER = re.compile(r'(?:"(?:[^"]|"")*"|\w+)\.')


def plain(properties: Properties) -> Properties:
    """The properties as they are compared: no secrets, no long texts, no nulls, owners as a restore leaves them."""
    properties = properties | {key: _spelt(properties[key]) for key in _SQL & properties.keys()}
    made = {
        key: digest(value)
        if isinstance(value, str) and len(value) > LONGEST_TEXT_CHARACTERS and key not in _WHOLE
        else value
        for key, value in properties.items()
        if value is not None
    }
    if "owner" in made:
        made["owner"] = platform.owner_after_restore(properties["owner"])
    if "definition" in made:
        made["meaning"] = _short(_QUALIFIER.sub("", properties["definition"]))
    for key in _SECRET_PROPERTIES & made.keys():
        if properties[key]:
            made[key] = digest(json.dumps(properties[key], sort_keys=True))
    return made


def _spelt(value: str | list[list[Any]] | None) -> str | list[list[Any]] | None:
    if isinstance(value, str):
        return settled(value)
    return value and [[table, columns, where and settled(where)] for table, columns, where in value]


def _short(text: str) -> str:
    return digest(text) if len(text) > LONGEST_TEXT_CHARACTERS else text


def sign(values: tuple[Any, ...], changed: Properties) -> Hashable:
    """What those have in common that are alike in all. By themselves lists can't be looked up."""
    found = (values, *changed.items())
    try:
        hash(found)
    except TypeError:
        return f"{found}"
    return found


def digest(text: str) -> str:
    """A text's SHA-256, marked as such."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
