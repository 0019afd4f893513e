"""Rows of wide tables by the million: as JSON lines out of the database, and as staged lines into it.

The lines are those of `rows`, but that NULLs leave their keys out; COPY's binary form spares the server to look
at every character once more.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

from supapy.errors import ConnectionLost
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
# What makes JSON of a text. The first looks up how for each text, the second, there since 17, for all of a statement.
_TEXT_AS_JSON = "pg_catalog.to_json"
_TEXTS_AS_JSON = "JSON_SCALAR"
JSON_SCALAR_SINCE = 17
# For each column of a row None where it is NULL, a constant as JSON where it is that, ANY for whatever else it is.
Shape = tuple[str | None, ...]
ANY = "*"
_EMPTY = json.dumps("")
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


class Usual(NamedTuple):
    """Of which shapes most rows of a table are, and what makes JSON of their texts."""

    shapes: Sequence[Shape]
    as_json: str


NOTHING_USUAL = Usual((), _TEXT_AS_JSON)


class _Member(NamedTuple):
    key: str
    value: str
    type: str
    # Whether an empty text leaves the key out as well.
    is_brief: bool


def compact_json_of(
    columns: Sequence[Column],
    alias: str,
    more: Sequence[str] = (),
    *,
    brief: Container[str] = (),
    before: Sequence[str] = (),
    begin: str = "{",
    end: str = "}",
    usual: Usual = NOTHING_USUAL,
) -> str:
    """An SQL expression: the JSON text of one row of `alias`. NULLs leave their keys out, and so do the empty texts of
    columns that are `brief`; the first column has neither. Expressions that give `more` members, each after a comma,
    stand at its end; `begin` and `end` stand around it all, and texts `before` that.

    One call puts all pieces together, a NULL makes its piece vanish, and what needs no escaping isn't looked at. Rows
    of a usual shape, to which nothing more is added, are put together of their values and what always stands between:
    the server is done in two thirds of the time.
    """
    members = [
        _Member(
            ("," if number else begin) + json.dumps(one.name) + ":",
            f"{alias}.{quoted(one.name)}",
            one.type,
            one.name in brief,
        )
        for number, one in enumerate(columns)
    ]
    pieces = [*map(_compact_member, members), *more, *([literal(end)] if end else [])]
    any_row = _concat([*before, *pieces])
    cases = "".join(
        f"WHEN {_has(shape, members)} THEN {_concat([*before, *_between(shape, members, end, usual.as_json)])} "
        for shape in usual.shapes
    )
    return f"CASE {cases}ELSE {any_row} END" if cases else any_row


def usual_rows(moment: Moment, table: Table, columns: Sequence[Column], places: Sequence[str]) -> Usual:
    """What most of the table's rows are like, as far as those at these places tell."""
    kinds = ", ".join(_kind(f"t.{quoted(one.name)}", one.type) for one in columns)
    there = literal("{" + ",".join(f'"{place}"' for place in places) + "}")
    query = f"SELECT ARRAY[{kinds}]::text[] FROM {table.sql} t WHERE t.ctid = ANY({there}::tid[])"
    shapes = moment.rows(
        f"SELECT s.shape FROM ({query}) s(shape) GROUP BY 1 ORDER BY count(*) DESC LIMIT {MOST_SHAPES}"
    )
    as_json = _TEXT_AS_JSON if moment.major < JSON_SCALAR_SINCE else _TEXTS_AS_JSON
    return Usual([tuple(shape) for (shape,) in shapes], as_json)


def _constants(type_name: str) -> Mapping[str, str]:
    return _CONSTANT_TEXTS if _is_text(type_name) else _CONSTANTS.get(type_name, {})


def _kind(value: str, type_name: str) -> str:
    whens = {"NULL": "IS NULL"} | {literal(shown): test for shown, test in _constants(type_name).items()}
    cases = " ".join(f"WHEN {value} {test} THEN {kind}" for kind, test in whens.items())
    return f"CASE {cases} ELSE {literal(ANY)} END"


def _has(shape: Shape, members: Sequence[_Member]) -> str:
    """Whether a row has it."""
    usual = {None: "IS NULL", ANY: "IS NOT NULL"}
    return " AND ".join(
        f"{member.value} {usual[kind] if kind in usual else _constants(member.type)[kind or '']}"
        for kind, member in zip(shape, members, strict=True)
    )


def _between(shape: Shape, members: Sequence[_Member], end: str, as_json: str) -> Iterator[str]:
    """The values of a row of that shape, with what stands before and between them, and after the last up to its end."""
    between = ""
    for kind, member in zip(shape, members, strict=True):
        if kind == ANY:
            quote = '"' if member.type in _NEEDS_NO_ESCAPE else ""
            yield literal(between + member.key + quote)
            yield _shown(member.value, member.type, as_json)
            between = quote
        elif kind is not None and not (kind == _EMPTY and member.is_brief):
            between += member.key + kind
    yield literal(between + end)


def _concat(pieces: Sequence[str]) -> str:
    calls = [pieces[at : at + MOST_ARGUMENTS] for at in range(0, len(pieces), MOST_ARGUMENTS)]
    return " || ".join(f"pg_catalog.concat({', '.join(call)})" for call in calls)


def _shown(value: str, type_name: str, as_json: str = _TEXT_AS_JSON) -> str:
    if type_name in _AS_PRINTED:
        return value
    if type_name in _PLAIN or type_name in _NEEDS_NO_ESCAPE:
        return f"{value}::text"
    return f"{_TEXT_AS_JSON}({value})" if type_name in _FLOATS else f"{as_json}({value}::text)"


def _is_text(type_name: str) -> bool:
    return type_name == "text" or type_name.startswith("character varying")


def _compact_member(member: _Member) -> str:
    key, value, kind, is_brief = member
    if kind in _PLAIN:
        return f"{literal(key)} || {value}::text"
    if kind in _NEEDS_NO_ESCAPE:
        return f"""{literal(key + '"')} || {value}::text || '"'"""
    full = f"{literal(key)} || {_shown(value, kind)}::text"
    if _is_text(kind):
        return f"""CASE {value} WHEN '' THEN {"NULL" if is_brief else literal(key + _EMPTY)} ELSE {full} END"""
    return full


def named_lines(pieces: Iterable[bytes], outputs: int = 1) -> Iterator[tuple[bytes, list[bytes]]]:
    """The rows that so many outputs of `COPY … TO STDOUT (FORMAT binary)` give, one after another, each of a name and a
    text of whole lines: the name and the lines, newlines included. NULL is nothing. Raises ConnectionLost for an output
    that breaks off."""
    held: list[bytes] = []
    size, at, wanted = 0, len(_HEAD), len(_HEAD)
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size < wanted:
            continue
        data = held[0] if len(held) == 1 else b"".join(held)
        # It finds lines in half the time that anything else takes, and amid what is there.
        reader = BytesIO(data)
        while outputs:
            name, begin, end = _row_at(data, at)
            if end > size:
                wanted = end
                break
            at = end
            if name is None:
                outputs, at = outputs - 1, end + len(_HEAD)
            else:
                reader.seek(begin)
                yield name, reader.readlines(end - begin) if begin < end else []
        passed = min(at, size)
        held, size, at, wanted = [data[passed:]], size - passed, at - passed, wanted - passed
    if outputs:
        raise ConnectionLost("the database's answer broke off", "Run the command again.")


def _row_at(data: bytes, at: int) -> tuple[bytes | None, int, int]:
    """The name in the row that begins there, none at an output's end, and where its text lies. One that ends beyond the
    data tells how much it takes to know more."""
    begin = at + len(_END)
    if len(data) < begin or data[at:begin] == _END:
        return None, begin, begin
    name_begin, name_end = _value_at(data, begin)
    return data[name_begin:name_end], *_value_at(data, name_end)


def _value_at(data: bytes, at: int) -> tuple[int, int]:
    begin = at + 4
    size = int.from_bytes(data[at:begin], "big", signed=True) if begin <= len(data) else 0
    return begin, begin + max(size, 0)


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
