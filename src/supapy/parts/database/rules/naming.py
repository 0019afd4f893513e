"""Rows that name things of the database (regclass, regproc, ...), of which some aren't there when rows come back."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from supapy.model import Problem
from supapy.names import few, qualified, quoted
from supapy.parts.database.rules.rules import Judgement
from supapy.project.moment import Moment
from supapy.project.postgres import numbers
from supapy.project.schema import PG_CLASS, Column, Table

# Types whose text is the name of something that may be made after the rows, or be ambiguous, with the catalogs of what
# they name. The other such types name what comes first: roles, schemas, text search configurations, ...
_CATALOGS = {
    "regclass": PG_CLASS,
    "regproc": 1255,
    "regprocedure": 1255,
    "regtype": 1247,
    "regoper": 2617,
    "regoperator": 2617,
}
_ARRAY = "[]"
_INDEXES = ("i", "I")
_TOASTS = "pg_toast"
_LINE = b"\n"
_NULL = b"\\N"
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class _List:
    """An array's text, whatever its dimensions: items of one form."""

    of: _Form


@dataclass(frozen=True, slots=True)
class _Row:
    """A composite's text: fields, None for those that hold no names."""

    fields: tuple[_Form | None, ...]


# What the text of a value is made of; down at the end stand names, of one of the types above.
_Form = str | _List | _Row
Naming = list[tuple[Table, Column, _Form]]
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}]+)', re.DOTALL)
_FIELD = re.compile(r'(?:"((?:[^"\\]|\\.|"")*)"|([^,]*))(?:,|$)', re.DOTALL)
_QUOTED = re.compile(r'\\(.)|"(")', re.DOTALL)


def problems(moment: Moment, naming: Naming, judgement: Judgement, managed: Container[str]) -> Iterator[Problem]:
    """A word on each of these columns, as far as its table's rows are saved, with values that end a restore."""
    gone = judgement.lost_relations
    late = {(entry.catalog, entry.oid) for entry in (*judgement.post_data, *judgement.lost)}
    for table, column, form in naming:
        if table.oid not in gone and (names := _unknown(moment, _names_in(moment, table, column, form), late, managed)):
            yield _problem(table, column, names)


def naming_columns(moment: Moment, tables: Iterable[Table]) -> Naming:
    """The columns of these tables that hold names."""
    meant = [table for table in tables if any(_may_name(column.type) for column in table.columns)]
    forms = _forms(moment, meant) if meant else {}
    return [
        (table, column, form)
        for table in meant
        for column in table.stored_columns
        if (form := forms.get((table.oid, column.name)))
    ]


@lru_cache(maxsize=1024)
def _may_name(of_type: str) -> bool:
    """Whether a type may have names in it: one of the types above does, and one of the user's may be made of them."""
    return "." in of_type or of_type.removesuffix(_ARRAY) in _CATALOGS


def _forms(moment: Moment, tables: Iterable[Table]) -> dict[tuple[int, str], _Form]:
    """The form of each column that holds names, by its table's oid and its own name."""
    oids = numbers(table.oid for table in tables)
    types = {oid: (name, is_list, parts) for oid, name, is_list, parts in moment.rows(_TYPES, (oids,))}

    def form_of(oid: int) -> _Form | None:
        name, is_list, parts = types[oid]
        if name in _CATALOGS:
            return str(name)
        forms = tuple(map(form_of, parts))
        if is_list is None or not any(forms):
            # A domain's text is that of its type.
            return forms[0] if forms else None
        return _List(forms[0]) if is_list and forms[0] else _Row(forms)

    found = {(table, name): form_of(oid) for table, name, oid in moment.rows(_COLUMNS, (oids,))}
    return {column: form for column, form in found.items() if form}


def _names_in(moment: Moment, table: Table, column: Column, form: _Form) -> dict[str, set[str]]:
    """The names in a column, by their types."""
    names: dict[str, set[str]] = {}
    for text in _texts(moment, table, column):
        for kind, name in _named(form, text):
            names.setdefault(kind, set()).add(name)
    return names


def _named(form: _Form, text: str) -> Iterator[tuple[str, str]]:
    """The names in a value, each with its type."""
    if isinstance(form, str):
        yield form, text
    elif isinstance(form, _List):
        # Bounds that don't begin with 1 stand before the items.
        for in_quotes, plain in _ITEM.findall(text[text.index("{") :]):
            if plain != "NULL":
                yield from _named(form.of, plain or _QUOTED.sub(r"\1\2", in_quotes))
    else:
        for part, (in_quotes, plain) in zip(form.fields, _FIELD.findall(text[1:-1]), strict=False):
            if part and (in_quotes or plain):
                yield from _named(part, plain or _QUOTED.sub(r"\1\2", in_quotes))


def _unknown(
    moment: Moment, names: dict[str, set[str]], late: set[tuple[int, int]], managed: Container[str]
) -> list[str]:
    """Those that mean nothing yet, or nothing certain, when rows come back."""
    return sorted(
        name
        for kind, texts in names.items()
        for name, oid, relation, relkind, schema in moment.rows(
            _NAMED.format(kind=kind), {"texts": sorted(texts), "catalog": _CATALOGS[kind]}
        )
        if oid is None
        or {(_CATALOGS[kind], oid), (PG_CLASS, relation)} & late
        or (relkind in _INDEXES and schema not in managed)
        or schema == _TOASTS
    )


def _texts(moment: Moment, table: Table, column: Column) -> list[str]:
    """The values of a column, each once. By plain COPY, whose planning looks into no function of the user's."""
    lines: set[bytes] = set()
    for piece in moment.copy_out(f"COPY {table.sql} ({quoted(column.name)}) TO STDOUT"):
        lines.update(piece.split(_LINE))
    return [_ESCAPE.sub(_meant, line.decode()) for line in lines - {b"", _NULL}]


def _meant(escape: re.Match[str]) -> str:
    return _ESCAPED.get(escape[1], escape[1])


def _problem(table: Table, column: Column, names: list[str]) -> Problem:
    shown = few(" ".join(name.split()) for name in names)
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
FROM unnest(%(texts)s::text[]) AS v (v)
CROSS JOIN LATERAL (SELECT pg_catalog.to_{kind}(v)::oid) AS o (oid)
LEFT JOIN pg_catalog.pg_type t ON %(catalog)s = 1247 AND t.oid = o.oid
LEFT JOIN pg_catalog.pg_class r ON r.oid = CASE %(catalog)s WHEN 1259 THEN o.oid ELSE t.typrelid END
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
WHERE v <> '-' AND v !~ '^[0-9]+$'
"""
# Each type of these tables' columns and all that it is made of: its name where it is the server's own; whether it is an
# array, or a composite, NULL for a domain; and its parts.
_TYPES = """
WITH RECURSIVE reached (oid, parts) AS (
    SELECT 0::oid, ARRAY(SELECT DISTINCT atttypid FROM pg_catalog.pg_attribute
        WHERE attrelid = ANY(%s::oid[]) AND attnum > 0 AND NOT attisdropped)
    UNION
    SELECT t.oid, CASE
        WHEN t.typtype = 'd' THEN ARRAY[t.typbasetype]
        WHEN t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc THEN ARRAY[t.typelem]
        WHEN t.typtype = 'c' THEN ARRAY(SELECT atttypid FROM pg_catalog.pg_attribute
            WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped ORDER BY attnum)
        ELSE '{}'::oid[] END
    FROM reached r JOIN pg_catalog.pg_type t ON t.oid = ANY (r.parts)
)
SELECT t.oid::bigint, CASE WHEN t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace THEN t.typname END,
    CASE WHEN t.typtype <> 'd' THEN t.typtype <> 'c' END, r.parts::bigint[]
FROM reached r JOIN pg_catalog.pg_type t ON t.oid = r.oid
"""
_COLUMNS = """
SELECT attrelid::bigint, attname, atttypid::bigint FROM pg_catalog.pg_attribute
WHERE attrelid = ANY(%s::oid[]) AND attnum > 0 AND NOT attisdropped
"""
