"""Rows of wide tables by the million: as JSON lines out of the database, and as staged lines into it.

The lines are those of `rows`, but for NULLs, which leave their keys out; COPY's binary form spares the server to look
at every character once more.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import starmap

from supapy.names import literal, quoted
from supapy.project.moment import Moment
from supapy.project.postgres import Session
from supapy.project.rows import STAGE
from supapy.project.schema import Column, Table

_PLAIN = frozenset({"smallint", "integer", "bigint", "boolean", "jsonb"})
_NEEDS_NO_ESCAPE = frozenset({"uuid", "timestamp with time zone", "timestamp without time zone", "inet"})
_FLOATS = frozenset({"real", "double precision"})
# Of these a cast to text is what the server prints anyway.
_AS_PRINTED = (_PLAIN | _NEEDS_NO_ESCAPE) - {"boolean", "inet"}
# For each column of a row None where it is NULL, a constant as JSON where it is that, ANY for whatever else it is.
Shape = tuple[str | None, ...]
ANY = "*"
# What stands in nearly every row of some column, by the Auth server's doing, as JSON and how it is told; texts byte by
# byte, whatever the column's collation takes for equal.
_NO_INSTANCE = "00000000-0000-0000-0000-000000000000"
_CONSTANT_TEXTS = {json.dumps(text): f'COLLATE "C" = {literal(text)}' for text in ("", "authenticated", "email")}
_CONSTANTS = {
    "boolean": {"false": "IS FALSE", "true": "IS TRUE"},
    "smallint": {"0": "= 0"},
    "uuid": {json.dumps(_NO_INSTANCE): f"= {literal(_NO_INSTANCE)}"},
}
# Whoever signed up by e-mail, and whoever did by another way.
MOST_SHAPES = 2
# Of a function; it takes a hundred.
MOST_ARGUMENTS = 100
# COPY's binary form: a head, then each row's number of values and each value after its length, then an end.
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_ONE_VALUE = struct.Struct(">hI")
_END = b"\xff\xff"
# Lines that are staged at a time: much enough that a statement is little beside them.
CHUNK_BYTES = 4 * 1024 * 1024


def compact_json_of(
    columns: Sequence[Column],
    alias: str,
    more: Sequence[str] = (),
    *,
    before: Sequence[str] = (),
    begin: str = "{",
    end: str = "}",
    usual: Sequence[Shape] = (),
) -> str:
    """An SQL expression: the JSON text of one row of `alias`. NULLs leave their keys out; the first column has none.
    Expressions that give `more` members, each after a comma, stand at its end; `begin` and `end` stand around it all,
    and any text `before` that.

    One call puts all pieces together, a NULL makes its piece vanish, and what needs no escaping isn't looked at. Rows
    of a `usual` shape are put together of their values and what always stands between: the server is done in two
    thirds of the time.
    """
    keys = [("," if number else begin) + json.dumps(one.name) + ":" for number, one in enumerate(columns)]
    values = [f"{alias}.{quoted(one.name)}" for one in columns]
    members = list(zip(keys, values, (one.type for one in columns), strict=True))
    pieces = [*starmap(_compact_member, members), *more, *([literal(end)] if end else [])]
    any_row = _concat([*before, *pieces])
    cases = "".join(
        f"WHEN {_has(shape, members)} THEN {_concat([*before, *_between(shape, members), *more, literal(end)])} "
        for shape in usual
    )
    return f"CASE {cases}ELSE {any_row} END" if cases else any_row


def usual_shapes(moment: Moment, table: Table, columns: Sequence[Column], places: Sequence[str]) -> list[Shape]:
    """Of which shapes most of the table's rows are, as far as those at these places tell."""
    kinds = ", ".join(_kind(f"t.{quoted(one.name)}", one.type) for one in columns)
    there = literal("{" + ",".join(f'"{place}"' for place in places) + "}")
    query = f"SELECT ARRAY[{kinds}]::text[] FROM {table.sql} t WHERE t.ctid = ANY({there}::tid[])"
    shapes = moment.rows(
        f"SELECT s.shape FROM ({query}) s(shape) GROUP BY 1 ORDER BY count(*) DESC LIMIT {MOST_SHAPES}"
    )
    return [tuple(shape) for (shape,) in shapes]


def _constants(type_name: str) -> Mapping[str, str]:
    return _CONSTANT_TEXTS if _is_text(type_name) else _CONSTANTS.get(type_name, {})


def _kind(value: str, type_name: str) -> str:
    whens = {"NULL": "IS NULL"} | {literal(shown): test for shown, test in _constants(type_name).items()}
    cases = " ".join(f"WHEN {value} {test} THEN {kind}" for kind, test in whens.items())
    return f"CASE {cases} ELSE {literal(ANY)} END"


def _has(shape: Shape, members: Sequence[tuple[str, str, str]]) -> str:
    """Whether a row has it."""
    usual = {None: "IS NULL", ANY: "IS NOT NULL"}
    return " AND ".join(
        f"{value} {usual[kind] if kind in usual else _constants(type_name)[kind or '']}"
        for kind, (_, value, type_name) in zip(shape, members, strict=True)
    )


def _between(shape: Shape, members: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """The values of a row of that shape, with what stands before and between them, and after the last."""
    between = ""
    for kind, (key, value, type_name) in zip(shape, members, strict=True):
        if kind == ANY:
            quote = '"' if type_name in _NEEDS_NO_ESCAPE else ""
            yield literal(between + key + quote)
            yield _shown(value, type_name)
            between = quote
        elif kind is not None:
            between += key + kind
    yield literal(between)


def _concat(pieces: Sequence[str]) -> str:
    calls = [pieces[at : at + MOST_ARGUMENTS] for at in range(0, len(pieces), MOST_ARGUMENTS)]
    return " || ".join(f"pg_catalog.concat({', '.join(call)})" for call in calls)


def _shown(value: str, type_name: str) -> str:
    if type_name in _AS_PRINTED:
        return value
    if type_name in _PLAIN or type_name in _NEEDS_NO_ESCAPE:
        return f"{value}::text"
    return f"pg_catalog.to_json({value})" if type_name in _FLOATS else f"pg_catalog.to_json({value}::text)"


def _is_text(type_name: str) -> bool:
    return type_name == "text" or type_name.startswith("character varying")


def _compact_member(key: str, value: str, type_name: str) -> str:
    if type_name in _PLAIN:
        return f"{literal(key)} || {value}::text"
    if type_name in _NEEDS_NO_ESCAPE:
        return f"""{literal(key + '"')} || {value}::text || '"'"""
    full = f"{literal(key)} || {_shown(value, type_name)}::text"
    if _is_text(type_name):
        return f"""CASE {value} WHEN '' THEN {literal(key + '""')} ELSE {full} END"""
    return full


def binary_rows(pieces: Iterable[bytes], outputs: int = 1) -> Iterator[list[bytes | None]]:
    """The values of the rows that so many outputs of `COPY … TO STDOUT (FORMAT binary)` give, one after another."""
    held: list[bytes] = []
    size, at, wanted = 0, len(_HEAD), len(_HEAD)
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size < wanted:
            continue
        data = held[0] if len(held) == 1 else b"".join(held)
        while outputs:
            row = _row_at(data, at)
            if isinstance(row, int):
                wanted = row
                break
            values, at = row
            if values is None:
                outputs, at = outputs - 1, at + len(_HEAD)
            else:
                yield values
        passed = min(at, size)
        held, size, at, wanted = [data[passed:]], size - passed, at - passed, wanted - passed


def _row_at(data: bytes, at: int) -> tuple[list[bytes | None] | None, int] | int:
    """The row that begins there and where it ends, None instead of one at an output's end; how much data it takes to
    tell when there is too little."""
    begin = at
    if len(data) < (at := at + 2):
        return at
    count = int.from_bytes(data[begin:at], "big", signed=True)
    if count < 0:
        return None, at
    values: list[bytes | None] = []
    for _ in range(count):
        if len(data) < at + 4:
            return at + 4
        size = int.from_bytes(data[at : at + 4], "big", signed=True)
        at += 4
        if len(data) < at + max(size, 0):
            return at + size
        values.append(None if size < 0 else data[at : at + size])
        at += max(size, 0)
    return values, at


def stage_chunks(session: Session, rows: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Put any number of JSON lines into the staging table, some at a time, and give those each time."""
    for chunk in chunks(rows):
        stage_packed(session, packed(chunk))
        yield chunk


def packed(texts: Sequence[bytes]) -> bytes:
    """Texts as they are staged; nothing for none."""
    values = [piece for text in texts for piece in (_ONE_VALUE.pack(1, len(text)), text)]
    return b"".join((_HEAD, *values, _END)) if values else b""


def stage_packed(session: Session, texts: bytes) -> None:
    """Put packed JSON texts into the staging table, replacing what was there. Raises SqlError for what isn't JSON."""
    session.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {STAGE.removeprefix('pg_temp.')} (line json NOT NULL)")
    session.execute(f"TRUNCATE {STAGE}")
    session.copy_in(f"COPY {STAGE} (line) FROM STDIN (FORMAT binary)", [texts])


def chunks(rows: Iterable[bytes], size_bytes: int = CHUNK_BYTES) -> Iterator[list[bytes]]:
    """The same rows, as many at a time as are staged at a time, or as make up another size."""
    chunk: list[bytes] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(row)
        if size >= size_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
