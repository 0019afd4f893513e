"""Queues of pgmq: made anew by its own function, so that the tables are its own, and filled with their messages.

Up to version 1.5 no dump has the rows: the tables are members of the extension. Since then they aren't, and a dump has
the tables as well (F§4.6): both come out the same here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from supapy.model import Omission
from supapy.names import literal
from supapy.parts.database.statements import perform
from supapy.project.moment import Moment
from supapy.project.schema import Reader, Table, tables_of

SCHEMA = "pgmq"


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue. A partitioned one comes back as one of plain tables."""

    name: str
    partitioned: bool
    unlogged: bool

    @property
    def tables(self) -> tuple[str, str]:
        """What pgmq calls the tables of the messages and of the archived ones."""
        return f"q_{self.name}".lower(), f"a_{self.name}".lower()


def read_queues(reader: Reader) -> list[Queue]:
    """All queues, by name."""
    if not reader.rows("SELECT FROM pg_catalog.pg_extension WHERE extname = 'pgmq'"):
        return []
    return [Queue(*row) for row in reader.rows(_QUEUES)]


def queue_tables(reader: Reader) -> list[Table]:
    """The tables that hold messages, partitions as parts of the whole."""
    names = {name for queue in read_queues(reader) for name in queue.tables}
    if not names:
        return []
    roots = dict(reader.rows(_ROOTS))
    return [
        replace(table, load_into=(SCHEMA, roots[table.oid]))
        for table in tables_of(reader, SCHEMA, with_extensions=True)
        if roots.get(table.oid) in names
    ]


def made_by_pgmq(reader: Reader) -> frozenset[tuple[int, int]]:
    """(catalog, oid) of what comes with a queue: its tables with their keys, identities and usual indexes, and the
    partitions of one with all that is theirs, since it comes back without."""
    names = sorted({name for queue in read_queues(reader) for name in queue.tables})
    return frozenset((catalog, oid) for catalog, oid in reader.rows(_MADE, (names,))) if names else frozenset()


def partitions(reader: Reader) -> frozenset[int]:
    """The partitions of queues (oids), of which nothing comes back but what is in them."""
    return frozenset(table.oid for table in queue_tables(reader) if table.name != table.load_into[1])


def queues_sql(moment: Moment) -> str:
    """Statements that make the queues; a queue that is there already stays."""
    return perform(
        f"pgmq.{'create_unlogged' if queue.unlogged else 'create'}({literal(queue.name)})"
        for queue in read_queues(moment)
    )


def omissions(moment: Moment) -> Iterator[Omission]:
    """A word on each queue that comes back in another form."""
    for queue in read_queues(moment):
        if queue.partitioned:
            remedy = "It comes back as one of plain tables, with all its messages. pg_partman has nothing to do for it "
            remedy += "any more: delete its rows in part_config."
            yield Omission("database", f"partitions of queue {queue.name}", remedy)


def inventory(reader: Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    """The queues as they are compared; their messages are compared as rows."""
    for queue in read_queues(reader):
        yield f"queue {queue.name}", {"unlogged": queue.unlogged}


_QUEUES = "SELECT queue_name::text, is_partitioned, is_unlogged FROM pgmq.meta ORDER BY queue_name"
# Every table of the schema with the topmost it is a partition of.
_ROOTS = """
SELECT c.oid::bigint, coalesce(r.relname, c.relname)
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class r ON r.oid = pg_catalog.pg_partition_root(c.oid)
WHERE c.relnamespace = 'pgmq'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p')
"""
_MADE = """
WITH tables AS (
    SELECT c.oid, substr(r.relname, 3) AS queue, c.relispartition FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_class r ON r.oid = coalesce(pg_catalog.pg_partition_root(c.oid), c.oid)
    WHERE c.relnamespace = 'pgmq'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p')
        AND r.relnamespace = c.relnamespace AND r.relname = ANY (%s)
), indexes AS (
    SELECT i.indexrelid, i.indrelid FROM pg_catalog.pg_index i
    JOIN tables t ON t.oid = i.indrelid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    WHERE i.indisprimary OR t.relispartition OR x.relname IN ('q_' || t.queue || '_vt_idx',
        'q_' || t.queue || '_fifo_idx', 'q_' || t.queue || '_part_idx', 'archived_at_idx_' || t.queue)
), relations AS (
    SELECT oid FROM tables UNION ALL SELECT indexrelid FROM indexes UNION ALL
    SELECT d.objid FROM pg_catalog.pg_depend d JOIN tables t ON d.refobjid = t.oid
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('i', 'a')
        AND d.refclassid = d.classid AND d.objid IN (SELECT seqrelid FROM pg_catalog.pg_sequence)
)
SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid::bigint, oid::bigint FROM relations
UNION SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::oid::bigint, k.oid::bigint
FROM pg_catalog.pg_constraint k JOIN indexes i ON i.indexrelid = k.conindid
UNION SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::oid::bigint, k.oid::bigint
FROM pg_catalog.pg_constraint k JOIN tables t ON t.oid = k.conrelid AND t.relispartition
UNION ALL SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass::oid::bigint, f.oid::bigint
FROM pg_catalog.pg_attrdef f JOIN tables t ON t.oid = f.adrelid
"""
