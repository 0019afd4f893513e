"""What a restore leaves asleep: it acts by itself, so it waits until somebody says `supapy activate`.

The target itself keeps the list, in a table of our own, with the SQL that wakes each thing, so that it can be done from
any machine, also without supapy: `SELECT statement FROM _supapy.quiesced ORDER BY number \\gexec`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from supapy.parts.database.sql.statements import Value, as_sql, do_block, sql_file
from supapy.project.mark import private_block
from supapy.project.schema import Reader

SCHEMA = "_supapy"
TABLE = f"{SCHEMA}.quiesced"
CRON_JOB = "cron job"
TRIGGER = "trigger"
RULE = "rule"
EVENT_TRIGGER = "event trigger"
SUBSCRIPTION = "subscription"
MATERIALIZED_VIEW = "materialized view"
# What reaches out when rows or definitions change.
REACHING = frozenset({TRIGGER, RULE, EVENT_TRIGGER})


class Quiesce(Enum):
    """What becomes of the things that act by themselves: cron jobs, triggers and rules that reach out. The values are
    those of the script's own setting `supapy.quiesce`."""

    ALL = "on"
    # Those that slept at the source still sleep; into the source itself nothing else must be put to sleep.
    AS_SAVED = "kept"
    NONE = "off"

    @property
    def setting(self) -> str:
        """The statement that says so to the script."""
        return f"SET supapy.quiesce = '{self.value}';\n"


@dataclass(frozen=True, slots=True)
class Quiesced:
    """One thing that sleeps. `name` is what people and comparisons call it, `statement` wakes it.

    A cron job has `job` and `owner`; a trigger or a rule `relation`, its name as `trigger`, the state it wakes to
    (pg_trigger.tgenabled, pg_rewrite.ev_enabled) and, a trigger, the `routine` it calls; an event trigger and a
    subscription, which has an `owner`, are of no `relation`, and a materialized view is one. What isn't there before it
    wakes has the `definition` that makes it, with which its statement begins, and the `comment` that it will have.
    `source` is the host of the project that it comes from.
    """

    number: int
    sort: str
    name: str
    job: int | None
    relation: str | None
    trigger: str | None
    state: str
    routine: str | None
    owner: str | None
    statement: str
    definition: str | None
    comment: str | None
    source: str

    @property
    def follows(self) -> bool:
        """Whether it is a partition's copy that is off when its parent is on."""
        return self.state == "D"


def read_quiesced(reader: Reader) -> list[Quiesced]:
    """All that sleeps, in the order in which it is to wake."""
    if not reader.once("SELECT WHERE pg_catalog.to_regclass(%s) IS NOT NULL", (TABLE,)):
        return []
    return [Quiesced(*row) for row in reader.rows(_QUIESCED)]


def letting_sleep(name: str, /, **values: Value) -> str:
    """The PL/pgSQL body of an SQL file that puts things on the list: with what makes the list, and with values in the
    places of their names."""
    return sql_file(name, record=_list_sql(), **{place: as_sql(value) for place, value in values.items()})


def prepare_sql() -> str:
    """A statement that makes the list, so that what comes after it may be run side by side."""
    return do_block(f"BEGIN\n        {_list_sql()}\nEND")


def _list_sql() -> str:
    """What makes the list where there is none yet, within a PL/pgSQL body. Nobody else may read it, whatever the
    project grants by default: it has passwords and keys."""
    return sql_file("quiesced", private=private_block(SCHEMA)).rstrip()


def finish_sql() -> str:
    """A statement that takes the list away when nothing is on it."""
    return do_block(sql_file("nothing_sleeps"))


# The lists of early versions have fewer columns.
_QUIESCED = f"""
SELECT number, sort, name, job, relation, trigger, state, routine, owner, statement,
    coalesce(said ->> 'definition', substring(statement FROM '^CREATE .*')), said ->> 'comment', source
FROM {TABLE} q, pg_catalog.to_jsonb(q) said ORDER BY number
"""
