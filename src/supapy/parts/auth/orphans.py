"""Rows that refer to something in schema auth that isn't there: replica mode takes them in without a word (F§2.6)."""

from __future__ import annotations

from collections.abc import Iterator

from supapy.model import Problem
from supapy.names import many
from supapy.project.postgres import Session


def orphans(session: Session) -> Iterator[Problem]:
    """A problem for each foreign key that some rows break, whosoever the table is, with one of them by its value. To be
    asked within a transaction."""
    session.rows(_FROM_END_TO_END)
    for table, column, there, key in session.rows(_KEYS):
        found = session.rows(
            f"SELECT count(*), min(t.{column}::text) FROM {table} t WHERE t.{column} IS NOT NULL "
            f"AND NOT EXISTS (SELECT FROM {there} k WHERE k.{key} = t.{column})"
        )
        count, first = found[0]
        if count:
            name = f"{table}.{column}"
            reason = f"{many(count, 'row')} refer to {there} and find nobody there, the first to {first}"
            yield Problem("auth", name, reason.replace("1 row refer", "1 row refers") if count == 1 else reason)


# Where a vacuum came by while the rows were coming, the planner takes a table of a million for an empty one. Any way
# but a hash join is then ruinous: a nested loop hadn't ended after nine minutes, and to merge by the indexes, whose
# order isn't the table's, read two pages back from disk for each row, which was a third of the whole load.
_FROM_END_TO_END = """
SELECT pg_catalog.set_config('enable_' || way, 'off', true)
FROM pg_catalog.unnest('{nestloop,mergejoin,indexscan,indexonlyscan,bitmapscan}'::text[]) way
"""
_KEYS = """
SELECT c.conrelid::pg_catalog.regclass::text, pg_catalog.quote_ident(a.attname),
    c.confrelid::pg_catalog.regclass::text, pg_catalog.quote_ident(k.attname)
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_class r ON r.oid = c.confrelid AND r.relnamespace = 'auth'::pg_catalog.regnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_catalog.pg_attribute k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
WHERE c.contype = 'f' AND c.conparentid = 0 AND pg_catalog.cardinality(c.conkey) = 1
    AND pg_catalog.has_table_privilege(c.conrelid, 'SELECT') AND pg_catalog.has_table_privilege(c.confrelid, 'SELECT')
ORDER BY 1, 2
"""
