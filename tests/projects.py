"""What tests stand on: fresh projects on real PostgreSQL, in folders of their own, ended by their pids."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from supapy import settings
from supapy.project import pgtools
from supapy.sandbox.cluster import Cluster
from supapy.sandbox.project import SandboxProject

MAJORS = (15, 17)
DEFAULT_MAJOR = 17

# A server's folder is a thousand small files: on a slow disk most of a test's time goes into copying them.
MEMORY = Path("/dev/shm")
# A few dozen servers; containers often have 64 MB there.
MEMORY_NEEDED_BYTES = 4 * 1024**3


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that the server's account can get into; pytest's own are closed to it when root runs the tests."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED_BYTES
    folder = Path(tempfile.mkdtemp(prefix="supapy-test-", dir=MEMORY if in_memory else None))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def tools(major: int) -> pgtools.PgTools:
    """A server of this major: of SUPAPY_PG_BIN, of the system, or downloaded."""
    return pgtools.find_or_install(major, bin_dir=settings.load().pg_bin)


class ClusterFactory:
    """Makes fresh running clusters, as many as a test wants: `cluster_factory(15)`."""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        self._folder = folder
        self._cleanup = cleanup

    def __call__(self, major: int = DEFAULT_MAJOR) -> Cluster:
        root = Path(tempfile.mkdtemp(dir=self._folder))
        root.chmod(0o755)
        self._cleanup.callback(shutil.rmtree, root)
        cluster = Cluster(root, tools(major))
        cluster.create()
        self._cleanup.callback(cluster.stop)
        cluster.start()
        return cluster


class ProjectFactory:
    """Makes fresh running projects, database and HTTP server: `project_factory("shop", 15)`."""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        self._folder = folder
        self._cleanup = cleanup

    def __call__(self, ref: str = "project", major: int = DEFAULT_MAJOR) -> SandboxProject:
        root = Path(tempfile.mkdtemp(dir=self._folder))
        root.chmod(0o755)
        self._cleanup.callback(shutil.rmtree, root)
        project = SandboxProject(root, ref, tools(major))
        self._cleanup.callback(project.down)
        project.up()
        return project


def owner(cluster: Cluster) -> psycopg.Connection:
    """A connection as `postgres`, autocommit: what a project's owner has."""
    return psycopg.connect(cluster.dsn.reveal(), autocommit=True)


def superuser(cluster: Cluster) -> psycopg.Connection:
    """A connection as `supabase_admin`, autocommit: for looking and for what only the platform does."""
    return psycopg.connect(cluster.admin_dsn.reveal(), autocommit=True)


def run(cluster: Cluster, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as `postgres`; gives the rows of the last."""
    with owner(cluster) as connection:
        return _run(connection, statements)


def asked(cluster: Cluster, *statements: str) -> list[tuple[Any, ...]]:
    """The same as `supabase_admin`."""
    with superuser(cluster) as connection:
        return _run(connection, statements)


def _run(connection: psycopg.Connection, statements: Iterable[str]) -> list[tuple[Any, ...]]:
    for statement in statements:
        cursor = connection.execute(statement.encode())
    # There may be rows without columns: those have a number, but no description.
    return cursor.fetchall() if cursor.rownumber is not None else []


def few_locks(cluster: Cluster) -> None:
    """Let the server lock so little at once that a restore is many transactions, however small the database."""
    with superuser(cluster) as connection:
        connection.execute("ALTER SYSTEM SET max_locks_per_transaction = 10")
        connection.execute("ALTER SYSTEM SET max_connections = 40")
    cluster.stop()
    cluster.start(cluster.port)
