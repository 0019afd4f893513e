"""Users in the Auth server's JSON, and the rows behind them (F§2.3, F§2.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from supapy.sandbox.api.auth_requests import failed, not_valid
from supapy.sandbox.api.database import SUPERUSER, Database, Session

# Rows of another instance are invisible to the server (F§2.2).
INSTANCE = UUID(int=0)
# Cost of a password's hash, a power of two. Hosted projects have 10: that is 70 ms of work, and nothing in a sandbox
# is worth it. Hashes that come in with a cost of their own keep it.
_BCRYPT_COST = 6
# bcrypt looks at no more; the server fails at what is longer.
_LONGEST_PASSWORD_BYTES = 72

# Columns that the server reads as plain texts: a NULL in one of them is a failure (F§2.6).
_NEVER_NULL = (
    "aud",
    "role",
    "confirmation_token",
    "recovery_token",
    "email_change_token_new",
    "email_change",
    "email_change_token_current",
    "email_change_confirm_status",
    "phone_change",
    "phone_change_token",
    "reauthentication_token",
    "created_at",
    "updated_at",
)
# The same of what it reads with a user when it looks for one alone, as for a sign-in.
_IDENTITIES_NEVER_NULL = ("created_at", "updated_at")
_FACTORS_NEVER_NULL = ("friendly_name", "secret")
_TIMES = (
    "email_confirmed_at",
    "invited_at",
    "phone_confirmed_at",
    "confirmation_sent_at",
    "confirmed_at",
    "recovery_sent_at",
    "email_change_sent_at",
    "phone_change_sent_at",
    "reauthentication_sent_at",
    "last_sign_in_at",
    "banned_until",
    "deleted_at",
)
_BCRYPT = re.compile(r"\$2[aby]?\$\d\d\$[./A-Za-z0-9]{53}")
_ARGON2 = re.compile(r"\$argon2(?:i|id)\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
_FIREBASE_SCRYPT = re.compile(r"\$fbscrypt\$v=1,n=\d+,r=\d+,p=\d+(?:,ss=[^$]*)?(?:,sk=[^$]*)?\$[^$]+\$[^$]+")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|m|s|ms)")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def as_json(row: Mapping[str, Any], failure: str) -> dict[str, Any]:
    """A row of auth.users as the API shows it, without identities and factors. `failure` is said of a NULL token."""
    if any(row[column] is None for column in _NEVER_NULL):
        raise failed(failure)
    user: dict[str, Any] = {
        "id": row["id"],
        "aud": row["aud"],
        "role": row["role"],
        "email": row["email"] or "",
        "phone": row["phone"] or "",
        "app_metadata": row["raw_app_meta_data"] or {},
        "user_metadata": row["raw_user_meta_data"] or {},
        "identities": None,
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
        "is_anonymous": row["is_anonymous"],
    }
    user |= {column: _time(row[column]) for column in _TIMES if row[column] is not None}
    if row["email_change"]:
        user["new_email"] = row["email_change"]
    if row["phone_change"]:
        user["new_phone"] = row["phone_change"]
    return user


async def find(session: Session, user_id: UUID, failure: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A user's row and its JSON with identities and factors; None when there is no such user."""
    found = await session.row(
        "select to_jsonb(u) as row from auth.users u where instance_id = %s and id = %s", (INSTANCE, user_id)
    )
    if found is None:
        return None
    user = as_json(found["row"], failure)
    identities = await session.rows(
        "select to_jsonb(i) as row from auth.identities i where user_id = %s order by created_at, id", (user_id,)
    )
    factors = await session.rows(
        "select to_jsonb(f) as row from auth.mfa_factors f where user_id = %s order by created_at, id", (user_id,)
    )
    for rows, columns in ((identities, _IDENTITIES_NEVER_NULL), (factors, _FACTORS_NEVER_NULL)):
        if any(row["row"][column] is None for row in rows for column in columns):
            raise failed(failure)
    user["identities"] = [_identity(row["row"]) for row in identities]
    if factors:
        user["factors"] = [_factor(row["row"]) for row in factors]
    return found["row"], user


def check_hash(text: str) -> None:
    """Refuses a password hash of a form that the server doesn't know (F§2.4)."""
    if not any(form.fullmatch(text) for form in (_BCRYPT, _ARGON2, _FIREBASE_SCRYPT)):
        raise failed("Error creating user")


async def hash_password(database: Database, password: str) -> str:
    """A bcrypt hash, made by the database's pgcrypto."""
    if len(password.encode()) > _LONGEST_PASSWORD_BYTES:
        raise failed("Internal Server Error")
    async with database.session(SUPERUSER) as session:
        query = "select extensions.crypt(%s, extensions.gen_salt('bf', %s)) as hash"
        row = await session.row(query, (password, _BCRYPT_COST))
    return str((row or {})["hash"])


async def is_password(database: Database, password: str, encrypted: str) -> bool:
    """Whether the password makes this hash. pgcrypto knows bcrypt as `$2a$` only; the later letters mean the same."""
    if not _BCRYPT.fullmatch(encrypted):
        raise failed("the sandbox can check bcrypt hashes only")
    hashed = re.sub(r"^\$2[aby]?\$", "$2a$", encrypted)
    async with database.session(SUPERUSER) as session:
        row = await session.row("select extensions.crypt(%s, %s) = %s as right", (password, hashed, hashed))
    return bool((row or {})["right"])


async def put_identity(session: Session, user_id: UUID, provider: str, data: Mapping[str, Any]) -> None:
    """The identity that a password's user has for an e-mail address or a phone number; new, or with new data."""
    changed = await session.run(
        "update auth.identities set identity_data = identity_data || %s, updated_at = now()"
        " where user_id = %s and provider = %s",
        (Jsonb(dict(data)), user_id, provider),
    )
    if not changed:
        await session.run(
            "insert into auth.identities"
            " (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)"
            " values (%s, %s, %s, %s, now(), now(), now())",
            (str(user_id), user_id, Jsonb({"sub": str(user_id), **data}), provider),
        )


def duration(text: str) -> timedelta:
    """A ban's length as Go writes durations: `24h`, `1h30m`; `none` is nothing."""
    if text == "none":
        return timedelta(0)
    if not re.fullmatch(rf"(?:{_DURATION.pattern})+", text):
        raise not_valid(f'invalid format for ban duration: time: invalid duration "{text}"')
    return timedelta(seconds=sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION.findall(text)))


def merged(old: Mapping[str, Any] | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with changes: a null takes a name away."""
    return {name: value for name, value in {**(old or {}), **changes}.items() if value is not None}


def _identity(row: Mapping[str, Any]) -> dict[str, Any]:
    identity = {
        "identity_id": row["id"],
        "id": row["provider_id"],
        "user_id": row["user_id"],
        "provider": row["provider"],
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
    }
    if row["identity_data"]:
        identity["identity_data"] = row["identity_data"]
    if row["last_sign_in_at"] is not None:
        identity["last_sign_in_at"] = _time(row["last_sign_in_at"])
    if row["email"]:
        identity["email"] = row["email"]
    return identity


def _factor(row: Mapping[str, Any]) -> dict[str, Any]:
    factor = {
        "id": row["id"],
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
        "status": row["status"],
        "factor_type": row["factor_type"],
        "phone": row["phone"] or "",
        "last_challenged_at": _time(row["last_challenged_at"]),
    }
    if row["friendly_name"]:
        factor["friendly_name"] = row["friendly_name"]
    return factor


def _time(text: str | None) -> str | None:
    """A time in the database's JSON, UTC, as the server writes it."""
    return text.replace("+00:00", "Z") if text else None
