"""Where on disk users and the rows that are nested in them lie.

Users are read as they lie in their table, and so are the nested rows, which mostly came in the same order: a window is
a stretch of the users' pages together with the stretch of each nested table that has most of their rows. Rows that lie
elsewhere are looked for before anything is written, so that each user is complete when his window is read.

By pages nothing is read at random, and the server's caches stay as they are. The moment keeps the tables from being
written anew, and what its snapshot sees stays where it is while others change it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median_low

from supapy.project.moment import Moment
from supapy.project.schema import Table
from supapy.project.stretches import TID_RANGE_SCAN_SINCE
from supapy.stream import lines

# Of all tables together: little enough that the windows under way find room in memory (the nested rows of one wait for
# their users, the JSON is about twice as large), much enough that few rows lie beyond its edges.
WINDOW_BYTES = 4 * 1024 * 1024
# Scattered rows are looked for in so many windows by one statement.
WINDOWS_TOGETHER = 8
# Of the twenty to fifty rows that a page has; to make a row's text takes as long as to tell of four whose they are.
STRANGERS_A_PAGE = 8
# Of a page that stands for others so many rows are looked at, and of a table so many pages for what its rows are like.
ROWS_LOOKED_AT = 16
PAGES_LOOKED_AT = 32

_EXTENTS = """
SELECT c.oid::bigint, pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint,
    pg_catalog.pg_table_size(c.oid), coalesce(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0)), 0) > 0
FROM pg_catalog.pg_class c WHERE c.oid = ANY(%s::bigint[]::oid[])
"""


@dataclass(slots=True)
class Window:
    """Of each table, by its name, the pages from one up to another; the places of rows that lie elsewhere, as text,
    separated by blanks, since there may be a million in all; and how many rows there are of other windows' users."""

    pages: dict[str, tuple[int, int]]
    scattered: defaultdict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    strangers: Counter[str] = field(default_factory=Counter)

    def within(self, table: Table, alias: str) -> str:
        """The condition for rows that lie in it."""
        begin, end = self.pages[table.name]
        return f"{alias}.ctid >= '({begin},0)' AND {alias}.ctid < '({end},0)'"

    def is_mixed(self, table: Table) -> bool:
        """Whether so many rows there are strangers that it is better to tell them apart than to read them."""
        begin, end = self.pages[table.name]
        return self.strangers[table.name] > STRANGERS_A_PAGE * (end - begin)


@dataclass(frozen=True, slots=True)
class Windows:
    """All users' windows; which tables may hold values out of line, so that a page's rows can be of any size."""

    windows: list[Window]
    out_of_line: frozenset[str]

    def some(self, table: Table) -> list[str]:
        """Places in the table from one end to the other, at which most rows are as most rows are."""
        begins = [window.pages[table.name][0] for window in self.windows]
        return _places(begins[:: -(-len(begins) // PAGES_LOOKED_AT) or 1])

    @classmethod
    def found(cls, moment: Moment, users: Table, nested: Sequence[Table], jobs: int, orphans: Counter[str]) -> Windows:
        """Those of a moment. Nested rows of users who aren't there are counted in `orphans`."""
        tables = [users, *nested]
        extents = {
            oid: (pages, size, out) for oid, pages, size, out in moment.rows(_EXTENTS, ([t.oid for t in tables],))
        }
        pages = {table.name: extents[table.oid][0] for table in tables}
        count = min(-(-sum(size for _, size, _ in extents.values()) // WINDOW_BYTES), pages[users.name])
        if moment.major < TID_RANGE_SCAN_SINCE:
            count = 1
        begins = [number * pages[users.name] // count for number in range(1, count)]
        edges = {users.name: begins, **{table.name: _beside(moment, users, table, begins) for table in nested}}
        stretches = {name: pairwise([0, *begins, pages[name]]) for name, begins in edges.items()}
        windows = [Window(dict(zip(stretches, ends, strict=True))) for ends in zip(*stretches.values(), strict=True)]
        for table in nested:
            orphans.update({table.name: lost} if (lost := _scatter(moment, users, table, windows, jobs)) else {})
        return cls(windows, frozenset(table.name for table in tables if extents[table.oid][2]))


def _beside(moment: Moment, users: Table, table: Table, begins: Sequence[int]) -> list[int]:
    """The pages of a nested table at which the rows begin that are of the users from these pages on."""
    both = f"{users.sql} t JOIN {table.sql} n ON n.user_id = t.id"
    sql = f"SELECT t.ctid::text, n.ctid::text FROM {both} WHERE t.ctid = ANY(%s::tid[])"
    found: dict[int, list[int]] = {}
    for user, row in moment.rows(sql, (_places(begins),)) if begins else ():
        found.setdefault(_page(user.encode()), []).append(_page(row.encode()))
    return ascending([median_low(found.get(begin, [0])) for begin in begins])


def ascending(numbers: Sequence[int]) -> list[int]:
    """As many of the numbers as ascend; in the place of each that doesn't fit in, the one before it."""
    # Of all ascending choices of each length: the lowest last number, and where it stands.
    lowest: list[int] = []
    places: list[int] = []
    before: list[int | None] = []
    for place, number in enumerate(numbers):
        length = bisect_right(lowest, number)
        before.append(places[length - 1] if length else None)
        lowest[length : length + 1] = [number]
        places[length : length + 1] = [place]
    chosen = set()
    at = places[-1] if places else None
    while at is not None:
        chosen.add(at)
        at = before[at]
    fitting = 0
    return [fitting := number if place in chosen else fitting for place, number in enumerate(numbers)]


def _scatter(moment: Moment, users: Table, table: Table, windows: Sequence[Window], jobs: int) -> int:
    """Give each window the places of the nested rows that lie in another one than their user. Gives how many have
    none."""
    searched = [window for window in windows if window.pages[table.name][0] < window.pages[table.name][1]]
    statements = [
        _search(users, table, searched[at : at + WINDOWS_TOGETHER]) for at in range(0, len(searched), WINDOWS_TOGETHER)
    ]
    begins, rows_begin = ([window.pages[one.name][0] for window in windows] for one in (users, table))
    orphans = 0
    # A small project's few rows aren't worth a connection.
    (output,) = moment.pumped([statements], jobs if len(statements) > 1 else 0, large_rows=True)
    for line in lines(output):
        place, owner = line.split(b"\t")
        windows[bisect_right(rows_begin, _page(place)) - 1].strangers[table.name] += 1
        if owner == rb"\N":
            orphans += 1
        else:
            windows[bisect_right(begins, _page(owner)) - 1].scattered[table.name] += place + b" "
    return orphans


def _search(users: Table, table: Table, windows: Sequence[Window]) -> str:
    rows = " UNION ALL ".join(
        f"""SELECT n.ctid, n.user_id FROM {table.sql} n WHERE {window.within(table, "n")}
            AND NOT EXISTS (SELECT FROM {users.sql} t WHERE {window.within(users, "t")} AND t.id = n.user_id)"""
        for window in windows
    )
    owner = f"SELECT u.ctid FROM {users.sql} u WHERE u.id = s.user_id"
    return f"COPY (SELECT s.ctid, ({owner}) FROM ({rows}) s) TO STDOUT"


def _places(pages: Sequence[int]) -> list[str]:
    return [f"({page},{line})" for page in pages for line in range(1, ROWS_LOOKED_AT + 1)]


def _page(place: bytes) -> int:
    """The page of a place that is written as `(page,line)`."""
    return int(place[1 : place.index(b",")])
