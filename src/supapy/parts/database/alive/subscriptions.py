"""Subscriptions to publications elsewhere: saved whole, and restored so that none calls its publisher unasked.

Making one calls the publisher, and so does switching one on. So a restore only puts it on the list of what sleeps; it
is made, as it was, when it wakes. Why, and what a person must know then, is said in docs/decisions/0021.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from supapy.model import Omission
from supapy.names import literal, quoted
from supapy.parts.database.alive.quiesced import SUBSCRIPTION, letting_sleep, read_quiesced
from supapy.parts.database.platform import platform
from supapy.parts.database.sql.statements import do_block
from supapy.project.moment import Moment

SEGMENT = "subscriptions"
# From this major on others than superusers may make one, members of pg_create_subscription.
FOR_EVERYBODY_SINCE = 16
_USUAL_PORT = "5432"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription, under its name as SQL writes it. `definition` makes it as it is, by the slot that it has at its
    publisher, and copies no rows: a secret, for the publisher's password is in it. `copying` counts the tables whose
    first rows are on their way."""

    name: str
    definition: str
    owner: str
    comment: str | None
    copying: int = 0

    @property
    def title(self) -> str:
        """What people and inventories call it."""
        return f"subscription {self.name}"


def read_subscriptions(moment: Moment) -> list[Subscription]:
    """Those of this database, by name, and those that sleep."""
    asleep = [
        Subscription(one.trigger or "", one.definition or "", one.owner or "", one.comment)
        for one in read_quiesced(moment)
        if one.sort == SUBSCRIPTION
    ]
    found = [_subscription(row) for (row,) in moment.once(_SUBSCRIPTIONS)] if _are_readable(moment) else []
    names = {one.name for one in found}
    return found + [one for one in asleep if one.name not in names]


def subscriptions_sql(moment: Moment) -> str:
    """Statements that put them on the list of what sleeps, or make them where nothing is to sleep."""
    return "".join(
        do_block(letting_sleep("subscription", **asdict(one), title=one.title, source=moment.project.host))
        for one in read_subscriptions(moment)
    )


def inventory(moment: Moment) -> Iterator[tuple[str, dict[str, Any]]]:
    """Subscriptions as they are compared: one that sleeps counts as what it will be."""
    for one in read_subscriptions(moment):
        yield one.title, {"secret": one.definition, "owner": one.owner, "comment": one.comment}


def omissions(moment: Moment) -> Iterator[Omission]:
    """What of them isn't saved, or can't wake just anywhere."""
    if not _are_readable(moment):
        for (name,) in moment.once(_NAMES):
            remedy = "This connection may not read what it connects to: have it made anew."
            yield Omission("database", f"{SUBSCRIPTION} {name}", remedy)
        return
    for one in read_subscriptions(moment):
        if moment.major < FOR_EVERYBODY_SINCE or not _connection(one.definition).get("password"):
            remedy = (
                f"It comes back asleep, but waits for a superuser: PostgreSQL before {FOR_EVERYBODY_SINCE} lets nobody "
                "else make one, and later ones let others only with the publisher's password in the connection."
            )
            yield Omission("database", f"waking of {one.title}", remedy)
        if one.copying:
            remedy = "What was still on its way isn't copied on waking: back up again once it has arrived."
            yield Omission("database", f"first rows of tables of {one.title}: {one.copying:,}", remedy)


def publisher(definition: str) -> str | None:
    """Where a subscription leads, without user and password; None where that can't be read."""
    said = _connection(definition)
    host, port = said.get("host") or said.get("hostaddr"), said.get("port") or _USUAL_PORT
    return f"postgresql://{host}:{port}/{said.get('dbname') or ''}" if host else None


def _connection(definition: str) -> dict[str, Any]:
    found = _CONNECTION.match(definition)
    if not found:
        return {}
    text = found[2].replace("''", "'")
    try:
        return dict(conninfo_to_dict(text.replace("\\\\", "\\") if found[1] else text))
    except ProgrammingError:
        return {}


def _are_readable(moment: Moment) -> bool:
    readable = "SELECT pg_catalog.has_column_privilege('pg_catalog.pg_subscription', 'subconninfo', 'SELECT')"
    return bool(moment.once(readable)[0][0])


def _subscription(row: dict[str, Any]) -> Subscription:
    options = {
        "enabled": row["subenabled"],
        "create_slot": False,
        "slot_name": "NONE" if row["subslotname"] is None else literal(row["subslotname"]),
        "copy_data": False,
        "streaming": _STREAMING.get(row["substream"], row["substream"]),
        "two_phase": row["subtwophasestate"] != "d",
        **{option: row[column] for option, (column, usual) in _OPTIONS.items() if row.get(column, usual) != usual},
    }
    given = ", ".join(f"{key} = {str(one).lower() if isinstance(one, bool) else one}" for key, one in options.items())
    publications = ", ".join(map(quoted, row["subpublications"]))
    return Subscription(
        row["name"],
        f"CREATE SUBSCRIPTION {row['name']} CONNECTION {literal(row['subconninfo'])} "
        f"PUBLICATION {publications} WITH ({given})",
        platform.owner_after_restore(row["owner"]),
        row["comment"],
        row["copying"],
    )


# `literal` writes a text with backslashes as E'…'.
_CONNECTION = re.compile(r"CREATE SUBSCRIPTION (?:\w+|\"(?:[^\"]|\"\")+\") CONNECTION (E?)'((?:[^']|'')*)'")
# A boolean before PostgreSQL 16, a letter from then on.
_STREAMING = {"f": False, "t": True, "p": "parallel"}
# Options, with their columns and what they are unless told otherwise.
_OPTIONS: dict[str, tuple[str, Any]] = {
    "binary": ("subbinary", False),
    "synchronous_commit": ("subsynccommit", "off"),
    "disable_on_error": ("subdisableonerr", False),
    "run_as_owner": ("subrunasowner", False),
    "origin": ("suborigin", "any"),
    "failover": ("subfailover", False),
}
_HERE = "subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
_NAMES = f"SELECT pg_catalog.quote_ident(subname) FROM pg_catalog.pg_subscription WHERE {_HERE} ORDER BY 1"
_SUBSCRIPTIONS = f"""
SELECT pg_catalog.to_jsonb(s) || pg_catalog.jsonb_build_object(
    'name', pg_catalog.quote_ident(subname), 'owner', pg_catalog.pg_get_userbyid(subowner),
    'comment', pg_catalog.obj_description(oid, 'pg_subscription'),
    'copying', (SELECT count(*) FROM pg_catalog.pg_subscription_rel
        WHERE srsubid = s.oid AND srsubstate NOT IN ('s', 'r')))
FROM pg_catalog.pg_subscription s WHERE {_HERE} ORDER BY subname
"""
