"""Rows that name things of the database (regclass, regproc, ...), of which some aren't there when rows come back."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator

from supapy.model import Problem
from supapy.names import qualified, quoted
from supapy.parts.database.rules import Selection
from supapy.project.moment import Moment
from supapy.project.schema import Column, Table

# Types whose text is the name of something that may be made after the rows, or be ambiguous, with the catalogs of what
# they name. The other such types name what comes first: roles, schemas, text search configurations, ...
_PG_CLASS = 1259
_CATALOGS = {
    "regclass": _PG_CLASS,
    "regproc": 1255,
    "regprocedure": 1255,
    "regtype": 1247,
    "regoper": 2617,
    "regoperator": 2617,
}
_ARRAY = "[]"
# How many names a problem shows.
MOST_NAMED = 3
_INDEXES = ("i", "I")
_TOASTS = "pg_toast"
_LINE = b"\n"
_NULL = b"\\N"
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def problems(
    moment: Moment, tables: Iterable[Table], selection: Selection, managed: Container[str]
) -> Iterator[Problem]:
    """A word on each column of these tables, as far as their rows are saved, with values that end a restore."""
    gone = selection.lost_relations
    late = {(entry.catalog, entry.oid) for entry in (*selection.post_data, *selection.lost)}
    for table in tables:
        for column in table.stored_columns:
            is_meant = column.type.removesuffix(_ARRAY) in _CATALOGS and table.oid not in gone
            if is_meant and (names := _unknown(moment, table, column, late, managed)):
                yield _problem(table, column, names)


def _unknown(
    moment: Moment, table: Table, column: Column, late: set[tuple[int, int]], managed: Container[str]
) -> list[str]:
    """The names in a column that mean nothing yet, or nothing certain, when rows come back."""
    kind, values = column.type.removesuffix(_ARRAY), "unnest(%(texts)s::text[])"
    if kind != column.type:
        values = f"(SELECT DISTINCT one FROM {values} AS whole, unnest(whole::text[]) AS one)"
    parameters = {"texts": _texts(moment, table, column), "catalog": _CATALOGS[kind]}
    return [
        name
        for name, oid, relation, relkind, schema in moment.rows(_NAMED.format(kind=kind, values=values), parameters)
        if oid is None
        or {(_CATALOGS[kind], oid), (_PG_CLASS, relation)} & late
        or (relkind in _INDEXES and schema not in managed)
        or schema == _TOASTS
    ]


def _texts(moment: Moment, table: Table, column: Column) -> list[str]:
    """The values of a column, each once. By plain COPY, whose planning looks into no function of the user's."""
    lines: set[bytes] = set()
    for piece in moment.copy_out(f"COPY {table.sql} ({quoted(column.name)}) TO STDOUT"):
        lines.update(piece.split(_LINE))
    return [_ESCAPE.sub(_meant, line.decode()) for line in lines - {b"", _NULL}]


def _meant(escape: re.Match[str]) -> str:
    return _ESCAPED.get(escape[1], escape[1])


def _problem(table: Table, column: Column, names: list[str]) -> Problem:
    shown = " ".join(", ".join(names[:MOST_NAMED]).split()) + (", …" if len(names) > MOST_NAMED else "")
    return Problem(
        "database",
        f"rows of {qualified(table.schema, table.name)}",
        f"column {quoted(column.name)} names what isn't there when rows come back, or isn't alone of its name "
        f"({shown}): a restore would end there. Make the column text; or restore with --exclude-table-data and this "
        "table, then its rows with --from-json --table",
    )


# A number stands for what was dropped, a dash for nothing: both come back.
_NAMED = """
SELECT v, o.oid::bigint, r.oid::bigint, r.relkind::text, n.nspname
FROM {values} AS v (v)
CROSS JOIN LATERAL (SELECT pg_catalog.to_{kind}(v)::oid) AS o (oid)
LEFT JOIN pg_catalog.pg_type t ON %(catalog)s = 1247 AND t.oid = o.oid
LEFT JOIN pg_catalog.pg_class r ON r.oid = CASE %(catalog)s WHEN 1259 THEN o.oid ELSE t.typrelid END
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
WHERE v <> '-' AND v !~ '^[0-9]+$' ORDER BY v
"""
