"""The rows: which tables are saved, in which order they load, and the bytes of one table."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from supapy.names import literal, qualified, quoted
from supapy.parts.database.platform import platform
from supapy.parts.database.platform.queues import queue_tables
from supapy.parts.database.sql.statements import column_list, do_block, sql_file
from supapy.project.moment import Moment
from supapy.project.schema import AUTH_LEFT_OUT, Reader, Table, tables_of, user_tables
from supapy.project.stretches import Stretches


@dataclass(frozen=True)
class Rows:
    """The saved rows of one table. `part` is whose content they are: "database", "auth" or "storage".

    `where` is a condition of SQL on the rows ("" for all): an extension says which rows of its tables are the user's.
    `staged` rows go through a table of texts, so that the script also loads where columns differ.
    """

    part: str
    table: Table
    where: str = ""

    @cached_property
    def columns(self) -> list[str]:
        """The columns of a line, in order: one order for all that load through the same table."""
        names = [column.name for column in self.table.stored_columns]
        return names if self.table.load_into == (self.table.schema, self.table.name) else sorted(names)

    @property
    def staged(self) -> bool:
        return self.part != "database"


def database_rows(moment: Moment, lost: set[int]) -> list[Rows]:
    """The user's own tables in the order of loading; those that are `lost` (oids) have nowhere to go."""
    calling = calling_tables(moment)
    queues = queue_tables(moment)
    apart = lost | {table.oid for table in queues}
    tables = [table for table in user_tables(moment) if table.readable and table.oid not in apart]
    # What a constraint's function reads must be there first (recipe §6.4).
    tables.sort(key=lambda table: table.oid in calling)
    others = (rows for rows in _extension_rows(moment) if rows.table.oid not in lost)
    kept = (*tables, *(table for table in queues if table.oid not in lost))
    return [*(Rows("database", table) for table in kept), *others]


def calling_tables(reader: Reader) -> frozenset[int]:
    """The oids of tables that call a user's function for each row that comes in: by a check or a generated column."""
    return frozenset(oid for (oid,) in reader.once(_CALLING))


def auth_rows(moment: Moment) -> list[Rows]:
    """The tables of schema auth that are worth keeping (F§2.5); unknown ones of a newer server are among them."""
    return [
        Rows("auth", table)
        for table in tables_of(moment, "auth")
        if table.name not in AUTH_LEFT_OUT and platform.is_platform_role(table.owner)
    ]


def storage_rows(moment: Moment) -> list[Rows]:
    """The buckets and the list of files."""
    tables = {table.name: table for table in tables_of(moment, "storage")}
    return [Rows("storage", tables[name]) for name in platform.STORAGE_TABLES if name in tables]


def _extension_rows(moment: Moment) -> Iterator[Rows]:
    """The rows that users added to extensions' own tables, as the extensions say; but for those with own statements."""
    for schema, oid, condition in moment.rows(_EXTENSION_TABLES):
        table = next(one for one in tables_of(moment, schema, with_extensions=True) if one.oid == oid)
        yield Rows("database", table, condition)


class UnreadableTable(NamedTuple):
    """A table that this connection may not read."""

    schema: str
    name: str
    oid: int


def unreadable_tables(moment: Moment) -> list[UnreadableTable]:
    """The tables that this connection may not read.

    pg_dump would stop at them; older projects keep a few of the platform's own from postgres.
    """
    # Who may read all needn't be asked about each.
    return [] if moment.value(_READS_ALL) else [UnreadableTable(*row) for row in moment.rows(_UNREADABLE)]


def copy_statements(rows: Rows, found: Stretches, looked_into: Container[int]) -> list[str]:
    """What gives the own rows of a table in COPY's text format, in the order in which they lie on disk."""
    if rows.columns and not rows.where and rows.table.oid not in looked_into:
        return [copy_statement(rows.table.sql, rows.columns, clause) for clause in found.clauses]
    return [copy_statement(rows.table.sql, rows.columns, rows.where)]


def copy_statement(table: str, columns: list[str], where: str) -> str:
    """Gives the own rows of a table (SQL's name) that meet a condition ("" for all), in COPY's text format."""
    if where:
        return f"COPY (SELECT {', '.join(map(quoted, columns))} FROM ONLY {table} {where}) TO STDOUT"
    # Not by a query: planning one looks into the functions of indexes, which may use names that nothing finds here.
    return f"COPY {table}{column_list(columns)} TO STDOUT"


def head_and_tail(rows: Rows) -> tuple[str, str]:
    """What stands before and after the rows in the script."""
    if not rows.staged:
        return f"COPY {qualified(*rows.table.load_into)}{column_list(rows.columns)} FROM stdin;\n", "\\.\n\n"
    declared = ", ".join(f"{quoted(name)} text" for name in rows.columns)
    head = f"CREATE TEMPORARY TABLE supapy_stage ({declared});\nCOPY pg_temp.supapy_stage FROM stdin;\n"
    body = sql_file("stage", target=literal(rows.table.sql))
    return head, f"\\.\n{do_block(body)}DROP TABLE pg_temp.supapy_stage;\n\n"


_READS_ALL = "SELECT pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')"
_UNREADABLE = """
SELECT n.nspname, c.relname, c.oid::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'))
ORDER BY 1, 2
"""
# Tables with a check (their own, or of a column's domain) or a generated column that calls a user's function: it may
# read other tables, and is evaluated while rows load, in replica mode too.
_CALLING = """
WITH calls AS (
    SELECT DISTINCT d.classid, d.objid
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
    WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid >= 16384
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
            WHERE e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e')
), checks AS (
    SELECT c.conrelid, c.contypid FROM pg_catalog.pg_constraint c
    JOIN calls ON calls.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND calls.objid = c.oid
    WHERE c.contype = 'c'
)
SELECT conrelid::bigint FROM checks WHERE conrelid <> 0
UNION
SELECT a.attrelid::bigint FROM checks
JOIN pg_catalog.pg_type t ON t.oid = checks.contypid OR t.typelem = checks.contypid
JOIN pg_catalog.pg_attribute a ON a.atttypid = t.oid AND NOT a.attisdropped
WHERE checks.contypid <> 0
UNION
SELECT f.adrelid::bigint FROM pg_catalog.pg_attrdef f
JOIN calls ON calls.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND calls.objid = f.oid
JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum AND a.attgenerated <> ''
"""
# Tables whose rows belong to the user although an extension made the table. pg_cron's and the vault's come back by
# those extensions' own functions.
_EXTENSION_TABLES = """
SELECT n.nspname, c.oid::bigint, pg_catalog.ltrim(x.condition)
FROM pg_catalog.pg_extension e
CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) AS x(oid, condition)
JOIN pg_catalog.pg_class c ON c.oid = x.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND e.extname NOT IN ('pg_cron', 'supabase_vault', 'pgsodium', 'pgmq')
    AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'INSERT')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""
