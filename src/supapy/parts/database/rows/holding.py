"""Keeping the tables of a moment as they are until it ends: what pg_dump describes must be what COPY reads."""

from __future__ import annotations

from collections.abc import Sequence

from supapy.errors import AccessDenied, Overtaken, SqlError
from supapy.names import few
from supapy.project.moment import Moment
from supapy.project.postgres import numbers
from supapy.project.schema import Table
from supapy.project.usual import LOCK_TIMEOUT_S

_LOCK_NOT_AVAILABLE = "55P03"
_UNDEFINED_TABLE = "42P01"


def hold(moment: Moment, tables: Sequence[Table], wait_s: int = LOCK_TIMEOUT_S) -> None:
    """Lock the tables against being altered, emptied or dropped, after at most `wait_s` seconds for each that somebody
    else holds. Rows may be read and written all the while.

    Raises SqlError, with the table's name, when one stays locked, Overtaken when one was written anew since the
    snapshot: its old rows are gone, whatever the snapshot.
    """
    if not tables:
        return
    oids = [table.oid for table in tables]
    moment.session.execute("SELECT pg_catalog.set_config('lock_timeout', %s, true)", (f"{wait_s}s",))
    try:
        moment.session.execute(f"LOCK TABLE {', '.join(table.sql for table in tables)} IN ACCESS SHARE MODE")
    except SqlError as error:
        if error.sqlstate == _LOCK_NOT_AVAILABLE:
            raise _locked(moment, oids, wait_s) from None
        if error.sqlstate == _UNDEFINED_TABLE:
            raise _overtaken("a table was dropped or renamed") from None
        raise
    anew = moment.rows(_WRITTEN_ANEW, (numbers(oids),))
    if anew:
        raise _overtaken(f"{_named(anew)} was emptied or rewritten")


def _overtaken(what: str) -> Overtaken:
    return Overtaken(
        f"{what} just when the backup began",
        "Back up when no migration or bulk load runs.",
    )


def refuse_hidden(moment: Moment, tables: Sequence[Table]) -> None:
    """Raises AccessDenied where row security would hide rows of the tables from this connection."""
    hidden = moment.rows(_HIDDEN, (numbers(table.oid for table in tables),))
    if hidden:
        raise AccessDenied(
            f"row security hides rows of {_named(hidden)} from this connection",
            "Connect as the project's postgres role, or give the role BYPASSRLS: a backup holds all rows or none.",
        )


def _locked(moment: Moment, oids: list[int], wait_s: int) -> SqlError:
    """Who is in the way, asked by another connection: the moment's own transaction has failed."""
    with moment.project.session() as session:
        found = session.rows(_HOLDERS, (oids,))
    names, holders = sorted({row[:2] for row in found}), sorted({row[2] for row in found})
    what = _named(names) if names else "a table"
    who = f" by {', '.join(holders)}" if holders else ""
    return SqlError(
        f"{what} is locked{who}, for longer than {wait_s} s",
        "Wait until that is done, or end it with SELECT pg_terminate_backend(process), and begin again.",
        sqlstate=_LOCK_NOT_AVAILABLE,
    )


def _named(tables: Sequence[tuple[str, ...]]) -> str:
    return f"table{'s' if len(tables) > 1 else ''} {few(f'{schema}.{name}' for schema, name in tables)}"


_HIDDEN = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s) AND c.relrowsecurity AND pg_catalog.row_security_active(c.oid) ORDER BY 1, 2
"""
# The catalog as the snapshot has it, against what the server has now.
_WRITTEN_ANEW = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s) AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid) ORDER BY 1, 2
"""
_HOLDERS = """
SELECT n.nspname, c.relname, pg_catalog.concat_ws(' ', 'process', l.pid::text,
    '(' || nullif(a.application_name, '') || ')')
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = ANY (%s) AND l.mode = 'AccessExclusiveLock' AND l.granted
"""
