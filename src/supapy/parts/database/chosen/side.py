"""Saved tables as plain copies in a schema of their own, to look at before anything is overwritten.

A copy has the table's columns with their types, its primary key and its rows: no defaults, no generated columns, no
triggers, and nobody but the owner has any right on it. A partition inherits from the copy of its table, so that the
rows of all of them are seen there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from supapy.errors import SqlError, UsageError
from supapy.model import Difference, Finding, Problem, Progress, Proof, Step
from supapy.names import few, many, qualified, quoted, unquoted
from supapy.parts.base import Obstacle, Source
from supapy.parts.database.chosen.picking import Picked, pick
from supapy.parts.database.inventory.compare import saved_rows
from supapy.parts.database.inventory.contents import FILE
from supapy.parts.database.inventory.makers import STATEMENT
from supapy.parts.database.load.loader import run_script
from supapy.parts.database.rows.tables import copy_statement
from supapy.parts.database.script.script import USUAL_PATH
from supapy.parts.database.script.segments import Segment
from supapy.parts.database.sql.statements import column_list, do_block
from supapy.project.mark import private_block
from supapy.project.moment import Moment
from supapy.project.patterns import Patterns
from supapy.project.project import Project
from supapy.project.schema import PLATFORM_SCHEMAS
from supapy.stream import fingerprint

# What a name of PostgreSQL holds; a longer one is cut without a word.
LONGEST_NAME_BYTES = 63


@dataclass(frozen=True, slots=True)
class Copy:
    """One table to copy: columns as (name, type, whether it may not be null), and whose rows are among its own."""

    schema: str
    name: str
    columns: list[tuple[str, str, bool]]
    key: list[str]
    parents: list[str]
    rows: Segment | None


class SideSchema:
    """The tables that patterns name (all for none), as copies in a new schema. Raises UsageError for the platform's."""

    def __init__(self, schema: str, patterns: Patterns) -> None:
        if schema in PLATFORM_SCHEMAS | {"public", "information_schema"} or schema.startswith("pg_"):
            raise UsageError(f"--into-schema {schema}: that schema is taken", "Give the name of a new one.")
        if not 0 < len(schema.encode()) <= LONGEST_NAME_BYTES:
            text = f"--into-schema {schema}: no schema can have that name"
            raise UsageError(text, f"Give one of 1 to {LONGEST_NAME_BYTES} bytes.")
        self._schema = schema
        self._patterns = patterns

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """A schema of that name, names that would meet in it, types that the target lacks."""
        copies = list(_copies(pick(backup, self._patterns, moment)))
        if moment.value("SELECT pg_catalog.to_regnamespace(%s) IS NOT NULL", (quoted(self._schema),)):
            hint = "Give --into-schema the name of a new one."
            yield Obstacle("database", f"it has a schema {self._schema} already", final=True, hint=hint)
        twice = [name for name, count in Counter(copy.name for copy in copies).items() if count > 1]
        if twice:
            text = f"tables of one name would meet in one schema ({few(twice)}); choose with --table SCHEMA.TABLE"
            yield Obstacle("database", text, final=True)
        types = {type_ for copy in copies for _, type_, _ in copy.columns}
        lacking = [name for name in sorted(types) if not _is_type(moment, name)]
        if lacking:
            yield Obstacle("database", f"it lacks types of the columns: {few(lacking)}", final=True)

    def steps(self, backup: Source, project: Project) -> Iterator[Step]:
        """The one step, done as a whole or not at all."""
        with project.moment() as moment:
            picked = pick(backup, self._patterns, moment)
        copies = list(_copies(picked))
        if not copies:
            raise UsageError("none of what was chosen is a table with rows", "Choose tables with --table.")
        rows = sum(copy.rows.table["rows"] for copy in copies if copy.rows)
        total = sum(copy.rows.table["rows_length"] for copy in copies if copy.rows)
        title = f"copies of {many(len(copies), 'table')} with {many(rows, 'row')} in a new schema {self._schema}"
        yield Step("database", title, partial(self._run, picked, copies, project), total, "bytes")

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """The rows of every copy against the saved ones."""
        equal = tables = 0
        for copy in _copies(pick(backup, self._patterns, moment)):
            name = qualified(self._schema, copy.name)
            if moment.value("SELECT pg_catalog.to_regclass(%s) IS NULL", (name,)):
                yield Difference("database", f"table {name}", "missing")
                continue
            tables += 1
            if copy.rows is None:
                continue
            saved = fingerprint(saved_rows(backup, copy.rows))
            found = fingerprint(moment.copy_out(copy_statement(name, copy.rows.table["columns"], "")))
            if saved == found:
                equal += saved.rows
            else:
                yield Difference("database", f"rows of {name}", "changed", f"saved {saved.rows}, found {found.rows}")
        for sort, count in (("tables", tables), ("rows", equal)):
            if count:
                yield Proof("database", sort, count)

    def _run(self, picked: Picked, copies: list[Copy], project: Project, progress: Progress) -> list[Problem]:
        return run_script(project, self._feed(picked, copies, progress))

    def _feed(self, picked: Picked, copies: list[Copy], progress: Progress) -> Iterator[bytes]:
        yield f"BEGIN;\nCREATE SCHEMA {quoted(self._schema)};\n".encode()
        for text in chain(map(self._table, copies), [USUAL_PATH]):
            yield text.encode()
        for copy in copies:
            if copy.rows:
                columns = column_list(copy.rows.table["columns"])
                yield f"COPY {qualified(self._schema, copy.name)}{columns} FROM stdin;\n".encode()
                start = copy.rows.offset + copy.rows.table["rows_start"]
                for piece in picked.backup.read(FILE, start, start + copy.rows.table["rows_length"]):
                    yield piece
                    progress(len(piece))
                yield b"\\.\n"
        yield b"SET search_path = '';\n"
        for text in chain(self._keys(copies), self._parents(copies)):
            yield text.encode()
        yield do_block(private_block(self._schema)).encode()
        yield b"COMMIT;\n"

    def _table(self, copy: Copy) -> str:
        columns = ",\n    ".join(
            f"{quoted(name)} {type_}{' NOT NULL' if needed else ''}" for name, type_, needed in copy.columns
        )
        return f"CREATE TABLE {qualified(self._schema, copy.name)} (\n    {columns}\n);\n"

    def _keys(self, copies: list[Copy]) -> Iterator[str]:
        for copy in copies:
            if copy.key:
                yield f"ALTER TABLE {qualified(self._schema, copy.name)} ADD PRIMARY KEY{column_list(copy.key)};\n"

    def _parents(self, copies: list[Copy]) -> Iterator[str]:
        names = {(copy.schema, copy.name) for copy in copies}
        for copy in copies:
            for schema, name in map(unquoted, copy.parents):
                if (schema, name) in names:
                    table, parent = qualified(self._schema, copy.name), qualified(self._schema, name)
                    yield f"ALTER TABLE {table} INHERIT {parent};\n"


def _is_type(moment: Moment, name: str) -> bool:
    """Whether it is the name of a type, and nothing else."""
    try:
        return bool(moment.value("SELECT pg_catalog.to_regtype(%s) IS NOT NULL", (name,)))
    except SqlError:
        return False


def _copies(picked: Picked) -> Iterator[Copy]:
    inventory = picked.contents.inventory
    rows = {(one.table["schema"], one.table["table"]): one for one in picked.contents.row_segments}
    by_table: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    for name, column in inventory.get("columns", {}).items():
        by_table.setdefault(column.get(STATEMENT, 0), []).append((name, column))
    tables = {one.get(STATEMENT): (name, one) for name, one in inventory.get("tables", {}).items()}
    for one in picked.statements:
        if one.kind == "TABLE" and one.id in tables:
            title, properties = tables[one.id]
            columns = sorted(by_table.get(one.id, []), key=lambda item: item[1]["place"])
            yield Copy(
                one.schema,
                one.name,
                [
                    (unquoted(name.removeprefix(f"{title}: column "))[-1], column["type"], column["not null"])
                    for name, column in columns
                    if not column.get("generated")
                ],
                properties.get("key", []),
                properties.get("parents", []),
                rows.get((one.schema, one.name)),
            )
