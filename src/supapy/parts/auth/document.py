"""auth_users.json: how it is written, and how it is read back.

{"format":2
,"columns":{"users":["id",…],…}     the columns that were saved; a row leaves out those that are NULL
,"users":[                          then one user a line, his identities and factors inside, by id
,"sessions":[                       and one row a line for each further table, by id
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice, pairwise

from supapy.errors import IntegrityError, UnknownFormat
from supapy.names import literal
from supapy.parts.auth.tables import FILE, NESTED, OTHERS
from supapy.parts.base import Source
from supapy.project.moment import Moment
from supapy.project.quick import compact_json_of, keyed_lines
from supapy.project.rows import as_array, lines_statement, members, parse
from supapy.project.schema import Table
from supapy.stream import lines

FORMAT = 2
# A range of users, with what is theirs, by its size on disk: the JSON is about twice as much and is held in memory.
RANGE_BYTES = 2 * 1024 * 1024
# Of the table's pages so many are looked at for where the ranges begin.
SAMPLED_PERCENT = 5
PIECE_BYTES = 256 * 1024
# How a user's line begins: {"id":" and the id.
_ID_BYTES = 43
_KEY = re.compile(rb',"(\w+)":\[')
_SIZE = (
    "SELECT coalesce(sum(pg_catalog.pg_table_size(oid)), 0)::bigint FROM pg_catalog.pg_class WHERE oid = ANY(%s::oid[])"
)
_HINT = "Take another backup; nothing was applied."


def written(moment: Moment, tables: dict[str, Table], jobs: int, orphans: Counter[str]) -> Iterator[bytes]:
    """The file's bytes. Rows of users that aren't there have no place in it: they are counted in `orphans`."""
    present = [tables[name] for name in ("users", *NESTED, *OTHERS) if name in tables]
    columns = {table.name: [column.name for column in table.stored_columns] for table in present}
    yield b'{"format":%d\n,"columns":' % FORMAT + json.dumps(columns, ensure_ascii=False).encode() + b"\n"
    names = [name for name in ("users", *OTHERS) if name in tables]
    for name, pieces in sections(names, moment, tables, jobs, orphans):
        yield b',"' + name.encode() + b'":'
        yield from as_array(pieces)
    yield b"}\n"


def sections(
    names: Sequence[str], moment: Moment, tables: dict[str, Table], jobs: int, orphans: Counter[str]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each table's rows as JSON lines in pieces of whole lines, by id; to be read to their end before the next one's.

    Users come by ranges of their ids, of which several are read at once. What is nested is read first, range by range,
    and put into the lines here: a join costs the server more than reading both tables does.
    """
    nested = [
        table
        for table in (tables[name] for name in NESTED if name in tables)
        if moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})")
    ]
    ranges = _ranges(moment, [tables["users"], *nested]) if "users" in names else []
    statements = [
        statement
        for within in ranges
        for statement in (
            *(_keyed(table, "user_id", within, "t.user_id, t.id") for table in nested),
            _keyed(tables["users"], "id", within, "t.id"),
        )
    ]
    for name in names[bool(ranges) :]:
        statements.append(lines_statement(f"SELECT {row_of(tables[name])} FROM {tables[name].sql} t ORDER BY t.id"))
    outputs = moment.pumped([[statement] for statement in statements], jobs)
    for name in names:
        if name == "users":
            yield name, _users(outputs, [table.name for table in nested], len(ranges), orphans)
        else:
            yield name, next(outputs)


def _users(
    outputs: Iterator[Iterator[bytes]], nested: list[str], ranges: int, orphans: Counter[str]
) -> Iterator[bytes]:
    for _ in range(ranges):
        held = [(name, _grouped(next(outputs))) for name in nested]
        yield from _pieces(_with_nested(keyed_lines(next(outputs)), held))
        orphans.update({name: sum(map(len, groups.values())) for name, groups in held if groups})


def _keyed(table: Table, key: str, within: str, order: str) -> str:
    """The statement that gives a range of a table's rows, each with the user's id before it (see `keyed_lines`)."""
    row = row_of(table)
    where = within.replace("KEY", f"t.{key}")
    return f"COPY (SELECT t.{key}::text, {row} FROM {table.sql} t {where} ORDER BY {order}) TO STDOUT (FORMAT binary)"


def row_of(table: Table, alias: str = "t") -> str:
    """A row's JSON, its id first, which is never NULL."""
    return compact_json_of(sorted(table.stored_columns, key=lambda column: column.name != "id"), alias)


def _grouped(output: Iterator[bytes]) -> dict[bytes, list[bytes]]:
    groups: dict[bytes, list[bytes]] = {}
    for key, line in keyed_lines(output):
        groups.setdefault(key, []).append(line)
    return groups


def _with_nested(
    users: Iterable[tuple[bytes, bytes]], held: Sequence[tuple[str, dict[bytes, list[bytes]]]]
) -> Iterator[bytes]:
    heads = [(b',"' + name.encode() + b'":[', groups) for name, groups in held if groups]
    for key, line in users:
        more = [head + b",".join(rows) for head, groups in heads if (rows := groups.pop(key, None))]
        yield line[:-1] + b"]".join(more) + b"]}" if more else line


def _pieces(rows: Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for row in rows:
        gathered.append(row)
        size += len(row)
        if size >= PIECE_BYTES:
            gathered.append(b"")
            yield b"\n".join(gathered)
            gathered, size = [], 0
    if gathered:
        gathered.append(b"")
        yield b"\n".join(gathered)


def _ranges(moment: Moment, tables: Sequence[Table]) -> list[str]:
    """WHERE clauses on KEY that give all users once, in the order of their ids."""
    count = moment.value(_SIZE, ([table.oid for table in tables],)) // RANGE_BYTES
    if count < 2:
        return [""]
    fractions = [number / count for number in range(1, count)]
    found = moment.value(
        "SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY id) FROM auth.users TABLESAMPLE SYSTEM (%s)",
        (fractions, SAMPLED_PERCENT),
    )
    starts = [literal(str(one)) for one in sorted(set(found or ()))]
    if not starts:
        return [""]
    first, *_, last = [f"WHERE KEY < {starts[0]}", f"WHERE KEY >= {starts[-1]}"]
    between = [f"WHERE KEY >= {start} AND KEY < {end}" for start, end in pairwise(starts)]
    return [first, *between, last]


class Document:
    """The file of a backup. Raises IntegrityError for what isn't as it is written, UnknownFormat for a newer form."""

    def __init__(self, backup: Source) -> None:
        self._backup = backup

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """The columns that were saved, by table."""
        found = lines(self._backup.read(FILE, 0, LARGEST_HEAD_BYTES))
        said = _json(next(found, b"") + b"}")
        if "format" not in said:
            raise _damaged("it doesn't begin as one")
        if said["format"] != FORMAT:
            raise UnknownFormat(
                f"{FILE} is of format {said.get('format')!r}, this version knows {FORMAT}",
                "Use the version of supapy that wrote it, or a newer one.",
            )
        columns = _json(b"{" + next(found, b"").removeprefix(b",") + b"}").get("columns")
        if not isinstance(columns, dict) or next(iter(columns), None) != "users":
            raise _damaged("its columns aren't named")
        return {str(name): [str(column) for column in names] for name, names in columns.items()}

    @property
    def tables(self) -> list[str]:
        """The tables with rows of their own, in the file's order."""
        return [name for name in self.columns if name not in NESTED]

    def users(self) -> Iterator[bytes]:
        """The users' lines."""
        for _, rows in islice(self.sections(), 1):
            yield from rows

    def sections(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The tables of the file in order, each with its rows. A table's rows are to be read before the next one's."""
        _ = self.columns
        found = enumerate(lines(self._backup.read(FILE)), 1)
        next(found), next(found)
        ended, expected = False, iter(self.tables)
        for number, line in found:
            if key := _KEY.fullmatch(line):
                name = key[1].decode()
                if name != next(expected, None):
                    raise _damaged(f"its table {name} isn't where it should be")
                yield name, _ascending(found) if name == "users" else _rows(found)
            elif line == b"}":
                ended = True
            elif line or not ended:
                raise _damaged(f"line {number} is neither a row nor a table's name")
        if not ended:
            raise _damaged("it breaks off")


def sessions_back(backup: Source, moment: Moment) -> int:
    """How many of the saved sessions the project has."""
    found = 0
    for name, rows in Document(backup).sections():
        ids = (str(parse(line)["id"]) for line in rows) if name == "sessions" else iter(())
        while some := list(islice(ids, SESSIONS_AT_ONCE)):
            found += moment.value("SELECT count(*) FROM auth.sessions WHERE id = ANY(%s::text[]::uuid[])", (some,))
        for _ in rows:
            pass
    return found


# Asked for in one query.
SESSIONS_AT_ONCE = 1000


def apart(users: Sequence[bytes], nested: Sequence[str]) -> list[list[bytes]]:
    """Users' lines without what is nested in them, and for each nested table the arrays of its rows.

    They are cut where they are written to be cut, at a line's end; where a line was edited so that this isn't there,
    what comes out is no JSON, never other JSON. A server that parses a line for each table takes twice as long.
    """
    heads = list(users)
    arrays = []
    for name in reversed(nested):
        key, mark = f'"{name}"'.encode(), f',"{name}":['.encode()
        found = []
        for number, line in enumerate(heads):
            if key in line:
                head, cut, rest = line.rpartition(mark)
                if not cut or key in head:
                    # Spaced otherwise, or somebody's metadata has such a key too.
                    heads[number], array = _parsed_apart(line, name)
                    found += array
                else:
                    heads[number] = head + b"}"
                    found.append(b"[" + rest[:-1])
        arrays.append(found)
    return [heads, *reversed(arrays)]


def parsed_apart(users: Sequence[bytes], nested: Sequence[str]) -> list[list[bytes]]:
    """The same, wherever in a line the nested rows are."""
    heads = list(users)
    arrays: list[list[bytes]] = [[] for _ in nested]
    for name, found in zip(nested, arrays, strict=True):
        for number, line in enumerate(heads):
            heads[number], array = _parsed_apart(line, name)
            found += array
    return [heads, *arrays]


def _parsed_apart(line: bytes, name: str) -> tuple[bytes, list[bytes]]:
    pairs = list(members(line.decode()))
    head = ",".join(f"{json.dumps(key)}:{text}" for key, text in pairs if key != name)
    return f"{{{head}}}".encode(), [text.encode() for key, text in pairs if key == name]


# Names of columns are a few kilobytes.
LARGEST_HEAD_BYTES = 1024 * 1024


def _rows(found: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    for number, line in found:
        if line == b"]":
            return
        row = line.removesuffix(b",")
        if not (row.startswith(b"{") and row.endswith(b"}")):
            raise _damaged(f"line {number} isn't a row")
        yield row
    raise _damaged("it breaks off")


def _ascending(found: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    """Users stand by their ids, each once, his id first: on that rest what finds them and what compares them."""
    before = b""
    for line in _rows(found):
        if line[:_ID_BYTES] <= before:
            raise _damaged(f"its users aren't in the order of their ids, each once: {line[:_ID_BYTES].decode()}…")
        before = line[:_ID_BYTES]
        yield line


def _json(text: bytes) -> dict[str, object]:
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise _damaged("it doesn't begin as one")
    return said


def _damaged(how: str) -> IntegrityError:
    return IntegrityError(f"{FILE} isn't as it is written: {how}", _HINT)
