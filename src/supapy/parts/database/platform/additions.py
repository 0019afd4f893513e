"""What a user added to the platform's tables: columns, indexes and the like, of the time when he could.

Until 2025 postgres was in the roles that own schemas auth and storage. What was made then belongs to these roles like
all the platform's own, and no restore can make it again. It is told by name (docs/decisions/0012).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from supapy.model import Omission
from supapy.parts.database.platform import platform
from supapy.parts.database.platform.pieces import KNOWN_UNTIL, known
from supapy.parts.database.sql.statements import sql_file
from supapy.project.moment import Moment

# Where a server notes its newest migration.
_NEWEST = {
    "auth": ("auth.schema_migrations", "max(version)"),
    "storage": ("storage.migrations", "max(id)::text"),
}


@dataclass(frozen=True, slots=True)
class Addition:
    """One thing on a table of the platform's that isn't known to be the platform's: `kind` is a column, index, ...

    It is `certain` to be the user's when the server's migrations are all known. `number` is that of a column.
    """

    kind: str
    name: str
    schema: str
    table: str
    catalog: int
    oid: int
    number: int
    certain: bool

    @property
    def title(self) -> str:
        """A name for people."""
        if self.kind == "table":
            return f"table {self.schema}.{self.name}"
        return f"{self.kind} {self.name} of table {self.schema}.{self.table}"


def read_additions(moment: Moment) -> list[Addition]:
    """Everything on the platform's tables that no known migration made."""
    rows = moment.rows(sql_file("additions"), {"platform": platform.PLATFORM_ROLE_PATTERN})
    # Hundreds of names to leave out: the server takes three times as long to plan a query that does.
    unknown = [(kind, said) for kind, name, where, *said in rows if not _is_platforms(kind, name, where)]
    certain = {schema: _is_known(moment, schema) for schema in {said[1] for _, said in unknown}}
    return [
        Addition(kind, name, schema, table, catalog, oid, number, certain[schema])
        for kind, (name, schema, table, catalog, oid, number) in unknown
    ]


def _is_platforms(kind: str, name: str, table: str) -> bool:
    """Whether a known migration made it. Of a table that isn't known, that is said, and nothing of its pieces."""
    pieces = known().get(table)
    return kind != "table" if pieces is None else kind == "table" or (kind, name) in pieces


def _is_known(moment: Moment, schema: str) -> bool:
    """Whether the schema's server has made no migration but known ones; one that can't be read may be newer."""
    table, newest = _NEWEST[schema]
    if not moment.value(f"SELECT pg_catalog.has_table_privilege('{table}', 'SELECT')"):
        return False
    version = moment.value(f"SELECT {newest} FROM {table}") or ""
    return (len(version), version) <= (len(KNOWN_UNTIL[schema]), KNOWN_UNTIL[schema])


def impossible(moment: Moment, additions: Sequence[Addition]) -> dict[tuple[int, int], str]:
    """What can't be restored for the additions that are certain, as (catalog, oid), with the reason: none for the
    additions themselves, which are named by `omissions`."""
    certain = [one for one in additions if one.certain]
    found = {(one.catalog, one.oid): "" for one in certain if one.kind != "column"}
    for column in certain:
        if column.kind == "column":
            reason = f"It needs {column.title}, which can't be made again"
            users = moment.rows(_USERS_OF_COLUMN, (column.oid, column.number))
            found |= {(catalog, oid): reason for catalog, oid in users if (catalog, oid) not in found}
    return found


def omissions(additions: Sequence[Addition]) -> Iterator[Omission]:
    """A word on each that is certain; one on all others together, which may well be a newer platform's."""
    for one in additions:
        if one.certain:
            yield Omission("database", one.title, _REMEDIES.get(one.kind, _REMEDY))
    unknown = [one.title for one in additions if not one.certain]
    if unknown:
        yield Omission("database", f"what the platform may not have made: {', '.join(unknown)}", _UNCERTAIN)


_REMEDY = "Nobody but the platform can make it again there: ask its support, or do without."
_REMEDIES = {
    "column": "Its values are saved with their rows, but a new project has no such column and lets nobody add it: move "
    "them to a table of your own.",
    "table": "Its rows are saved in database.sql if it is in auth, but a new project has no such table and lets nobody "
    "make it there: move it to a schema of your own.",
}
_UNCERTAIN = (
    "This platform is newer than this version of supapy, or keeps its version to itself. If the platform made them, "
    "there is nothing to do; what you made yourself can't be made again there."
)
# A view's dependency is its rule's. What belongs to the column itself (its default) is gone with it.
_USERS_OF_COLUMN = """
SELECT coalesce(v.tableoid, d.classid)::bigint, coalesce(v.oid, d.objid)::bigint
FROM pg_catalog.pg_depend d
LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
LEFT JOIN pg_catalog.pg_class v ON v.oid = r.ev_class
WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = %s AND d.refobjsubid = %s
"""
