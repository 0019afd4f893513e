"""The database of a sandbox: a PostgreSQL server in a folder, as a hosted project's looks to its owner."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from supapy.errors import ProjectError
from supapy.project.pgtools import PgTools
from supapy.sandbox import private, process
from supapy.sandbox.server import SUPERUSER, Server
from supapy.sandbox.template import template
from supapy.secret import Secret

# The roles that people and servers sign in as. The others have no password and so can't.
USERS = (SUPERUSER, "postgres")
ROOT_KEY_BYTES = 32


class Cluster:
    """A server with one database, `postgres`, in a folder of its own: `create` once, then `start` and `stop`.

    The folder holds `data`, `server.log` and `passwords.json`. When root makes one, the server's account must be able
    to reach the folder.
    """

    def __init__(self, root: Path, tools: PgTools) -> None:
        self.root = root
        self._server = Server(root / "data", root / "server.log", tools)
        self._passwords: dict[str, str] = {}

    @property
    def pid(self) -> int | None:
        """The server's process, None when it isn't running."""
        return self._server.pid

    @property
    def port(self) -> int:
        """Where the server listens on 127.0.0.1, or did last."""
        return self._server.port

    @property
    def root_key_file(self) -> Path:
        """What holds the root key of its vault, for an extension that wants one."""
        return self._server.data / "root_key"

    @property
    def dsn(self) -> Secret:
        """The connection string of `postgres`: what a project's owner has."""
        return self._dsn("postgres")

    @property
    def admin_dsn(self) -> Secret:
        """The connection string of `supabase_admin`, the superuser: what the platform's own servers use here."""
        return self._dsn(SUPERUSER)

    def create(self) -> None:
        """Make the folder and a fresh project in it. Raises ProjectError if there is one already."""
        if self._server.data.exists():
            raise ProjectError(f"there is a server in {self.root} already")
        process.make_folder(self.root)
        original, password = template(self._server.tools)
        # It keeps owners and modes, and shares the blocks where the file system can.
        copied = subprocess.run(["/bin/cp", "-a", original, self._server.data], capture_output=True, text=True)
        if copied.returncode != 0:
            raise ProjectError(f"the new server could not be copied: {copied.stderr.strip()}")
        # As on the platform the vault's root key lies beside the database, which never shows it (F§4.6).
        self.root_key_file.touch(mode=0o600)
        self.root_key_file.write_text(secrets.token_hex(ROOT_KEY_BYTES))
        process.give(self.root_key_file)
        self._write_passwords({SUPERUSER: password.reveal()})

    def start(self, port: int = 0) -> None:
        """Start the server on 127.0.0.1. Port 0 takes a free one. Raises ProjectError, with nothing left running."""
        self._passwords = json.loads(self._password_file.read_text())
        self._server.start(Secret(self._passwords[SUPERUSER]), port)
        if set(self._passwords) != set(USERS):
            try:
                self._give_passwords()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop the server; nothing happens if it isn't running."""
        self._server.stop()

    @property
    def _password_file(self) -> Path:
        return self.root / "passwords.json"

    def _dsn(self, user: str) -> Secret:
        return self._server.dsn(user, Secret(self._passwords[user]))

    def _give_passwords(self) -> None:
        """Passwords of its own instead of the template's, at the first start."""
        fresh = {user: secrets.token_urlsafe(24) for user in USERS}
        with psycopg.connect(self.admin_dsn.reveal()) as connection:
            for user, password in fresh.items():
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(password))
                )
        self._write_passwords(fresh)

    def _write_passwords(self, passwords: dict[str, str]) -> None:
        private.write(self._password_file, json.dumps(passwords))
        self._passwords = passwords
