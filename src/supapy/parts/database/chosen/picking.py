"""Restoring some tables of a backup: their statements, rows, owners and grants, picked out of what was saved.

Nothing is cut out of SQL text. What makes each thing lies between two offsets of the table of contents, and what has
statements of its own (where sequences stand, owners, grants) is written anew from the saved values.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from supapy.names import qualified, quoted
from supapy.parts.base import Source
from supapy.parts.database.inventory.contents import FILE, Contents
from supapy.parts.database.inventory.inventory import without_tables
from supapy.parts.database.inventory.makers import STATEMENT
from supapy.parts.database.rules.rules import ATTRIBUTES, RELATIONS
from supapy.parts.database.script.grants import GRANTS, OWNERS
from supapy.parts.database.script.segments import Segment, Statement
from supapy.parts.database.sql.statements import copied_rows
from supapy.project.patterns import Matched, Patterns, Relation, match
from supapy.project.schema import Reader

# Sorts of the inventory by the word that GRANT has for their things.
_GRANTED = {"tables": "TABLE", "views": "TABLE", "sequences": "SEQUENCE"}
_NAMES = ("foreign table ", "materialized view ", "table ", "view ", "sequence ")


@dataclass(frozen=True, slots=True)
class Picked:
    """What was chosen of a backup. `contents` knows nothing else any more; `statements` are those that make it, in the
    order of the script; with `all_but` everything else of the backup comes back with it, but for what is left `behind`
    since it can't be made without what was excluded."""

    backup: Source
    whole: Contents
    contents: Contents
    statements: list[Statement]
    behind: list[Statement]
    all_but: bool

    def segment(self, name: str) -> str:
        """A segment of the script; "" where there was nothing to say in it."""
        found = [one for one in self.whole.segments if one.name == name]
        return self._read(found[0].offset, found[0].length) if found else ""

    def begin_of(self, name: str) -> str:
        """A segment up to its first statement."""
        found = self._segment(name)
        end = found.offset + found.length
        first = min((one.offset for one in self.whole.statements if found.offset <= one.offset < end), default=end)
        return self._read(found.offset, first - found.offset)

    def section(self, name: str) -> Iterator[tuple[Statement, str]]:
        """The chosen statements of a segment, which older backups may lack, each with its SQL as it was saved."""
        found = next((one for one in self.whole.segments if one.name == name), None)
        if found is None:
            return
        end = found.offset + found.length
        chosen = [one for one in self.statements if found.offset <= one.offset < end]
        # At once: a request or a frame for each statement would take its time.
        segment = b"".join(self.backup.read(FILE, found.offset, end)) if chosen else b""
        for one in chosen:
            start = one.offset - found.offset
            yield one, segment[start : start + one.length].decode()

    def owners(self) -> list[tuple[str | None, ...]]:
        """The saved rows (place, object, owner, schema) of what was chosen and isn't postgres's."""
        ids = {one.id for one in self.statements}
        # The place is that among all statements; large objects come after them.
        by_place = {str(place): one.id for place, one in enumerate(self.whole.statements)}
        rows = copied_rows(self.segment("owners"), OWNERS)
        return [row for row in rows if by_place.get(str(row[0])) in ids or (self.all_but and row[0] not in by_place)]

    def grants(self) -> list[tuple[str | None, ...]]:
        """The saved grants on what was chosen."""
        rows = copied_rows(self.segment("grants"), GRANTS)
        others = self._objects(self.whole) - self._objects(self.contents)
        if self.all_but:
            return [row for row in rows if row[0] not in others]
        objects = self._objects(self.contents)
        return [row for row in rows if row[0] in objects]

    @staticmethod
    def _objects(contents: Contents) -> set[str]:
        """Things as they stand after ON in a GRANT."""
        objects = {name.removeprefix("grants on ") for name in contents.inventory.get("grants", {})}
        for sort, word in _GRANTED.items():
            for name in contents.inventory.get(sort, {}):
                kind = next(kind for kind in _NAMES if name.startswith(kind))
                objects.add(f"{word} {name.removeprefix(kind)}")
        return objects

    def _segment(self, name: str) -> Segment:
        return next(one for one in self.whole.segments if one.name == name)

    def _read(self, offset: int, length: int) -> str:
        return b"".join(self.backup.read(FILE, offset, offset + length)).decode() if length else ""


def pick(backup: Source, patterns: Patterns, reader: Reader) -> Picked:
    """What the patterns mean in a backup. Of what a table needs, what the target lacks comes along, but for tables.

    Raises UsageError for a pattern that nothing fits.
    """
    whole = Contents.of(backup)
    every = {one.id: one for one in whole.statements}
    relations = _relations(whole)
    schemas = {one.name if one.kind == "SCHEMA" else one.schema for one in every.values()} - {""}
    matched = match(reader, patterns, relations, schemas)
    ids = _named(every, relations, patterns, matched)
    behind: list[Statement] = []
    if patterns.takes_some:
        ids |= _lacking(every, ids, reader)
    else:
        behind = _behind(every, ids, reader)
        ids -= {one.id for one in behind}
    for one in every.values():
        if one.kind in ATTRIBUTES and set(one.needs) <= ids and (one.needs or not patterns.takes_some):
            ids.add(one.id)
    statements = [one for one in whole.statements if one.id in ids]
    narrowed = _narrowed(whole, ids, patterns, matched)
    return Picked(backup, whole, narrowed, statements, behind, not patterns.takes_some)


def _relations(contents: Contents) -> list[Relation]:
    named = {(one.schema, one.name): one.id for one in contents.statements if one.kind in RELATIONS}
    wholes: dict[int, int] = {}
    for one in contents.statements:
        if one.kind == "TABLE ATTACH" and one.table:
            wholes[named[one.table]] = next(needed for needed in one.needs if needed != named[one.table])
    return [
        Relation(one.id, one.schema, one.name, wholes.get(one.id))
        for one in contents.statements
        if one.kind in RELATIONS
    ]


def _named(every: dict[int, Statement], relations: list[Relation], patterns: Patterns, matched: Matched) -> set[int]:
    """The statements that make the chosen things, and the pieces of chosen tables; without comments."""
    excluded = {(one.schema, one.name) for one in relations if one.key in matched.excluded}
    meant = {
        (one.schema, one.name)
        for one in relations
        if one.key in matched.tables or one.schema in matched.schemas or not patterns.takes_some
    }
    meant -= excluded
    ids: set[int] = set()
    for one in every.values():
        own = (one.schema, one.name) if one.kind in RELATIONS else None
        schema = one.name if one.kind == "SCHEMA" else one.schema
        if one.table in excluded or own in excluded or one.kind in ATTRIBUTES:
            continue
        if (
            one.table in meant
            or own in meant
            or not patterns.takes_some
            or (own is None and one.table is None and schema in matched.schemas)
        ):
            ids.add(one.id)
    return ids


def _lacking(every: dict[int, Statement], ids: set[int], reader: Reader) -> set[int]:
    """What the chosen ones need, holds no rows, and isn't in the target."""
    found: set[int] = set()
    waiting = [needed for one in ids for needed in every[one].needs]
    seen = set(ids)
    while waiting:
        one = every[waiting.pop()]
        if one.id in seen:
            continue
        seen.add(one.id)
        if one.table is None and one.kind not in RELATIONS - {"SEQUENCE"} and not is_there(reader, one):
            found.add(one.id)
            waiting += one.needs
    return found


def _behind(every: dict[int, Statement], ids: set[int], reader: Reader) -> list[Statement]:
    """What stands on an excluded table that isn't in the target either, in the order of the script."""
    gone = {
        one.id for one in every.values() if one.id not in ids and one.kind in RELATIONS and not is_there(reader, one)
    }
    behind: list[Statement] = []
    for one in every.values():
        if one.id in ids and gone & set(one.needs):
            gone.add(one.id)
            behind.append(one)
    return behind


# What has columns, or is what they hold.
_OF_COLUMNS = RELATIONS | {"TYPE", "DOMAIN"}


def missing(picked: Picked, reader: Reader) -> list[str]:
    """What chosen tables and views, and types that come along, stand on that neither comes back nor is there, for
    people."""
    every = {one.id: one for one in picked.whole.statements}
    ids = {one.id for one in picked.statements}
    found = []
    for one in picked.statements:
        for needed in (every[need] for need in one.needs if need not in ids):
            if one.kind in _OF_COLUMNS and needed.table is None and not is_there(reader, needed):
                found.append(f"{needed.kind.lower()} {needed.full_name}, which {one.full_name} needs")
    return list(dict.fromkeys(found))


def is_there(reader: Reader, one: Statement) -> bool:
    """Whether the target has the thing already. Of a kind that can't be asked for by name it is taken for granted."""
    name = [qualified(one.schema, one.name)]
    match one.kind:
        case "SCHEMA":
            query, name = "SELECT pg_catalog.to_regnamespace(%s) IS NOT NULL", [quoted(one.name)]
        case "EXTENSION":
            query, name = "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = %s)", [one.name]
        case "TYPE" | "DOMAIN" | "SHELL TYPE":
            query = "SELECT pg_catalog.to_regtype(%s) IS NOT NULL"
        case "FUNCTION" | "PROCEDURE" | "AGGREGATE":
            query, name = _ROUTINE, [one.schema, one.name]
        case "COLLATION":
            query = "SELECT pg_catalog.to_regcollation(%s) IS NOT NULL"
        case kind if kind in _NAMED_IN:
            query, name = _IN_CATALOG.format(*_NAMED_IN[kind]), [one.name, one.schema]
        case kind if kind in RELATIONS:
            query = "SELECT pg_catalog.to_regclass(%s) IS NOT NULL"
        case _:
            return True
    return bool(reader.rows(query, name)[0][0])


def _narrowed(whole: Contents, ids: Set[int], patterns: Patterns, matched: Matched) -> Contents:
    made = {(one.schema, one.name): one.id for one in whole.statements if one.kind in RELATIONS}

    def has_rows(segment: Segment) -> bool:
        maker = made.get((segment.table["schema"], segment.table["table"]))
        if maker is None:
            return not patterns.takes_some
        return maker in ids and maker not in matched.without_rows

    def is_chosen(properties: dict[str, object]) -> bool:
        maker = properties.get(STATEMENT)
        return maker in ids if maker is not None else not patterns.takes_some

    inventory = {
        sort: kept
        for sort, named in whole.inventory.items()
        if (kept := {name: value for name, value in named.items() if is_chosen(value)})
    }
    gone = [name for sort, named in whole.inventory.items() for name in named.keys() - inventory.get(sort, {}).keys()]
    if "publications" in inventory:
        left_out = set(gone)
        inventory["publications"] = {
            name: without_tables(value, left_out) for name, value in inventory["publications"].items()
        }
    segments = [one for one in whole.segments if one.kind != "data" or (one.part == "database" and has_rows(one))]
    statements = [one for one in whole.statements if one.id in ids]
    narrowed = replace(whole, segments=segments, index=statements, inventory=inventory)
    if patterns.takes_some:
        return replace(narrowed, is_part=True)
    return replace(narrowed, left_out=[*whole.left_out, *gone])


# Kinds without a function that looks them up: their catalog, and what the names of its columns begin with. Of operators
# any of the name will do.
_NAMED_IN = {
    "OPERATOR": ("pg_operator", "opr"),
    "CONVERSION": ("pg_conversion", "con"),
    "TEXT SEARCH CONFIGURATION": ("pg_ts_config", "cfg"),
    "TEXT SEARCH DICTIONARY": ("pg_ts_dict", "dict"),
}
_IN_CATALOG = """
SELECT EXISTS (SELECT FROM pg_catalog.{0} c JOIN pg_catalog.pg_namespace n ON n.oid = c.{1}namespace
    WHERE c.{1}name = %s AND n.nspname = %s)
"""
# By the text that pg_dump has for it: to look up one with a type that isn't there is an error before PostgreSQL 16.
_ROUTINE = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_proc p
    CROSS JOIN LATERAL (
        SELECT pg_catalog.string_agg(pg_catalog.format_type(a.type, NULL), ', ' ORDER BY a.place)
        FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY a (type, place)
    ) AS arguments (text)
    WHERE p.pronamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s))
        AND p.proname || '(' || coalesce(arguments.text, CASE p.prokind WHEN 'a' THEN '*' ELSE '' END) || ')' = %s
)
"""
