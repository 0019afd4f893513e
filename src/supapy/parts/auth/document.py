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
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice, pairwise

from supapy.errors import IntegrityError, UnknownFormat
from supapy.names import literal
from supapy.parts.auth.tables import FILE, NESTED, OTHERS
from supapy.parts.base import Source
from supapy.project.moment import Moment
from supapy.project.quick import binary_rows, compact_json_of
from supapy.project.rows import as_array, lines_statement, members, parse
from supapy.project.schema import Column, Table
from supapy.stream import lines

FORMAT = 2
# A range of users, with what is theirs, by its size on disk: the JSON is about twice as much and is one value.
RANGE_BYTES = 96 * 1024
# So many are asked for at once: a statement takes the server a while to prepare.
RANGES_TOGETHER = 24
# Of a large table's pages so many are looked at for where the ranges begin.
SAMPLED_FROM_BYTES = 32 * 1024 * 1024
SAMPLED_PERCENT = 10
_FIRST_ID = "00000000-0000-0000-0000-000000000000"
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
    columns = {table.name: [column.name for column in in_line(table)] for table in present}
    yield b'{"format":%d\n,"columns":' % FORMAT + json.dumps(columns, ensure_ascii=False).encode() + b"\n"
    names = [name for name in ("users", *OTHERS) if name in tables]
    for name, pieces in sections(names, moment, tables, jobs, orphans):
        yield b',"' + name.encode() + b'":'
        yield from as_array(pieces)
    yield b"}\n"


def sections(
    names: Sequence[str], moment: Moment, tables: dict[str, Table], jobs: int, orphans: Counter[str]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each table's rows as JSON lines in pieces, by id; to be read to their end before the next one's.

    Users come by ranges of their ids, each range with what is nested in them, and several connections read at once.
    """
    nested = [
        table
        for table in (tables[name] for name in NESTED if name in tables)
        if moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})")
    ]
    ranges = list(_users_out(moment, [tables["users"], *nested])) if "users" in names else []
    others = names[bool(ranges) :]
    statements = [
        lines_statement(f"SELECT {row_of(tables[one])} FROM {tables[one].sql} t ORDER BY t.id") for one in others
    ]
    groups = [[one] for one in statements]
    outputs = moment.pumped([ranges, *groups] if ranges else groups, jobs)
    for name in names:
        if name == "users":
            yield name, _users(next(outputs), len(ranges), [table.name for table in nested], orphans)
        else:
            yield name, next(outputs)


def row_of(table: Table, alias: str = "t", more: Sequence[str] = ()) -> str:
    """A row's JSON, its id first, which is never NULL, and `more` members at its end."""
    return compact_json_of(in_line(table), alias, more)


def in_line(table: Table) -> list[Column]:
    """The columns of a table in the order of its lines."""
    return sorted(table.stored_columns, key=lambda column: column.name != "id")


def _users_out(moment: Moment, tables: Sequence[Table]) -> Iterator[str]:
    """Statements that give all users in the order of their ids: a row for a range of ids, and in it their lines, put
    together by the server. A row for each user costs it, and whoever reads, as much again."""
    edges = _edges(moment, tables)
    ranges = list(pairwise([_FIRST_ID, *edges]))
    for at in range(0, len(ranges), RANGES_TOGETHER):
        firsts, nexts = (",".join(ids) for ids in zip(*ranges[at : at + RANGES_TOGETHER], strict=True))
        source = f"unnest('{{{firsts}}}'::uuid[], '{{{nexts}}}'::uuid[]) AS r(first, next)"
        yield _lines_of(tables, "t.KEY >= r.first AND t.KEY < r.next", source)
    last = literal(edges[-1] if edges else _FIRST_ID)
    yield _lines_of(tables, "t.KEY >= r.first", f"(SELECT {last}::uuid) AS r(first)")


def _lines_of(tables: Sequence[Table], within: str, source: str) -> str:
    """For each range the users' lines and, for each nested table, how many of its rows belong to nobody.

    What is nested is made once a range: the server can't tell how large one is, and takes any join for good.
    """
    users, *nested = tables
    groups = [
        f"""{table.name} AS MATERIALIZED (
            SELECT t.user_id AS id, pg_catalog.count(*) AS number, {literal(f',"{table.name}":[')}
                || pg_catalog.string_agg({row_of(table)}, ',' ORDER BY t.id) || ']' AS rows
            FROM {table.sql} t WHERE {within.replace("KEY", "user_id")} GROUP BY t.user_id)"""
        for table in nested
    ]
    names = [table.name for table in nested]
    numbers = "".join(f", {name}.number AS {name}" for name in names)
    joins = "".join(f" LEFT JOIN {name} ON {name}.id = t.id" for name in names)
    orphans = "".join(
        f", (coalesce((SELECT sum(number) FROM {name}), 0) - coalesce(sum(s.{name}), 0))::text" for name in names
    )
    lines_in_order = f"""SELECT {row_of(users, more=[f"{name}.rows" for name in names])} AS line{numbers}
        FROM {users.sql} t{joins} WHERE {within.replace("KEY", "id")} ORDER BY t.id"""
    given = f"WITH {', '.join(groups)} " if groups else ""
    one = f"{given}SELECT pg_catalog.string_agg(s.line, E'\\n'){orphans} FROM ({lines_in_order}) s"
    return f"COPY (SELECT found.* FROM {source}, LATERAL ({one}) found) TO STDOUT (FORMAT binary)"


def _edges(moment: Moment, tables: Sequence[Table]) -> list[str]:
    """The ids at which ranges begin, but for the first."""
    size = moment.value(_SIZE, ([table.oid for table in tables],))
    count = size // RANGE_BYTES
    fractions = [number / count for number in range(1, count)]
    sampled = SAMPLED_PERCENT if size >= SAMPLED_FROM_BYTES else 100
    found = moment.value(
        "SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY id) FROM auth.users TABLESAMPLE SYSTEM (%s)",
        (fractions, sampled),
    )
    return [str(one) for one in sorted(set(found or ()))]


def _users(output: Iterator[bytes], statements: int, nested: Sequence[str], orphans: Counter[str]) -> Iterator[bytes]:
    for users, *numbers in binary_rows(output, statements):
        if users:
            yield users
            yield b"\n"
        counted = zip(nested, numbers, strict=True)
        orphans.update({name: int(number) for name, number in counted if number and number != b"0"})


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
