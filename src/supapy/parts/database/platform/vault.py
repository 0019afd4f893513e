"""Secrets of the vault (F§4.6). They come back with new ids: its owner may make secrets, but not write their rows.

A backup has them sealed, as they stand in `vault.secrets`: whoever lacks the project's root key, which is never in the
database, can't read them, and a server that has it opens them. Readable values it has only where that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from supapy.errors import SqlError
from supapy.model import Omission, Problem
from supapy.names import few, many
from supapy.parts.database.sql.statements import over_rows, sql_file
from supapy.project.moment import Moment
from supapy.project.postgres import Session
from supapy.project.schema import Reader, installed

SEGMENT = "vault"
# More names than that make an omission unreadable; the rest is counted.
MOST_NAMED = 5
TITLE = "vault secret "
# How an omission begins that says what a backup has sealed.
SEALED = "values of "
ROWS = "supapy_secrets"
COLUMNS = ("id text", "name text", "description text", "value text", "sealed text", "nonce text")


class VaultSecret(NamedTuple):
    """One secret: with its `value`, or as it stands in the vault's table, `sealed` (base64) with its `nonce` (bytea's
    text). Nothing prints it: both go into the script and nowhere else."""

    id: str
    name: str | None
    description: str
    value: str | None
    sealed: str | None = None
    nonce: str | None = None

    def __repr__(self) -> str:
        return f"VaultSecret({self.id})"

    @property
    def called(self) -> str:
        """What people know it by."""
        return self.name if self.name is not None else self.id


def read_names(reader: Reader) -> list[tuple[str, str | None]]:
    """Id and name of every secret."""
    if "supabase_vault" not in installed(reader):
        return []
    return [(str(id_), name) for id_, name in reader.rows("SELECT id::text, name FROM vault.secrets ORDER BY name, id")]


def read_values(moment: Moment) -> tuple[list[VaultSecret], list[Problem]]:
    """Every secret that the server can open, with its value; of each other one a problem that names it."""
    names = read_names(moment)
    if not names:
        return [], []
    found, problems = [], []
    try:
        return _decrypted(moment.session, ""), []
    except SqlError:
        # One row that can't be read fails the query for all.
        for id_, name in names:
            try:
                found += _decrypted(moment.session, "WHERE id = %s", id_)
            except SqlError as error:
                problems.append(Problem("database", f"{TITLE}{name if name is not None else id_}", error.message))
    return found, problems


def read_sealed(reader: Reader) -> list[VaultSecret]:
    """Every secret that the root key alone opens, as it stands in the table. Those of versions before 0.3 needn't be:
    keys of their own sealed them, which `key_id` names."""
    if not read_names(reader):
        return []
    return [
        VaultSecret(id_, name, about, None, sealed, nonce) for id_, name, about, sealed, nonce in reader.rows(_SEALED)
    ]


def opened(session: Session, secrets: Iterable[VaultSecret]) -> list[VaultSecret]:
    """Of sealed secrets those that this server's root key opens, with their values."""
    found = []
    for one in secrets:
        try:
            # An error ends what stands between savepoints, and no more.
            with session.transaction():
                value = session.value(_OPEN, (one.sealed, one.id, one.nonce))
        except SqlError:
            continue
        found.append(VaultSecret(one.id, one.name, one.description, str(value)))
    return found


def left_out(reader: Reader, sealed: Sequence[VaultSecret]) -> Iterator[Omission]:
    """A word on the secrets of a backup without their values: on those that it has `sealed`, and on the others."""
    names, kept = read_names(reader), {one.id for one in sealed}
    by_hand = "make them anew after a restore: SELECT vault.create_secret(value, name, description)."
    for held, remedy in (
        (
            True,
            "They are saved as the vault seals them, and come back where its root key is: in this project, or where "
            "restore --vault-root-key brings it while this project lives. Else save them, readably, with "
            f"--vault-plaintext, or {by_hand}",
        ),
        (False, f"Their values are saved, readably, with --vault-plaintext only. Without it {by_hand}"),
    ):
        some = [name or id_ for id_, name in names if (id_ in kept) == held]
        if some:
            names_of_some = few(some, MOST_NAMED)
            what = f"{SEALED if held else ''}{many(len(some), 'vault secret')} ({names_of_some})"
            yield Omission("database", what, remedy)


def keys_left_out(moment: Moment) -> Iterator[Omission]:
    """A word on the keys of pgsodium, on which the vault stood once, in projects that have it still (recipe §10)."""
    if _KEEPER not in installed(moment):
        return
    if not moment.value(_KEYS_READABLE) or moment.value("SELECT EXISTS (SELECT FROM pgsodium.key)"):
        yield Omission("database", f"keys of extension {_KEEPER}", _DERIVED)


_KEEPER = "pgsodium"
_KEYS_READABLE = """
SELECT pg_catalog.has_schema_privilege('pgsodium', 'USAGE') AND pg_catalog.has_table_privilege('pgsodium.key', 'SELECT')
"""
_DERIVED = (
    "Its server derives them from a root key that no backup has: what is encrypted with them can be read in this "
    "project only. Decrypt it before it goes."
)


def vault_sql(secrets: Iterable[VaultSecret]) -> str:
    """Statements that make the secrets anew, and leave alone what is there under their names."""
    rows = list(secrets)
    return over_rows(ROWS, COLUMNS, rows, sql_file("vault")) if rows else ""


def inventory(secrets: Iterable[VaultSecret]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The secrets as they are compared: the value by its digest; the id is the only thing that a restore changes."""
    ordered = sorted(secrets, key=lambda one: (one.name or "", one.value or "", one.description))
    for number, secret in enumerate(ordered):
        title = f"{TITLE}{secret.name}" if secret.name is not None else f"vault secret without a name, {number}"
        yield title, {"description": secret.description, "secret": secret.value, "id": secret.id}


def _decrypted(session: Session, where: str, *parameters: str) -> list[VaultSecret]:
    with session.transaction():
        return [VaultSecret(*row) for row in session.rows(_DECRYPTED.format(where=where), parameters)]


_DECRYPTED = """
SELECT id::text, name, coalesce(description, ''), decrypted_secret FROM vault.decrypted_secrets {where}
ORDER BY created_at, id
"""
_SEALED = """
SELECT id::text, name, coalesce(description, ''), secret, nonce::text FROM vault.secrets
WHERE key_id IS NULL AND nonce IS NOT NULL ORDER BY created_at, id
"""
# Just what the vault's own view does (F§4.6): the id is part of what is sealed.
_OPEN = """
SELECT pg_catalog.convert_from(vault._crypto_aead_det_decrypt(
    pg_catalog.decode(%s, 'base64'), pg_catalog.convert_to(%s, 'utf8'), 0, 'pgsodium'::bytea, %s::bytea), 'utf8')
"""
