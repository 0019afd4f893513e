"""Restrictive policies that can't come back. Whom they kept out stays out: in the place of each stands one of the same
name that lets nobody through, until its owner makes it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from supapy.names import qualified, quoted
from supapy.parts.database.platform import platform
from supapy.parts.database.rules.facts import Facts
from supapy.parts.database.rules.rules import Judgement, title
from supapy.parts.database.script.entries import Written
from supapy.parts.database.sql.archive import TocEntry
from supapy.parts.database.sql.statements import comment
from supapy.project.moment import Moment

SEGMENT = "policies that close"


def unmade(judgement: Judgement, facts: Facts) -> list[TocEntry]:
    """The restrictive policies that don't come back on tables that are there after a restore."""
    kept = {(one.schema, one.name) for one in judgement.kept if one.kind == "TABLE"}
    if not judgement.is_part:
        kept |= platform.POLICY_TABLES
    lost = (one for one in (*judgement.lost, *judgement.aside) if one.kind == "POLICY" and one.oid in facts.restrictive)
    return [one for one in lost if facts.policies[one.oid] in kept]


def closed_sql(moment: Moment, judgement: Judgement, facts: Facts) -> Iterator[Written]:
    """The statements that make what stands in their place."""
    for entry in unmade(judgement, facts):
        ((name, command, roles),) = moment.rows(_POLICY, (entry.oid,))
        on = f"{quoted(name)} ON {qualified(*facts.policies[entry.oid])}"
        yield Written(entry, f"\n{comment(title(entry))}{_closed(on, _COMMANDS[command], roles)}")


def closed_of(saved: Mapping[str, Mapping[str, Any]], statement: int) -> str:
    """The same of a backup's inventory of policies, in the place of what a statement makes; "" for a permissive one."""
    for name, properties in saved.items():
        if properties.get("statement") == statement and not properties["permissive"]:
            # Its roles may be what the target lacks.
            return _closed(name.removeprefix("policy "), _COMMANDS[properties["command"]], "PUBLIC")
    return ""


def _closed(name_and_table: str, command: str, roles: str) -> str:
    check = "WITH CHECK" if command == "INSERT" else "USING"
    return f"CREATE POLICY {name_and_table} AS RESTRICTIVE FOR {command} TO {roles} {check} (false);\n"


_COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}


_POLICY = """
SELECT polname, polcmd::text, (SELECT pg_catalog.string_agg(CASE role WHEN 0 THEN 'PUBLIC'
        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(role)) END, ', ') FROM pg_catalog.unnest(polroles) role)
FROM pg_catalog.pg_policy WHERE oid = %s
"""
