"""Tables that inherit, whose columns come back in another order: what they inherit first, then their own."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from supapy.model import Omission, Problem
from supapy.project.moment import Moment
from supapy.project.schema import PG_CLASS


class Heir(NamedTuple):
    """A table that inherits, or one that is inherited from: its columns as they stand, and as a restore leaves them."""

    oid: int
    schema: str
    title: str
    columns: tuple[str, ...]
    restored: tuple[str, ...]


def read_heirs(moment: Moment) -> list[Heir]:
    """All tables of plain inheritance. What a partition holds comes back in its own order, so it isn't among them."""
    rows = {row[0]: row for row in moment.once(_HEIRS)}
    restored: dict[int, tuple[str, ...]] = {}

    def after_restore(oid: int) -> tuple[str, ...]:
        if oid not in restored:
            *_, parents, columns = rows[oid]
            inherited = (name for parent in parents or () if parent in rows for name in after_restore(parent))
            # A column may go from a parent and stay with its heirs.
            restored[oid] = tuple(dict.fromkeys((*(name for name in inherited if name in columns), *columns)))
        return restored[oid]

    return [
        Heir(oid, schema, name, tuple(columns), after_restore(oid))
        for oid, schema, name, _, columns in rows.values()
        if columns
    ]


def places(moment: Moment) -> dict[tuple[int, int], int]:
    """Where columns stand after a restore, by their table's oid and where they stand now; both count from 1."""
    return {
        (heir.oid, place): heir.restored.index(name) + 1
        for heir in read_heirs(moment)
        for place, name in enumerate(heir.columns, 1)
    }


def findings(moment: Moment, managed: Container[str], kept: Container[tuple[int, int]]) -> Iterator[Omission | Problem]:
    """A word on each of the user's tables that are kept and come back with their columns in another order, and on each
    column that holds whole rows of one: such a value's fields have no names, so they would come back mixed up."""
    for heir in read_heirs(moment):
        if heir.restored != heir.columns and heir.schema not in managed and (PG_CLASS, heir.oid) in kept:
            yield Omission("database", f"order of the columns of table {heir.title}", _REMEDY)
            for table, column in moment.rows(_OF_ROW_TYPE, (heir.oid,)):
                yield Problem(
                    "database",
                    f"column {column} of table {table}",
                    f"its values are rows of {heir.title}, whose columns come back in another order: they would be "
                    "mixed up. Let it be of a type of its own, or make the table anew with what it inherits first",
                )


_REMEDY = (
    "A table that inherits is made with what it inherits first, then its own: name the columns where a query or an "
    "INSERT relies on their order."
)
_HEIRS = """
SELECT c.oid::bigint, n.nspname, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
    (SELECT pg_catalog.array_agg(inhparent::bigint ORDER BY inhseqno) FROM pg_catalog.pg_inherits
        WHERE inhrelid = c.oid),
    (SELECT pg_catalog.array_agg(attname::text ORDER BY attnum) FROM pg_catalog.pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'f') AND NOT c.relispartition AND c.oid IN (
    SELECT inhrelid FROM pg_catalog.pg_inherits UNION ALL SELECT inhparent FROM pg_catalog.pg_inherits)
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""
# Columns of tables whose type is the row of that one, or a list of such; also by way of a domain.
_OF_ROW_TYPE = """
WITH RECURSIVE meant AS (
    SELECT oid FROM pg_catalog.pg_type WHERE typrelid = %s
    UNION SELECT t.oid FROM pg_catalog.pg_type t JOIN meant m
        ON t.typelem = m.oid AND t.typcategory = 'A' OR t.typtype = 'd' AND t.typbasetype = m.oid
)
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), pg_catalog.quote_ident(a.attname)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND NOT a.attisdropped AND a.attnum > 0 AND a.atttypid IN (SELECT oid FROM meant)
ORDER BY 1, 2
"""
