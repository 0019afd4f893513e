"""What is saved when not all tables are asked for: the named ones, with all that they can't be made without.

pg_dump leaves it to the reader of its script to have what a table needs. This script must run by itself (recipe §2),
so types, functions, schemas, extensions and other tables that a named one stands on come along. A piece of a table
(a foreign key, a policy, …) that needs another table isn't worth that table: it stays behind, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

from supapy.model import Omission
from supapy.names import few
from supapy.parts.database.platform.platform import MIGRATIONS_SCHEMA
from supapy.parts.database.rules.facts import Facts
from supapy.parts.database.rules.rules import ATTRIBUTES, RELATIONS, Judgement, title
from supapy.parts.database.script import policies
from supapy.parts.database.script.grants import read_grants
from supapy.parts.database.sql.archive import TocEntry
from supapy.project.moment import Moment
from supapy.project.patterns import Matched, Patterns, Relation, match, user_relations, user_schemas
from supapy.project.schema import PG_CLASS

# What holds rows, or shows those of others: no piece of a table is worth one. Nor a publication, which holds many.
_WEIGHTY = RELATIONS - {"SEQUENCE"} | {"PUBLICATION"}
# Pieces that hang on another one, which is named.
_SECONDARY = frozenset({"INDEX ATTACH"})
_BEHIND = "It needs something that was left out. Take a backup with that as well to have it."


@dataclass(slots=True)
class Closure:
    """Entries by their ids, of which some are taken; those of excluded tables are `gone`, and those that stand on them
    `barred` as well. `pieces` are those of each relation."""

    entries: dict[int, TocEntry]
    pieces: dict[tuple[str, str], list[TocEntry]]
    barred: set[int]
    gone: set[int]
    taken: set[int] = field(default_factory=set)

    def needed(self, entry: TocEntry, *, pieces_only: bool = False) -> set[int] | None:
        """The entry with all that must come with it; None when some of that can't. With `pieces_only` no other table
        may be among it."""
        found: set[int] = set()
        waiting = [entry.id]
        while waiting:
            one = waiting.pop()
            if one in found or one in self.taken or one not in self.entries:
                continue
            if one in self.barred or (pieces_only and self.entries[one].kind in _WEIGHTY):
                return None
            found.add(one)
            waiting += self.entries[one].needs
        return found


def choose(moment: Moment, patterns: Patterns, found: Judgement, facts: Facts) -> Judgement:
    """The same, of what the patterns name. Raises UsageError for one that nothing fits."""
    if patterns.is_everything:
        return found
    every = user_relations(moment)
    matched = match(moment, patterns, every, user_schemas(moment))
    chosen = _some(found, matched) if patterns.takes_some else _but_some(found, matched)
    chosen.rowless = _rowless(every, matched, chosen, patterns)
    chosen.unasked = [*_unasked(patterns, chosen, matched, every), *_unknown_needs(chosen, facts)]
    if chosen.is_part:
        chosen.roles = _roles(moment, chosen, facts)
    return chosen


def _some(found: Judgement, matched: Matched) -> Judgement:
    closure = _closure(found, matched.excluded)
    named = [entry for entry in found.kept if _is_named(entry, matched) and entry.id not in closure.gone]
    lost = [entry for entry in found.lost if _is_named(entry, matched)]
    behind: list[TocEntry] = []
    # Relations first: what a piece may stand on hangs on which of them are there.
    for entry in sorted(named, key=lambda entry: entry.kind not in RELATIONS):
        if entry.kind in RELATIONS or (entry.id not in found.tables and entry.kind not in ATTRIBUTES):
            taken = closure.needed(entry, pieces_only=entry.kind not in RELATIONS)
            behind += [entry] if taken is None else []
            closure.taken |= taken or set()
    _take_pieces(closure, behind)
    for entry in found.kept:
        of = closure.entries.keys() & set(entry.needs)
        if entry.kind in ATTRIBUTES | {"CAST"} and of and of <= closure.taken:
            closure.taken.add(entry.id)
    return _narrowed(found, closure.taken, behind, lost, part=True)


def _take_pieces(closure: Closure, behind: list[TocEntry]) -> None:
    """The indexes, constraints, triggers, policies and owned sequences of the tables that are taken."""
    done: set[int] = set()
    while waiting := sorted(closure.taken - done):
        done.update(waiting)
        owners = (closure.entries[one] for one in waiting if closure.entries[one].kind in RELATIONS)
        for piece in [piece for owner in owners for piece in closure.pieces.get((owner.schema, owner.name), [])]:
            if piece.id in closure.taken or piece.kind in ATTRIBUTES:
                continue
            taken = closure.needed(piece, pieces_only=True)
            if taken is None and piece.kind not in _SECONDARY:
                behind.append(piece)
            closure.taken |= taken or set()


def _but_some(found: Judgement, matched: Matched) -> Judgement:
    closure = _closure(found, matched.excluded)
    behind = [
        closure.entries[one]
        for one in sorted(closure.barred - closure.gone)
        if closure.entries[one].kind not in ATTRIBUTES | _SECONDARY
        and not _hangs_on_barred(closure.entries[one], found, closure)
    ]
    return _narrowed(found, closure.entries.keys() - closure.barred, behind, found.lost, part=False)


def _hangs_on_barred(entry: TocEntry, found: Judgement, closure: Closure) -> bool:
    """Whether it is a piece of a view that is named as left out itself."""
    return found.tables.get(entry.id) in {
        (one.schema, one.name) for one in map(closure.entries.get, closure.barred) if one and one.kind in RELATIONS
    }


def _closure(found: Judgement, excluded: frozenset[int]) -> Closure:
    entries = {entry.id: entry for entry in found.kept}
    pieces: dict[tuple[str, str], list[TocEntry]] = {}
    tables = {
        (entry.schema, entry.name)
        for entry in entries.values()
        if entry.catalog == PG_CLASS and entry.oid in excluded and entry.kind in RELATIONS
    }
    gone: set[int] = set()
    barred: set[int] = set()
    for entry in entries.values():
        of = found.tables.get(entry.id)
        if of is not None:
            pieces.setdefault(of, []).append(entry)
        if of in tables or (entry.kind in RELATIONS and (entry.schema, entry.name) in tables):
            gone.add(entry.id)
        if entry.id in gone or barred & set(entry.needs):
            barred.add(entry.id)
    return Closure(entries, pieces, barred, gone)


def _is_named(entry: TocEntry, matched: Matched) -> bool:
    """Whether patterns say an entry themselves."""
    if entry.kind in RELATIONS and entry.oid in matched.tables:
        return True
    return (entry.schema or (entry.name if entry.kind == "SCHEMA" else "")) in matched.schemas


def _narrowed(
    found: Judgement, taken: Set[int], behind: list[TocEntry], lost: Iterable[TocEntry], *, part: bool
) -> Judgement:
    """What is kept of what was judged; of the others those that were left behind for a reason are named."""
    sections = [
        [entry for entry in section if entry.id in taken]
        for section in (found.first, found.pre_data, found.post_data, [] if part else found.event_triggers)
    ]
    first, pre_data, post_data, event_triggers = sections
    chosen = Judgement(first, pre_data, post_data, event_triggers, is_part=part, tables=found.tables)
    chosen.lost = [*lost, *behind]
    known = {entry.id for entry in chosen.lost}
    chosen.aside = [entry for entry in (*found.kept, *found.lost) if entry.id not in taken | known]
    chosen.told = [(entry, omission) for entry, omission in found.told if entry.id in taken | known]
    chosen.told += [(entry, Omission("database", title(entry), _BEHIND)) for entry in behind]
    return chosen


def _rowless(every: list[Relation], matched: Matched, chosen: Judgement, patterns: Patterns) -> set[int]:
    """The oids of the tables whose rows aren't saved, though some of them are made."""
    rowless = set(matched.excluded | matched.without_rows)
    if patterns.takes_some:
        taken = {oid for catalog, oid in chosen.kept_objects if catalog == PG_CLASS}
        taken |= {one.key for one in every if one.schema == MIGRATIONS_SCHEMA and is_meant(one, matched)}
        rowless |= {one.key for one in every} - taken
    return rowless


def is_meant(one: Relation, matched: Matched) -> bool:
    """Whether a relation is named by patterns that take some."""
    return (one.schema in matched.schemas or one.key in matched.tables) and one.key not in matched.excluded


def _roles(moment: Moment, chosen: Judgement, facts: Facts) -> frozenset[str]:
    """The owners, those who are granted something or granted it, and those whom policies and user mappings name."""
    kept = chosen.kept_objects
    roles = {entry.owner for entry in chosen.kept}
    for grant in read_grants(moment, facts):
        if (grant.catalog, grant.oid) in kept:
            roles |= {role for one in grant.privileges for role in (one.grantor, one.grantee)}
    made = [entry.oid for entry in (*chosen.kept, *policies.unmade(chosen, facts)) if entry.kind == "POLICY"]
    return frozenset(roles | {name for (name,) in moment.rows(_OTHER_ROLES, (made, sorted(chosen.servers)))})


def _unasked(patterns: Patterns, chosen: Judgement, matched: Matched, every: Iterable[Relation]) -> Iterator[Omission]:
    """One word on each kind of choice that was made."""
    if patterns.takes_some:
        asked = Patterns(patterns.schemas, patterns.tables)
        along = [title(entry) for entry in chosen.kept if _came_along(entry, chosen, matched)]
        with_it = f" and what that needs: {few(along)}" if along else ""
        yield Omission("database", f"all of the database but {asked}{with_it}", "Leave these options out to have all.")
    for options, keys in (
        (Patterns(excluded=patterns.excluded), matched.excluded),
        (Patterns(without_rows=patterns.without_rows), matched.without_rows - matched.excluded),
    ):
        if keys:
            names = few([f"{one.schema}.{one.name}" for one in every if one.key in keys])
            what = "rows of " if options.without_rows else ""
            yield Omission("database", f"{what}{names} ({options})", "Leave this option out to have them.")


def _unknown_needs(chosen: Judgement, facts: Facts) -> Iterator[Omission]:
    """A word on functions that tables and indexes call: what the text of their bodies names, no catalog knows."""
    callers = [title(entry) for entry in chosen.kept if entry.kind == "TABLE" and entry.oid in facts.computed]
    if callers:
        yield Omission(
            "database",
            f"what functions called by checks and generated columns of {few(callers)} may read",
            "If it is in a table that was left out, the script stops there: back that table up as well.",
        )


def _came_along(entry: TocEntry, chosen: Judgement, matched: Matched) -> bool:
    return not (_is_named(entry, matched) or entry.id in chosen.tables or entry.kind in ATTRIBUTES)


_OTHER_ROLES = """
SELECT pg_catalog.pg_get_userbyid(r.oid)::text
FROM pg_catalog.pg_policy p CROSS JOIN LATERAL pg_catalog.unnest(p.polroles) r (oid)
WHERE p.oid = ANY(%s::bigint[]::oid[]) AND r.oid <> 0
UNION
SELECT usename::text FROM pg_catalog.pg_user_mappings WHERE srvname = ANY(%s) AND umuser <> 0
"""
