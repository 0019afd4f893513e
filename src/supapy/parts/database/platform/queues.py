"""Queues of pgmq: made anew by its own function, so that the tables are its own, and filled with their messages.

Up to version 1.5 no dump has the rows: the tables are members of the extension. Since then they aren't, and a dump has
the tables as well (F§4.6): both come out the same here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from supapy.model import Omission
from supapy.names import literal, qualified
from supapy.parts.database.sql.statements import perform
from supapy.project.moment import Moment
from supapy.project.schema import Reader, Table, installed, tables_of

SCHEMA = "pgmq"
RULES_SEGMENT = "rules of queues"


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
    if "pgmq" not in installed(reader):
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


def rules_sql(reader: Reader) -> str:
    """Statements for what people added to the tables of queues, as far as no dump has it. What it says within the
    statement of a table that pgmq makes is lost with that; of a part of the extension it says nothing at all. Without
    row security what was granted would be open to whomever it was granted to."""
    extra = {oid: (checks, others) for oid, checks, others in reader.rows(_EXTRA)} if read_queues(reader) else {}
    texts: list[str] = []
    for name, oid, is_member, enabled, forced, policies in _rules(reader):
        checks, others = extra.get(oid, ((), ()))
        texts += [*_security(name, enabled, forced), *policies, *checks, *others] if is_member else checks
        texts += _security(name, False, forced) if not is_member else ()
    return "".join(f"{text};\n" for text in texts)


def omissions(moment: Moment) -> Iterator[Omission]:
    """A word on each queue that comes back in another form, and on what people added to one that can't come back."""
    if SCHEMA not in installed(moment):
        return
    for table, trigger in moment.once(_TRIGGERS):
        remedy = "No dump has it, since the table is a part of the extension: create it anew."
        yield Omission("database", f"trigger {trigger} on {table}", remedy)
    for queue in read_queues(moment):
        if queue.partitioned:
            remedy = "It comes back as one of plain tables, with all its messages. pg_partman has nothing to do for it "
            remedy += "any more: delete its rows in part_config."
            yield Omission("database", f"partitions of queue {queue.name}", remedy)


def inventory(reader: Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    """The queues as they are compared; their messages are compared as rows."""
    rules = {
        name: [*_security(name, enabled, forced), *policies] for name, _, _, enabled, forced, policies in _rules(reader)
    }
    for queue in read_queues(reader):
        own = [rule for table in queue.tables for rule in rules.get(table, ())]
        yield f"queue {queue.name}", {"unlogged": queue.unlogged} | ({"rules": own} if own else {})


def _rules(reader: Reader) -> list[tuple[Any, ...]]:
    names = sorted({name for queue in read_queues(reader) for name in queue.tables})
    return reader.rows(_RULES, (names,)) if names else []


def _security(name: str, enabled: bool, forced: bool) -> Iterator[str]:
    for holds, verb in ((enabled, "ENABLE"), (forced, "FORCE")):
        if holds:
            yield f"ALTER TABLE {qualified(SCHEMA, name)} {verb} ROW LEVEL SECURITY"


_MEMBER = """EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.objid = c.oid
        AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)"""
_POLICY = """pg_catalog.format('CREATE POLICY %%I ON pgmq.%%I AS %%s FOR %%s TO %%s', p.polname, c.relname,
        CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
        CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
            ELSE 'ALL' END,
        (SELECT pg_catalog.string_agg(CASE g.role WHEN 0 THEN 'PUBLIC'
                ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.role)) END, ', '
            ORDER BY pg_catalog.pg_get_userbyid(g.role)) FROM pg_catalog.unnest(p.polroles) AS g (role))
    ) || coalesce(' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', '')
      || coalesce(' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')"""
_RULES = f"""
SELECT c.relname::text, c.oid::bigint, {_MEMBER}, c.relrowsecurity, c.relforcerowsecurity,
    ARRAY(SELECT {_POLICY} FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid ORDER BY p.polname)
FROM pg_catalog.pg_class c
WHERE c.relnamespace = 'pgmq'::pg_catalog.regnamespace AND c.relname = ANY (%s) AND c.relkind IN ('r', 'p')
ORDER BY c.relname
"""
# What people made besides: checks, which a dump has within the table's own statement, then other constraints and
# indexes. pgmq's own are primary keys and the indexes that go by these names.
_EXTRA = """
SELECT t.oid::bigint, ARRAY(
    SELECT pg_catalog.format('ALTER TABLE pgmq.%I ADD CONSTRAINT %I %s', t.relname, k.conname,
        pg_catalog.pg_get_constraintdef(k.oid))
    FROM pg_catalog.pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'c' ORDER BY k.conname
), ARRAY(
    SELECT pg_catalog.format('ALTER TABLE pgmq.%I ADD CONSTRAINT %I %s', t.relname, k.conname,
        pg_catalog.pg_get_constraintdef(k.oid))
    FROM pg_catalog.pg_constraint k WHERE k.conrelid = t.oid AND k.contype IN ('u', 'f', 'x') ORDER BY k.conname
) || ARRAY(
    SELECT pg_catalog.pg_get_indexdef(i.indexrelid)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = t.oid AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid)
        AND x.relname NOT IN ('q_' || substr(t.relname, 3) || '_vt_idx', 'q_' || substr(t.relname, 3) || '_fifo_idx',
            'q_' || substr(t.relname, 3) || '_part_idx', 'archived_at_idx_' || substr(t.relname, 3))
    ORDER BY x.relname
)
FROM pg_catalog.pg_class t WHERE t.relnamespace = 'pgmq'::pg_catalog.regnamespace AND t.relkind = 'r'
"""
_TRIGGERS = f"""
SELECT 'pgmq.' || pg_catalog.quote_ident(c.relname), pg_catalog.quote_ident(t.tgname)
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND t.tgparentid = 0
    AND c.relnamespace = pg_catalog.to_regnamespace('pgmq') AND c.relname ~ '^[qa]_' AND {_MEMBER}
ORDER BY 1, 2
"""
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
