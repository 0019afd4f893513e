"""Where the saved rows of one table go: the statement that makes them of staged lines, and the one they come in by."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from supapy.errors import RestoreRefused
from supapy.model import Problem
from supapy.names import literal, many, quoted
from supapy.parts.auth.plain import Form
from supapy.parts.auth.tables import NEVER_NULL, wanting
from supapy.project.postgres import Session
from supapy.project.quick import stage_packed
from supapy.project.rows import STAGE, upsert
from supapy.project.schema import Column, Table, primary_key

# Of identities before November 2023: what is `provider_id` now was `id` (F§2.5).
_RENAMED = ("identities", "provider_id", "id")
# Rows in COPY's text format, and further ones in its binary format.
Made = tuple[bytes, list[bytes]]
# Of nested rows so much waits before it comes in. Ids are random, so that a table's indexes are written all over: where
# two tables take turns more often, their indexes drive each other out of the server's memory (docs/decisions/0017).
HELD_BYTES = 24 * 1024 * 1024


@dataclass(slots=True)
class Target:
    """One table of the target. Where it holds rows already, or only some may come in, they wait in a table of their own
    until all are there. `lost` are conditions on staged lines, and what is said once one of them holds."""

    name: str
    table: Table | None
    rows: str
    values: dict[str, str]
    columns: list[Column]
    form: Form | None
    record: str
    arrived: str | None
    filters: list[str]
    replaces: bool
    lost: dict[str, Problem]
    held_bytes: int
    found: list[Problem] = field(default_factory=list)
    _held: list[Made] = field(default_factory=list)
    _size: int = 0

    @classmethod
    def of(
        cls,
        taker: Session,
        table: Table | None,
        name: str,
        saved: list[str],
        *,
        nested: bool,
        replaces: bool,
        partial: bool,
    ) -> Target:
        """The target of a table's rows; `saved` are the columns that the backup has of it."""
        place = f"auth.{name}"
        # Rows of a user are staged as the array that they are in his line.
        lines = "pg_catalog.json_array_elements(s.line)" if nested else "LATERAL (SELECT s.line)"
        rows = f"{STAGE} s, {lines} AS one(line)"
        values, lost = {}, {}
        if table is None:
            lost["true"] = Problem("auth", place, "the target's Auth server has no such table: its rows are left out")
        else:
            values = _values(table, saved)
            known = {*(one.name for one in table.columns), *(_renamed(table, saved) or ())}
            for column in saved:
                if column not in known:
                    reason = "the target's Auth server has no such column: left out"
                    lost[f"one.line -> {literal(column)} IS NOT NULL"] = Problem("auth", f"{place}.{column}", reason)
            if lacking := wanting(taker, table, set(values)):
                reason = f"the target wants a value for {', '.join(lacking)}, which the backup hasn't: left out"
                values, lost = {}, {"true": Problem("auth", place, reason)}
        columns = _columns(table, values, saved) if table else []
        renamed = table and _renamed(table, saved)
        waits = bool(columns) and name != "users"
        waits = waits and (partial or taker.value(f"SELECT EXISTS (SELECT FROM {place})"))
        return cls(
            name,
            table if columns else None,
            rows,
            values,
            columns,
            Form.of(columns, saved, NEVER_NULL) if columns and not renamed else None,
            _record(table, saved) if table else "",
            f"supapy_{name}" if waits else None,
            [condition for (condition,) in taker.rows(_REFERENCES, (place,))] if waits and partial else [],
            replaces,
            lost,
            HELD_BYTES if nested else 0,
        )

    def open(self, taker: Session) -> None:
        """Before the first row."""
        if self.arrived and self.table:
            query = f"SELECT {self._names} FROM {self.table.sql} WITH NO DATA"
            taker.execute(f"CREATE TEMPORARY TABLE {self.arrived} ON COMMIT DROP AS {query}")

    def made(self, maker: Session, texts: bytes) -> list[bytes]:
        """The rows that packed lines make, in COPY's binary form."""
        if not texts:
            return []
        self.look(maker, texts)
        if self.table is None:
            return []
        record = f", pg_catalog.json_to_record(one.line) AS r({self.record})"
        values = ", ".join(self.values[column.name] for column in self.columns)
        query = f"SELECT {values} FROM {self.rows}{record}"
        return list(maker.copy_out(f"COPY ({query}) TO STDOUT (FORMAT binary)"))

    @property
    def lacks(self) -> bool:
        """Whether anything of the saved rows may have no place here."""
        return bool(self.lost or self._let_in)

    def look(self, maker: Session, texts: bytes) -> None:
        """Stage packed lines, and note what of them has no place here. Raises RestoreRefused where somebody who is kept
        out would be let in."""
        stage_packed(maker, texts)
        for condition in self._let_in:
            if maker.value(f"SELECT EXISTS (SELECT FROM {self.rows} WHERE {condition})"):
                raise RestoreRefused(
                    f"the target's Auth server can't take what keeps people out in auth.{self.name} (a ban, a "
                    "deletion, a second factor): they could sign in there",
                    OLDER,
                )
        for condition, problem in list(self.lost.items()):
            if maker.value(f"SELECT EXISTS (SELECT FROM {self.rows} WHERE {condition})"):
                del self.lost[condition]
                self.found.append(problem)

    def take(self, taker: Session, made: Made) -> int:
        """Take rows in, or hold them until there are enough; gives the number of those that came in."""
        plain, others = made
        self._held.append(made)
        self._size += len(plain) + sum(map(len, others))
        return self._take_held(taker) if self._size > self.held_bytes else 0

    def _take_held(self, taker: Session) -> int:
        held, self._held, self._size = self._held, [], 0
        if not self.table:
            return 0
        place = f"pg_temp.{self.arrived}" if self.arrived else self.table.sql
        copy = f"COPY {place} ({self._names}) FROM STDIN"
        plain = [rows for rows, _ in held if rows]
        came = taker.copy_in(copy, plain) if plain else 0
        return came + sum(taker.copy_in(f"{copy} (FORMAT binary)", others) for _, others in held if others)

    def settle(self, taker: Session) -> Iterator[Problem]:
        """After the last row; gives what could not come in."""
        self._take_held(taker)
        if self.arrived and self.table:
            place, fits = f"pg_temp.{self.arrived} t", " AND ".join(self.filters) or "true"
            conflict = (
                upsert(primary_key(taker, self.table), self.columns) if self.replaces else "ON CONFLICT DO NOTHING"
            )
            taker.execute(
                f"INSERT INTO {self.table.sql} ({self._names}) OVERRIDING SYSTEM VALUE "
                f"SELECT {self._names} FROM {place} WHERE {fits} {conflict}"
            )
            if self.name == "oauth_consents":
                left = taker.value(f"SELECT count(*) FROM {place} WHERE NOT ({fits})")
                if left:
                    reason = f"the target hasn't the OAuth clients of {many(left, 'row')}: left out"
                    yield Problem("auth", "auth.oauth_consents", reason)
        yield from self.found

    @property
    def _let_in(self) -> list[str]:
        """Conditions on staged lines: that here somebody would be let in who is kept out."""
        return [condition for column, condition in _KEPT_OUT.get(self.name, {}).items() if column not in self.values]

    @property
    def _names(self) -> str:
        return ", ".join(quoted(column.name) for column in self.columns)


def _columns(table: Table, given: Container[str], saved: list[str]) -> list[Column]:
    """The columns that get a value, in the order of the lines: id first, then as they were saved."""
    places = {name: number for number, name in enumerate(saved)}
    columns = [column for column in table.stored_columns if column.name in given]
    return sorted(columns, key=lambda column: (column.name != "id", places.get(column.name, len(saved))))


def _values(table: Table, saved: list[str]) -> dict[str, str]:
    """For each column that gets one, the SQL of its value over `r`, the saved row."""
    values = {column.name: _value(column) for column in table.stored_columns if column.name in saved}
    if renamed := _renamed(table, saved):
        target, source = renamed
        values = {name: value for name, value in values.items() if name != source}
        values[target] = f"r.{quoted(source)}"
    for column in table.stored_columns:
        if column.name in NEVER_NULL:
            values[column.name] = f"coalesce({values.get(column.name, 'NULL')}, '')"
    return values


def _renamed(table: Table, saved: list[str]) -> tuple[str, str] | None:
    """A column of the target, and the saved one that it was or became."""
    name, new, old = _RENAMED
    has_new = any(column.name == new for column in table.columns)
    if table.name != name or has_new == (new in saved):
        return None
    return (new, old) if has_new else (old, new)


def _record(table: Table, saved: list[str]) -> str:
    """The saved columns with the types that their values are read as."""
    types = {column.name: _read_as(column) for column in table.stored_columns if column.name in saved}
    if renamed := _renamed(table, saved):
        types[renamed[1]] = "text"
    return ", ".join(f"{quoted(name)} {kind}" for name, kind in types.items())


def _read_as(column: Column) -> str:
    return "text" if _is_text(column) else column.type


def _value(column: Column) -> str:
    value = f"r.{quoted(column.name)}"
    if column.type == "jsonb":
        # A key that is there with a null is JSON's own.
        return f"coalesce({value}, (one.line -> {literal(column.name)})::text::jsonb)"
    return f"{value}::{column.type}" if _is_text(column) else value


def _is_text(column: Column) -> bool:
    """Whether the saved value is the text of the value, where JSON has a form of its own for the type."""
    return column.type == "json" or column.type.endswith("[]")


OLDER = "No user came in. Upgrade the target first (Settings > Infrastructure)."
# Columns by which somebody is kept out, and the condition on a saved row that somebody is.
_KEPT_OUT = {
    "users": {
        "banned_until": "(one.line ->> 'banned_until')::timestamptz > now()",
        "deleted_at": "one.line ->> 'deleted_at' IS NOT NULL",
    },
    "mfa_factors": {"status": "one.line ->> 'status' = 'verified'"},
}
# What a table's rows refer to in schema auth, as conditions that it is there.
_REFERENCES = """
SELECT pg_catalog.format('(t.%%1$I IS NULL OR EXISTS (SELECT FROM %%2$s k WHERE k.%%3$I = t.%%1$I))',
    a.attname, c.confrelid::pg_catalog.regclass, k.attname)
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_catalog.pg_attribute k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
WHERE c.contype = 'f' AND c.conrelid = %s::pg_catalog.regclass AND pg_catalog.cardinality(c.conkey) = 1
ORDER BY 1
"""
