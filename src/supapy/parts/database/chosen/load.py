"""Bringing some tables of a backup back: what stands in the way, and one script, run as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain

from supapy.errors import SqlError
from supapy.model import Omission, Problem, Progress, Step
from supapy.names import few, literal, many, plain_name, qualified
from supapy.parts.base import Obstacle, Source
from supapy.parts.database.alive import quiesced, refreshing, subscriptions
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.parts.database.chosen.picking import Picked, missing, pick
from supapy.parts.database.inventory import collations
from supapy.parts.database.inventory.contents import FILE
from supapy.parts.database.inventory.extensions import other_versions
from supapy.parts.database.inventory.inventory import live_inventory
from supapy.parts.database.load import load
from supapy.parts.database.load.loader import RELOAD, run_script
from supapy.parts.database.platform import queues
from supapy.parts.database.rules.facts import read_facts
from supapy.parts.database.rules.rules import RELATIONS
from supapy.parts.database.script import grants, policies
from supapy.parts.database.script.script import NO_PATH, ORIGIN, REPLICA, USUAL_PATH
from supapy.parts.database.script.segments import Segment, Statement
from supapy.parts.database.script.specials import Sequence, sequences_sql
from supapy.parts.database.sql.statements import analyze_sql, comment, do_block
from supapy.project import mark
from supapy.project.moment import Moment
from supapy.project.patterns import Patterns
from supapy.project.project import Project

# Without them there is nothing to have pieces: that one can't be made ends the restore, and nothing was written.
_NECESSARY = frozenset({"TABLE", "FOREIGN TABLE", "SEQUENCE", "SCHEMA", "EXTENSION", "TYPE", "DOMAIN"})
# What is raised when something isn't there (a locale too, or what the server was built with), or has become another
# thing than it was.
_LACKING = (
    "undefined_table OR undefined_function OR undefined_object OR undefined_column OR invalid_schema_name "
    "OR invalid_foreign_key OR wrong_object_type OR duplicate_object OR duplicate_table OR duplicate_function "
    "OR object_not_in_prerequisite_state OR feature_not_supported OR invalid_parameter_value"
)


def obstacles(backup: Source, moment: Moment, patterns: Patterns) -> Iterator[Obstacle]:
    """What stands in the way of the chosen tables. Raises UsageError for a pattern that nothing in the backup fits."""
    picked = pick(backup, patterns, moment)
    picked.whole.check(backup)
    yield from load.unfit(picked.whole, moment)
    yield from collations.lacking(picked.contents, moment, needed=True)
    held = load.own_names(live_inventory(moment, read_facts(moment), set()))
    if held:
        yield Obstacle("database", f"{len(held)} tables, functions and other objects ({few(sorted(held))})", held=True)
    both = sorted(held & load.own_names(picked.contents.inventory))
    if both:
        hint = "Drop or rename them first, or look at the saved ones with --into-schema."
        text = f"{len(both)} objects that were chosen exist there already ({few(both)})"
        yield Obstacle("database", text, final=True, held=True, hint=hint)
    lacking = missing(picked, moment)
    if lacking:
        hint = "Choose these as well, or restore the whole backup."
        yield Obstacle("database", f"it lacks {few(lacking)}", final=True, hint=hint)


def steps(backup: Source, project: Project, patterns: Patterns, quiesce: Quiesce) -> Iterator[Step | Omission]:
    """The one step: what was chosen, with what it needs and the target lacks; first, which versions will differ."""
    with project.moment() as moment:
        picked = pick(backup, patterns, moment)
        others = list(other_versions(picked.contents, moment))
    yield from others
    rows = picked.contents.row_segments
    count = sum(segment.table["rows"] for segment in rows)
    title = f"{many(len(rows), 'table')} with {many(count, 'row')}: {few(map(_title, rows))}"
    if not rows:
        title = few([f"{one.kind.lower()} {one.full_name}" for one in picked.statements if one.table is None])
    total = sum(segment.length for segment in rows)
    yield Step("database", title, partial(_run, picked, project, quiesce), total, "bytes")


def _title(segment: Segment) -> str:
    return f"{segment.table['schema']}.{segment.table['table']}"


def _run(picked: Picked, project: Project, quiesce: Quiesce, progress: Progress) -> list[Problem]:
    whole = (0, picked.backup.size(FILE))
    with project.session() as session:
        begun = mark.unfinished(session) is not None
        if mark.is_in(*whole, mark.done(session)):
            return []
    note = mark.note([whole]) if begun else ""

    def script() -> Iterator[bytes]:
        # As a whole or not at all: nobody sees a table before it has its policies, and its grantees their rights.
        yield b"BEGIN;\n"
        yield from _feed(picked, progress)
        yield f"{note}\n{RELOAD}COMMIT;\n".encode()

    try:
        return [*_left_behind(picked), *run_script(project, script(), quiesce.setting)]
    except SqlError as error:
        error.hint = "If a function reads a table that wasn't chosen, restore that one too."
        raise


def _left_behind(picked: Picked) -> Iterator[Problem]:
    """A word on each thing that an excluded table takes with it; not on pieces of such a thing."""
    for one in _pieces_behind(picked):
        if one.kind != "INDEX ATTACH":
            yield Problem("database", f"{one.kind.lower()} {one.full_name}", "it needs a table that was excluded")


def _pieces_behind(picked: Picked) -> list[Statement]:
    gone = {(one.schema, one.name) for one in picked.behind if one.kind in RELATIONS}
    return [one for one in picked.behind if one.table not in gone]


def _feed(picked: Picked, progress: Progress) -> Iterator[bytes]:
    yield from (text.encode() for text in chain(_before_rows(picked), [USUAL_PATH]))
    for segment in picked.contents.row_segments:
        for piece in picked.backup.read(FILE, segment.offset, segment.offset + segment.length):
            yield piece
            progress(len(piece))
    yield from (text.encode() for text in chain([NO_PATH], _after_rows(picked)))


def _before_rows(picked: Picked) -> Iterator[str]:
    if picked.all_but:
        yield picked.segment("roles")
        yield picked.segment("default privileges away")
    yield ORIGIN
    yield from _made(picked, "schemas and extensions")
    if picked.all_but:
        yield from map(picked.segment, ("queues", "list of what sleeps"))
    elif any(one.kind in ("TRIGGER", "RULE") for one in picked.statements):
        yield quiesced.prepare_sql()
    yield REPLICA
    yield from _made(picked, "pre-data")
    if picked.all_but:
        yield picked.segment("migration history")


def _after_rows(picked: Picked) -> Iterator[str]:
    yield sequences_sql(_sequences(picked))
    if picked.all_but:
        yield picked.segment("large objects")
        yield picked.begin_of("post-data")
    yield from _made(picked, "post-data")
    yield from _made(picked, policies.SEGMENT)
    yield from (_closed(picked, one) for one in _pieces_behind(picked))
    if picked.all_but:
        yield from map(picked.segment, (queues.RULES_SEGMENT, "webhooks that sleep"))
    yield from chain([USUAL_PATH, refreshing.fill_views(_fillings(picked))], _analyzes(picked), [NO_PATH])
    if picked.all_but:
        yield picked.segment("user mappings")
        yield picked.segment("vault")
    yield from _rights(picked)


def _rights(picked: Picked) -> Iterator[str]:
    """Owners, then grants, in the name of those who granted them."""
    owners, granted = picked.owners(), picked.grants()
    if picked.all_but:
        yield picked.segment("memberships borrowed")
    else:
        yield ORIGIN
        roles = {str(owner) for _, _, owner, _ in owners} | {str(row[4]) for row in granted if row[6] is not None}
        yield grants.borrow_roles_sql(roles)
    yield grants.owner_rows_sql(owners)
    yield grants.grant_rows_sql(granted, picked.whole.major)
    if picked.all_but:
        yield from map(picked.segment, ("default privileges", subscriptions.SEGMENT, "cron"))
        yield from _made(picked, "event triggers")
    elif any(one.kind in ("TRIGGER", "RULE") for one in picked.statements):
        yield quiesced.finish_sql()
    yield grants.give_back_sql()


def _made(picked: Picked, segment: str) -> Iterator[str]:
    return (_or_told(sql, one, _closed(picked, one)) for one, sql in picked.section(segment))


def _closed(picked: Picked, one: Statement) -> str:
    """What stands in the place of a restrictive policy that can't be made."""
    return policies.closed_of(picked.whole.inventory.get("policies", {}), one.id) if one.kind == "POLICY" else ""


def _or_told(sql: str, one: Statement, instead: str = "") -> str:
    """A statement; where it is a piece of something that stands without it, and needs what isn't there, it is told."""
    if one.kind in _NECESSARY:
        return sql
    name = f"{one.kind.lower()} {one.full_name}"
    return comment(name) + do_block(
        f"""
BEGIN
    EXECUTE {literal(sql)};
EXCEPTION WHEN {_LACKING} THEN
    {instead}RAISE WARNING 'supapy: % -- %', {literal(name)}, SQLERRM;
END"""
    )


def _sequences(picked: Picked) -> Iterator[Sequence]:
    values = picked.contents.inventory.get("sequence values", {})
    for one in picked.statements:
        if state := one.kind == "SEQUENCE" and values.get(f"sequence {qualified(one.schema, one.name)}: value"):
            yield Sequence(one.schema, one.name, state["value"], state["given out"])


def _fillings(picked: Picked) -> list[refreshing.Filling]:
    views = {plain_name(one.schema, one.name) for one in picked.statements if one.kind == "MATERIALIZED VIEW"}
    saved = refreshing.fillings_of(picked.segment(refreshing.SEGMENT))
    return [one for one in saved if one.relation in views]


def _analyzes(picked: Picked) -> Iterable[str]:
    tables = (segment.table for segment in picked.contents.row_segments if not segment.table["where"])
    return analyze_sql((table["schema"], table["table"]) for table in tables)
