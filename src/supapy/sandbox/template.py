"""A stopped server that looks like a new hosted project, made once per version and copied for every sandbox.

Making one takes some seconds, copying it a fraction of one.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import psycopg

from supapy.errors import ProjectError
from supapy.project.pgdownload import cache_folder, locked
from supapy.project.pgtools import PgTools
from supapy.sandbox import process
from supapy.sandbox.server import SUPERUSER, Server, environment
from supapy.secret import Secret

# Reachable from this machine only. Not durable: a sandbox may lose its last seconds when the machine stops.
CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = logical
extra_float_digits = 0
timezone = 'UTC'
log_timezone = 'UTC'
shared_preload_libraries = 'pg_stat_statements'
shared_buffers = '64MB'
fsync = off
synchronous_commit = off
full_page_writes = off
"""
# The one that every Linux has; macOS came to it lately.
LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
# Write-ahead files of 1 MB instead of 16 make the folder half as large to copy.
INITDB_OPTIONS = ("--auth=scram-sha-256", "--encoding=UTF8", f"--locale={LOCALE}", "--no-sync", "--wal-segsize=1")
INITDB_TIMEOUT_S = 120


def template(tools: PgTools) -> tuple[Path, Secret]:
    """The data folder to copy and its superuser's password, made if need be. Raises ProjectError or ToolMissing."""
    scripts = _scripts()
    recipe = "\n".join([str(tools.bin), tools.version, *INITDB_OPTIONS, CONFIGURATION, *scripts])
    home = cache_folder() / "templates"
    target = home / f"{tools.major}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    with locked(home):
        if not target.exists():
            work = Path(tempfile.mkdtemp(dir=home, prefix=".incoming-"))
            try:
                _make(work, tools, scripts)
                work.rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return target / "data", Secret((target / "password").read_text())


def _make(work: Path, tools: PgTools, scripts: list[str]) -> None:
    work.chmod(0o755)
    data, password_file = work / "data", work / "password"
    data.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(secrets.token_urlsafe(24))
    for path in (data, password_file):
        process.give(path)
    _initdb(data, password_file, tools)
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION)
    server = Server(data, work / "server.log", tools)
    password = Secret(password_file.read_text())
    server.start(password)
    try:
        with psycopg.connect(server.dsn(SUPERUSER, password).reveal(), autocommit=True) as connection:
            for script in scripts:
                connection.execute(script.encode())
    except psycopg.Error as error:
        raise ProjectError(f"the sandbox's PostgreSQL {tools.version} could not be set up: {error}") from None
    finally:
        server.stop()


def _initdb(data: Path, password_file: Path, tools: PgTools) -> None:
    initdb = process.start(
        [tools.path("initdb"), "-D", data, "-U", SUPERUSER, "--pwfile", password_file, *INITDB_OPTIONS],
        cwd=data.parent,
        log=(log := data.parent / "initdb.log"),
        env=environment(tools),
    )
    try:
        code = initdb.wait(INITDB_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        code = -1
    finally:
        initdb.kill()
        initdb.wait()
    if code != 0:
        said = log.read_text(errors="replace").strip().splitlines()
        raise ProjectError(f"initdb of PostgreSQL {tools.version} failed: {said[-1] if said else 'no reason given'}")


def _scripts() -> list[str]:
    folder = resources.files("supapy.sandbox") / "sql"
    return [
        file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name) if file.name.endswith(".sql")
    ]
