"""Secrets of the vault: their values are saved only when that is asked for, and come back with new ids (F§4.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from supapy.model import Omission
from supapy.parts.database.statements import over_rows, sql_file
from supapy.project.moment import Moment
from supapy.project.schema import Reader

# More names than that make an omission unreadable; the rest is counted.
MOST_NAMED = 5


_TITLE = "vault secret "


class VaultSecret(NamedTuple):
    """One secret with its value. Nothing prints it: the value goes into the script and nowhere else."""

    id: str
    name: str | None
    description: str
    value: str

    def __repr__(self) -> str:
        return f"VaultSecret({self.id})"


def read_names(reader: Reader) -> list[tuple[str, str | None]]:
    """Id and name of every secret."""
    if not reader.rows("SELECT FROM pg_catalog.pg_extension WHERE extname = 'supabase_vault'"):
        return []
    return [(str(id_), name) for id_, name in reader.rows("SELECT id::text, name FROM vault.secrets ORDER BY name, id")]


def read_secrets(moment: Moment) -> list[VaultSecret]:
    """Every secret, decrypted by the server. Raises SqlError when it can't decrypt them; the moment goes on."""
    if not read_names(moment):
        return []
    # An error ends what stands between savepoints, not the snapshot.
    with moment.session.transaction():
        return [VaultSecret(*row) for row in moment.rows(_DECRYPTED)]


def left_out(moment: Moment) -> Iterator[Omission]:
    """One word on all secrets, of a backup that doesn't hold their values."""
    names = read_names(moment)
    if names:
        shown = ", ".join(name or id_ for id_, name in names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
        yield Omission(
            "database",
            f"{len(names)} vault secret{'s' if len(names) > 1 else ''} ({shown})",
            "Their values are saved, readably, with --vault-plaintext only. Without it make them anew after a restore: "
            "SELECT vault.create_secret(value, name, description).",
        )


def vault_sql(secrets: Iterable[VaultSecret]) -> str:
    """Statements that make the secrets anew, and leave alone what is there under their names."""
    rows = [(secret.name, secret.description, secret.value) for secret in secrets]
    columns = ["name text", "description text", "value text"]
    return over_rows("supapy_secrets", columns, rows, sql_file("vault")) if rows else ""


def inventory(secrets: Iterable[VaultSecret]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The secrets as they are compared: the value by its digest; the id is the only thing that a restore changes."""
    for number, secret in enumerate(sorted(secrets, key=lambda one: (one.name or "", one.value, one.description))):
        title = f"{_TITLE}{secret.name}" if secret.name is not None else f"vault secret without a name, {number}"
        yield title, {"description": secret.description, "secret": secret.value, "id": secret.id}


def new_ids(saved: Mapping[str, Mapping[str, Any]], moment: Moment) -> list[tuple[str, str, str]]:
    """Of the secrets of an inventory, that are there again: name, the id that each had, and the one it has now. Those
    without a name can't be told apart."""
    live = {name: id_ for id_, name in read_names(moment) if name is not None}
    had = {title.removeprefix(_TITLE): str(properties.get("id")) for title, properties in saved.items()}
    return [(name, had[name], live[name]) for name in sorted(had.keys() & live.keys()) if had[name] != live[name]]


_DECRYPTED = """
SELECT id::text, name, coalesce(description, ''), decrypted_secret FROM vault.decrypted_secrets ORDER BY created_at, id
"""
