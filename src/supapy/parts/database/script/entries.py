"""The SQL of archive entries, as it stands in the archive; wrapped where a failure must be told and survived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from supapy.names import literal, quoted
from supapy.parts.database.alive.webhooks import webhook_sql
from supapy.parts.database.platform.platform import PREINSTALLED
from supapy.parts.database.rules.facts import Extension, Facts
from supapy.parts.database.rules.rules import title
from supapy.parts.database.sql.archive import Section, TocEntry
from supapy.parts.database.sql.statements import comment, do_block

# How tables keep their rows unless they say otherwise.
USUAL_ACCESS_METHOD = "heap"


class Written(NamedTuple):
    """The statement of an entry, which runs by itself."""

    entry: TocEntry
    sql: str


def entries_sql(entries: Iterable[TocEntry], facts: Facts) -> Iterator[Written]:
    """The statements of entries, in order."""
    for entry in entries:
        yield Written(entry, f"\n{comment(title(entry))}{_kept_by_its_method(entry, _sql(entry, facts))}")


def _kept_by_its_method(entry: TocEntry, sql: str) -> str:
    if entry.access_method in ("", USUAL_ACCESS_METHOD):
        return sql
    setting = "SET default_table_access_method = {};\n"
    return f"{setting.format(quoted(entry.access_method))}{sql}{setting.format(USUAL_ACCESS_METHOD)}"


def _sql(entry: TocEntry, facts: Facts) -> str:
    match entry.kind:
        case "SCHEMA" if any(entry.name == one.schema for one in facts.extensions.values()):
            # Who makes ready a project switches extensions on, and their schemas come with them.
            return entry.sql.replace("CREATE SCHEMA", "CREATE SCHEMA IF NOT EXISTS", 1)
        case "EXTENSION":
            return _extension(entry, facts.extensions[entry.oid])
        case "FK CONSTRAINT":
            return _foreign_key(entry)
        case "INDEX" | "TABLE" if entry.oid in facts.computed:
            return _computed(entry)
        case "CONSTRAINT":
            return _over_rows(entry)
        case "INDEX" if entry.sql.startswith("CREATE UNIQUE"):
            return _over_rows(entry)
        case "CHECK CONSTRAINT":
            return _computed(entry)
        case "TRIGGER" | "RULE" | "EVENT TRIGGER" if (entry.catalog, entry.oid) in facts.webhooks:
            return webhook_sql(facts.webhooks[entry.catalog, entry.oid])
        case "EVENT TRIGGER":
            return _event_trigger(entry)
        case "INDEX ATTACH":
            return _if_made(entry)
        case "COMMENT" if entry.section is Section.POST_DATA:
            # Of what something else brings along, which of a part of a database may not be there.
            return _if_made(entry)
        case "COMMENT" if entry.name.startswith(_MAY_BE_GONE + (_MAY_SLEEP if facts.webhooks else ())):
            return _if_made(entry)
        case _:
            return entry.sql


def _if_made(entry: TocEntry) -> str:
    """What may not be there: what sleeps by that has its comment with it, and some a project refuses."""
    return do_block(f"BEGIN\n    {entry.sql}EXCEPTION WHEN undefined_object OR undefined_table THEN\n    NULL;\nEND")


def _extension(entry: TocEntry, of: Extension) -> str:
    """Made, or moved to where it was. One that new projects come with may be gone on a newer server, which is no more
    than a word: what stands on it is an obstacle of its own."""
    name, schema = of.name, of.schema
    unavailable = f"""
    ELSIF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = {literal(name)}) THEN
        RAISE INFO 'supapy: extension % -- this project has none of that name', {literal(name)};"""
    return do_block(
        f"""
DECLARE
    place text := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                   WHERE e.extname = {literal(name)});
BEGIN
    IF place = {literal(schema)} THEN
        NULL;
    ELSIF place IS NOT NULL THEN
        BEGIN
            EXECUTE {literal(f"ALTER EXTENSION {quoted(name)} SET SCHEMA {quoted(schema)}")};
        EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN
            RAISE WARNING 'supapy: schema % of extension % -- it stays in %: %',
                {literal(schema)}, {literal(name)}, place, SQLERRM;
        END;{unavailable if name in PREINSTALLED else ""}
    ELSE
        EXECUTE {literal(entry.sql)};
    END IF;
END"""
    )


# What comments are on that may not have been made, or not yet.
_MAY_BE_GONE = ("INDEX ", "CONSTRAINT ", "EVENT TRIGGER ")
_MAY_SLEEP = ("TRIGGER ", "RULE ")
# What rows raise that an index can't be built on, and functions in an index; each stands for its whole class.
_CONTRADICTED = (
    "data_exception OR integrity_constraint_violation OR syntax_error_or_access_rule_violation OR plpgsql_error"
)
_AMENDS = "its rows contradict it (an upgrade of the source's collations can do that), amend them and create it again"
# What a function raises that doesn't find a name.
_NOT_FOUND = "undefined_function OR undefined_table OR undefined_object OR undefined_column"


def _over_rows(entry: TocEntry) -> str:
    """Made unless the rows contradict it, which is told."""
    return do_block(f"BEGIN{_or_told(f'    EXECUTE {literal(entry.sql)};', title(entry), _AMENDS)}\nEND")


def _computed(entry: TocEntry) -> str:
    """A function in it is looked into, and may use names that only the project's usual search path finds.

    From 17 on an index is built without that path, whatever is set: one that needs it can't be.
    """
    again, first = f"    EXECUTE {literal(entry.sql)};", _NOT_FOUND
    if entry.kind == "INDEX":
        again = _or_told(again, title(entry), "mend its function (it may need a search_path) and create it again")
        first = _CONTRADICTED
    return do_block(
        f"""
BEGIN
    EXECUTE {literal(entry.sql)};
EXCEPTION WHEN {first} THEN
    PERFORM set_config('search_path', reset_val, false) FROM pg_settings WHERE name = 'search_path';
{again}
    PERFORM set_config('search_path', '', false);
END"""
    )


def _or_told(statement: str, name: str, remedy: str) -> str:
    return f"""
    BEGIN
    {statement}
    EXCEPTION WHEN {_CONTRADICTED} THEN
        RAISE WARNING 'supapy: % -- %: %', {literal(name)}, {literal(remedy)}, SQLERRM;
    END;"""


# The value that points to nothing may be a text of any length.
LONGEST_DETAIL_CHARACTERS = 200


def _foreign_key(entry: TocEntry) -> str:
    """Added as it was; where rows violate it, added without looking at them. They could in the source (F§2.6), and they
    do where users were left out that they refer to."""
    statement, name = entry.sql.rstrip().rstrip(";"), literal(title(entry))
    return do_block(
        f"""
DECLARE
    why text;
BEGIN
    EXECUTE {literal(statement)};
EXCEPTION WHEN foreign_key_violation THEN
    GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
    why := left(regexp_replace(rtrim(why, '.'), '\\s+', ' ', 'g'), {LONGEST_DETAIL_CHARACTERS});
    BEGIN
        EXECUTE {literal(statement + " NOT VALID")};
        RAISE WARNING 'supapy: % -- some rows point to nothing, so it was added NOT VALID: %', {name}, why;
    EXCEPTION WHEN wrong_object_type OR feature_not_supported THEN
        -- A partitioned table can't have one that isn't valid.
        RAISE WARNING 'supapy: % -- some rows point to nothing, so it was left out: %', {name}, why;
    END;
WHEN invalid_foreign_key THEN
    RAISE WARNING 'supapy: % -- the key that it points to could not be made: %', {literal(title(entry))}, SQLERRM;
END"""
    )


def _event_trigger(entry: TocEntry) -> str:
    """Allowed to postgres on hosted projects only (F§4.4)."""
    return do_block(
        f"""
BEGIN
    EXECUTE {literal(entry.sql)};
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'supapy: % -- this project refuses it: %', {literal(title(entry))}, SQLERRM;
END"""
    )
