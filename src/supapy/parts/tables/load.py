"""Rows out of tables_json/ into tables that are there, exactly as they were (decision 0004).

All tables in one transaction, in replica mode: no trigger fires, and foreign keys are looked at once all rows are in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from supapy.errors import IntegrityError, SqlError, UsageError
from supapy.model import Difference, Entry, Finding, Problem, Progress, Proof, Step
from supapy.names import few, literal, many, plain_name, quoted, unquoted
from supapy.parts.base import Obstacle, Source
from supapy.project.exact import keys_of
from supapy.project.moment import Moment
from supapy.project.patterns import Matched, Patterns, Relation, match, user_relations
from supapy.project.postgres import Session
from supapy.project.project import Project
from supapy.project.rows import array_lines, insert_staged, rows_out, stage
from supapy.project.schema import Reader, Table, looked_into_tables, user_tables
from supapy.stream import fingerprint_of, lines

PART = "tables"
_HINT = "Take another backup; nothing was written."
# A check may read a table whose rows aren't there yet: its own table's turn comes again.
_CHECK_VIOLATED = "23514"
# A table without a key that is published can't have rows deleted one by one.
_NOT_IN_STATE = "55000"


@dataclass(frozen=True, slots=True)
class File:
    """A table's file in the backup, and the table of the project that it is for, if that is there."""

    entry: Entry
    schema: str
    name: str
    table: Table | None

    @property
    def title(self) -> str:
        return plain_name(self.schema, self.name)


def obstacles(backup: Source, moment: Moment, patterns: Patterns) -> Iterator[Obstacle]:
    """Tables and columns that aren't there, and rows that are. Raises UsageError for a pattern that nothing fits."""
    files = _files(backup, moment, patterns)
    missing = [file.title for file in files if file.table is None]
    if missing:
        hint = "--from-json fills tables that are there: make them first, or restore them from database.sql (--table)."
        yield Obstacle(PART, f"it has no table {few(missing)}", final=True, hint=hint)
    for file in files:
        known = {column.name for column in file.table.columns} if file.table else set()
        lacking = sorted(set(_first_row(backup, file)) - known)
        if file.table and lacking:
            yield Obstacle(PART, f"its table {file.title} has no column {few(lacking)}", final=True)
    tables = {file.title: file.table for file in files if file.table}
    with _usual_path(moment.session):
        filled = [
            title for title, table in tables.items() if moment.value(f"SELECT EXISTS (SELECT FROM ONLY {table.sql})")
        ]
    if filled:
        yield Obstacle(PART, f"rows in {many(len(filled), 'table')} that would be replaced ({few(filled)})")


def steps(backup: Source, project: Project, patterns: Patterns) -> Iterator[Step]:
    """The one step, done as a whole or not at all."""
    with project.moment() as moment:
        files = _files(backup, moment, patterns)
    title = f"rows of {many(len(files), 'table')} from their JSON: {few([file.title for file in files])}"
    total = sum(file.entry.size for file in files)
    yield Step(PART, title, partial(_load, backup, files, project), total, "bytes")


def compare(backup: Source, moment: Moment, patterns: Patterns) -> Iterator[Finding]:
    """The rows of each file against the live ones, in any order."""
    equal, looked_into = 0, looked_into_tables(moment)
    for file in _files(backup, moment, patterns):
        if file.table is None:
            yield Difference(PART, f"table {file.title}", "missing")
            continue
        table = _in_order_of(file.table, _first_row(backup, file))
        saved = fingerprint_of(array_lines(backup.read(file.entry.path)))
        # As they were read for the file.
        with _usual_path(moment.session) if table.oid in looked_into else nullcontext():
            found = fingerprint_of(lines(rows_out(moment, table)))
        if detail := saved.unlike(found):
            yield Difference(PART, f"rows of {file.title}", "changed", detail)
        else:
            equal += saved.rows
    if equal:
        yield Proof(PART, "rows", equal)


@contextmanager
def _usual_path(session: Session) -> Iterator[None]:
    """What an index or a check calls may use names that only the project's usual search path finds."""
    session.execute("RESET search_path")
    yield
    session.execute("SET search_path = ''")


def _files(backup: Source, reader: Reader, patterns: Patterns) -> list[File]:
    """The files of the tables that are meant."""
    tables = {(table.schema, table.name): table for table in user_tables(reader)}
    files = []
    for entry in backup.entries(PART):
        names = unquoted(entry.name)
        if len(names) != 2:
            raise IntegrityError(f"{entry.path}: {entry.name!r} is no table's name", _HINT)
        files.append(File(entry, names[0], names[1], tables.get((names[0], names[1]))))
    if patterns.is_everything:
        return files
    # A partitioned table is known to the project only; a table that isn't there, to the backup only.
    there = user_relations(reader)
    known = {(one.schema, one.name): one.key for one in there}
    gone = [
        Relation(-place, file.schema, file.name)
        for place, file in enumerate(files, 1)
        if (file.schema, file.name) not in known
    ]
    known |= {(one.schema, one.name): one.key for one in gone}
    matched = match(reader, patterns, [*there, *gone])
    meant = [file for file in files if _is_meant(file, known[file.schema, file.name], patterns, matched)]
    if not meant:
        raise UsageError(f"the backup has no JSON of {patterns}", "Its folder tables_json shows what it has.")
    return meant


def _is_meant(file: File, key: int, patterns: Patterns, matched: Matched) -> bool:
    if key in matched.excluded | matched.without_rows:
        return False
    return not patterns.takes_some or key in matched.tables or file.schema in matched.schemas


def _first_row(backup: Source, file: File) -> list[str]:
    """The keys of the first row; none where there is no row, or none that can be read, which is told later."""
    try:
        return keys_of(next(array_lines(backup.read(file.entry.path, 0, file.entry.size))))
    except (StopIteration, ValueError):
        return []


def _in_order_of(table: Table, keys: Sequence[str]) -> Table:
    """The table with its columns as the saved rows have them: another order is no other row."""
    place = {name: number for number, name in enumerate(keys)}
    columns = [column for column in table.columns if column.name in place or column.type == "jsonb"]
    own = {column.name: number for number, column in enumerate(table.columns)}
    if [column.name for column in columns if column.name in place] == list(keys):
        return replace(table, columns=tuple(columns))
    ordered = sorted(columns, key=lambda column: (place.get(column.name, len(place)), own[column.name]))
    return replace(table, columns=tuple(ordered))


def _load(backup: Source, files: list[File], project: Project, progress: Progress) -> list[Problem]:
    with project.session() as session, session.transaction():
        session.execute("SET LOCAL session_replication_role = replica")
        tables = [file.table for file in files if file.table]
        borrowed = _borrowed(session, tables)
        session.execute("RESET search_path")
        for table in tables:
            _empty(session, table)
        waiting = files
        while waiting:
            again = [file for file in waiting if not _filled(session, backup, file, progress, last=len(waiting) == 1)]
            if len(again) == len(waiting):
                _filled(session, backup, again[0], progress, last=True)
            waiting = again
        oids = [table.oid for table in tables]
        for sequence, table, column, upwards in session.rows(_SEQUENCES, (oids, oids)):
            session.execute(_move_on(sequence, table, column, upwards))
        problems = list(_dangling(session, oids))
        for role in borrowed:
            session.execute(f"REVOKE {quoted(role)} FROM CURRENT_USER")
        return problems


def _borrowed(session: Session, tables: list[Table]) -> list[str]:
    """The owners of tables whose member one has become, to write into what is theirs; until the transaction's end."""
    owners = sorted(
        {table.owner for table in tables if not session.value(_MAY_WRITE, (table.oid, table.oid, table.oid))}
    )
    for owner in owners:
        session.execute(f"GRANT {quoted(owner)} TO CURRENT_USER")
    return owners


def _empty(session: Session, table: Table) -> None:
    if not session.value(f"SELECT EXISTS (SELECT FROM ONLY {table.sql})"):
        return
    try:
        with session.transaction():
            session.execute(f"DELETE FROM ONLY {table.sql}")
    except SqlError as error:
        if error.sqlstate != _NOT_IN_STATE:
            raise
        session.execute(f"TRUNCATE ONLY {table.sql}")


def _filled(session: Session, backup: Source, file: File, progress: Progress, *, last: bool) -> bool:
    """Whether a table's rows are in; not when a check of it must wait for those of another."""
    assert file.table is not None
    table = file.table
    known = {column.name: column.type for column in table.columns}
    keys: dict[str, None] = {}
    if not stage(session, _checked(backup, file, known, keys, progress)):
        return True
    columns = [column for column in table.stored_columns if column.name in keys]
    target = replace(table, schema=table.load_into[0], name=table.load_into[1])
    try:
        with session.transaction():
            insert_staged(session, target, columns)
    except SqlError as error:
        if error.sqlstate == _CHECK_VIOLATED and not last:
            return False
        raise SqlError(f"{file.entry.path}: {error.message}", _HINT, sqlstate=error.sqlstate) from None
    return True


def _checked(
    backup: Source, file: File, known: dict[str, str], keys: dict[str, None], progress: Progress
) -> Iterator[bytes]:
    """The rows of a file, each looked at: it is an object, with every column once and no other. Raises IntegrityError
    naming file and line. Their keys are noted in `keys`."""
    needed: set[str] | None = None
    optional = {name for name, type_ in known.items() if type_ == "jsonb"}
    # The first line is the array's bracket.
    for number, line in enumerate(array_lines(backup.read(file.entry.path)), 2):
        try:
            found = keys_of(line)
        except ValueError as error:
            raise IntegrityError(f"{file.entry.path} line {number}: {error}", _HINT) from None
        have = set(found)
        needed = have - optional if needed is None else needed
        if wrong := sorted(have - known.keys()):
            raise IntegrityError(f"{file.entry.path} line {number}: the table has no column {few(wrong)}", _HINT)
        if lacking := sorted(needed ^ (have - optional)):
            raise IntegrityError(f"{file.entry.path} line {number}: not the columns of line 2: {few(lacking)}", _HINT)
        keys |= dict.fromkeys(found)
        progress(len(line) + 2)
        yield line


def _move_on(sequence: str, table: str, column: str, upwards: bool) -> str:
    """A statement that puts a sequence behind the values that its column has."""
    furthest, compared = ("max", ">=") if upwards else ("min", "<=")
    return (
        f"SELECT pg_catalog.setval({literal(sequence)}, m.value) FROM {sequence} s, (SELECT "
        f"pg_catalog.{furthest}({column})::bigint AS value FROM {table}) m WHERE m.value {compared} s.last_value"
    )


def _dangling(session: Session, oids: list[int]) -> Iterator[Problem]:
    """Foreign keys of these tables, or to them, that rows violate now."""
    for name, one, other, columns, others in session.rows(_FOREIGN_KEYS, (oids, oids)):
        pairs = list(zip(columns, others, strict=True))
        same = " AND ".join(f"p.{quoted(theirs)} = f.{quoted(own)}" for own, theirs in pairs)
        given = " AND ".join(f"f.{quoted(own)} IS NOT NULL" for own, _ in pairs)
        count = session.value(
            f"SELECT count(*) FROM {one} f WHERE {given} AND NOT EXISTS (SELECT FROM {other} p WHERE {same})"
        )
        if count:
            yield Problem(PART, f"foreign key {name} of {one}", f"{many(count, 'row')} pointing to nothing in {other}")


_MAY_WRITE = """
SELECT pg_catalog.has_table_privilege(%s, 'INSERT') AND pg_catalog.has_table_privilege(%s, 'DELETE')
    OR pg_catalog.pg_has_role(relowner, 'USAGE')
FROM pg_catalog.pg_class WHERE oid = %s
"""
_SEQUENCES = """
SELECT d.objid::regclass::text, d.refobjid::regclass::text, pg_catalog.quote_ident(a.attname), s.seqincrement > 0
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid AND d.deptype IN ('a', 'i')
    AND d.refobjid = ANY (
        SELECT o FROM pg_catalog.unnest(%s::bigint[]::oid[]) o
        UNION SELECT r.relid FROM pg_catalog.unnest(%s::bigint[]::oid[]) o, pg_catalog.pg_partition_ancestors(o) r
    )
"""
_FOREIGN_KEYS = """
SELECT pg_catalog.quote_ident(k.conname), k.conrelid::regclass::text, k.confrelid::regclass::text,
    ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(num, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.place),
    ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY u(num, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.place)
FROM pg_catalog.pg_constraint k
WHERE k.contype = 'f' AND k.convalidated
    AND (k.conrelid = ANY(%s::bigint[]::oid[]) OR k.confrelid = ANY(%s::bigint[]::oid[]))
ORDER BY k.conrelid, k.conname
"""
