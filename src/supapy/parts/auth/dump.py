"""auth_users.json written, in the form that `document` says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter

from supapy.names import literal, quoted
from supapy.parts.auth.document import FORMAT, in_line, row_of
from supapy.parts.auth.tables import NESTED, OTHERS, SEALABLE
from supapy.parts.auth.windows import Window, Windows
from supapy.project.moment import Moment
from supapy.project.quick import named_lines, usual_rows
from supapy.project.rows import as_array
from supapy.project.schema import Table

# The rows of so many pages are one value, which is about three times as much: a row by itself costs the server and
# whoever reads as much again, and what is larger doesn't stay in a processor's memory.
PAGES_TOGETHER = 4
# Users that are handed on together.
PIECE_BYTES = 256 * 1024
# Of a user's line what ends nowhere yet, and his id; of a nested row's its user's id, and what follows.
_OPEN, _ID = itemgetter(slice(-1)), itemgetter(slice(7, 43))
_OWNER, _TAIL = itemgetter(slice(36)), itemgetter(slice(36, -1))
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
        rows = _unsealed(named_lines(output, len(statements)), tally)
        yield b',"' + name.encode() + b'":'
        yield from _users(rows, tally) if name == "users" else as_array(_lines(rows, tally))
    yield b"}\n"


def _users_out(moment: Moment, users: Table, nested: Sequence[Table], jobs: int, orphans: Counter[str]) -> list[str]:
    """The statements that give the users and what is nested in them, a window each."""
    found = Windows.found(moment, users, nested, jobs, orphans)
    texts = _texts(moment, found, users, nested)
    return [_statement(window, found, texts) for window in found.windows]


def _rows_out(moment: Moment, table: Table, jobs: int) -> list[str]:
    """The statements that give the rows of a table that nothing is nested in."""
    found = Windows.found(moment, table, (), jobs, Counter())
    text = row_of(table, end="}\n")
    return [_statement(window, found, [(table, text)]) for window in found.windows]


def _texts(moment: Moment, found: Windows, users: Table, nested: Sequence[Table]) -> list[tuple[Table, str]]:
    """What is read of each table's rows, users last. Their lines are left open, and that of a nested row is its user's
    id and what stands at the end of his line if he has but one."""
    texts = []
    for table in (*nested, users):
        columns = in_line(table)
        usual = usual_rows(moment, table, columns, found.some(table))
        if table == users:
            texts.append((table, row_of(table, end="\n", usual=usual)))
        else:
            begin, end = f"{_begin(table.name)}{{", "}]\n"
            texts.append((table, row_of(table, before=["t.user_id"], begin=begin, end=end, usual=usual)))
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
    name, value = literal(table.name), f"pg_catalog.string_agg({text}, '')" if together else text
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
        number = f"SELECT pg_catalog.count(*) || E'\\n' {rows} {window.within(table, 't')} AND {is_sealed}"
        yield f"SELECT {literal(_SEALED.decode())}, ({number})"


def _unsealed(rows: Iterable[tuple[bytes, list[bytes]]], tally: Tally) -> Iterator[tuple[bytes, list[bytes]]]:
    """The rows but those that only count, which are added up."""
    for name, lines in rows:
        if name == _SEALED:
            tally.sealed += int(lines[0])
        else:
            yield name, lines


def _lines(rows: Iterable[tuple[bytes, list[bytes]]], tally: Tally) -> Iterator[bytes]:
    """Lines in pieces, of rows that have some each."""
    held: list[bytes] = []
    size = 0
    for name, lines in rows:
        tally.rows.update({name.decode(): len(lines)} if lines else {})
        held += lines
        size += sum(map(len, lines))
        if held and (size >= PIECE_BYTES or not name):
            yield b"".join(held)
            held, size = [], 0


def _users(rows: Iterable[tuple[bytes, list[bytes]]], tally: Tally) -> Iterator[bytes]:
    """The array of the users' lines, with what is nested in them at their ends."""
    nested: dict[str, list[bytes]] = {}
    tails: dict[bytes, bytes] = {}
    heads: list[bytes] = []
    size = 0
    yield b"["
    # What ends the line before.
    end = b""
    for name, lines in rows:
        if name and name != b"users":
            nested.setdefault(name.decode(), []).extend(lines)
            continue
        if nested:
            tails, nested = _tails(nested), {}
        heads += lines
        size += sum(map(len, lines))
        if heads and (size >= PIECE_BYTES or not name):
            tally.rows["users"] += len(heads)
            parts = [b"},\n"] * (3 * len(heads))
            parts[1::3] = map(_OPEN, heads)
            parts[2::3] = map(tails.get, map(_ID, heads), repeat(b""))
            piece = b"".join(parts)
            yield piece if end else piece[2:]
            heads, size, end = [], 0, b"}"
        if not name:
            tails = {}
    yield end + b"\n]\n"


def _tails(nested: Mapping[str, Sequence[bytes]]) -> dict[bytes, bytes]:
    """By each user's id what stands at the end of his line."""
    tails: dict[bytes, bytes] = {}
    for name, lines in nested.items():
        theirs = dict(zip(map(_OWNER, lines), map(_TAIL, lines), strict=True))
        if len(theirs) < len(lines):
            theirs = _joined(lines, len(_begin(name)))
        if tails:
            theirs = tails | {user: tails.get(user, b"") + tail for user, tail in theirs.items()}
        tails = theirs
    return tails


def _joined(lines: Sequence[bytes], begin_bytes: int) -> dict[bytes, bytes]:
    """The same of one table, some of whose rows are of one user: by their ids, which stand first in them."""
    tails: dict[bytes, bytes] = {}
    for line in sorted(lines):
        user, tail = _OWNER(line), _TAIL(line)
        before = tails.get(user)
        tails[user] = before[:-1] + b"," + tail[begin_bytes:] if before else tail
    return tails
