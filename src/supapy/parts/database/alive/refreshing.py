"""Materialized views, which a restore fills by their queries: which of these reach out of the database, so that they
wait with what acts by itself, and the statement that fills the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from supapy.model import Omission
from supapy.names import plain_name
from supapy.parts.database.alive.quiesced import MATERIALIZED_VIEW, letting_sleep, read_quiesced
from supapy.parts.database.sql.archive import TocEntry
from supapy.parts.database.sql.statements import copied_rows, over_rows
from supapy.project.moment import Moment
from supapy.project.schema import Reader

SEGMENT = "materialized views"
_ROWS = "unfilled"
_COLUMNS = (
    *("place int", "title text", "relation text", "statement text"),
    *("reaches boolean", "waiting boolean", "source text", "said text"),
)


class Filling(NamedTuple):
    """How a materialized view is filled. `title` is what a script's statements call it, `relation` what the server
    does. One that `reaches` out of the database sleeps where such things do, and is `waiting` if it sleeps already.
    `source` is the host of its project."""

    title: str
    relation: str
    statement: str
    reaches: bool
    waiting: bool
    source: str


def refresh_sql(entry: TocEntry) -> str:
    """The statement that fills a materialized view."""
    return entry.drop_sql.replace("DROP", "REFRESH", 1)


def fill_views(views: Iterable[Filling]) -> str:
    """A statement that fills materialized views, to be run under the usual search path; one that can't be filled is
    told."""
    rows = [(place, *one, None) for place, one in enumerate(views)]
    return over_rows(_ROWS, _COLUMNS, rows, letting_sleep("refresh")) if rows else ""


def fillings_of(sql: str) -> list[Filling]:
    """What `fill_views` wrote, read back from its text."""
    rows = [row[1:-1] for row in copied_rows(sql, _ROWS)]
    return [
        Filling(title or "", relation or "", statement or "", reaches == "t", waiting == "t", source or "")
        for title, relation, statement, reaches, waiting, source in rows
    ]


def asleep(reader: Reader) -> frozenset[str]:
    """The names of those that sleep, as the server writes them: they aren't filled, and will be."""
    return frozenset(one.relation or "" for one in read_quiesced(reader) if one.sort == MATERIALIZED_VIEW)


def relation_of(entry: TocEntry) -> str:
    """An entry's relation as the server writes it."""
    return plain_name(entry.schema, entry.name)


def reaching_views(moment: Moment, functions: frozenset[int]) -> frozenset[int]:
    """The oids of materialized views whose queries call one of these functions or read a foreign table, by themselves
    or by views that they read. One that reads such a one is among them: it can't be filled before it."""
    reaching = {oid for (oid,) in moment.rows(_FOREIGN)}
    if not functions and not reaching:
        return frozenset()
    views = {
        oid: (kind, functions & {*(called or ())}, {*(read or ())}) for oid, kind, called, read in moment.rows(_VIEWS)
    }
    new = reaching | {oid for oid, (_, called, _) in views.items() if called}
    while new:
        reaching |= new
        new = {oid for oid, (_, _, read) in views.items() if oid not in reaching and read & reaching}
    return frozenset(oid for oid in reaching & views.keys() if views[oid][0] == "m")


def omissions(moment: Moment, functions: frozenset[int]) -> Iterator[Omission]:
    """A word on what calls one of these functions whenever rows come in: nothing can let it sleep."""
    for (name,) in moment.rows(_EVALUATED, (list(functions),)) if functions else ():
        remedy = "It is evaluated while rows come back, and calls out then. Drop it before a backup where it must not."
        yield Omission("database", f"{name}, which reaches out of the database", remedy)


# Foreign tables, and those that one inherits from.
_FOREIGN = """
WITH RECURSIVE far AS (
    SELECT ftrelid AS oid FROM pg_catalog.pg_foreign_table
    UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN far ON far.oid = i.inhrelid
)
SELECT oid::bigint FROM far
"""
_VIEWS = """
SELECT c.oid::bigint, c.relkind::text,
    pg_catalog.array_agg(DISTINCT d.refobjid::bigint)
        FILTER (WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass),
    pg_catalog.array_agg(DISTINCT d.refobjid::bigint)
        FILTER (WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
WHERE r.rulename = '_RETURN' AND r.oid >= 16384 GROUP BY c.oid, c.relkind
"""
# Checks, keys of partitions, indexes, generated columns and statistics over expressions.
_EVALUATED = """
SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_catalog.pg_depend d LEFT JOIN pg_catalog.pg_attrdef f
    ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = d.objid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid = ANY (%s::bigint[]::oid[])
    AND (a.attgenerated <> '' OR d.classid IN ('pg_catalog.pg_constraint'::pg_catalog.regclass,
        'pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass))
ORDER BY 1
"""
