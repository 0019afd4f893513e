"""auth_users.json: its form, and how it is read back. `dump` writes it.

{"format":3
,"columns":{"users":["id",…],…}     the columns that were saved; a row leaves out NULLs and empty tokens
,"users":[                          then one user a line, in any order, his identities and factors inside, by id
,"sessions":[                       and one row a line for each further table, in any order
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from uuid import UUID

from supapy.errors import IntegrityError, UnknownFormat
from supapy.model import Json
from supapy.parts.auth.ids import Ids
from supapy.parts.auth.tables import FILE, NESTED, NEVER_NULL
from supapy.parts.base import Source
from supapy.project.exact import members, parse
from supapy.project.moment import Moment
from supapy.project.quick import NOTHING_USUAL, Usual, compact_json_of
from supapy.project.schema import Column, Table
from supapy.stream import lines

FORMAT = 3
# Those of format 2 come by their ids, which is an order like any other.
READABLE = (2, FORMAT)
# Names of columns are a few kilobytes.
LARGEST_HEAD_BYTES = 1024 * 1024
# Asked for in one query.
SESSIONS_AT_ONCE = 1000
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# How a line begins as it is written.
_ID = re.compile(rf'{{"id":"?({_UUID}|\d+)[",}}]'.encode())
_KEY = re.compile(rb',"(\w+)":\[')
_HINT = "Nothing was applied. Take another backup; whoever edits the file leaves its lines and their ends as they are."


def row_of(
    table: Table,
    alias: str = "t",
    more: Sequence[str] = (),
    *,
    before: Sequence[str] = (),
    begin: str = "{",
    end: str = "}",
    usual: Usual = NOTHING_USUAL,
) -> str:
    """A row's JSON as `compact_json_of` makes it, its id first, which is never NULL, and without empty tokens: where
    one is left out it is empty, since it must not be NULL (F§2.6)."""
    return compact_json_of(
        in_line(table), alias, more, brief=NEVER_NULL, before=before, begin=begin, end=end, usual=usual
    )


def in_line(table: Table) -> list[Column]:
    """The columns of a table in the order of its lines."""
    return sorted(table.stored_columns, key=lambda column: column.name != "id")


def by_id(table: Table, alias: str) -> str:
    """The order of a nested table's rows within a line: that of the texts of their ids, byte by byte."""
    is_uuid = any(column.name == "id" and column.type == "uuid" for column in table.columns)
    return f"{alias}.id" if is_uuid else f'{alias}.id::text COLLATE "C"'


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
        if said["format"] not in READABLE:
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

    def check(self) -> None:
        """Read it from end to end: whether it is as it is written, and each user's only once."""
        for name, rows in self.sections():
            deque(each_once(rows) if name == "users" else rows, maxlen=0)

    def users(self) -> Iterator[bytes]:
        """The users' lines."""
        return self.rows("users")

    def rows(self, table: str) -> Iterator[bytes]:
        """The lines of one table; none where it wasn't saved."""
        for name, rows in self.sections():
            if name == table:
                yield from rows
                return

    def sections(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The tables of the file in order, each with its rows, to be read before the next table is asked for or not at
        all."""
        _ = self.columns
        found = enumerate(lines(self._backup.read(FILE)), 1)
        next(found), next(found)
        ended, expected = False, iter(self.tables)
        for number, line in found:
            if key := _KEY.fullmatch(line):
                name = key[1].decode()
                if name != next(expected, None):
                    raise _damaged(f"its table {name} isn't where it should be")
                yield name, (rows := _rows(found))
                # Whoever had no use for the rest.
                deque(rows, maxlen=0)
            elif line == b"}":
                ended = True
            elif line or not ended:
                raise _damaged(f"line {number} is neither a row nor a table's name")
        if not ended:
            raise _damaged("it breaks off")


def sessions_back(backup: Source, moment: Moment) -> int:
    """How many of the saved sessions the project has."""
    found, ids = 0, map(id_of, Document(backup).rows("sessions"))
    while some := list(islice(ids, SESSIONS_AT_ONCE)):
        found += moment.value("SELECT count(*) FROM auth.sessions WHERE id = ANY(%s::text[]::uuid[])", (some,))
    return found


def row_in(line: bytes) -> Json:
    """A line's row. Raises IntegrityError for a line that is none."""
    try:
        return parse(line)
    except ValueError:
        named = _ID.match(line)
        raise _damaged(f"row {named[1].decode()} isn't JSON" if named else "a row isn't JSON") from None


def id_of(line: bytes) -> str:
    """The id of a row, wherever it stands in the line."""
    if found := _ID.match(line):
        return found[1].decode()
    try:
        said = parse(line).get("id")
        return str(said if type(said) is int else UUID(str(said)))
    except ValueError:
        raise _damaged("a row has no id, or one that is none") from None


def each_once(users: Iterable[bytes]) -> Iterator[bytes]:
    """The same lines. Raises IntegrityError naming the first user that comes again."""
    seen = Ids()
    for line in users:
        user = id_of(line)
        if not seen.add(user):
            raise _damaged(f"user {user} stands in it more than once")
        yield line


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
    try:
        pairs = list(members(line.decode()))
    except ValueError:
        return line, []  # Which the server refuses, and says why.
    head = ",".join(f"{json.dumps(key)}:{text}" for key, text in pairs if key != name)
    return f"{{{head}}}".encode(), [text.encode() for key, text in pairs if key == name]


def _rows(found: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    for number, line in found:
        if line == b"]":
            return
        row = line.removesuffix(b",")
        if not (row.startswith(b"{") and row.endswith(b"}")):
            raise _damaged(f"line {number} isn't a row")
        yield row
    raise _damaged("it breaks off")


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
