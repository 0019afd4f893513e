"""Bringing the database back: what stands in the way, and the script fed to psql."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from supapy.errors import SupapyError
from supapy.model import Problem, Progress, Step
from supapy.names import many
from supapy.parts.base import Obstacle, Source
from supapy.parts.database.contents import FILE, Contents
from supapy.parts.database.facts import read_facts
from supapy.parts.database.inventory import Inventory, is_preinstalled, live_inventory
from supapy.parts.database.inventory_sql import PLATFORM_COLUMNS
from supapy.parts.database.platform import MIGRATIONS_SCHEMA
from supapy.parts.database.segments import Segment
from supapy.project.moment import Moment
from supapy.project.postgres import Session
from supapy.project.programs import Message, psql
from supapy.project.project import Project
from supapy.project.schema import tables_of

# What can't stand twice: names of these sorts in both backup and target are collisions.
_COLLIDING_SORTS = ("tables", "views", "sequences", "functions", "types")
MOST_NAMED = 3
# What a transaction keeps locked once it has made it. A table takes a lock for its values kept apart (toast) as well.
_LOCKED_SORTS = ("tables", "views", "sequences", "indexes", "constraints")
LOCKS_PER_RELATION = 2
# The script's own check was done already, and finds the users and files that other parts have brought back.
_NO_GUARD = b"SET supapy.guard = 'off';\n"
# How the script's statements begin a warning on what they could not bring back: name -- reason.
_MARK = "supapy: "
_BETWEEN = " -- "


def obstacles(backup: Source, moment: Moment) -> Iterator[Obstacle]:
    """What a restore would meet in the target, from its catalogs and what its server can do."""
    contents = Contents.of(backup)
    if contents.major > moment.major:
        text = f"its PostgreSQL is {moment.major}, the backup's is {contents.major}"
        yield Obstacle("database", text, final=True)
    yield from _missing_extensions(contents, moment)
    yield from _missing_columns(contents, moment)
    live = live_inventory(moment, read_facts(moment), set())
    held = _own_names(live)
    if held:
        yield Obstacle("database", f"{len(held)} tables, functions and other objects ({_named(held)})")
    both = sorted(held & _own_names(contents.inventory))
    if both:
        text = f"{len(both)} objects of the backup exist there already ({_named(both)})"
        yield Obstacle("database", text, final=True)
    for table in tables_of(moment, MIGRATIONS_SCHEMA):
        if moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})"):
            yield Obstacle("database", f"rows in {MIGRATIONS_SCHEMA}.{table.name}", final=True)


def _missing_extensions(contents: Contents, moment: Moment) -> Iterator[Obstacle]:
    available = {
        name for (name,) in moment.rows("SELECT 'extension ' || quote_ident(name) FROM pg_available_extensions")
    }
    needed = {name for name in contents.inventory.get("extensions", {}) if not is_preinstalled(name)}
    missing = sorted(needed - available)
    if missing:
        yield Obstacle("database", f"it has no {', '.join(missing)}", final=True)


def _missing_columns(contents: Contents, moment: Moment) -> Iterator[Obstacle]:
    """The platform's tables differ between its versions, and users of old projects added columns of their own."""
    missing = [
        f"{use['table']}.{use['column']}"
        for use in contents.inventory.get(PLATFORM_COLUMNS, {}).values()
        if not moment.rows(_COLUMN, (use["table"], use["column"]))
    ]
    if missing:
        yield Obstacle(
            "database", f"views or policies of the backup need columns it lacks: {_named(missing)}", final=True
        )


def _own_names(inventory: Inventory) -> set[str]:
    """The things whose names a restore would want, but for the migration history, which is made where it's missing."""
    names = {name for sort in _COLLIDING_SORTS for name in inventory.get(sort, {})}
    return {name for name in names if f" {MIGRATIONS_SCHEMA}." not in name}


def _named(names: set[str] | list[str]) -> str:
    shown = sorted(names)[:MOST_NAMED]
    return ", ".join(shown) + (", …" if len(names) > MOST_NAMED else "")


def steps(backup: Source, project: Project) -> Iterator[Step]:
    """The one step: the script, without the rows that other parts bring back."""
    contents = Contents.of(backup)
    total = sum(segment.length for segment in contents.own_segments)
    apply = partial(_run, backup, contents, project)
    tables, rows = (backup.count("database", what) for what in ("tables", "rows"))
    title = f"the database: schema, {many(tables, 'table')} with {many(rows, 'row')}, grants"
    yield Step("database", title, apply, total, "bytes")


def _run(backup: Source, contents: Contents, project: Project, progress: Progress) -> list[Problem]:
    with project.session() as session:
        tools = project.tools(session.server_version // 10_000)
        at_once = _fits_one_transaction(session, contents)
    try:
        feed = _feed(backup, contents.own_segments, progress)
        return list(_problems(psql(tools, project.db_url, feed, one_transaction=at_once)))
    except SupapyError as error:
        state = (
            "The database is as it was before this step; once the reason is mended, run it again with --into and the "
            "target's ref."
            if at_once
            else "The database holds a part of the backup: begin again with an empty project."
        )
        error.hint = f"{error.hint} {state}" if error.hint else state
        raise


def _fits_one_transaction(session: Session, contents: Contents) -> bool:
    """Whether the script may run as one transaction, so that it happens as a whole or not at all.

    Everything it makes stays locked until the end, and the server's table of locks has an end: around 3,000 tables
    fill it with the usual settings (recipe §3).
    """
    made = sum(len(contents.inventory.get(sort, {})) for sort in _LOCKED_SORTS)
    most = session.value(
        "SELECT current_setting('max_locks_per_transaction')::bigint * current_setting('max_connections')::bigint"
    )
    return bool(made * LOCKS_PER_RELATION < most / 2)


def _feed(backup: Source, segments: list[Segment], progress: Progress) -> Iterator[bytes]:
    yield _NO_GUARD
    for start, end in _stretches(segments):
        for piece in backup.read(FILE, start, end):
            yield piece
            progress(len(piece))


def _stretches(segments: list[Segment]) -> list[tuple[int, int]]:
    """The byte ranges of segments, joined where one begins where the last ended."""
    stretches: list[tuple[int, int]] = []
    for segment in segments:
        end = segment.offset + segment.length
        if stretches and stretches[-1][1] == segment.offset:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((segment.offset, end))
    return stretches


def _problems(messages: list[Message]) -> Iterator[Problem]:
    for message in messages:
        if message.level == "WARNING" and message.text.startswith(_MARK):
            name, _, reason = message.text.removeprefix(_MARK).partition(_BETWEEN)
            yield Problem("database", name, reason)


_COLUMN = """
SELECT FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass(%s) AND attname = %s AND attnum > 0 AND NOT attisdropped
"""
