"""Two databases held against each other: what a backup says of the one, what the server says of the other."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from typing import Any

from supapy.events import Expected, Listener, TableBegun, TableEnded, TableMoved, ignore
from supapy.model import Difference, Finding, Proof
from supapy.names import qualified
from supapy.parts.base import Source, comparing
from supapy.parts.database.alive.quiesced import read_quiesced
from supapy.parts.database.inventory.contents import FILE, Contents
from supapy.parts.database.inventory.extensions import gone
from supapy.parts.database.inventory.inventory import (
    EXTENSION,
    VAULT_SECRETS,
    Inventory,
    is_preinstalled,
    live_inventory,
    vault_inventory,
)
from supapy.parts.database.inventory.makers import STATEMENT
from supapy.parts.database.inventory.properties import Properties
from supapy.parts.database.inventory.sealed import sealed_in
from supapy.parts.database.inventory.stood_on import STOOD_ON_SORTS
from supapy.parts.database.platform import vault
from supapy.parts.database.rows.tables import copy_statement, database_rows
from supapy.parts.database.rules.facts import read_facts
from supapy.parts.database.script.segments import Segment
from supapy.parts.database.sql.statements import sql_file
from supapy.project.moment import Moment
from supapy.project.schema import Table
from supapy.stream import NO_ROWS, fingerprint, newlines

STAGE = comparing("database")
# The major from which tables know the privilege MAINTAIN: a backup of an older server says nothing of it.
MAINTAIN_SINCE = 17
# Sorts whose values may be secrets: a difference names the property only.
_QUIET_SORTS = frozenset({"settings", "roles", "foreign servers", "subscriptions", VAULT_SECRETS})
LONGEST_SHOWN_CHARACTERS = 60


def compare(backup: Source, moment: Moment, contents: Contents, listener: Listener = ignore) -> Iterator[Finding]:
    """Every difference in schema and rows, and what was found equal; of what `contents` says of the backup. The
    `listener` hears of each table's rows."""
    part = contents.inventory if contents.is_part else None
    live = live_inventory(moment, read_facts(moment), set(contents.left_out), part)
    sealed = [] if contents.is_part else sealed_in(backup, contents)
    if opened := vault.opened(moment.session, sealed):
        contents = replace(contents, inventory=contents.inventory | vault_inventory(opened))
    if VAULT_SECRETS in contents.inventory:
        # Values of the vault are looked at only where the backup has any that can be read, here at least.
        live |= vault_inventory(vault.read_values(moment)[0])
    if lacking := gone(contents, moment):
        extensions = contents.inventory["extensions"]
        rest = {name: said for name, said in extensions.items() if name not in lacking}
        contents = replace(contents, inventory=contents.inventory | {"extensions": rest})
    strangers = _strangers(contents.inventory, live)
    lost, new = _of_other_versions(contents, live, moment)
    contents, live = replace(contents, inventory=_without(contents.inventory, lost)), _without(live, new)
    for sort in dict.fromkeys((*contents.inventory, *live)):
        if sort in STOOD_ON_SORTS:
            continue  # What stands on them is compared.
        yield from _compare_sort(sort, contents, live, moment.major, strangers)
    yield from _compare_rows(backup, contents, moment, listener)
    if asleep := sum(not one.follows for one in read_quiesced(moment)):
        yield Proof("database", "things asleep until `supapy activate`", asleep)


def _of_other_versions(contents: Contents, live: Inventory, moment: Moment) -> tuple[set[str], set[str]]:
    """The grants, saved and found, on what an extension has in one of two versions only: that is the version's."""
    saved, found = (inventory.get("extensions", {}) for inventory in (contents.inventory, live))
    others = {name for name in saved.keys() & found.keys() if saved[name].get("version") != found[name].get("version")}
    ours, theirs = (inventory.get("grants", {}) for inventory in (contents.inventory, live))
    lost, new = (
        {name for name in one.keys() - other.keys() if one[name].get(EXTENSION) in others}
        for one, other in ((ours, theirs), (theirs, ours))
    )
    if lost:
        # Nobody may have a privilege on what is there all the same.
        lost -= {f"grants on {obj}" for (obj,) in moment.rows(f"{sql_file('privileged')} SELECT obj FROM object")}
    return lost, new


def _without(inventory: Inventory, grants: Container[str]) -> Inventory:
    kept = {name: said for name, said in inventory.get("grants", {}).items() if name not in grants}
    return inventory | {"grants": kept}


def _strangers(saved: Inventory, live: Inventory) -> set[str]:
    """What only the target has, of all that has grants of its own, without the words for its kind, which grants have
    others for. What hangs on a thing that both have (a trigger, a comment) doesn't make its grants strange."""
    return {_KIND.sub("", name) for sort in _GRANTED for name in live.get(sort, {}).keys() - saved.get(sort, {}).keys()}


_GRANTED = ("schemas", "tables", "views", "sequences", "functions", "types", "foreign servers", "large objects")
_KIND = re.compile(r"^(?:grants on )?(?:[A-Z]+ |[a-z]+ )+")


def _compare_sort(
    sort: str, contents: Contents, live: Inventory, major: int, strangers: Container[str]
) -> Iterator[Finding]:
    saved, found = contents.inventory.get(sort, {}), live.get(sort, {})
    equal = 0
    for name in sorted(saved.keys() | found.keys()):
        one, other = (
            _comparable(sort, named[name], contents.major, major) if name in named else None for named in (saved, found)
        )
        if sort == "grants" and _KIND.sub("", name) not in strangers:
            # An object on which nobody has a privilege isn't listed.
            one, other = one or {}, other or {}
        if one == other and one is not None:
            equal += len(one) if sort == "grants" else 1
        elif one is None:
            if not (sort == "extensions" and is_preinstalled(name)):
                yield Difference("database", name, "extra")
        elif other is None:
            yield Difference("database", name, "missing")
        else:
            yield Difference("database", name, "changed", _detail(one, other, quiet=sort in _QUIET_SORTS))
    if equal:
        yield Proof("database", sort, equal)


def _comparable(sort: str, properties: Properties, saved_major: int, live_major: int) -> Properties:
    """Without what one of the two servers can't say, or says in other words."""
    # A secret of the vault gets a new id in every project.
    unsaid = {STATEMENT, "id"}
    if sort == "grants":
        unsaid |= {EXTENSION}
    if sort == "extensions":
        # It is the target's (recipe §2), and a restore's plan names it.
        unsaid |= {"version"}
    if saved_major != live_major:
        unsaid |= {"definition"}
    else:
        unsaid |= {"meaning"}
    if saved_major < MAINTAIN_SINCE:
        unsaid |= {key for key in properties if key.startswith("MAINTAIN ")}
    if min(saved_major, live_major) < 16:
        unsaid |= {"inherits", "may switch"}
    return {key: value for key, value in properties.items() if key not in unsaid}


def _detail(one: Properties, other: Properties, *, quiet: bool) -> str:
    keys = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
    if quiet:
        return f"not the same: {', '.join(keys)}"
    return "; ".join(_shown(key, one.get(key), other.get(key)) for key in keys)


def _shown(key: str, *values: Any) -> str:
    """Both values, long ones from where they part."""
    texts = ["nothing" if value is None else str(value) for value in values]
    start = 0
    if max(map(len, texts)) > LONGEST_SHOWN_CHARACTERS:
        parting = next(
            (at for at, pair in enumerate(zip(*texts, strict=False)) if len(set(pair)) > 1), min(map(len, texts))
        )
        start = max(0, parting - LONGEST_SHOWN_CHARACTERS // 2)
    saved, found = (
        ("…" if start else "")
        + text[start:][:LONGEST_SHOWN_CHARACTERS]
        + ("…" if len(text) > start + LONGEST_SHOWN_CHARACTERS else "")
        for text in texts
    )
    return f"{key}: saved {saved}, found {found}"


def _compare_rows(backup: Source, contents: Contents, moment: Moment, listener: Listener) -> Iterator[Finding]:
    """Table by table; what a hash-partitioned table routes by itself counts as a whole."""
    live: dict[tuple[str, str], list[Table]] = {}
    for rows in database_rows(moment, set()):
        live.setdefault(rows.table.load_into, []).append(rows.table)
    targets = _by_target(contents.row_segments)
    # Those of a table or column that is missing, which was told already, aren't looked at.
    there = {target: segments for target, segments in targets.items() if _has(live.get(target), segments)}
    sizes = {target: sum(one.table["rows_length"] for one in segments) for target, segments in there.items()}
    # All are read twice: here and there.
    listener(Expected(STAGE, 2 * sum(sizes.values())))
    equal = 0
    for target, segments in there.items():
        name = ".".join(target)
        listener(TableBegun(STAGE, name))
        columns, where = segments[0].table["columns"], segments[0].table["where"]
        ours = (_told(saved_rows(backup, segment), name, listener, counted=False) for segment in segments)
        saved = sum(map(fingerprint, ours), NO_ROWS)
        copies = (moment.copy_out(copy_statement(table.sql, columns, where)) for table in live[target])
        found = sum((fingerprint(_told(copy, name, listener, counted=True)) for copy in copies), NO_ROWS)
        listener(TableEnded(STAGE, name, found.rows, sizes[target]))
        if detail := saved.unlike(found):
            yield Difference("database", f"rows of {qualified(*target)}", "changed", detail)
        else:
            equal += saved.rows
    if equal:
        yield Proof("database", "rows", equal)


def _has(tables: list[Table] | None, segments: list[Segment]) -> bool:
    """Whether all of the tables have the columns of the saved rows."""
    columns = set(segments[0].table["columns"])
    return bool(tables) and all({column.name for column in table.columns} >= columns for table in tables or ())


def _told(pieces: Iterable[bytes], table: str, listener: Listener, *, counted: bool) -> Iterator[bytes]:
    """The same pieces; their rows are `counted` in one of the two places."""
    for piece in pieces:
        rows, size = (newlines(piece), len(piece)) if counted else (0, 0)
        listener(TableMoved(STAGE, table, rows, size, len(piece)))
        yield piece


def _by_target(segments: Iterable[Segment]) -> dict[tuple[str, str], list[Segment]]:
    targets: dict[tuple[str, str], list[Segment]] = {}
    for segment in segments:
        schema, name = segment.table["load_into"]
        targets.setdefault((schema, name), []).append(segment)
    return targets


def saved_rows(backup: Source, segment: Segment) -> Iterator[bytes]:
    """The saved rows of a table, as COPY's lines in pieces."""
    start = segment.offset + segment.table["rows_start"]
    return backup.read(FILE, start, start + segment.table["rows_length"])
