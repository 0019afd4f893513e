"""The target's rows beside the saved ones: asked for by the saved ids, so that neither side needs an order, some at a
time."""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, Self

from supapy.names import literal
from supapy.parts.auth.document import by_id, id_of, row_of
from supapy.parts.auth.tables import NESTED, OF_A_USER
from supapy.project.moment import Moment
from supapy.project.postgres import Row, Session
from supapy.project.quick import chunks
from supapy.project.rows import lines_statement
from supapy.project.schema import Table
from supapy.stream import lines

# Rows asked for at once: much beside what a statement costs, little enough to stay in a processor's cache.
CHUNK_BYTES = 512 * 1024
# Of ids, 36 bytes each, so many are in memory at a time, where they take five times as much.
PART_BYTES = 12 * 1024 * 1024
_ASKED = "supapy_asked"
_SETTINGS = (
    # A target just restored has no statistics: what is its users' would be looked for from end to end.
    "SET LOCAL enable_seqscan = off",
    # One plan is made, whatever the ids: making it costs as much as a few hundred rows.
    "SET LOCAL plan_cache_mode = force_generic_plan",
)


@dataclass(frozen=True, slots=True)
class Stray:
    """A row that stands more than once in the file, or that only the target has; whose it is, where it says so."""

    id: str
    user: str = ""
    is_saved: bool = field(default=False, kw_only=True)


@contextmanager
def readers(moment: Moment, jobs: int) -> Iterator[list[Session]]:
    """Up to `jobs` connections for `Live`, which end with the block."""
    with moment.readers(jobs) as sessions:
        for session in sessions:
            for setting in _SETTINGS:
                session.execute(setting)
        yield sessions


@dataclass(slots=True)
class Live:
    """The target's rows of the table `name`, of `tables`, as `readers` see them; to be used as a context manager.

    The ids of what was asked for stay in `ids`, a file. How many rows were found, and the sum of a hash of the id of
    each, tell whether there are others: the hashes are this object's own, so that nobody chooses ids for their sums.
    """

    moment: Moment
    tables: dict[str, Table]
    name: str
    readers: Sequence[Session]
    part_bytes: int = PART_BYTES
    ids: IO[bytes] = field(default_factory=TemporaryFile)
    _seed: int = field(default_factory=lambda: secrets.randbits(63))
    _found: int = 0
    _hashes: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ids.close()

    def beside(self, saved: Iterator[bytes]) -> Iterator[tuple[list[bytes], bytes]]:
        """The saved rows, some at a time, each time with the lines that the target's rows of the same ids would be
        saved as: in the same order, an empty one where there is none."""
        for session in self.readers:
            session.execute(f"PREPARE {_ASKED}_{self.name} AS {self._query()}")
        free, under_way = deque(self.readers), deque[tuple[list[bytes], Future[Row]]]()

        def asked(rows: list[bytes]) -> Row:
            ids, session = list(map(id_of, rows)), free.popleft()
            try:
                wanted = literal("{" + ",".join(ids) + "}")
                return ids, *session.rows(f"EXECUTE {_ASKED}_{self.name}({wanted})")[0]
            finally:
                free.append(session)

        def next_one() -> tuple[list[bytes], bytes]:
            rows, answer = under_way.popleft()
            ids, text, count, hashes = answer.result()
            self.ids.write("\n".join((*ids, "")).encode())
            self._found += count
            self._hashes += int(hashes)
            return rows, text.encode()

        with ThreadPoolExecutor(len(self.readers)) as pool:
            try:
                for rows in chunks(saved, CHUNK_BYTES):
                    under_way.append((rows, pool.submit(asked, rows)))
                    if len(under_way) > len(self.readers):
                        yield next_one()
                while under_way:
                    yield next_one()
            except BaseException:
                for session in self.readers:
                    session.abort()
                raise

    @property
    def is_one_to_one(self) -> bool:
        """Whether the rows found are all that there are, each found once."""
        [(count, hashes)] = self.moment.rows(f"SELECT {self._tally('t')} FROM {self._table.sql} t")
        return (count, int(hashes)) == (self._found, self._hashes)

    def strays(self) -> Iterator[Stray]:
        """What has no row of its own on the other side. A part of the ids is looked at after another, so that those of
        many rows need no more memory."""
        user = "t.id" if self.name == "users" else "t.user_id" if self.name in OF_A_USER else "''"
        query = lines_statement(f"SELECT concat(t.id, ' ', {user}) FROM {self._table.sql} t")
        parts = 1 + self.ids.tell() // self.part_bytes
        for part in range(parts):
            self.ids.seek(0)
            asked = (line.strip() for line in self.ids)
            saved = Counter(one for one in asked if hash(one) % parts == part)
            yield from (Stray(one.decode(), is_saved=True) for one, times in saved.items() if times > 1)
            for line in lines(self.moment.copy_out(query)):
                one, _, whose = line.partition(b" ")
                if hash(one) % parts == part and one not in saved:
                    yield Stray(one.decode(), whose.decode())

    @property
    def _table(self) -> Table:
        return self.tables[self.name]

    def _query(self) -> str:
        """Of an array of ids the lines, one below the other, and what tells how many and which were found.

        What is nested is put together for all users at once: a query for each costs more, and reads a table without an
        index for each.
        """
        kind = next(column.type for column in self._table.columns if column.name == "id")
        nested = self._nested() if self.name == "users" else []
        groups = [
            f"""{one.name} AS MATERIALIZED (SELECT n.user_id AS id, {literal(f',"{one.name}":[')}
                || pg_catalog.string_agg({row_of(one, "n")}, ',' ORDER BY {by_id(one, "n")}) || ']' AS rows
                FROM {one.sql} n WHERE n.user_id = ANY($1::{kind}[]) GROUP BY n.user_id)"""
            for one in nested
        ]
        joins = "".join(f" LEFT JOIN {one.name} ON {one.name}.id = w.id" for one in nested)
        line = row_of(self._table, more=[f"{one.name}.rows" for one in nested])
        given = f"WITH {', '.join(groups)} " if groups else ""
        found = f"unnest($1::{kind}[]) WITH ORDINALITY AS w(id, place) LEFT JOIN {self._table.sql} t ON t.id = w.id"
        return f"""{given}SELECT pg_catalog.string_agg(s.line, E'\\n' ORDER BY s.place), {self._tally("s")} FROM (
                SELECT t.id, w.place, CASE WHEN t.id IS NULL THEN '' ELSE {line} END AS line
                FROM {found}{joins}
            ) s"""

    def _nested(self) -> list[Table]:
        """The nested tables that have any rows."""
        tables = [self.tables[name] for name in NESTED if name in self.tables]
        return [table for table in tables if self.moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})")]

    def _tally(self, alias: str) -> str:
        return f"count({alias}.id), coalesce(sum(pg_catalog.hashtextextended({alias}.id::text, {self._seed})), 0)"
