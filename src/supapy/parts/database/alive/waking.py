"""What sleeps in a project, what it would call, and how it wakes: as it was, or with other URLs and keys in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from supapy.errors import UsageError
from supapy.names import literal, quoted
from supapy.parts.database.alive.quiesced import (
    CRON_JOB,
    EVENT_TRIGGER,
    MATERIALIZED_VIEW,
    RULE,
    SUBSCRIPTION,
    TABLE,
    Quiesced,
    finish_sql,
    read_quiesced,
)
from supapy.parts.database.alive.webhooks import EVENT_TRIGGER_SQL
from supapy.project.postgres import Session

Rewrite = Callable[[str], str]
_CALL = re.compile(r'(?:"((?:[^"]|"")+)"|(\w+))\s*\(')


@dataclass(frozen=True, slots=True)
class Asleep:
    """One thing that sleeps. `text` is what it does: a job's command, or what makes a trigger, a rule, …; None when the
    thing itself is gone, or what isn't to be there yet is. `schedule` is a job's. `functions` are the user's own that
    this calls: (name, definition), nearest first. `followers` wake with it: what a partition's copy of the trigger is
    to be."""

    what: Quiesced
    text: str | None
    schedule: str | None = None
    functions: tuple[tuple[str, str], ...] = ()
    followers: tuple[Quiesced, ...] = ()

    @property
    def texts(self) -> list[str]:
        """All that it does, for looking through."""
        return [self.text or "", *(text for _, text in self.functions)]


def read_asleep(session: Session) -> list[Asleep]:
    """All that sleeps, in the order in which it is to wake."""
    listed = read_quiesced(session)
    if not listed:
        return []
    bodies: dict[str, list[tuple[str, str]]] = {}
    for name, title, body in session.rows(_FUNCTIONS):
        bodies.setdefault(name, []).append((title, body))
    leaders = [one for one in listed if not one.follows]
    found = []
    for one in leaders:
        text = _text(session, one)
        called = _called(f"{text or ''} {one.routine or ''}", bodies)
        followers = tuple(other for other in listed if other.follows and _leads(session, one, other))
        found.append(Asleep(one, text, _schedule(session, one), tuple(called), followers))
    return found


def _leads(session: Session, one: Quiesced, other: Quiesced) -> bool:
    """Whether the other is the copy of this trigger on a partition of its table."""
    named = (one.sort, one.trigger) == (other.sort, other.trigger)
    return named and bool(session.value(_IS_PARTITION, (one.relation, other.relation)))


def _text(session: Session, one: Quiesced) -> str | None:
    if one.sort == CRON_JOB:
        return _optional(session.value("SELECT command FROM cron.job WHERE jobid = %s", (one.job,)))
    if one.definition is not None:
        is_gone = one.relation and session.value("SELECT pg_catalog.to_regclass(%s) IS NULL", (one.relation,))
        return None if is_gone or _is_there(session, one) else one.definition
    if one.sort == MATERIALIZED_VIEW:
        return _optional(session.value("SELECT pg_catalog.pg_get_viewdef(pg_catalog.to_regclass(%s))", (one.relation,)))
    if one.sort == EVENT_TRIGGER:
        return _optional(session.value(_EVENT_TRIGGER, (one.trigger,)))
    return _optional(session.value(_RULE if one.sort == RULE else _TRIGGER, (one.trigger, one.relation)))


def _schedule(session: Session, one: Quiesced) -> str | None:
    if one.sort != CRON_JOB:
        return None
    return _optional(session.value("SELECT schedule FROM cron.job WHERE jobid = %s", (one.job,)))


def _is_there(session: Session, one: Quiesced) -> bool:
    """Whether somebody has made by hand what was to be made on waking."""
    if one.sort == SUBSCRIPTION:
        return bool(session.rows(_SUBSCRIPTION, (one.trigger,)))
    return bool(session.rows(_RULE if one.sort == RULE else _TRIGGER, (one.trigger, one.relation)))


def _optional(value: object) -> str | None:
    return None if value is None else str(value)


def _called(text: str, bodies: dict[str, list[tuple[str, str]]]) -> Iterator[tuple[str, str]]:
    """The user's functions that a text calls, whatever their schema, and those that they call."""
    seen: set[str] = set()
    texts = [text]
    while texts:
        for quoted_name, plain in _CALL.findall(texts.pop(0)):
            name = quoted_name.replace('""', '"') or plain.lower()
            if name in bodies and name not in seen:
                seen.add(name)
                yield from bodies[name]
                texts += [body for _, body in bodies[name]]


def wake(session: Session, one: Asleep, rewrite: Rewrite, *, in_functions: bool) -> None:
    """Let it act from now on, with what `rewrite` makes of what it does; all or nothing. What is gone is only taken off
    the list. `in_functions` says whether the functions it calls are rewritten as well. Raises what the server says."""
    with session.transaction():
        # First, and in replica mode: an event trigger is not to hear of our own table.
        session.execute("SET LOCAL session_replication_role = replica")
        numbers = [one.what.number, *(follower.number for follower in one.followers)]
        session.execute(f"DELETE FROM {TABLE} WHERE number = ANY (%s)", (numbers,))
        session.execute(finish_sql())
        session.execute("SET LOCAL session_replication_role = origin")
        if one.text is not None:
            _wake(session, one, one.text, rewrite, in_functions)


def _wake(session: Session, one: Asleep, text: str, rewrite: Rewrite, in_functions: bool) -> None:
    what, new = one.what, rewrite(text)
    if in_functions:
        for name, definition in one.functions:
            changed = rewrite(definition)
            if changed != definition:
                with _lent(session, _optional(session.value(_FUNCTION_OWNER, (name,)))):
                    session.execute(changed)
    if what.sort == CRON_JOB:
        with _lent(session, what.owner):
            session.execute(what.statement)
            if new != text:
                with _acting_as(session, what.owner):
                    session.execute("SELECT cron.alter_job(%s, command := %s)", (what.job, new))
        return
    with _lent(session, what.owner or _optional(session.value(_TABLE_OWNER, (what.relation,)))):
        if what.definition is not None:
            session.execute(new + what.statement.removeprefix(text))
        else:
            if new != text:
                _make_anew(session, what, new)
            session.execute(what.statement)
        for follower in one.followers:
            session.execute(follower.statement)


def _make_anew(session: Session, what: Quiesced, definition: str) -> None:
    """Make a trigger or a rule what it is to be, with the comment that it has. Raises UsageError for what can't be."""
    if what.sort == MATERIALIZED_VIEW:
        raise UsageError("its query can't be rewritten", "Drop it, and make it anew with another address.")
    if definition.startswith(plain := f"CREATE {what.sort.upper()} "):
        session.execute(definition.replace(plain, plain.replace("CREATE", "CREATE OR REPLACE"), 1))
        return
    comment = session.value(_COMMENT, (what.trigger, what.relation))
    session.execute(f"DROP TRIGGER IF EXISTS {what.trigger} ON {what.relation}")
    session.execute(definition)
    if comment is not None:
        session.execute(f"COMMENT ON TRIGGER {what.trigger} ON {what.relation} IS {literal(str(comment))}")


@contextmanager
def _lent(session: Session, role: str | None) -> Iterator[None]:
    """Membership of a role for the length of the block, where it isn't there anyway: who made a role may give it."""
    how = "SET" if session.server_version >= 160_000 else "MEMBER"
    if role is None or session.value(_IS_MEMBER, {"role": role, "how": how}):
        yield
        return
    session.execute(f"GRANT {quoted(role)} TO CURRENT_USER")
    yield
    session.execute(f"REVOKE {quoted(role)} FROM CURRENT_USER")


@contextmanager
def _acting_as(session: Session, role: str | None) -> Iterator[None]:
    """As a role that may not alter jobs but for now: pg_cron lets only a job's own role alter it."""
    me = session.value("SELECT current_user")
    if role is None or role == me:
        yield
        return
    altering = session.value(_ALTERING)
    lent = not session.value("SELECT pg_catalog.has_function_privilege(%s, %s, 'EXECUTE')", (role, altering))
    if lent:
        session.execute(f"GRANT EXECUTE ON FUNCTION {altering} TO {quoted(role)}")
    session.execute(f"SET LOCAL ROLE {quoted(role)}")
    yield
    session.execute(f"SET LOCAL ROLE {quoted(str(me))}")
    if lent:
        session.execute(f"REVOKE EXECUTE ON FUNCTION {altering} FROM {quoted(role)}")


_IS_PARTITION = """
SELECT pg_catalog.to_regclass(%s) IN (SELECT relid FROM pg_catalog.pg_partition_ancestors(pg_catalog.to_regclass(%s)))
"""
_TRIGGER = """
SELECT pg_catalog.pg_get_triggerdef(oid) FROM pg_catalog.pg_trigger
WHERE pg_catalog.quote_ident(tgname) = %s AND tgrelid = pg_catalog.to_regclass(%s) AND NOT tgisinternal
"""
_SUBSCRIPTION = """
SELECT FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
WHERE pg_catalog.quote_ident(s.subname) = %s AND d.datname = pg_catalog.current_database()
"""
_COMMENT = _TRIGGER.replace("pg_get_triggerdef(oid)", "obj_description(oid, 'pg_trigger')")
_EVENT_TRIGGER = f"""
SELECT {EVENT_TRIGGER_SQL} FROM pg_catalog.pg_event_trigger e WHERE pg_catalog.quote_ident(e.evtname) = %s
"""
_RULE = """
SELECT pg_catalog.pg_get_ruledef(oid) FROM pg_catalog.pg_rewrite
WHERE pg_catalog.quote_ident(rulename) = %s AND ev_class = pg_catalog.to_regclass(%s)
"""
_FUNCTIONS = """
SELECT p.proname, p.oid::pg_catalog.regprocedure::text, pg_catalog.pg_get_functiondef(p.oid)
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE l.lanname NOT IN ('internal', 'c') AND p.prokind IN ('f', 'p') AND p.oid >= 16384
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'supabase_functions')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY p.oid
"""
_FUNCTION_OWNER = """
SELECT pg_catalog.pg_get_userbyid(proowner) FROM pg_catalog.pg_proc WHERE oid = pg_catalog.to_regprocedure(%s)
"""
# Triggers on the platform's tables are made by right of a grant.
_TABLE_OWNER = """
SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class
WHERE oid = pg_catalog.to_regclass(%s) AND pg_catalog.pg_get_userbyid(relowner) !~ '^supabase_'
"""
_IS_MEMBER = """
SELECT pg_catalog.pg_has_role(current_user, %(role)s, %(how)s)
    AND pg_catalog.pg_has_role(current_user, %(role)s, 'USAGE')
"""
_ALTERING = """
SELECT p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'cron' AND p.proname = 'alter_job'
"""
