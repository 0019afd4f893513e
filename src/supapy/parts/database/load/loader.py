"""The script brought into a database in stretches, each done as a whole or not at all, and noted in the target's mark.

Rows and what is made over them go in by several connections at once; the rest, which has rows of its own among its
statements, by psql. The script is read once, from its beginning to its end.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

from supapy.errors import IntegrityError, SqlError
from supapy.events import Listener
from supapy.model import Problem, Progress
from supapy.names import many
from supapy.parts.base import Source
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.parts.database.inventory.contents import FILE, Contents
from supapy.parts.database.load import post_data
from supapy.parts.database.load.rows import Feeder, Note, Telling, left_in
from supapy.parts.database.rows.tables import calling_tables
from supapy.parts.database.script.script import NO_PATH, PREAMBLE, REPLICA, USUAL_PATH
from supapy.parts.database.script.segments import Segment
from supapy.parts.database.sql.statements import analyze_sql
from supapy.project import mark
from supapy.project.loading import LoadingPumps, Work
from supapy.project.postgres import Session
from supapy.project.programs import Message, psql
from supapy.project.project import Project
from supapy.project.schema import MARK_SCHEMA
from supapy.project.usual import LOCK_TIMEOUT_S

# Rows that a server takes in about a second: less than this comes in as one transaction, all or nothing.
LARGE_BYTES = 64 * 1024 * 1024
# What a transaction keeps locked once it has made it. A table takes a lock for its values kept apart (toast) as well.
_LOCKED_SORTS = ("tables", "views", "sequences", "indexes", "constraints")
LOCKS_PER_RELATION = 2
# And what one statement locks, with room to spare: a table, its sequence, what it refers to, what they are kept in.
LOCKS_PER_STATEMENT = 8
# What every connection begins with beyond the script's own settings, whatever the project sets for its role.
_OWN_SETTINGS = f"""\
SET lock_timeout = '{LOCK_TIMEOUT_S}s';
SET default_transaction_read_only = off;
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('transaction_timeout', 'idle_session_timeout');
{mark.WORKING};
"""
# What building indexes may take of the server's memory, over all connections, where it isn't allowed more anyway: by
# two of them it saved a seventh of the time, and the smallest hosted server has a gigabyte.
BUILDING_KILOBYTES = 256 * 1024
_MEMORY = """
SELECT set_config(name, greatest(setting::int, {kilobytes})::text || 'kB', false)
FROM pg_settings WHERE name = 'maintenance_work_mem';
"""
OPENING = PREAMBLE + NO_PATH + REPLICA + _OWN_SETTINGS
# A commit needn't wait for the disk: a server that crashes forgets what was done and the note of it together, and the
# restore's last commit, which drops the notes, waits for all before it: one that drops tables does, whatever is set.
_LATER_DURABLE = "SET synchronous_commit = off;\n"
# The script's own check was done already, and finds the users and files that other parts have brought back.
_NO_GUARD = "SET supapy.guard = 'off';\n"
RELOAD = "NOTIFY pgrst, 'reload schema';\n"
# The script of a part of a database notes the target's default privileges at its beginning, for its end.
_KEEP = f"""
DO $$
BEGIN
    IF to_regnamespace('{MARK_SCHEMA}') IS NOT NULL AND to_regclass('{MARK_SCHEMA}.defaults') IS NULL
        AND to_regclass('pg_temp.supapy_defaults') IS NOT NULL
    THEN
        CREATE TABLE {MARK_SCHEMA}.defaults AS TABLE pg_temp.supapy_defaults;
    END IF;
END $$;
"""
_FETCH = f"""
DO $$
BEGIN
    IF to_regclass('{MARK_SCHEMA}.defaults') IS NOT NULL AND to_regclass('pg_temp.supapy_defaults') IS NULL THEN
        CREATE TEMPORARY TABLE supapy_defaults AS TABLE {MARK_SCHEMA}.defaults;
    END IF;
END $$;
"""
# How the script's statements begin a warning on what they could not bring back: name -- reason.
_MARK = "supapy: "
_BETWEEN = " -- "
# What psql says when a script that it was told to trust in nothing gives it a command.
_RESTRICTED = ("backslash commands are restricted", "\\unrestrict: wrong key")


@dataclass(frozen=True, slots=True)
class Unit:
    """A stretch of the script, [start, end) in bytes, that psql runs as one transaction, with statements around it."""

    start: int
    end: int
    first: str = ""
    last: str = ""


class Loader:
    """One restore of the database part into one project, by `jobs` connections. Each method is one step of it, and
    passes over what the project's mark says is done. The `listener` hears of each table's
    rows."""

    def __init__(
        self, backup: Source, contents: Contents, project: Project, jobs: int, quiesce: Quiesce, listener: Listener
    ) -> None:
        self._backup = backup
        self._contents = contents
        self._project = project
        self._jobs = jobs
        self._listener = listener
        self._quiesce = quiesce.setting
        own = contents.own_segments
        named = [segment.name for segment in own]
        # Neither the beginning nor the end of the script, in whose place stand our own.
        self._before = own[1 : named.index("usual search path")]
        self._after = own[named.index("no search path") + 1 : -1]
        self._post_data = own[named.index(post_data.SEGMENT)]

    @property
    def counted(self) -> str:
        """What rows there are, for people."""
        tables, rows = (self._backup.count("database", what) for what in ("tables", "rows"))
        return f"{many(tables, 'table')} with {many(rows, 'row')}"

    @property
    def rows_title(self) -> str:
        """The step of the rows."""
        return f"the database's {self.counted}"

    @property
    def all_bytes(self) -> int:
        """The bytes of all that is to be run."""
        return _total(self._contents.own_segments[1:-1])

    @property
    def rows_bytes(self) -> int:
        """The bytes of all rows."""
        return sum(segment.table["rows_length"] for segment in self._contents.row_segments)

    @property
    def step_bytes(self) -> tuple[int, int, int]:
        """The bytes that pass in the steps `schema`, `rows` and `ending`."""
        at = self._after.index(self._post_data)
        before, beside, after = (_total(one) for one in (self._before, self._after[:at], self._after[at + 1 :]))
        return before, self.rows_bytes + beside, after

    @property
    def made_over_rows(self) -> int:
        """How many statements there are that make something over the rows, with what stands before them."""
        return 1 + len(post_data.statements_of(self._contents, self._post_data))

    def goes_at_once(self) -> bool:
        """Whether all of it may be one transaction, so that it happens as a whole or not at all."""
        return (self._jobs == 1 or self.rows_bytes < LARGE_BYTES) and self._fits_one_transaction()

    def _fits_one_transaction(self) -> bool:
        made = sum(len(self._contents.inventory.get(sort, {})) for sort in _LOCKED_SORTS)
        return made * LOCKS_PER_RELATION < self._spare_locks

    @cached_property
    def _spare_locks(self) -> int:
        """How much one transaction may lock. Everything it makes stays locked until its end, and the server's table of
        locks has an end: around 3,000 tables fill it with the usual settings (recipe §3)."""
        most = "SELECT current_setting('max_locks_per_transaction')::int * current_setting('max_connections')::int"
        with self._project.session() as session:
            return int(session.value(most)) // 2

    @property
    def _statements_at_once(self) -> int:
        """How many statements may make up a transaction where all of them don't fit."""
        return max(1, self._spare_locks // LOCKS_PER_STATEMENT)

    def all_at_once(self, progress: Progress) -> list[Problem]:
        """The whole script in one transaction."""
        own = self._contents.own_segments[1:-1]
        whole = own[0].offset, _end(own[-1])
        done, note = self._noted
        if mark.is_in(*whole, done):
            return []

        def script() -> Iterator[bytes]:
            yield b"BEGIN;\n"
            for start, end in stretches(own):
                yield from self._read(start, end, progress)
            yield f"{note([whole])}\n{RELOAD}COMMIT;\n".encode()

        return run_script(self._project, script(), self._quiesce)

    def schema(self, progress: Progress) -> list[Problem]:
        """All that comes before the rows."""
        if self._fits_one_transaction():
            units = [Unit(self._before[0].offset, _end(self._before[-1]), last=_KEEP)]
        else:
            units = list(self._schema_in_pieces())
        return self._run(units, progress)

    def _schema_in_pieces(self) -> Iterator[Unit]:
        for segment in self._before:
            starts = [
                statement.offset
                for statement in self._contents.index or []
                if segment.name == "pre-data" and segment.offset <= statement.offset < _end(segment)
            ]
            cuts = [
                segment.offset,
                *starts[self._statements_at_once :: self._statements_at_once],
                _end(segment),
            ]
            for start, end in itertools.pairwise(cuts):
                yield Unit(start, end, last=_KEEP)

    def rows(self, progress: Progress) -> list[Problem]:
        """The rows, by all connections, then what stands before the indexes: sequences and large objects."""
        done, note = self._noted
        with self._project.session() as session:
            calling = set(map(tuple, session.rows(_NAMES, (list(calling_tables(session)),))))
        with self._pumps(USUAL_PATH) as pumps:
            telling = Telling(self.rows_title, self._listener, progress)
            left = (stretch for one in self._contents.row_segments for stretch in left_in(one, done))
            telling.expected(sum(end - start for start, end in left))
            feeder = Feeder(pumps, partial(self._backup.read, FILE), note, telling)
            one_by_one = False
            for segment in self._contents.row_segments:
                if not one_by_one and (segment.table["schema"], segment.table["table"]) in calling:
                    # What its checks read must be there, and what comes after may be read by nothing before.
                    one_by_one = True
                    feeder.one_by_one()
                feeder.take(segment, done)
            feeder.settle()
            problems = list(_problems_of(pumps.warnings))
        at = self._after.index(self._post_data)
        return problems + self._run([Unit(one.offset, _end(one)) for one in self._after[:at]], progress)

    def over_the_rows(self, progress: Progress) -> list[Problem]:
        """Indexes, constraints, foreign keys, triggers, policies: as much at once as their locks allow."""
        segment = self._post_data
        if self._contents.index is None:
            return self._run([Unit(segment.offset, _end(segment))], lambda _: None)
        done, note = self._noted
        text = b"".join(self._backup.read(FILE, segment.offset, _end(segment)))
        with self._pumps(_MEMORY.format(kilobytes=BUILDING_KILOBYTES // self._jobs)) as pumps:
            for stage in post_data.stages(self._contents, segment, text, done, self._statements_at_once):
                pumps.give(*(piece.work(note, progress) for piece in stage))
                pumps.settle()
            return list(_problems_of(pumps.warnings))

    def ending(self, progress: Progress) -> list[Problem]:
        """Materialized views, statistics, then in one transaction what remains, with roles borrowed and given back."""
        last = [segment.name for segment in self._after].index("memberships borrowed")
        between = self._after[self._after.index(self._post_data) + 1 : last]
        with self._pumps(USUAL_PATH) as pumps:
            # Done again where it was done, which costs little and changes nothing.
            pumps.give(*(_analyze(one) for one in self._contents.row_segments if not one.table["where"]))

            def units() -> Iterator[Unit]:
                yield from (Unit(one.offset, _end(one)) for one in between if one.name != "statistics")
                pumps.settle()
                yield Unit(self._after[last].offset, _end(self._after[-1]), _FETCH, RELOAD)

            return self._run(units(), progress)

    def _pumps(self, more: str = "") -> LoadingPumps:
        return LoadingPumps(self._project.db_url, self._jobs, [OPENING + _LATER_DURABLE + self._quiesce + more])

    @cached_property
    def _noted(self) -> tuple[list[tuple[int, int]], Note]:
        """What was done before this run, and how more is noted; not at all where there is no mark."""
        with self._project.session() as session:
            if mark.unfinished(session) is None:
                return [], lambda _: ""
            return mark.done(session), mark.note

    def _run(self, units: Iterable[Unit], progress: Progress) -> list[Problem]:
        """Have psql run what isn't done of them."""
        done, note = self._noted

        def script() -> Iterator[bytes]:
            for unit in units:
                if not mark.is_in(unit.start, unit.end, done):
                    yield f"BEGIN;\n{unit.first}".encode()
                    yield from self._read(unit.start, unit.end, progress)
                    yield f"{unit.last}{note([(unit.start, unit.end)])}\nCOMMIT;\n".encode()

        return run_script(self._project, script(), self._quiesce)

    def _read(self, start: int, end: int, progress: Progress) -> Iterator[bytes]:
        for piece in self._backup.read(FILE, start, end):
            yield piece
            progress(len(piece))


def run_script(project: Project, script: Iterator[bytes], opening: str = "") -> list[Problem]:
    """Have psql run a script in which none of its own commands is obeyed, after the usual opening and a further one;
    gives what it could not bring back.

    Nothing is committed but by the script: psql takes the end of its input for a good end, also when this program was
    killed.
    """
    tools = project.tools(project.server_major)

    def feed() -> Iterator[bytes]:
        yield f"\\restrict {secrets.token_hex(16)}\n{OPENING}{_NO_GUARD}{opening}".encode()
        yield from script

    try:
        return list(_problems(psql(tools, project.db_url, feed())))
    except SqlError as error:
        if any(text in error.message for text in _RESTRICTED):
            raise IntegrityError(
                f"{FILE} holds a command for psql, which no backup does; it was not obeyed",
                "Somebody has changed the backup: take another one.",
            ) from None
        raise


def _analyze(segment: Segment) -> Work:
    (sql,) = analyze_sql([(segment.table["schema"], segment.table["table"])])

    def run(session: Session) -> None:
        session.execute(sql)

    return Work(run, again=True)


def _end(segment: Segment) -> int:
    return segment.offset + segment.length


def _total(segments: list[Segment]) -> int:
    return sum(segment.length for segment in segments)


def stretches(segments: list[Segment]) -> list[tuple[int, int]]:
    """The byte ranges of segments, joined where one begins where the last ended."""
    joined: list[tuple[int, int]] = []
    for segment in segments:
        if joined and joined[-1][1] == segment.offset:
            joined[-1] = (joined[-1][0], _end(segment))
        else:
            joined.append((segment.offset, _end(segment)))
    return joined


def _problems(messages: list[Message]) -> Iterator[Problem]:
    return _problems_of(message.text for message in messages if message.level == "WARNING")


def _problems_of(warnings: Iterable[str]) -> Iterator[Problem]:
    for text in warnings:
        if text.startswith(_MARK):
            name, _, reason = text.removeprefix(_MARK).partition(_BETWEEN)
            yield Problem("database", name, reason)


_NAMES = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY(%s::bigint[]::oid[])
"""
