"""Looking whether all is ready: the settings, the project behind them, this machine. Nothing is changed anywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from supapy.errors import AccessDenied, StoreError, SupapyError, UsageError, WrongProject
from supapy.names import many
from supapy.parts.database.alive.quiesced import read_quiesced
from supapy.project.mark import unfinished
from supapy.project.pgtools import find
from supapy.project.postgres import Session, connect, parse
from supapy.project.project import Project, claims
from supapy.secret import Secret
from supapy.settings import PROJECT_SETTINGS, Settings

# Who asks wants to know now: one lost request is forgiven, a server that is down is told of.
MOST_TRIES = 2


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one thing. `exit_code` is what it comes to when it failed."""

    name: str
    state: Literal["ok", "warning", "failed"]
    text: str
    hint: str = ""
    exit_code: int = 0


T = TypeVar("T")
# The checks of one thing, and what the checks after them need of it, if it can be had.
Found = Generator[Check, None, T | None]


def examine(settings: Settings) -> Iterator[Check]:
    """One check after another; what failed doesn't stop what can still be looked at. Raises nothing of ours."""
    yield from _settings(settings)
    with ExitStack() as stack:
        project = yield from _project(settings, stack)
        session = yield from _database(settings, stack)
        if session:
            yield from _told("PostgreSQL programs", _programs(settings, session))
            yield from _told("rights", _rights(session))
            yield from _told("what sleeps", _asleep(session))
        if project:
            yield from _told("Storage server", _storage(project, session))
            yield from _told("Auth server", _auth(project, session))
        yield from _told("backup folder", _folder(settings.backup_dir, session))


def _failed(name: str, error: SupapyError) -> Check:
    return Check(name, "failed", error.message, error.hint or "", error.exit_code)


def _told(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """The checks, and what stopped them as one that failed."""
    try:
        yield from checks
    except SupapyError as error:
        yield _failed(name, error)


def _settings(settings: Settings) -> Iterator[Check]:
    missing = [name for name in PROJECT_SETTINGS if not settings.values.get(name)]
    if missing == ["SUPABASE_DB_URL"]:
        text = "SUPABASE_DB_URL is not set: only files can be saved and restored, with --no-database --no-auth"
        yield Check(
            "settings", "warning", text, "Set it for the database, the users, and ids, owners and times of files."
        )
        return
    for name in missing:
        try:
            settings.need(name)
        except UsageError as error:
            yield _failed("settings", error)
    if not missing:
        yield Check("settings", "ok", "URL, key and database connection are set")


def _project(settings: Settings, stack: ExitStack) -> Found[Project]:
    """Whether URL, key and connection are of one project; gives it."""
    if not (settings.values["SUPABASE_URL"] and settings.values["SUPABASE_KEY"]):
        return None
    try:
        project = stack.enter_context(Project.of(settings, most_tries=MOST_TRIES))
    except SupapyError as error:
        yield _failed("project", error)
        return None
    kind = "the service_role key" if claims(project.key) else "a secret key"
    yield Check("project", "ok", f"{project.ref}, with {kind}")
    return project


def _database(settings: Settings, stack: ExitStack) -> Found[Session]:
    """Whether a session can be held, and how it comes about; gives it."""
    db_url = Secret(settings.values["SUPABASE_DB_URL"])
    if not db_url:
        return None
    try:
        parts = parse(db_url)
        session = stack.enter_context(connect(db_url))
        version = session.value("SHOW server_version")
        begun = unfinished(session)
        is_ipv6 = session.value("SELECT family(inet_server_addr()) = 6")
    except SupapyError as error:
        yield _failed("database", error)
        return None
    host = parts.get("host", "")
    kind = "the session pooler" if "pooler" in host else "a direct connection"
    over = " over IPv6, which not every machine has" if is_ipv6 and "pooler" not in host else ""
    where = f"{host or parts.get('hostaddr')} port {parts.get('port', '5432')}"
    yield Check("database", "ok", f"PostgreSQL {version}, by {kind} to {where}{over}")
    if begun:
        text = f"it is half restored: {begun} was on its way in, and the run didn't come to its end"
        yield Check("database", "warning", text, f"Finish it with the same command: supapy restore {begun.label} …")
    return session


def _programs(settings: Settings, session: Session) -> Iterator[Check]:
    tools = find(session.server_version // 10_000, bin_dir=settings.pg_bin)
    yield Check("PostgreSQL programs", "ok", f"pg_dump, pg_restore and psql {tools.version} in {tools.bin}")


def _rights(session: Session) -> Iterator[Check]:
    role, sees_all_rows, reads_all = session.rows(
        "SELECT rolname, rolbypassrls OR rolsuper, pg_has_role(rolname, 'pg_read_all_data', 'USAGE') "
        "FROM pg_roles WHERE rolname = current_user"
    )[0]
    name, hint = "rights", "Connect as the project's postgres role, which supapy is made for."
    if not sees_all_rows:
        text = f"{role} sees only the rows that row level security lets it see"
        yield Check(name, "failed", text, hint, AccessDenied.exit_code)
    if not reads_all:
        yield Check(name, "warning", f"{role} isn't in pg_read_all_data: some tables may not be readable", hint)
    try:
        with session.transaction():
            session.execute("SET LOCAL session_replication_role = replica")
    except SupapyError:
        yield Check(name, "warning", f"{role} may not set session_replication_role, which a restore needs", hint)
    else:
        if sees_all_rows and reads_all:
            yield Check(name, "ok", f"{role} may read every row, and load without triggers")


def _asleep(session: Session) -> Iterator[Check]:
    asleep = sum(not one.follows for one in read_quiesced(session))
    if asleep:
        text = f"{many(asleep, 'thing')} asleep since a restore"
        yield Check("what sleeps", "warning", text, "Look at them and wake them: supapy activate.")


def _storage(project: Project, session: Session | None) -> Iterator[Check]:
    name, served = "Storage server", {bucket["id"] for bucket in project.storage.buckets()}
    if session is None:
        yield Check(name, "ok", f"it answers; buckets: {len(served):,}")
        return
    stored = {row[0] for row in session.rows("SELECT id FROM storage.buckets WHERE type::text = 'STANDARD'")}
    if served == stored:
        yield Check(name, "ok", f"it answers; buckets: {len(served):,}, the same as in the database")
    elif not served:
        text = f"buckets: none that the key sees, {len(stored):,} in the database"
        yield Check(name, "failed", text, "Use this project's service_role or secret key.", AccessDenied.exit_code)
    else:
        text = f"buckets: {len(served):,} here, {len(stored):,} in the database, {len(served & stored):,} the same"
        yield Check(name, "failed", text, "Take URL and connection from one project.", WrongProject.exit_code)


def _auth(project: Project, session: Session | None) -> Iterator[Check]:
    name, served = "Auth server", project.auth.count_users()
    if session is None:
        yield Check(name, "ok", f"it answers; users: {served:,}")
        return
    # What its list is made of (F§2.2); other rows are saved as well.
    stored = session.value(
        "SELECT count(*) FROM auth.users "
        "WHERE instance_id = '00000000-0000-0000-0000-000000000000' AND aud = 'authenticated'"
    )
    if served == stored:
        yield Check(name, "ok", f"it answers; users: {served:,}, as many as in the database")
    else:
        text = f"users: {served:,} here, {stored:,} in the database"
        hint = "Look again if people are signing up now; else take URL and connection from one project."
        yield Check(name, "warning", text, hint)


def _folder(folder: Path, session: Session | None) -> Iterator[Check]:
    name = "backup folder"
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        hint = "Set BACKUP_DIR to a folder that you may write."
        yield Check(name, "failed", f"{folder} can't be written to", hint, StoreError.exit_code)
        return
    free = shutil.disk_usage(there).free
    if session is None:
        yield Check(name, "ok", f"{folder} has {_gigabytes(free)} free")
        return
    # Rows take less space written out than in their tables and indexes, and stand in a backup about twice.
    database = session.value("SELECT pg_database_size(current_database())")
    files = session.value("SELECT coalesce(sum((metadata ->> 'size')::bigint), 0)::bigint FROM storage.objects")
    text = f"{folder} has {_gigabytes(free)} free; the database takes {_gigabytes(database)}, files {_gigabytes(files)}"
    if free > database + files:
        yield Check(name, "ok", text)
    else:
        hint = "Free some space, or set BACKUP_DIR to another folder."
        yield Check(name, "warning", text, hint)


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.2f} GB"
