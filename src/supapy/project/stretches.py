"""Large tables in stretches, so that several connections read one table at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from supapy.project.moment import Moment
from supapy.project.postgres import numbers
from supapy.project.schema import Table

# One statement reads this much of a table: little enough that the statements that run at once, all but one ahead of
# their turn, find room in memory, and much enough that a round trip to a far server is little beside it.
STRETCH_BYTES = 4 * 1024 * 1024
# The major from which a stretch of a table is found without reading the rest of it.
TID_RANGE_SCAN_SINCE = 14

# Out-of-line values count: a few pages may hold the keys to gigabytes. To ask for a size opens a table, which costs
# more than all else here where there are many: pg_table_size would open indexes as well. A table of one page isn't cut,
# so that of its out-of-line values it is enough how many pages they had when they were last vacuumed.
_SIZES = """
SELECT c.oid::bigint, s.main + CASE WHEN s.main > b.bytes
        THEN coalesce(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0)), 0)
        ELSE coalesce(t.relpages, 0)::bigint * b.bytes END, s.main / b.bytes
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::int) b (bytes)
CROSS JOIN LATERAL (SELECT pg_catalog.pg_relation_size(c.oid) OFFSET 0) s (main)
WHERE c.oid = ANY(%s::oid[])
"""


class Stretches(NamedTuple):
    """The WHERE clauses that give a table's own rows once, in the order in which they lie on disk, a single empty one
    for a small table; and how many bytes the table takes there."""

    clauses: Sequence[str]
    size: int


def stretches(moment: Moment, tables: Iterable[Table]) -> dict[int, Stretches]:
    """How each table, by its oid, is read.

    Rows may be added and changed meanwhile: the moment's stay where they are as long as the table is locked against
    being written anew. The last stretch is open, for the pages that were added.
    """
    oids = numbers(table.oid for table in tables)
    can_be_cut = moment.major >= TID_RANGE_SCAN_SINCE
    return {
        oid: Stretches(_clauses(size, pages) if can_be_cut else [""], size)
        for oid, size, pages in moment.rows(_SIZES, (oids,))
    }


def _clauses(size_bytes: int, pages: int) -> list[str]:
    count = min(-(-size_bytes // STRETCH_BYTES), pages)
    if count <= 1:
        return [""]
    starts = [number * pages // count for number in range(count)]
    ends = [f" AND ctid < '({start},0)'" for start in starts[1:]] + [""]
    return [f"WHERE ctid >= '({start},0)'{end}" for start, end in zip(starts, ends, strict=True)]
