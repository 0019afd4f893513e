"""auth_users.json written, in the form that `document` says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from supapy.names import literal, quoted
from supapy.parts.auth.document import FORMAT, in_line, row_of
from supapy.parts.auth.tables import NESTED, OTHERS, SEALABLE
from supapy.parts.auth.windows import Window, Windows
from supapy.project.moment import Moment
from supapy.project.quick import binary_rows, compact_json_of, usual_shapes
from supapy.project.rows import as_array
from supapy.project.schema import Table

# The rows of so many pages are one value, which is about three times as much: a row by itself costs the server and
# whoever reads as much again, and what is larger doesn't stay in a processor's memory.
PAGES_TOGETHER = 4
# Users that are handed on together.
PIECE_BYTES = 256 * 1024
# An id in a user's line.
_ID = slice(7, 43)
# What stands beside a number of sealed values, where rows have their table's name.
_SEALED = b"sealed"


@dataclass(slots=True)
class Tally:
    """What a file turned out to have, once it is written: how many `rows` each table with rows of its own, how many
    `sealed` values; and the `orphans`, rows of users that aren't there, which have no place in it."""

    rows: Counter[str] = field(default_factory=Counter)
    orphans: Counter[str] = field(default_factory=Counter)
    sealed: int = 0


def written(moment: Moment, tables: dict[str, Table], jobs: int, tally: Tally) -> Iterator[bytes]:
    """The file's bytes; what they have is counted on the way, for a look at all rows just for that takes long."""
    present = [tables[name] for name in ("users", *NESTED, *OTHERS) if name in tables]
    columns = {table.name: [column.name for column in in_line(table)] for table in present}
    yield b'{"format":%d\n,"columns":' % FORMAT + json.dumps(columns, ensure_ascii=False).encode() + b"\n"
    filled = [table for table in present if moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})")]
    nested = [table for table in filled if table.name in NESTED]
    groups: dict[str, list[str]] = {}
    for table in present:
        if table.name == "users":
            groups[table.name] = _users_out(moment, table, nested, jobs, tally.orphans)
        elif table.name in OTHERS:
            groups[table.name] = _rows_out(moment, table, jobs) if table in filled else []
    are_few = all(len(statements) <= 1 for statements in groups.values())
    outputs = moment.pumped(list(groups.values()), 0 if are_few else jobs, large_rows=True)
    for (name, statements), output in zip(groups.items(), outputs, strict=True):
        values = _unsealed(binary_rows(output, len(statements)), tally)
        yield b',"' + name.encode() + b'":'
        yield from _users(values, tally) if name == "users" else as_array(_lines(values, tally))
    yield b"}\n"


def _users_out(moment: Moment, users: Table, nested: Sequence[Table], jobs: int, orphans: Counter[str]) -> list[str]:
    """The statements that give the users and what is nested in them, a window each."""
    found = Windows.found(moment, users, nested, jobs, orphans)
    texts = _texts(moment, found, users, nested)
    return [_statement(window, found, texts) for window in found.windows]


def _rows_out(moment: Moment, table: Table, jobs: int) -> list[str]:
    """The statements that give the rows of a table that nothing is nested in."""
    found = Windows.found(moment, table, (), jobs, Counter())
    return [_statement(window, found, [(table, row_of(table))]) for window in found.windows]


def _texts(moment: Moment, found: Windows, users: Table, nested: Sequence[Table]) -> list[tuple[Table, str]]:
    """What is read of each table's rows, users last. Their lines are left open, and a nested row is what stands at the
    end of the line of a user who has one, on a line after his id."""
    texts = []
    for table in (*nested, users):
        columns = in_line(table)
        usual = usual_shapes(moment, table, columns, found.some(table))
        if table == users:
            texts.append((table, compact_json_of(columns, "t", end="", usual=usual)))
        else:
            begin, end = f"\n{_begin(table.name)}{{", "}]"
            texts.append(
                (table, compact_json_of(columns, "t", before=["t.user_id"], begin=begin, end=end, usual=usual))
            )
    return texts


def _begin(name: str) -> str:
    return f',"{name}":['


def _statement(window: Window, found: Windows, texts: Sequence[tuple[Table, str]]) -> str:
    """One that gives a window's rows, in each value some of a table whose name stands beside it, then a row without
    a name."""
    users, _ = texts[-1]
    selects = [
        select
        for table, text in texts
        for select in _selects(window, table, text, users, together=table.name not in found.out_of_line)
    ]
    all_and_end = " UNION ALL ".join([*selects, "SELECT NULL::text, NULL::text"])
    return f"COPY ({all_and_end}) TO STDOUT (FORMAT binary)"


def _selects(window: Window, table: Table, text: str, users: Table, *, together: bool) -> Iterator[str]:
    name, value = literal(table.name), f"pg_catalog.string_agg({text}, E'\\n')" if together else text
    rows = f"FROM {table.sql} t WHERE"
    begin, end = window.pages[table.name]
    if begin < end and window.is_mixed(table):
        users_there = f"SELECT FROM {users.sql} u WHERE {window.within(users, 'u')} AND u.id = t.user_id"
        yield f"SELECT {name}, {value} {rows} {window.within(table, 't')} AND EXISTS ({users_there})"
    elif begin < end and together:
        last = f"least(p + {PAGES_TOGETHER}, {end})"
        some = f"SELECT {value} {rows} t.ctid >= format('(%s,0)', p)::tid AND t.ctid < format('(%s,0)', {last})::tid"
        yield f"SELECT {name}, ({some}) FROM generate_series({begin}, {end - 1}, {PAGES_TOGETHER}) p"
    elif begin < end:
        yield f"SELECT {name}, {value} {rows} {window.within(table, 't')}"
    if places := window.scattered[table.name].decode():
        listed = '","'.join(places.split())
        yield f"SELECT {name}, {value} {rows} t.ctid = ANY('{{\"{listed}\"}}')"
    key = SEALABLE.get(table.name)
    if begin < end and any(column.name == key for column in table.columns):
        # JSON that names the way and the key (F§2.6).
        is_sealed = f"t.{quoted(key or '')} LIKE '{{%\"aes-gcm-hkdf\"%' AND t.{quoted(key or '')} LIKE '%\"key_id\"%'"
        number = f"SELECT pg_catalog.count(*)::text {rows} {window.within(table, 't')} AND {is_sealed}"
        yield f"SELECT {literal(_SEALED.decode())}, ({number})"


def _unsealed(values: Iterable[Sequence[bytes | None]], tally: Tally) -> Iterator[Sequence[bytes | None]]:
    """The values that have rows; those that only count are added up."""
    for found in values:
        if found[0] == _SEALED:
            tally.sealed += int(found[1] or 0)
        else:
            yield found


def _lines(values: Iterable[Sequence[bytes | None]], tally: Tally) -> Iterator[bytes]:
    """Lines in pieces, of values that have some each."""
    piece = bytearray()
    for name, value in values:
        if value and name:
            tally.rows[name.decode()] += value.count(b"\n") + 1
            piece += value
            piece += b"\n"
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _users(values: Iterable[Sequence[bytes | None]], tally: Tally) -> Iterator[bytes]:
    """The array of the users' lines, with what is nested in them at their ends."""
    rows: dict[str, list[bytes]] = {}
    tails: dict[bytes, bytes] = {}
    heads: list[bytes] = []
    size = 0
    yield b"["
    # What ends the line before.
    end = b""
    for name, value in values:
        if value and name and name != b"users":
            rows.setdefault(name.decode(), []).extend(value.split(b"\n"))
            continue
        if rows:
            tails, rows = _tails(rows), {}
        if value:
            heads += value.split(b"\n")
            size += len(value)
        if heads and (size >= PIECE_BYTES or not name):
            tally.rows["users"] += len(heads)
            tail = tails.get
            piece = b"".join([part for head in heads for part in (b"},\n", head, tail(head[_ID], b""))])
            yield piece if end else piece[2:]
            heads, size, end = [], 0, b"}"
        if not name:
            tails = {}
    yield end + b"\n]\n"


def _tails(rows: Mapping[str, Sequence[bytes]]) -> dict[bytes, bytes]:
    """By each user's id what stands at the end of his line, of ids and rows by turns."""
    tails: dict[bytes, bytes] = {}
    for name, found in rows.items():
        users, texts = found[::2], found[1::2]
        theirs = dict(zip(users, texts, strict=True))
        if len(theirs) < len(users):
            theirs = _joined(users, texts, len(_begin(name)))
        if tails:
            theirs = tails | {user: tails.get(user, b"") + tail for user, tail in theirs.items()}
        tails = theirs
    return tails


def _joined(users: Sequence[bytes], texts: Sequence[bytes], begin_bytes: int) -> dict[bytes, bytes]:
    """The same of one table, some of whose rows are of one user: by their ids, which stand first in them."""
    tails: dict[bytes, bytes] = {}
    for user, text in sorted(zip(users, texts, strict=True)):
        before = tails.get(user)
        tails[user] = before[:-1] + b"," + text[begin_bytes:] if before else text
    return tails
