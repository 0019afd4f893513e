"""The tables of schema auth that are worth keeping (F§2.5), and what is particular to some of their columns."""

from __future__ import annotations

from supapy.project.schema import Reader, Table, tables_of

FILE = "auth_users.json"

# Rows of a user that stand inside his line: what he signs in with.
NESTED = ("identities", "mfa_factors", "webauthn_credentials")
# Rows of the project as a whole.
SHARED = ("oauth_clients", "sso_providers", "custom_oauth_providers", "sso_domains", "saml_providers")
CONSENTS = ("oauth_consents",)
# What keeps people signed in, which holds only where the keys of the project are the same (F§2.6).
SESSIONS = ("sessions", "refresh_tokens", "mfa_amr_claims")
# Of these, those whose rows say whose they are.
OF_A_USER = ("oauth_consents", "sessions", "refresh_tokens")
AUDIT_LOG = ("audit_log_entries",)
# All but the users, in an order in which foreign keys hold.
OTHERS = (*SHARED, *CONSENTS, *SESSIONS, *AUDIT_LOG)
# GoTrue reads these as plain strings: a NULL in one answers every sign-in with a 500 (F§2.6).
NEVER_NULL = frozenset(
    {
        "confirmation_token",
        "recovery_token",
        "email_change_token_new",
        "email_change",
        "email_change_token_current",
        "phone_change",
        "phone_change_token",
        "reauthentication_token",
    }
)
# Columns that an Auth server may seal with a key of its own, which no backup can hold (F§2.6).
SEALABLE = {
    "users": "encrypted_password",
    "mfa_factors": "secret",
    "sessions": "refresh_token_hmac_key",
    "custom_oauth_providers": "client_secret",
}
# The server's one sequence: behind its table, the next sign-in fails with a duplicate key (F§2.6).
SEQUENCE = "auth.refresh_tokens_id_seq"


def readable(reader: Reader) -> dict[str, Table]:
    """The tables of schema auth that this connection may read, by name."""
    return {table.name: table for table in tables_of(reader, "auth") if table.readable}


def wanting(reader: Reader, table: Table, given: set[str]) -> list[str]:
    """The columns that a row of the table must have a value for, that take none by themselves and aren't given."""
    found = reader.rows(_WANTED, (table.oid,))
    return [name for (name,) in found if name not in given and name not in NEVER_NULL]


_WANTED = """
SELECT attname FROM pg_catalog.pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef AND attidentity = ''
ORDER BY attnum
"""
