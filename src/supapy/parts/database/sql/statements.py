"""How values become SQL text: rows for COPY, statements over them, dollar quotes that nothing breaks out of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib import resources

from supapy.names import literal, qualified, quoted

Value = str | int | bool | None

# A statement holds locks on its tables and their indexes until it ends, of which a server has a few thousand.
TABLES_PER_STATEMENT = 100
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LETTERS = {"t": "\t", "n": "\n", "r": "\r"}
# A place for a piece of SQL; two colons are a cast.
_PLACE = re.compile(r"(?<!:):([a-z]+)\b")


def sql_file(name: str, /, **pieces: str) -> str:
    """The text of one of this package's SQL files, with a piece of SQL in the place of each `:name`; what stands in the
    pieces is left alone."""
    return _PLACE.sub(lambda found: pieces.get(found[1], found[0]), _text(name)) if pieces else _text(name)


@cache
def _text(name: str) -> str:
    return (resources.files("supapy.parts.database.sql") / f"{name}.sql").read_text()


def as_sql(value: Value) -> str:
    """A value as SQL writes it."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case _:
            return literal(value)


def _copy_into(name: str) -> str:
    return f"COPY pg_temp.{name} FROM stdin;\n"


def copy_line(values: Sequence[Value]) -> str:
    """One line of COPY's text format."""
    return "\t".join(map(_field, values)) + "\n"


# Names and roles come again and again, in the thousands of grants above all.
@lru_cache(maxsize=4096, typed=True)
def _field(value: Value) -> str:
    match value:
        case None:
            return "\\N"
        case bool():
            return "t" if value else "f"
        case _:
            return str(value).translate(_ESCAPES)


def do_block(body: str) -> str:
    """A DO statement around a PL/pgSQL body, in a dollar quote that the body doesn't contain."""
    tag = "$supapy$"
    while tag in body:
        tag = tag[:-1] + "_$"
    return f"DO {tag}\n{body.strip()}\n{tag};\n"


def perform(calls: Iterable[str]) -> str:
    """A DO statement that calls functions and drops what they give, so that a person's psql stays quiet."""
    lines = "".join(f"    PERFORM {call};\n" for call in calls)
    return do_block(f"BEGIN\n{lines}END") if lines else ""


def over_rows(name: str, columns: Sequence[str], rows: Iterable[Sequence[Value]], body: str) -> str:
    """A temporary table filled with rows, a PL/pgSQL body that works through them, and its end.

    The body reads the table as pg_temp.<name>; `columns` are "name type". Values never become part of a statement's
    text here: the body puts them into statements with format() and its %I and %L.
    """
    return over_lines(name, columns, "".join(map(copy_line, rows)), body)


def over_lines(name: str, columns: Sequence[str], lines: str, body: str) -> str:
    """The same of rows that are COPY's lines already."""
    return (
        f"CREATE TEMPORARY TABLE {name} ({', '.join(columns)});\n"
        f"{_copy_into(name)}{lines}\\.\n"
        f"{do_block(body)}DROP TABLE pg_temp.{name};\n"
    )


def analyze_sql(tables: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Statements that gather what the planner wants to know of tables, (schema, name).

    They end no restore: an index over a function that fails costs plans, nothing else. Nor do they ask a foreign
    server, as they would where a foreign table inherits from one of these.
    """
    names = [literal(qualified(*table)) for table in tables]
    for start in range(0, len(names), TABLES_PER_STATEMENT):
        yield do_block(
            f"""
DECLARE
    meant text;
BEGIN
    FOREACH meant IN ARRAY ARRAY[{", ".join(names[start : start + TABLES_PER_STATEMENT])}] LOOP
        BEGIN
            IF NOT EXISTS (
                WITH RECURSIVE heir AS (
                    SELECT inhrelid AS oid FROM pg_catalog.pg_inherits WHERE inhparent = meant::pg_catalog.regclass
                    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN heir h ON i.inhparent = h.oid
                )
                SELECT FROM heir JOIN pg_catalog.pg_class c USING (oid) WHERE c.relkind = 'f'
            ) THEN
                EXECUTE 'ANALYZE ' || meant;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
END"""
        )


def copied_rows(sql: str, name: str) -> list[tuple[str | None, ...]]:
    """The rows that `over_rows` wrote for a temporary table, read back from its text; none without such a table."""
    text = sql.partition(_copy_into(name))[2]
    if not text or text.startswith("\\."):
        return []
    lines = text.partition("\n\\.\n")[0].split("\n")
    return [tuple(map(_value, line.split("\t"))) for line in lines]


def _value(field: str) -> str | None:
    return None if field == "\\N" else _ESCAPED.sub(lambda found: _LETTERS.get(found[1], found[1]), field)


def column_list(names: Sequence[str]) -> str:
    """A parenthesised column list with a blank before it; nothing when there are no columns."""
    return f" ({', '.join(quoted(name) for name in names)})" if names else ""


def comment(text: str) -> str:
    """An SQL comment on one line, whatever the text holds."""
    return f"-- {' '.join(text.split())}\n"
