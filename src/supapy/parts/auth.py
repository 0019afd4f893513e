"""The users: read and written by SQL, so that ids, password hashes and identities stay what they are (design §6).

auth_users.json holds one user a line, with the identities and MFA factors inside, then the rows of the other tables
that belong to signing in. People sign in with their old passwords after a restore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter

from supapy.journal import Journal
from supapy.model import Difference, Dump, Finding, Item, Json, Omission, Problem, Progress, Proof, Step
from supapy.names import literal, many, quoted
from supapy.parts.base import Obstacle, Source
from supapy.project.moment import Moment
from supapy.project.postgres import Session
from supapy.project.project import Project
from supapy.project.rows import (
    Deep,
    as_array,
    changed_columns,
    insert_staged,
    insertable,
    json_of,
    lines_out,
    paired,
    parse,
    same,
    stage,
    staged_keys,
    unknown_columns,
    upsert,
)
from supapy.project.schema import AUTH_LEFT_OUT, Table, primary_key, tables_of
from supapy.stream import lines

_KEY = re.compile(rb',?"(\w+)":\[')

FILE = "auth_users.json"

# Rows of a user that stand inside his line.
NESTED = ("identities", "mfa_factors")
# The other tables worth keeping (F§2.5), in an order in which foreign keys hold: what signing in needs, the sessions,
# the history.
OTHERS = (
    "oauth_clients",
    "sso_providers",
    "custom_oauth_providers",
    "webauthn_credentials",
    "sso_domains",
    "saml_providers",
    "oauth_consents",
    "sessions",
    "refresh_tokens",
    "mfa_amr_claims",
    "audit_log_entries",
)
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
# The server's one sequence: behind its table, the next sign-in fails with a duplicate key (F§2.6).
SEQUENCE = "auth.refresh_tokens_id_seq"


class AuthPart:
    """auth_users.json, and the tables of schema auth that it stands for."""

    name = "auth"
    side_by_side = False

    def dump(self, moment: Moment) -> Dump:
        """The one file, and a word on what isn't in it."""
        count = moment.value("SELECT count(*) FROM auth.users")
        yield Item(self.name, "users", FILE, partial(_document, moment), counts={"users": count})
        yield from _not_saved(moment)
        yield Omission(
            self.name,
            "sign-ins under way (one-time tokens, OAuth and SAML states, challenges)",
            "Nothing to do: they expire within minutes to a day, and whoever waits for one begins anew.",
        )

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """The users that are there."""
        count = moment.value("SELECT count(*) FROM auth.users")
        if count:
            yield Obstacle(self.name, many(count, "user"), held=True)

    def load(self, backup: Source, project: Project, journal: Journal) -> Iterator[Step]:
        """One step: all tables in one transaction."""
        users = backup.count(self.name, "users")
        title = f"{many(users, 'user')} with identities, factors and sessions"
        yield Step(self.name, title, partial(_load, backup, project), users, "users")

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """Every saved row against the live one, by its id."""
        tables = _readable(moment)
        for name, rows in _sections(backup):
            if name in tables:
                yield from _compare(name, rows, moment, tables)
            elif next(rows, None):
                yield Difference("auth", f"auth.{name}", "missing", "no such table")


def _readable(moment: Moment) -> dict[str, Table]:
    return {table.name: table for table in tables_of(moment, "auth") if table.readable}


def _not_saved(moment: Moment) -> Iterator[Problem]:
    """Tables that should be in the file and aren't: unreadable ones, and what a newer server has."""
    for table in tables_of(moment, "auth"):
        if table.name in AUTH_LEFT_OUT:
            continue
        if not table.readable:
            yield Problem("auth", f"auth.{table.name}", "this connection may not read the table")
        elif table.name not in ("users", *NESTED, *OTHERS) and moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})"):
            yield Problem("auth", f"auth.{table.name}", "this version doesn't know the table and can't bring it back")


def _document(moment: Moment) -> Iterator[bytes]:
    """The file: its keys and its rows each on a line of its own, as `_sections` reads them back."""
    tables = _readable(moment)
    yield b'{"format":1'
    for name in ("users", *OTHERS):
        if name in tables:
            yield b',\n"' + name.encode() + b'":'
            yield from as_array(_lines_of(name, moment, tables))
    yield b"}\n"


def _sections(backup: Source) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The tables of the file in order, each with its rows. A table's rows are to be read before the next one's."""

    def labelled() -> Iterator[tuple[str, bytes]]:
        name = ""
        for line in lines(backup.read(FILE)):
            if key := _KEY.fullmatch(line):
                name = key[1].decode()
                yield name, b""
            elif name and line.startswith(b"{"):
                yield name, line.rstrip(b",")

    for name, group in groupby(labelled(), key=itemgetter(0)):
        yield name, (line for _, line in group if line)


def _lines_of(name: str, moment: Moment, tables: dict[str, Table]) -> Iterator[bytes]:
    """One table's rows as JSON lines, by id; a user's line holds the rows of the nested tables as well."""
    line, joins = json_of(tables[name].columns, "t"), ""
    for nested in (table for table in NESTED if name == "users" and table in tables):
        rows = json_of(tables[nested].columns, "n")
        line = f"""pg_catalog.left({line}, -1) || ',"{nested}":[' || coalesce({nested}.rows, '') || ']}}'"""
        joins += (
            f" LEFT JOIN (SELECT n.user_id, pg_catalog.string_agg({rows}, ',' ORDER BY n.id) AS rows "
            f"FROM {tables[nested].sql} n GROUP BY n.user_id) {nested} ON {nested}.user_id = t.id"
        )
    return lines_out(moment, f"SELECT {line} FROM {tables[name].sql} t{joins} ORDER BY t.id")


def _load(backup: Source, project: Project, progress: Progress) -> Iterable[Problem]:
    problems: list[Problem] = []
    with project.session() as session, session.transaction():
        # Neither triggers on auth.users nor foreign keys may act on rows that are already what they should be.
        session.execute("SET LOCAL session_replication_role = replica")
        tables = {table.name: table for table in tables_of(session, "auth")}
        for name, rows in _sections(backup):
            count = stage(session, rows)
            problems += _insert(session, tables, name, "line")
            if name == "users":
                for nested in NESTED:
                    problems += _insert(session, tables, nested, f"line -> {literal(nested)}")
                progress(count)
        session.execute(
            f"SELECT pg_catalog.setval('{SEQUENCE}', GREATEST((SELECT max(id) FROM auth.refresh_tokens), last_value), "
            f"is_called OR EXISTS (SELECT FROM auth.refresh_tokens)) FROM {SEQUENCE}"
        )
    return problems


def _insert(session: Session, tables: dict[str, Table], name: str, source: str) -> Iterator[Problem]:
    """Load the staged rows of one table on the columns that file and target both have."""
    keys = staged_keys(session, source)
    if not keys:
        return
    table = tables.get(name)
    if table is None:
        yield Problem("auth", f"auth.{name}", "the target's Auth server has no such table: its rows were left out")
        return
    for column in unknown_columns(table, {key: value for key, value in keys.items() if key not in NESTED}):
        yield Problem("auth", f"auth.{name}.{column}", "the target's Auth server has no such column: left out")
    columns = insertable(table, keys.keys() | NEVER_NULL)
    insert_staged(
        session,
        table,
        columns,
        source=source,
        conflict=upsert(primary_key(session, table), columns),
        instead={column: f"coalesce(r.{quoted(column)}, '')" for column in NEVER_NULL},
    )


def _compare(name: str, rows: Iterator[bytes], moment: Moment, tables: dict[str, Table]) -> Iterator[Finding]:
    live = map(parse, lines(_lines_of(name, moment, tables)))
    equal = 0
    for one, other in paired(map(parse, rows), live, itemgetter("id")):
        if one is None or other is None:
            row = one or other or {}
            yield Difference("auth", f"auth.{name} {row['id']}", "extra" if one is None else "missing")
        elif changed := _changed(one, other, tables, name):
            yield Difference("auth", f"auth.{name} {one['id']}", "changed", ", ".join(changed))
        else:
            equal += 1
    if equal:
        yield Proof("auth", name, equal)


def _changed(saved: Json, live: Json, tables: dict[str, Table], name: str) -> list[str]:
    """The columns that differ; within the nested rows, the name of the table. Missing tokens count as empty ones."""
    for row in (saved, live):
        row.update({column: row[column] or "" for column in NEVER_NULL & row.keys()})
    nested = [table for table in NESTED if not _same_rows(saved.pop(table, []), live.pop(table, []), tables.get(table))]
    return changed_columns(saved, live, tables[name].columns) + nested


def _same_rows(saved: list[Json] | Deep, live: list[Json] | Deep, table: Table | None) -> bool:
    if isinstance(saved, Deep) or isinstance(live, Deep):
        return same(saved, live)
    columns = table.columns if table else ()
    return len(saved) == len(live) and not any(
        changed_columns(one, other, columns) for one, other in zip(saved, live, strict=True)
    )
