"""Rows as JSON that casts back exactly: one line a row, readable by anyone, loaded by any PostgreSQL.

Whole numbers, booleans and floats are JSON's own; jsonb stands as the value it is; everything else is the text that
PostgreSQL reads back to the same value (numeric with all digits, timestamps in UTC, bytea in hex, arrays in braces).
SQL's NULL is null, but for a jsonb column, where null is JSON's own and SQL's NULL leaves the key out: both survive.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from supapy.model import Json
from supapy.names import literal, quoted
from supapy.project.moment import Moment
from supapy.project.postgres import PIECE_BYTES, Session
from supapy.project.schema import Column, Table
from supapy.stream import lines

_NATIVE = frozenset({"smallint", "integer", "bigint", "real", "double precision", "boolean"})
# A cast from text reads these otherwise than their own input does: no oid for a relation, no escaped byte.
_NOT_CAST = frozenset({"regclass", '"char"'})
# No JSON text holds these two characters, so that a line goes through COPY as it is, nothing escaped or quoted.
_AS_IT_IS = r"(FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')"
STAGE = "pg_temp.supapy_stage"


def json_of(columns: Sequence[Column], alias: str) -> str:
    """An SQL expression: the JSON text of one row of `alias`."""
    pieces = ", ".join(_member(column, f"{alias}.{quoted(column.name)}") for column in columns)
    return f"'{{' || pg_catalog.array_to_string(ARRAY[{pieces}]::text[], ',') || '}}'"


def _member(column: Column, value: str) -> str:
    key = literal(json.dumps(column.name, ensure_ascii=False) + ":")
    if column.type == "jsonb":
        # SQL's NULL makes the member NULL, which the array's text leaves out.
        return f"{key} || {value}::text"
    # A cast to text takes the blanks off the end of this one.
    shown = value if column.type in _NATIVE or column.type == "bpchar" else f"{value}::text"
    return f"{key} || coalesce(pg_catalog.to_json({shown})::text, 'null')"


def lines_out(moment: Moment, query: str) -> Iterator[bytes]:
    """The lines of a query that gives one JSON text a row, in pieces of whole lines."""
    return moment.copy_out(lines_statement(query))


def lines_statement(query: str) -> str:
    """The statement that puts these lines out."""
    return f"COPY ({query}) TO STDOUT {_AS_IT_IS}"


def rows_out(moment: Moment, table: Table) -> Iterator[bytes]:
    """A table's own rows as JSON lines, generated columns included, in pieces of whole lines."""
    return moment.copy_out(rows_statement(table))


def rows_statement(table: Table, where: str = "") -> str:
    """The statement that gives a table's own rows, or those that a WHERE clause chooses, as JSON lines."""
    return f"COPY (SELECT {json_of(table.columns, 't')} FROM ONLY {table.sql} t {where}) TO STDOUT {_AS_IT_IS}"


def as_array(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """JSON lines, in pieces cut anywhere, turned into one JSON array, still one row a line."""
    yield b"["
    # The newline that the last line ends with has no comma before it.
    held = b"\n"
    for piece in pieces:
        yield held + piece.removesuffix(b"\n").replace(b"\n", b",\n")
        held = b",\n" if piece.endswith(b"\n") else b""
    yield b"\n]\n"


def array_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The rows of a JSON array that was written by `as_array`, as lines."""
    return (line.rstrip(b",") for line in lines(pieces) if line not in (b"[", b"]", b""))


def stage(session: Session, rows: Iterable[bytes]) -> int:
    """Put JSON lines into the session's staging table, replacing what was there. Gives their number."""
    session.execute(f"DROP TABLE IF EXISTS {STAGE}")
    session.execute(f"CREATE TEMPORARY TABLE {STAGE.removeprefix('pg_temp.')} (line json NOT NULL)")
    return session.copy_in(f"COPY {STAGE} (line) FROM STDIN {_AS_IT_IS}", _joined(rows))


def amend_staged(session: Session, values: Json, *, without: str) -> None:
    """Give every staged row these values, and take one key out of it."""
    session.execute(
        f"UPDATE {STAGE} SET line = ((line::jsonb || {literal(json.dumps(values))}::jsonb) - {literal(without)})::json"
    )


def _joined(rows: Iterable[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for row in rows:
        piece += row
        piece += b"\n"
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def staged_keys(session: Session) -> dict[str, bool]:
    """The keys of the staged rows, each with whether any row has a value there."""
    members = f"SELECT m.key, m.value FROM {STAGE} AS one, pg_catalog.json_each(one.line) m"
    return dict(session.rows(f"SELECT key, bool_or(value::text <> 'null') FROM ({members}) k GROUP BY key"))


def insert_staged(
    session: Session,
    table: Table,
    columns: Sequence[Column],
    *,
    conflict: str = "",
    instead: Mapping[str, str] | None = None,
) -> int:
    """Insert the staged rows into a table: the given columns, each cast from its text. Gives the number of rows.

    `conflict` is an `ON CONFLICT` clause; `instead` gives SQL for columns whose value isn't the row's.
    """
    if not columns:
        return session.execute(f"INSERT INTO {table.sql} SELECT FROM {STAGE}")
    names = ", ".join(quoted(column.name) for column in columns)
    record = ", ".join(f"{quoted(c.name)} {_read_as(c)}" for c in columns)
    values = ", ".join((instead or {}).get(column.name) or _value(column) for column in columns)
    return session.execute(
        f"INSERT INTO {table.sql} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} "
        f"FROM {STAGE} AS one, pg_catalog.json_to_record(one.line) AS r({record}) {conflict}"
    )


def update_staged(
    session: Session,
    table: Table,
    columns: Sequence[Column],
    *,
    key: Sequence[str],
    instead: Mapping[str, str] | None = None,
) -> int:
    """Set the given columns of the rows that have the staged ones' key. Gives the number of rows.

    `instead` gives SQL for columns whose value isn't the staged one's: over `r`, the staged row, and `t`, the live one.
    """
    record = ", ".join(f"{quoted(c.name)} {_read_as(c)}" for c in columns)
    settings = ", ".join(
        f"{quoted(c.name)} = {(instead or {}).get(c.name) or _value(c)}" for c in columns if c.name not in key
    )
    same = " AND ".join(f"t.{quoted(c.name)} = {_value(c)}" for c in columns if c.name in key)
    return session.execute(
        f"UPDATE {table.sql} t SET {settings} FROM {STAGE} AS one, "
        f"pg_catalog.json_to_record(one.line) AS r({record}) WHERE {same}"
    )


def _read_as(column: Column) -> str:
    """The type that a value is taken out of a line as."""
    return "json" if column.type == "jsonb" else column.type if column.type in _NOT_CAST else "text"


def _value(column: Column) -> str:
    if column.type == "jsonb":
        return f"(one.line -> {literal(column.name)})::text::jsonb"
    if column.type in _NOT_CAST:
        return f"r.{quoted(column.name)}"
    return f"r.{quoted(column.name)}::{column.type}"


def upsert(key: Sequence[str], columns: Sequence[Column]) -> str:
    """An `ON CONFLICT` clause that lets the new row's values win; nothing for a table without a key."""
    if not key:
        return ""
    target = ", ".join(map(quoted, key))
    settings = ", ".join(f"{quoted(c.name)} = excluded.{quoted(c.name)}" for c in columns if c.name not in key)
    return f"ON CONFLICT ({target}) DO " + (f"UPDATE SET {settings}" if settings else "NOTHING")


def insertable(table: Table, keys: Container[str]) -> list[Column]:
    """The table's columns that the saved rows have a value for and that can be written."""
    return [column for column in table.stored_columns if column.name in keys]


def unknown_columns(table: Table, keys: Mapping[str, bool]) -> list[str]:
    """The saved keys with values in them for which the table has no column."""
    known = {column.name for column in table.columns}
    return sorted(key for key, has_values in keys.items() if has_values and key not in known)
