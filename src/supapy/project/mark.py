"""The mark: what a restore leaves in its target until it has come to its end, so that it can be gone on with.

A schema of our own says which backup is on its way in, and which stretches of its script are done; each stretch is
noted in the transaction that does it. It is made before the first thing is written, and goes after the last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from supapy.errors import RestoreRefused
from supapy.names import literal
from supapy.project.postgres import Session
from supapy.project.project import Project
from supapy.project.schema import MARK_SCHEMA, Reader

# Keys of advisory locks: one a restore holds alone, one that all its connections share. Any two numbers would do.
RESTORE_LOCK = 7_301_883_421_001
WORK_LOCK = 7_301_883_421_002
# What every connection that changes the target says first, so that the next run knows when they are all gone.
WORKING = f"SELECT pg_catalog.pg_advisory_lock_shared({WORK_LOCK})"

# By their names on the command line: true where there is nothing more to it, else its value, or all of them.
Options = dict[str, bool | str | list[str]]
# How they are written down. What means something else from then on gets another number.
OPTIONS_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """A restore that hasn't come to its end: `digest` is of the backup's manifest, `options` are what it was asked for
    with (None when another version has said so, in a way that this one doesn't know), and `held` is what the target
    held before (part, text)."""

    label: str
    source: str
    digest: str
    options: Options | None
    held: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.label} of project {self.source}"

    def is_the_same_as(self, other: Mark) -> bool:
        """Whether the one goes on with the other."""
        return (self.digest, self.options) == (other.digest, other.options) and self.options is not None


def unfinished(reader: Reader) -> Mark | None:
    """The restore that has begun in this database and not ended, if there is one."""
    if not reader.rows("SELECT WHERE pg_catalog.to_regclass(%s) IS NOT NULL", (f"{MARK_SCHEMA}.restore",)):
        return None
    for label, source, digest, choice, held in reader.rows(
        f"SELECT label, source, digest, choice, held FROM {MARK_SCHEMA}.restore"
    ):
        return Mark(label, source, digest, _options(choice), tuple((part, text) for part, text in json.loads(held)))
    return None


def done(reader: Reader) -> list[tuple[int, int]]:
    """The stretches of the script that are done, as [start, end) in bytes, in order and put together; none where no
    restore has begun."""
    if unfinished(reader) is None:
        return []
    together: list[tuple[int, int]] = []
    for start, end in reader.rows(f"SELECT start_at, end_at FROM {MARK_SCHEMA}.done ORDER BY 1, 2"):
        if together and start <= together[-1][1]:
            together[-1] = (together[-1][0], max(end, together[-1][1]))
        else:
            together.append((start, end))
    return together


def is_in(start: int, end: int, done: Iterable[tuple[int, int]]) -> bool:
    """Whether [start, end) is within one of the stretches that `done` gives."""
    return any(first <= start and end <= last for first, last in done)


def left_of(start: int, end: int, done: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What of [start, end) is in none of the stretches that `done` gives."""
    for first, last in done:
        if last <= start or first >= end:
            continue
        if start < first:
            yield start, first
        start = max(start, last)
    if start < end:
        yield start, end


def note(stretches: Iterable[tuple[int, int]]) -> str:
    """The statement that notes stretches as done, for the transaction that does them."""
    values = ", ".join(f"({start}, {end})" for start, end in stretches)
    return f"INSERT INTO {MARK_SCHEMA}.done VALUES {values};"


def _options(said: str) -> Options | None:
    try:
        choice = json.loads(said)
    except ValueError:
        return None
    is_known = isinstance(choice, dict) and choice.get("format") == OPTIONS_FORMAT
    return dict(choice["options"]) if is_known else None


@contextmanager
def under_way(project: Project, restore: Mark) -> Iterator[None]:
    """Say so in the target from here on; no more once the block has ended well.

    Raises RestoreRefused when another run is at work there; what the block refuses leaves a target that nothing was
    written into before as it was. What an earlier run has left at work is ended first.
    """
    with project.session() as session:
        _alone(session)
        _end_leftovers(session)
        is_first = unfinished(session) is None
        if is_first:
            _begin(session, restore)
        try:
            yield
        except RestoreRefused:
            if is_first:
                session.execute(_DROP)
            raise
    # What was restored may set the database to take no changes, as the source is. By a connection of its own: the other
    # may have been silent for hours.
    project.insist()
    with project.session() as session:
        session.execute(_DROP)


def _alone(session: Session) -> None:
    if not session.value("SELECT pg_catalog.pg_try_advisory_lock(%s)", (RESTORE_LOCK,)):
        raise RestoreRefused(
            "another restore into this project is under way",
            "Wait for its end. If there is none, its connection hangs: end it with SELECT pg_terminate_backend(pid) "
            "FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'.",
        )


def _end_leftovers(session: Session) -> None:
    """A program that was killed leaves statements at work: an index is built to its end though nobody waits for it."""
    session.execute(_LEFTOVERS, (WORK_LOCK,))
    session.execute(f"SELECT pg_catalog.pg_advisory_lock({WORK_LOCK})")
    session.execute(f"SELECT pg_catalog.pg_advisory_unlock({WORK_LOCK})")


def _begin(session: Session, restore: Mark) -> None:
    held = json.dumps(restore.held)
    choice = json.dumps({"format": OPTIONS_FORMAT, "options": restore.options}, sort_keys=True)
    with session.transaction():
        session.execute(
            f"CREATE SCHEMA {MARK_SCHEMA};"
            f"CREATE TABLE {MARK_SCHEMA}.restore "
            "(label text, source text, digest text, choice text, held text, begun_at timestamptz DEFAULT now());"
            f"CREATE TABLE {MARK_SCHEMA}.done (start_at bigint, end_at bigint);"
        )
        session.execute(f"DO $$ {private_block(MARK_SCHEMA)} $$")
        session.execute(
            f"INSERT INTO {MARK_SCHEMA}.restore VALUES (%s, %s, %s, %s, %s)",
            (restore.label, restore.source, restore.digest, choice, held),
        )


def private_block(schema: str) -> str:
    """A PL/pgSQL block that keeps a schema of our own to its owner, whatever the target grants by default on what is
    new."""
    return _PRIVATE.strip().replace(":schema", literal(schema))


_DROP = f"DROP SCHEMA {MARK_SCHEMA} CASCADE"
_LEFTOVERS = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND pid <> pg_catalog.pg_backend_pid()
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND (classid::bigint << 32) + objid::bigint = %s
"""
# Nobody has a right there but the owner.
_PRIVATE = """
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT 'TABLE ' || c.oid::regclass AS thing, x.grantee
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) x
        WHERE c.relnamespace = (quote_ident(:schema))::regnamespace AND c.relkind = 'r' AND x.grantee <> c.relowner
        UNION
        SELECT 'SCHEMA ' || n.oid::regnamespace, x.grantee
        FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) x
        WHERE n.nspname = :schema AND x.grantee <> n.nspowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', r.thing,
            CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END);
    END LOOP;
END
"""
