"""The vault's secrets as a backup has them, held against those of a project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from supapy.model import Omission
from supapy.names import few
from supapy.parts.base import Source
from supapy.parts.database.inventory.contents import FILE, Contents
from supapy.parts.database.inventory.inventory import VAULT_SECRETS
from supapy.parts.database.platform.vault import (
    COLUMNS,
    MOST_NAMED,
    ROWS,
    SEGMENT,
    TITLE,
    VaultSecret,
    opened,
    read_names,
)
from supapy.parts.database.sql.statements import copied_rows
from supapy.project.postgres import Session
from supapy.project.schema import Reader


def sealed_in(backup: Source, contents: Contents) -> list[VaultSecret]:
    """The secrets that a backup has sealed."""
    found = [one for one in contents.own_segments if one.name == SEGMENT and one.length]
    text = b"".join(b"".join(backup.read(FILE, one.offset, one.offset + one.length)) for one in found).decode()
    rows = (row for row in copied_rows(text, ROWS) if len(row) == len(COLUMNS)) if text else ()
    secrets = (VaultSecret(str(row[0]), row[1], row[2] or "", *row[3:]) for row in rows)
    return [one for one in secrets if one.sealed is not None]


def locked(sealed: Sequence[VaultSecret], session: Session) -> Iterator[Omission]:
    """A word on the secrets that a project neither has nor can open."""
    readable = {one.id for one in opened(session, sealed)}
    if missing := not_back([one for one in sealed if one.id not in readable], session):
        yield Omission("database", f"secrets of the vault ({few(missing, MOST_NAMED)})", _LOCKED)


_LOCKED = (
    "The root key that sealed them isn't the target's: --vault-root-key brings it while the old project lives. Else "
    "make them anew afterwards."
)


def saved_ids(backup: Source, contents: Contents) -> dict[str, str]:
    """The ids that the secrets of a backup had, by name; those without one by their ids."""
    sealed = {one.called: one.id for one in sealed_in(backup, contents)}
    readable = contents.inventory.get(VAULT_SECRETS, {})
    return sealed | {title.removeprefix(TITLE): str(one.get("id")) for title, one in readable.items()}


def new_ids(had: dict[str, str], reader: Reader) -> list[tuple[str, str, str]]:
    """Of the secrets by name that are there again: name, the id that each `had`, and the one it has now. Those without
    a name can't be told apart."""
    live = {name: id_ for id_, name in read_names(reader) if name is not None}
    return [(name, had[name], live[name]) for name in sorted(had.keys() & live.keys()) if had[name] != live[name]]


def not_back(sealed: Sequence[VaultSecret], reader: Reader) -> list[str]:
    """Of the secrets that a backup has sealed those that aren't there, by name; those without one are counted."""
    live = read_names(reader)
    names = {name for _, name in live if name is not None}
    nameless = sum(one.name is None for one in sealed) - sum(name is None for _, name in live)
    missing = [one.called for one in sealed if one.name is not None and one.name not in names]
    return missing + ([f"{nameless} without a name"] if nameless > 0 else [])
