"""The target's rows beside the saved ones: asked for by the saved ids, so that neither side needs an order, some at a
time."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from supapy.names import literal
from supapy.parts.auth.document import id_of, row_of
from supapy.parts.auth.tables import NESTED, OF_A_USER
from supapy.project.moment import Moment
from supapy.project.postgres import Session
from supapy.project.quick import chunks
from supapy.project.rows import lines_statement
from supapy.project.schema import Table
from supapy.stream import lines

# Rows asked for at once: much beside what preparing a statement costs, little enough for the server to sort in memory.
CHUNK_BYTES = 1024 * 1024
_IDS = "supapy_ids"


@dataclass(slots=True)
class Tally:
    """What tells one set of ids from another: how many they are, and the sum of a hash of each."""

    count: int = 0
    hashes: int = 0


@dataclass(frozen=True, slots=True)
class Stray:
    """A row that stands more than once in the file, or that only the target has; whose it is, where it says so."""

    id: str
    user: str = ""
    is_saved: bool = field(default=False, kw_only=True)


@dataclass(slots=True)
class Live:
    """The rows of `tables` at a moment, read by `sessions` that see it. The hashes are this object's own: nobody can
    choose ids whose sums are equal."""

    moment: Moment
    tables: dict[str, Table]
    sessions: Sequence[Session]
    _seed: int = field(default_factory=lambda: secrets.randbits(63))

    @classmethod
    @contextmanager
    def at(cls, moment: Moment, tables: dict[str, Table], jobs: int) -> Iterator[Self]:
        """By up to `jobs` connections, which end with the block."""
        with moment.readers(jobs) as sessions:
            for session in sessions:
                # A target just restored has no statistics: what is its users' would be looked for from end to end.
                session.execute("SET LOCAL enable_seqscan = off")
            yield cls(moment, tables, sessions)

    def beside(self, name: str, saved: Iterator[bytes], found: Tally) -> Iterator[tuple[list[bytes], bytes]]:
        """The saved rows of a table, some at a time, each time with the lines that the target's rows of the same ids
        would be saved as: in the same order, an empty one where there is none. Those found are added to `found`."""
        line, free = self._line(name), deque(self.sessions)
        under_way: deque[tuple[list[bytes], Future[tuple[str, int, int]]]] = deque()

        def asked(rows: list[bytes]) -> tuple[str, int, int]:
            session = free.popleft()
            try:
                [(text, count, hashes)] = session.rows(self._query(name, line, map(id_of, rows)))
            finally:
                free.append(session)
            return text, count, int(hashes)

        def next_one() -> tuple[list[bytes], bytes]:
            rows, answer = under_way.popleft()
            text, count, hashes = answer.result()
            found.count, found.hashes = found.count + count, found.hashes + hashes
            return rows, text.encode()

        with ThreadPoolExecutor(len(self.sessions)) as pool:
            for rows in chunks(saved, CHUNK_BYTES):
                under_way.append((rows, pool.submit(asked, rows)))
                if len(under_way) > len(self.sessions):
                    yield next_one()
            while under_way:
                yield next_one()

    def tally(self, name: str) -> Tally:
        """Of all the target's rows of a table."""
        [(count, hashes)] = self.moment.rows(f"SELECT {self._tally('t')} FROM {self.tables[name].sql} t")
        return Tally(count, int(hashes))

    def strays(self, name: str, saved: Iterator[bytes]) -> Iterator[Stray]:
        """Of a table, what has no row of its own on the other side."""
        table = self.tables[name].sql
        user = "t.id" if name == "users" else "t.user_id" if name in OF_A_USER else "''"
        with self.moment.project.session() as session:
            session.execute(f"CREATE TEMPORARY TABLE {_IDS} AS SELECT id FROM {table} WITH NO DATA")
            self.moment.share(session)
            pieces = ("".join(f"{id_of(row)}\n" for row in rows).encode() for rows in chunks(saved, CHUNK_BYTES))
            session.copy_in(f"COPY pg_temp.{_IDS} FROM STDIN", pieces)
            query = f"SELECT k.id FROM pg_temp.{_IDS} k GROUP BY k.id HAVING count(*) > 1 ORDER BY k.id"
            yield from (Stray(row, is_saved=True) for row in _texts(session, query))
            there = f"SELECT FROM pg_temp.{_IDS} k WHERE k.id = t.id"
            query = f"SELECT concat(t.id, ' ', {user}) FROM {table} t WHERE NOT EXISTS ({there}) ORDER BY t.id"
            yield from (Stray(*text.split(" ", 1)) for text in _texts(session, query))

    def _line(self, name: str) -> str:
        if name == "users":
            return line_of(self._with_rows())
        return f"CASE WHEN t.id IS NOT NULL THEN {row_of(self.tables[name])} END"

    def _query(self, name: str, line: str, ids: Iterable[str]) -> str:
        table = self.tables[name]
        kind = next(column.type for column in table.columns if column.name == "id")
        wanted = f"unnest({literal('{' + ','.join(ids) + '}')}::{kind}[]) WITH ORDINALITY AS w(id, place)"
        return (
            f"SELECT pg_catalog.string_agg(coalesce(s.line, ''), E'\\n' ORDER BY s.place), {self._tally('s')} "
            f"FROM (SELECT t.id, w.place, {line} AS line FROM {wanted} LEFT JOIN {table.sql} t ON t.id = w.id) s"
        )

    def _with_rows(self) -> dict[str, Table]:
        """All tables but those nested ones that have no rows to be looked for."""
        empty = {
            name
            for name in NESTED
            if name in self.tables and not self.moment.value(f"SELECT EXISTS (SELECT FROM {self.tables[name].sql})")
        }
        return {name: table for name, table in self.tables.items() if name not in empty}

    def _tally(self, alias: str) -> str:
        return f"count({alias}.id), coalesce(sum(pg_catalog.hashtextextended({alias}.id::text, {self._seed})), 0)"


def line_of(tables: dict[str, Table]) -> str:
    """An SQL expression: the line that the target's user `t` would be saved as; NULL when there is none."""
    nested = [
        f"""',"{name}":[' || (SELECT pg_catalog.string_agg({row_of(tables[name], "n")}, ',' ORDER BY n.id)
            FROM {tables[name].sql} n WHERE n.user_id = t.id) || ']'"""
        for name in NESTED
        if name in tables
    ]
    return f"CASE WHEN t.id IS NOT NULL THEN {row_of(tables['users'], 't', nested)} END"


def _texts(session: Session, query: str) -> Iterator[str]:
    return (line.decode() for line in lines(session.copy_out(lines_statement(query))))
