"""Which entries of a dump are the user's to bring back, which the platform makes itself, and which can't be restored.

By entry, never by the text of its SQL: its kind, schema, owner, and what it depends on (recipe §2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from supapy.model import Omission
from supapy.parts.database.alive import quiesced
from supapy.parts.database.platform import platform
from supapy.parts.database.rules.facts import Facts
from supapy.parts.database.sql.archive import Section, TocEntry
from supapy.project.schema import PG_CLASS

# Kinds with statements of our own, or that say nothing to a restore.
_OWN = frozenset(
    {
        "ENCODING",
        "STDSTRINGS",
        "SEARCHPATH",
        "DATABASE",
        "DATABASE PROPERTIES",
        "ACL",
        "DEFAULT ACL",
        "BLOB",
        "BLOBS",
        "BLOB METADATA",
        "TABLE DATA",
        "SEQUENCE SET",
        "MATERIALIZED VIEW DATA",
        "STATISTICS DATA",
        "USER MAPPING",
        "SUBSCRIPTION",
        "SUBSCRIPTION TABLE",
    }
)
# The history of migrations; and the list of what sleeps, whose things are saved as what they are, with what is said of
# them.
_OWN_SCHEMAS = frozenset({platform.MIGRATIONS_SCHEMA, quiesced.SCHEMA})
# Kinds that follow another entry.
ATTRIBUTES = frozenset({"COMMENT", "SECURITY LABEL"})
# What only a superuser may make (recipe §7): it can stem from a very old project only.
_SUPERUSERS = frozenset(
    {
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "ACCESS METHOD",
        "PROCEDURAL LANGUAGE",
        "TRANSFORM",
        "TEXT SEARCH PARSER",
        "TEXT SEARCH TEMPLATE",
    }
)
# Pieces of a table: of a lost table they need no word of their own.
_PIECES = frozenset(
    {
        "INDEX",
        "CONSTRAINT",
        "CHECK CONSTRAINT",
        "DEFAULT",
        "INDEX ATTACH",
        "TABLE ATTACH",
        "ROW SECURITY",
        "SEQUENCE OWNED BY",
    }
)
_PIECES_AND_ATTRIBUTES = _PIECES | ATTRIBUTES
# What has columns, or is counted among what has: things can be pieces of it.
RELATIONS = frozenset({"TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"})
_ROUTINES = frozenset({"FUNCTION", "PROCEDURE", "AGGREGATE"})


_BY_HAND = "Make it again by hand where the target allows it."
# See script/policies.py.
_CLOSED = "Where it can, a restore puts one in its place that lets nobody through: replace that."


class Fate(Enum):
    """What becomes of an entry."""

    KEPT = "kept"
    PLATFORM = "made by the platform or by a statement of our own"
    LOST = "can't be restored"


class Judged(NamedTuple):
    """An entry and its fate. A loss without a reason needs no word: it is a piece of something named already."""

    entry: TocEntry
    fate: Fate
    reason: str = ""


@dataclass(slots=True)
class Judgement:
    """The entries that are kept, in the archive's order, by when they are restored; and what is lost.

    `tables` are the relations, (schema, name), that entries (by id) are pieces of; `told` says what doesn't come back
    and what to do about it. Where not everything was asked for, `aside` is what wasn't, and `unasked` a word on it;
    `rowless` are the oids of tables whose rows weren't. Of a part of the database (`is_part`) `roles` are those that
    it needs.
    """

    first: list[TocEntry] = field(default_factory=list)
    pre_data: list[TocEntry] = field(default_factory=list)
    post_data: list[TocEntry] = field(default_factory=list)
    event_triggers: list[TocEntry] = field(default_factory=list)
    lost: list[TocEntry] = field(default_factory=list)
    told: list[tuple[TocEntry, Omission]] = field(default_factory=list)
    tables: dict[int, tuple[str, str]] = field(default_factory=dict)
    unasked: list[Omission] = field(default_factory=list)
    aside: list[TocEntry] = field(default_factory=list)
    rowless: set[int] = field(default_factory=set)
    is_part: bool = False
    roles: frozenset[str] | None = None

    @property
    def lost_objects(self) -> set[tuple[int, int]]:
        """What doesn't come back, as (catalog, oid)."""
        return {(entry.catalog, entry.oid) for entry in (*self.lost, *self.aside)}

    @property
    def lost_relations(self) -> set[int]:
        """The oids of tables, views and sequences that don't come back, or without their rows."""
        return {oid for catalog, oid in self.lost_objects if catalog == PG_CLASS} | self.rowless

    @property
    def kept_objects(self) -> set[tuple[int, int]]:
        """What comes back, as (catalog, oid)."""
        return {(entry.catalog, entry.oid) for entry in self.kept if entry.oid}

    @property
    def omissions(self) -> list[Omission]:
        """A word on all that doesn't come back."""
        return [*self.unasked, *(omission for _, omission in self.told)]

    @property
    def uses_public(self) -> bool:
        """Whether schema public, which every project has, is among what comes back."""
        return not self.is_part or any(entry.schema == "public" for entry in self.kept)

    @property
    def servers(self) -> set[str]:
        """The names of the foreign servers that come back."""
        return {entry.name for entry in self.kept if entry.kind == "SERVER"}

    @property
    def kept(self) -> Iterator[TocEntry]:
        """All kept entries in the order of their restore."""
        yield from (*self.first, *self.pre_data, *self.post_data, *self.event_triggers)


def judge(entries: list[TocEntry], facts: Facts) -> Judgement:
    """Sort the entries of an archive. What depends on something lost is lost with it, and named."""
    judgement = Judgement()
    seen: dict[int, Judged] = {}
    lost: set[int] = set()
    for entry in _early_enough(entries):
        judged = seen[entry.id] = _judge_entry(entry, facts, seen, lost)
        if table := _table(entry, facts, judgement, seen):
            judgement.tables[entry.id] = table
        if judged.fate is Fate.LOST:
            judgement.lost.append(entry)
            lost.add(entry.id)
            if judged.reason:
                by_hand = _CLOSED if entry.oid in facts.restrictive and entry.kind == "POLICY" else _BY_HAND
                judgement.told.append((entry, Omission("database", title(entry), f"{judged.reason}. {by_hand}")))
        elif judged.fate is Fate.KEPT:
            _section(entry, judgement, seen).append(entry)
            if omission := _owner_lost(entry):
                judgement.told.append((entry, omission))
    return judgement


def _early_enough(entries: list[TocEntry]) -> Iterator[TocEntry]:
    """The same; what is needed before the rows is restored before them.

    pg_dump has what stands on a primary key after the rows (a materialized view that groups by it, a function whose
    body in SQL does), but not what uses that: a function that returns the view's rows, a column of its type, a default.
    """
    early: set[int] = set()
    for entry in reversed(entries):
        if entry.section is Section.PRE_DATA or entry.id in early:
            early.update(entry.needs)
    for entry in entries:
        is_late = entry.section is Section.POST_DATA and entry.id in early
        yield entry._replace(section=Section.PRE_DATA) if is_late else entry


def _table(entry: TocEntry, facts: Facts, judgement: Judgement, seen: Mapping[int, Judged]) -> tuple[str, str] | None:
    """The relation that an entry is a piece of: by the catalogs, or by what it needs where it isn't in one."""
    known = facts.tables.get((entry.catalog, entry.oid))
    if known or entry.kind not in _PIECES_AND_ATTRIBUTES:
        return known
    if entry.kind == "TABLE ATTACH":
        return entry.schema, entry.name
    for needed in entry.needs:
        if needed in judgement.tables:
            return judgement.tables[needed]
        if needed in seen and seen[needed].entry.kind != "SEQUENCE" and seen[needed].entry.kind in RELATIONS:
            return seen[needed].entry.schema, seen[needed].entry.name
    return None


# They say of two things that the one is a part of the other, and have no oid.
_ATTACHES = frozenset({"TABLE ATTACH", "INDEX ATTACH"})


def _judge_entry(entry: TocEntry, facts: Facts, seen: Mapping[int, Judged], lost: Set[int]) -> Judged:
    schema = entry.name if entry.kind == "SCHEMA" else entry.schema
    if entry.kind in _OWN or schema in _OWN_SCHEMAS or (entry.catalog, entry.oid) in facts.queues:
        return Judged(entry, Fate.PLATFORM)
    if entry.kind in _ATTACHES and any(seen[one].fate is Fate.PLATFORM for one in entry.needs if one in seen):
        return Judged(entry, Fate.PLATFORM)
    if entry.kind in ATTRIBUTES:
        return _judge_attribute(entry, facts, seen)
    if (reason := facts.impossible.get((entry.catalog, entry.oid))) is not None:
        return Judged(entry, Fate.LOST, reason)
    fate, reason = _RULES.get(entry.kind, _in_schema)(entry, facts)
    if fate is not Fate.KEPT:
        return Judged(entry, fate, reason)
    if entry.kind in _SUPERUSERS:
        return Judged(entry, Fate.LOST, "Only a superuser can make it")
    if not lost.isdisjoint(entry.needs):
        return Judged(entry, Fate.LOST, "" if entry.kind in _PIECES else "It needs something that can't be restored")
    return Judged(entry, Fate.KEPT)


def _judge_attribute(entry: TocEntry, facts: Facts, seen: Mapping[int, Judged]) -> Judged:
    """A comment goes with its object. An object that isn't in the archive is schema public, or the platform's."""
    of = next((seen[needed] for needed in entry.needs if needed in seen), None)
    if of is None and entry.schema in facts.managed:
        return Judged(entry, Fate.PLATFORM)
    if of and (of.fate is not Fate.KEPT or entry.name in facts.default_comments):
        # Of a lost object the loss itself is told.
        return Judged(entry, Fate.PLATFORM)
    if entry.kind == "SECURITY LABEL":
        return Judged(entry, Fate.LOST, platform.UNLABELLED)
    if of is None:
        return Judged(entry, Fate.KEPT)
    if of.entry.kind == "TRIGGER" and of.entry.schema in facts.managed - {"extensions"}:
        return Judged(entry, Fate.LOST, "Only the table's owner can comment on its triggers")
    return Judged(entry, Fate.KEPT)


def _in_schema(entry: TocEntry, facts: Facts) -> tuple[Fate, str]:
    if entry.schema not in facts.managed:
        return Fate.KEPT, ""
    if platform.is_platform_role(entry.owner):
        return Fate.PLATFORM, ""
    if entry.schema == "extensions":
        is_platforms = entry.kind in _ROUTINES and _bare(entry.name) in platform.EXTENSIONS_FUNCTIONS
        return (Fate.PLATFORM if is_platforms else Fate.KEPT), ""
    if entry.kind in _ROUTINES and (entry.schema, _bare(entry.name)) in platform.PLATFORM_ROUTINES:
        return Fate.PLATFORM, ""
    return Fate.LOST, "" if entry.kind in _PIECES else f"Nothing can be made in schema {entry.schema}, the platform's"


def _bare(signature: str) -> str:
    return signature.partition("(")[0]


def _schema(entry: TocEntry, facts: Facts) -> tuple[Fate, str]:
    theirs = entry.name in facts.managed or entry.name == "public"
    return (Fate.PLATFORM if theirs else Fate.KEPT), ""


def _policy(entry: TocEntry, facts: Facts) -> tuple[Fate, str]:
    table = facts.policies.get(entry.oid, (entry.schema, ""))
    if entry.schema not in facts.managed or table in platform.POLICY_TABLES:
        return Fate.KEPT, ""
    return (
        _in_schema(entry, facts) if entry.schema == "extensions" else (Fate.LOST, "Only its table's owner can make it")
    )


def _trigger(entry: TocEntry, facts: Facts) -> tuple[Fate, str]:
    trigger = facts.triggers.get(entry.oid)
    if entry.schema not in facts.managed or entry.schema == "extensions" or trigger is None:
        return Fate.KEPT, ""
    is_platforms = (
        trigger.name in platform.PLATFORM_TRIGGERS
        and trigger.function_schema == trigger.schema
        and platform.is_platform_role(trigger.function_owner)
    )
    if is_platforms:
        return Fate.PLATFORM, ""
    if trigger.enabled != "O":
        # Restored, it would fire where it didn't: safer gone, and said.
        return Fate.LOST, "It is disabled or fires in replica mode, and only the table's owner can set that"
    return Fate.KEPT, ""


def _publication(entry: TocEntry, facts: Facts) -> tuple[Fate, str]:
    theirs = platform.is_platform_publication(entry.name) or platform.is_platform_role(entry.owner)
    theirs = theirs or entry.name == platform.REALTIME_PUBLICATION
    return (Fate.PLATFORM if theirs else Fate.KEPT), ""


def _publication_member(entry: TocEntry, facts: Facts) -> tuple[Fate, str]:
    theirs = platform.is_platform_publication(facts.publication_members.get(entry.oid, ""))
    return (Fate.PLATFORM if theirs else Fate.KEPT), ""


def _event_trigger(entry: TocEntry, facts: Facts) -> tuple[Fate, str]:
    theirs = platform.is_platform_role(entry.owner) or entry.name in platform.EVENT_TRIGGERS
    return (Fate.PLATFORM if theirs else Fate.KEPT), ""


def _anywhere(entry: TocEntry, facts: Facts) -> tuple[Fate, str]:
    return (Fate.PLATFORM if platform.is_platform_role(entry.owner) else Fate.KEPT), ""


_RULES: dict[str, Callable[[TocEntry, Facts], tuple[Fate, str]]] = {
    "SCHEMA": _schema,
    "EXTENSION": lambda _entry, _facts: (Fate.KEPT, ""),
    "POLICY": _policy,
    "TRIGGER": _trigger,
    "PUBLICATION": _publication,
    "PUBLICATION TABLE": _publication_member,
    "PUBLICATION TABLES IN SCHEMA": _publication_member,
    "EVENT TRIGGER": _event_trigger,
    "CAST": _anywhere,
    "SERVER": _anywhere,
    "FOREIGN DATA WRAPPER": _anywhere,
}


def _section(entry: TocEntry, judgement: Judgement, seen: Mapping[int, Judged]) -> list[TocEntry]:
    if entry.kind in ATTRIBUTES and entry.section is Section.NONE:
        of = next((seen[needed].entry for needed in entry.needs if needed in seen), None)
        return judgement.post_data if of is None else _section(of, judgement, seen)
    if entry.kind in ("SCHEMA", "EXTENSION"):
        return judgement.first
    if entry.kind == "EVENT TRIGGER":
        return judgement.event_triggers
    return judgement.pre_data if entry.section is Section.PRE_DATA else judgement.post_data


def _owner_lost(entry: TocEntry) -> Omission | None:
    """A word on an object that comes back, but not to its owner."""
    if platform.can_own(entry.owner) or not owned(entry):
        return None
    remedy = "Only the platform can give it back: it is postgres's after a restore, with the same grants."
    return Omission("database", f"owner {entry.owner} of {title(entry)}", remedy)


def owned(entry: TocEntry) -> str | None:
    """The object of an entry as `ALTER ... OWNER TO` names it; None for a kind without an owner of its own."""
    prefix = "DROP "
    if entry.kind in _OWNERLESS or not entry.owner or not entry.drop_sql.startswith(prefix):
        return None
    return entry.drop_sql[len(prefix) :].rstrip().rstrip(";")


# Their owner is their table's, or they have none (recipe §4).
_OWNERLESS = frozenset(
    {
        "POLICY",
        "TRIGGER",
        "RULE",
        "INDEX",
        "CONSTRAINT",
        "CHECK CONSTRAINT",
        "FK CONSTRAINT",
        "DEFAULT",
        "TABLE ATTACH",
        "INDEX ATTACH",
        "CAST",
        "ROW SECURITY",
        "SEQUENCE OWNED BY",
        "EXTENSION",
        "COMMENT",
        "PUBLICATION TABLE",
        "PUBLICATION TABLES IN SCHEMA",
        "SHELL TYPE",
    }
)


def title(entry: TocEntry) -> str:
    """A name for people, on one line: `policy objects photos_read in schema storage`."""
    where = f" in schema {entry.schema}" if entry.schema else ""
    return " ".join(f"{entry.kind.lower()} {entry.name}{where}".split())
