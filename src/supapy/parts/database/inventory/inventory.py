"""What a database holds besides rows, as plain data: saved with a backup, and held against a live project.

Sorts of things, each thing a name and its properties. Only what a restore can bring back counts: the platform's own
things aren't listed, and an owner that can't be given back is the one he becomes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from supapy.names import qualified
from supapy.parts.database.alive import cron, refreshing, subscriptions, webhooks
from supapy.parts.database.alive.quiesced import MATERIALIZED_VIEW
from supapy.parts.database.inventory.makers import Makers
from supapy.parts.database.inventory.properties import Properties, plain, sign
from supapy.parts.database.inventory.queries import INVENTORY
from supapy.parts.database.platform import platform, queues, vault
from supapy.parts.database.rows.inherited import places
from supapy.parts.database.rules.comments import COMMENTS
from supapy.parts.database.rules.facts import Facts
from supapy.parts.database.rules.rules import Judgement
from supapy.parts.database.script import grants, roles, specials
from supapy.project.moment import Moment
from supapy.project.schema import PG_CLASS

Inventory = dict[str, dict[str, Properties]]
# By sort and name.
Made = dict[str, dict[str, int]]

# Sorts of what other things are pieces of.
_TABLES = frozenset({"tables", "views"})
# Sorts that don't hang on tables: of a part of a database only what it names is looked at.
_BY_NAME = (
    "sequence values",
    "default privileges",
    "roles",
    "memberships",
    "settings",
    "large objects",
    "cron jobs",
    "subscriptions",
    "queues",
)
VAULT_SECRETS = "vault secrets"
# The property of grants that names the extension which their object is a member of. It is no privilege.
EXTENSION = "extension"
# Before a thing's properties its name, catalog, oid and relation stand in the rows of the inventory's queries.
_KEYS = 4


class Thing(NamedTuple):
    """One thing in the catalogs, with its properties as they are compared. `relation` is the oid of the table it
    belongs to, or 0."""

    sort: str
    name: str
    properties: Properties
    catalog: int
    oid: int
    relation: int

    def is_of(self, lost: set[tuple[int, int]]) -> bool:
        """Whether it is one of the lost objects, or a piece of one."""
        return (self.catalog, self.oid) in lost or (PG_CLASS, self.relation) in lost


def take_inventory(
    moment: Moment,
    facts: Facts,
    judgement: Judgement,
    things: list[Thing],
    sequences: Iterable[specials.Sequence],
    granted: Sequence[grants.Grant],
) -> tuple[Inventory, Made, list[str]]:
    """All that a restore of this moment is to bring back, which statements make it, and the names of the things that it
    can't.

    `things` is what `read_things` gives, `granted` what `read_grants` does; `sequences` are the states that were saved,
    since sequences move on while they are looked at.
    """
    if judgement.is_part:
        # Another policy may stand in the place of one that wasn't asked for (script/policies.py).
        policies = [entry for entry in judgement.aside if entry.kind == "POLICY"]
        kept, lost = judgement.kept_objects, {(entry.catalog, entry.oid) for entry in (*judgement.lost, *policies)}
        left_out = {thing.name for thing in things if (thing.catalog, thing.oid) in lost}
        things = [thing for thing in things if thing.is_of(kept)]
    else:
        lost = judgement.lost_objects
        left_out = {thing.name for thing in things if thing.is_of(lost)} if lost else set()
        # Whoever needs a column that the user added is lost as well.
        left_out |= {f"use of {one.title}" for one in facts.additions if one.certain and one.kind == "column"}
        left_out |= {_grants_on(grant) for grant in granted if (grant.catalog, grant.oid) in lost}
    granted = grants.of_kept(granted, judgement)
    makers = Makers.of(judgement)
    inventory = _sorted(moment, facts, things, granted, sequences, left_out, judgement.roles, makers)
    return inventory, makers.made, sorted(left_out)


def live_inventory(moment: Moment, facts: Facts, left_out: set[str], part: Inventory | None = None) -> Inventory:
    """The same of a live project, without the things that a backup had to leave out. Of a `part` only what is in it
    counts, and what belongs to a table that is in it."""
    sequences = specials.read_sequences(moment, facts.managed, set())
    granted = grants.read_grants(moment, facts)
    things = read_things(moment, facts)
    if part is None:
        return _sorted(moment, facts, things, granted, sequences, left_out)

    def is_named(thing: Thing) -> bool:
        return thing.name in part.get(thing.sort, {})

    tables = {thing.relation for thing in things if thing.sort in _TABLES and is_named(thing)}
    things = [thing for thing in things if thing.relation in tables or is_named(thing)]
    of = {(thing.catalog, thing.oid) for thing in things}
    granted = [one for one in granted if (one.catalog, one.oid) in of or _grants_on(one) in part.get("grants", {})]
    live = _sorted(moment, facts, things, granted, sequences, left_out)
    for sort in live.keys() & set(_BY_NAME):
        live[sort] = {name: value for name, value in live[sort].items() if name in part.get(sort, {})}
    return live


def vault_inventory(secrets: Iterable[vault.VaultSecret]) -> Inventory:
    """The secrets of the vault, where a backup has them: digests of their values."""
    return {VAULT_SECRETS: {name: plain(properties) for name, properties in vault.inventory(secrets)}}


def read_things(moment: Moment, facts: Facts) -> list[Thing]:
    """All that the catalogs know of the user's."""
    return list(_things(moment, facts))


def _things(moment: Moment, facts: Facts) -> Iterator[Thing]:
    parameters = {
        "managed": sorted(facts.managed),
        "platform": platform.PLATFORM_ROLE_PATTERN,
        "platform_functions": sorted(platform.EXTENSIONS_FUNCTIONS),
        "platform_triggers": sorted(platform.PLATFORM_TRIGGERS),
        "platform_event_triggers": sorted(platform.EVENT_TRIGGERS),
        "platform_publication": platform.PLATFORM_PUBLICATION_PREFIX,
    }
    mappings = f"{specials.user_mappings(moment)} m"
    after_restore = places(moment)
    asleep = {f"{MATERIALIZED_VIEW} {relation}" for relation in refreshing.asleep(moment)}
    empty = [f"'{catalog}'::regclass::oid" for (catalog,) in moment.rows(_EMPTY)]
    listings = [
        (sort, query.replace("pg_user_mapping m", mappings))
        for sort, query in INVENTORY
        if not any(catalog in query.partition("FROM")[0] for catalog in empty)
    ]
    answers = moment.several([query for _, query in listings], parameters)
    for (sort, _), (columns, rows) in zip(listings, answers, strict=True):
        keys = columns[_KEYS:]
        # Most columns are like many others: what is the same is made, kept and written once.
        alike: dict[Hashable, Properties] = {}
        for row in rows:
            name, catalog, oid, relation = row[:_KEYS]
            if (PG_CLASS, relation) in facts.queues:
                continue  # It comes with its queue, in whatever form the server's pgmq gives it; so do its rules.
            values = row[_KEYS:]
            changed: Properties = {}
            if sort == "columns" and after_restore:
                place = values[keys.index("place")]
                changed["place"] = after_restore.get((relation, place), place)
            if hook := facts.webhooks.get((catalog, oid)):
                # One that sleeps counts as what it will be.
                changed["enabled"] = hook.state
            if sort == "views" and name in asleep:
                changed["filled"] = True
            key = sign(values, changed)
            if (properties := alike.get(key)) is None:
                properties = alike[key] = plain(dict(zip(keys, values, strict=True)) | changed)
            yield Thing(sort, name, properties, catalog, oid, relation)
    for hook in webhooks.unmade(moment):
        properties = plain({"definition": hook.definition, "enabled": hook.state})
        yield Thing(f"{hook.sort}s", hook.title, properties, 0, 0, 0)


def _sorted(
    moment: Moment,
    facts: Facts,
    things: list[Thing],
    granted: Iterable[grants.Grant],
    sequences: Iterable[specials.Sequence],
    left_out: set[str],
    only: roles.Roles = None,
    makers: Makers | None = None,
) -> Inventory:
    makers = makers or Makers()
    inventory: Inventory = {}
    things = [thing for thing in things if thing.name not in left_out]
    for thing in things:
        properties = thing.properties
        if thing.sort == "publications":
            properties = without_tables(properties, left_out)
        inventory.setdefault(thing.sort, {})[thing.name] = properties
        makers.note(thing.sort, thing.name, thing.catalog, thing.oid, thing.relation)
    whole = only is None
    # Words of our own, in the tens of thousands: they are plain as they are.
    inventory["grants"] = {name: given for name, given in _grants(granted, makers) if name not in left_out}
    for sort, named in (
        ("sequence values", _states(sequences, makers)),
        ("default privileges", _default_privileges(moment) if whole else ()),
        ("roles", _roles(moment, only)),
        ("memberships", _memberships(moment, only)),
        ("settings", _settings(moment, only)),
        ("comments", _comments(moment, facts, things, makers)),
        ("large objects", specials.inventory(moment) if whole else ()),
        ("cron jobs", cron.inventory(cron.read_jobs(moment)) if whole else ()),
        ("subscriptions", subscriptions.inventory(moment) if whole else ()),
        ("queues", queues.inventory(moment) if whole else ()),
    ):
        inventory[sort] = {name: plain(properties) for name, properties in named if name not in left_out}
    return {sort: named for sort, named in inventory.items() if named}


def _states(sequences: Iterable[specials.Sequence], makers: Makers) -> Iterator[tuple[str, Properties]]:
    for one in sequences:
        name = f"sequence {qualified(one.schema, one.name)}: value"
        makers.note_sequence("sequence values", name, one)
        yield name, {"value": one.value, "given out": one.called}


def without_tables(publication: Properties, left_out: Set[str]) -> Properties:
    """A publication's properties without its tables that are left out."""
    tables = [one for one in publication.get("tables") or [] if f"table {one[0]}" not in left_out]
    return {key: value for key, value in publication.items() if key != "tables"} | (
        {"tables": tables} if tables else {}
    )


def _grants(granted: Iterable[grants.Grant], makers: Makers) -> Iterator[tuple[str, Properties]]:
    by_object: dict[str, Properties] = {}
    # Most objects share their privileges with many others.
    alike: dict[tuple[int, str | None, str | None], Properties] = {}
    for grant in granted:
        if grant.privileges and not grant.beyond_postgres:
            name, sign = _grants_on(grant), (id(grant.privileges), grant.column, grant.extension)
            if sign not in alike:
                member = {EXTENSION: f"extension {grant.extension}"} if grant.extension else {}
                alike[sign] = _privileges(grant.privileges, grant.column) | member
            given = alike[sign]
            by_object[name] = by_object[name] | given if name in by_object else given
            makers.note("grants", name, grant.catalog, grant.oid)
    yield from by_object.items()


def _privileges(privileges: grants.Privileges, column: str | None) -> Properties:
    of = f" ({column})" if column else ""
    return {
        f"{one.name}{of} to {one.grantee or 'PUBLIC'} by {one.grantor}": (
            "with grant option" if one.grantable else "granted"
        )
        for one in privileges
    }


def _grants_on(grant: grants.Grant) -> str:
    return f"grants on {grant.object}"


def _default_privileges(moment: Moment) -> Iterator[tuple[str, Properties]]:
    by_scope: dict[str, Properties] = {}
    for owner, schema, _, kind, _, grantee, privilege, grantable in grants.read_default_privileges(moment):
        where = f" in schema {schema}" if schema else ""
        properties = by_scope.setdefault(f"default privileges of {owner}{where} on {str(kind).lower()}", {})
        if privilege is not None:
            properties[f"{privilege} to {grantee or 'PUBLIC'}"] = "with grant option" if grantable else "granted"
    yield from by_scope.items()


def _roles(moment: Moment, only: roles.Roles) -> Iterator[tuple[str, Properties]]:
    for name, words, password, comment in roles.read_roles(moment, only):
        yield f"role {name}", {"attributes": words, "password": password, "comment": comment}
    if only is not None:
        return
    comment, limit = roles.read_database(moment)
    yield "the database", {"comment": comment, "connection limit": limit}


def _memberships(moment: Moment, only: roles.Roles) -> Iterator[tuple[str, Properties]]:
    by_pair: dict[str, Properties] = {}
    for role, member, admin, inherit, switch in roles.read_memberships(moment, only):
        # Several grantors may have granted one membership; what it allows is what they allow together.
        properties = by_pair.setdefault(f"membership of {member} in {role}", {})
        for name, value in (("admin", admin), ("inherits", inherit), ("may switch", switch)):
            if value is not None:
                properties[name] = properties.get(name, False) or value
    yield from by_pair.items()


def _settings(moment: Moment, only: roles.Roles) -> Iterator[tuple[str, Properties]]:
    for role, in_database, name, value in roles.read_settings(moment, only):
        yield f"setting {name} of {roles.whose(role, in_database)}", {"value": value}


def _comments(moment: Moment, facts: Facts, things: list[Thing], makers: Makers) -> Iterator[tuple[str, Properties]]:
    """Those on the given things, but for triggers of the platform's tables, which only their owner can comment on."""
    unowned = {oid for oid, trigger in facts.triggers.items() if trigger.schema in facts.managed - {"extensions"}}
    rows = moment.once(COMMENTS)
    commented = {oid for _, oid, *_ in rows}
    known = {
        (thing.catalog, thing.oid): thing
        for thing in things
        if thing.oid in commented and (thing.sort != "triggers" or thing.oid not in unowned)
    }
    for catalog, oid, name, comment, _ in rows:
        if of := known.get((catalog, oid)):
            makers.note("comments", f"comment on {name}", of.catalog, of.oid, of.relation)
            yield f"comment on {name}", {"text": comment}
    # What isn't there before it wakes will have its comment then.
    given = {thing.name for thing in things}
    for title, name, comment in webhooks.comments(moment):
        if title in given:
            yield f"comment on {name}", {"text": comment}


def is_preinstalled(name: str) -> bool:
    """Whether a thing is an extension that new projects come with, of which a target may have more or fewer."""
    return name.removeprefix("extension ").strip('"') in platform.PREINSTALLED


# Catalogs in which most projects have nothing of their own, as far as that is so: what the server came with has lower
# numbers. To ask all of them this takes it a tenth of what it takes to ask each what is in it.
_EMPTY = " UNION ALL ".join(
    f"SELECT '{catalog}' WHERE NOT EXISTS (SELECT FROM pg_catalog.{catalog} WHERE oid >= 16384)"
    for catalog in (
        *("pg_statistic_ext", "pg_foreign_server", "pg_foreign_data_wrapper", "pg_operator", "pg_cast"),
        *("pg_ts_config", "pg_ts_dict", "pg_collation", "pg_conversion"),
    )
)
