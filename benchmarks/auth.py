"""The users against psql's plain COPY of their two tables, out to a file and in from it; ratios of times, and memory.

    python benchmarks/auth.py [--quick] [--users N] [--only dump|load|memory]

It makes its own users on a local project. Every figure is a median of turns in one run; the last line is `H held, F
short`, and the exit code is 1 when any figure is worse than it may be.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg
from measuring import MAJOR, MEMORY, Board, server, turns

from supapy.back_up import back_up
from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.journal import Journal
from supapy.model import Difference, Step
from supapy.parts.auth import AuthPart
from supapy.project.pgtools import PgTools, find_or_install
from supapy.project.postgres import environment
from supapy.project.project import Project
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret
from supapy.store.local import LocalStore
from supapy.verify import hold_against

AUTH = Choice(database=False, storage=False)
# 0.8 times the speed of COPY.
AT_MOST = 1.25
# A tenth of a second passes before the first user is read, however many there are. Beside half a second of COPY's it
# counts, beside five it doesn't.
QUICK_SLACK = 1.2
MOST_MEMORY_MB = 200
TABLES = ("users", "identities")
# A user as a sign-up by e-mail leaves him, with what an app keeps of him.
FILL = """
INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token,
    recovery_token, email_change_token_new, email_change, raw_app_meta_data, raw_user_meta_data, created_at,
    updated_at, last_sign_in_at)
SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'authenticated', 'authenticated',
    'user' || n || '@example.com', '$2a$10$' || substr(md5(n::text) || md5(n::text || 'x'), 1, 53),
    now() - n * interval '1 s', '', '', '', '', '{"provider": "email", "providers": ["email"]}',
    jsonb_build_object('name', 'User ' || n, 'email_verified', true, 'avatar', 'https://cdn.example/' || md5(n::text)),
    now() - n * interval '1 s', now() - n * interval '1 s', now() - n * interval '0.7 s'
FROM generate_series(1, %s) n
"""
FILL_IDENTITIES = """
INSERT INTO auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
SELECT id, id, jsonb_build_object('sub', id, 'email', email, 'email_verified', true), 'email',
    created_at, created_at, created_at FROM auth.users
"""
COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


def opened(dsn: Secret, tools: PgTools) -> Project:
    """The project of a database, without its servers."""
    return Project("http://127.0.0.1:9", Secret("sb_secret_unused"), dsn, pg_bin=tools.bin)


def save(dsn: Secret, tools: PgTools, folder: Path) -> Backup:
    """A backup of the users alone: written, counted, hashed, committed and durable."""
    with opened(dsn, tools) as project:
        return back_up(project, Catalog(LocalStore(folder)), AUTH)


def load(backup: Backup, dsn: Secret, tools: PgTools) -> None:
    """What a restore does for the users, without reading the file twice and without the comparison."""
    with opened(dsn, tools) as project:
        for step in AuthPart().load(backup, project, Journal(backup.store, project.ref)):
            assert isinstance(step, Step)
            assert list(step.apply(lambda amount: None)) == []


def newest(catalog: Catalog) -> Backup:
    """The last one that was made."""
    return next(one for one in catalog.backups() if isinstance(one, Backup))


def psql(tools: PgTools, cluster: Cluster, *statements: str) -> None:
    """Run statements by psql, one after another."""
    commands = [piece for statement in statements for piece in ("-c", statement)]
    command: list[str | Path] = [tools.path("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *commands]
    subprocess.run(command, env={**tools.environment, **environment(cluster.dsn)}, check=True)


def copies(connection: psycopg.Connection, folder: Path, direction: str) -> list[str]:
    """psql's copy of each table to or from its file."""
    columns = {table: connection.execute(COLUMNS, (f"auth.{table}",)).fetchone() for table in TABLES}
    return [
        f"\\copy auth.{table} ({found[0]}) {direction} '{folder / table}.copy'"
        for table, found in columns.items()
        if found
    ]


def measure(board: Board, folder: Path, tools: PgTools, users: int, rounds: int, only: str | None) -> None:
    """Save and load so many users."""
    with server(folder, tools, "source") as (source, connection):
        connection.execute("SET session_replication_role = replica")
        connection.execute(FILL, (users,))
        connection.execute(FILL_IDENTITIES)
        for table in TABLES:
            connection.execute(f"ANALYZE auth.{table}".encode())
        out = copies(connection, folder, "TO")
        if only in (None, "dump"):
            found = turns(
                {
                    "ours": lambda: save(source.dsn, tools, folder / "backups"),
                    "copy": lambda: psql(tools, source, *out),
                },
                rounds,
            )
            detail = "{ours:.2f} s, {copy:.2f} s".format(**found)
            board.row(f"{users:,} users saved", "psql's COPY out", found.ratio("ours", "copy"), AT_MOST, detail)
        psql(tools, source, *out)
        backup = save(source.dsn, tools, folder / "backups")
        if only in (None, "memory"):
            work = f"{users:,} users"
            board.amount(f"peak memory, {work} saved", memory("save", source, folder), MOST_MEMORY_MB, "MB")
            board.amount(f"peak memory, {work} compared", memory("compare", source, folder), MOST_MEMORY_MB, "MB")
    if only != "dump":
        into(board, folder, tools, backup, users, rounds, only)


def into(board: Board, folder: Path, tools: PgTools, backup: Backup, users: int, rounds: int, only: str | None) -> None:
    """Load what was saved, each time into an empty project."""
    with server(folder, tools, "target") as (target, connection):
        back = copies(connection, folder, "FROM")
        again = [f"TRUNCATE {', '.join(f'auth.{table}' for table in TABLES)} CASCADE", "CHECKPOINT"]

        def emptied() -> None:
            with psycopg.connect(target.admin_dsn.reveal(), autocommit=True) as admin:
                for statement in again:
                    admin.execute(statement.encode())

        def plain() -> None:
            psql(tools, target, "SET session_replication_role = replica", *back)

        if only in (None, "load"):
            ours = {"ours": lambda: load(backup, target.dsn, tools), "copy": plain}
            found = turns(ours, rounds, between=emptied)
            detail = "{ours:.2f} s, {copy:.2f} s".format(**found)
            board.row(f"{users:,} users loaded", "psql's COPY in", found.ratio("ours", "copy"), AT_MOST, detail)
        if only in (None, "memory"):
            emptied()
            peak = memory("load", target, folder)
            board.amount(f"peak memory, {users:,} users loaded", peak, MOST_MEMORY_MB, "MB")


def memory(work: str, cluster: Cluster, folder: Path) -> float:
    """The largest amount of memory in MB that one piece of work takes in a process that does nothing else; its largest
    child, a psql, counts as well."""
    # Linux counts to a process what its parent had when it was begun: a shell has little.
    small = ["sh", "-c", '"$@"; exit $?', "sh"]
    command = [*small, sys.executable, __file__, "--memory-of", work, str(folder)]
    ran = subprocess.run(
        command, input=cluster.dsn.reveal(), env=dict(os.environ), stdout=subprocess.PIPE, text=True, check=True
    )
    return float(ran.stdout)


def memory_of(work: str, folder: Path) -> None:
    """Do it on the database whose connection string comes by standard input; print the memory that took, in MB."""
    tools, dsn, catalog = find_or_install(MAJOR), Secret(sys.stdin.read()), Catalog(LocalStore(folder / "backups"))
    if work == "save":
        save(dsn, tools, folder / "more")
    elif work == "load":
        load(newest(catalog), dsn, tools)
    else:
        with opened(dsn, tools) as project:
            assert not [one for one in hold_against(newest(catalog), project, AUTH) if isinstance(one, Difference)]
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(peak / 1024 / (1024 if sys.platform == "darwin" else 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the users, wider bounds, under a minute")
    parser.add_argument("--users", type=int, help="how many instead of a million")
    parser.add_argument("--only", choices=["dump", "load", "memory"], help="one kind of figure")
    parser.add_argument("--memory-of", nargs=2, metavar=("WORK", "FOLDER"), help=argparse.SUPPRESS)
    said = parser.parse_args(arguments)
    if said.memory_of:
        memory_of(said.memory_of[0], Path(said.memory_of[1]))
        return 0
    tools, board = find_or_install(MAJOR), Board(QUICK_SLACK if said.quick else 1)
    users, rounds = said.users or (100_000 if said.quick else 1_000_000), 3
    print(f"PostgreSQL {tools.version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores, {rounds} rounds")
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > users * 10_000
    folder = Path(tempfile.mkdtemp(prefix="supapy-benchmark-", dir=MEMORY if in_memory else None))
    # The server's account must get in.
    folder.chmod(0o755)
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder)
        measure(board, folder, tools, users, rounds, said.only)
    print(f"{board.held} held, {board.short} short")
    return 1 if board.short else 0


if __name__ == "__main__":
    sys.exit(main())
