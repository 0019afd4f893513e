"""auth_users.json written, in the form that `document` says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from supapy.names import literal
from supapy.parts.auth.document import FORMAT, in_line, row_of
from supapy.parts.auth.tables import NESTED, OTHERS
from supapy.parts.auth.windows import Window, Windows
from supapy.project.moment import Moment
from supapy.project.quick import binary_rows, compact_json_of
from supapy.project.rows import as_array, lines_statement
from supapy.project.schema import Table
from supapy.project.stretches import stretches

# The rows of so many pages are one value, which is about twice as much: a row by itself costs the server and whoever
# reads as much again.
PAGES_TOGETHER = 12
# Users that are handed on together.
PIECE_BYTES = 256 * 1024
# An id in a user's line, and before a row of his.
_ID = slice(7, 43)
_ID_BYTES = 36


def written(moment: Moment, tables: dict[str, Table], jobs: int, orphans: Counter[str]) -> Iterator[bytes]:
    """The file's bytes. Rows of users that aren't there have no place in it: they are counted in `orphans`."""
    present = [tables[name] for name in ("users", *NESTED, *OTHERS) if name in tables]
    columns = {table.name: [column.name for column in in_line(table)] for table in present}
    yield b'{"format":%d\n,"columns":' % FORMAT + json.dumps(columns, ensure_ascii=False).encode() + b"\n"
    filled = [table for table in present if moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})")]
    nested = [table for table in filled if table.name in NESTED]
    others = [table for table in present if table.name in OTHERS]
    found = Windows.found(moment, tables["users"], nested, jobs, orphans)
    statements = [_statement(window, found, tables["users"], nested) for window in found.windows]
    ranges = stretches(moment, others)
    rows = [
        [lines_statement(f"SELECT {row_of(table)} FROM {table.sql} t {clause}") for clause in ranges[table.oid].clauses]
        for table in others
    ]
    outputs = moment.pumped([statements, *rows], jobs)
    yield b',"users":['
    yield from _users(binary_rows(next(outputs), len(statements)), nested)
    yield b"\n]\n"
    for table, output in zip(others, outputs, strict=True):
        yield b',"' + table.name.encode() + b'":'
        yield from as_array(output)
    yield b"}\n"


def _statement(window: Window, found: Windows, users: Table, nested: Sequence[Table]) -> str:
    """One that gives a window's rows, in each value some of a table whose name stands beside it, then a row without
    a name. Nested rows come first, and each has its user's id before it; users' lines are left open for them."""
    texts = {table.name: f"t.user_id::text || {row_of(table)}" for table in nested}
    texts[users.name] = compact_json_of(in_line(users), "t", end="")
    selects = [
        select
        for table in (*nested, users)
        for select in _selects(window, table, texts[table.name], together=table.name not in found.out_of_line)
    ]
    all_and_end = " UNION ALL ".join([*selects, "SELECT NULL::text, NULL::text"])
    return f"COPY ({all_and_end}) TO STDOUT (FORMAT binary)"


def _selects(window: Window, table: Table, text: str, *, together: bool) -> Iterator[str]:
    name, value = literal(table.name), f"pg_catalog.string_agg({text}, E'\\n')" if together else text
    begin, end = window.pages[table.name]
    if begin < end and together:
        within = (
            f"t.ctid >= format('(%s,0)', p)::tid AND t.ctid < format('(%s,0)', least(p + {PAGES_TOGETHER}, {end}))::tid"
        )
        some = f"SELECT {value} FROM {table.sql} t WHERE {within}"
        yield f"SELECT {name}, ({some}) FROM generate_series({begin}, {end - 1}, {PAGES_TOGETHER}) p"
    elif begin < end:
        yield f"SELECT {name}, {value} FROM {table.sql} t WHERE {window.within(table, 't')}"
    if places := window.scattered.get(table.name):
        quoted = ",".join(f'"{place}"' for place in places)
        yield f"SELECT {name}, {value} FROM {table.sql} t WHERE t.ctid = ANY('{{{quoted}}}')"


def _users(values: Iterable[Sequence[bytes | None]], nested: Sequence[Table]) -> Iterator[bytes]:
    """The users' lines, what is nested in them at their ends, a comma after all but the last."""
    waiting: dict[str, list[bytes]] = {table.name: [] for table in nested}
    theirs: dict[bytes, bytes] = {}
    heads: list[bytes] = []
    size = 0
    # What ends the line before.
    end = b""
    for name, value in values:
        if value and name != b"users":
            assert name
            waiting[name.decode()] += value.split(b"\n")
            continue
        if any(waiting.values()):
            theirs = _tails(waiting)
            waiting = {one: [] for one in waiting}
        if value:
            heads += value.split(b"\n")
            size += len(value)
        if heads and (size >= PIECE_BYTES or not name):
            piece = b"".join([part for head in heads for part in (b"},\n", head, theirs.get(head[_ID], b""))])
            yield piece if end else piece[2:]
            heads, size, end = [], 0, b"}"
        if not name:
            theirs = {}
    yield end


def _tails(rows: Mapping[str, Sequence[bytes]]) -> dict[bytes, bytes]:
    """By each user's id what stands at the end of his line."""
    tails: dict[bytes, bytes] = {}
    for name, found in rows.items():
        theirs: dict[bytes, bytes] = {}
        # By users and, since ids stand first in the rows, by ids.
        for row in sorted(found):
            user = row[:_ID_BYTES]
            theirs[user] = theirs[user] + b"," + row[_ID_BYTES:] if user in theirs else row[_ID_BYTES:]
        begin = f',"{name}":['.encode()
        for user, texts in theirs.items():
            tails[user] = tails.get(user, b"") + begin + texts + b"]"
    return tails
