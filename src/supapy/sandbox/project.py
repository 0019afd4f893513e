"""A whole local project in a folder: the database, the HTTP server before it, and the keys to both."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from supapy.project.pgtools import PgTools
from supapy.sandbox import private
from supapy.sandbox.account import KEY_FILE, Account
from supapy.sandbox.api import ApiServer
from supapy.sandbox.api.tokens import sign
from supapy.sandbox.cluster import Cluster
from supapy.sandbox.server import HOST, PortTaken
from supapy.secret import Secret

# Keys of a hosted project are good for about ten years (F§3).
KEY_LIFETIME_S = 10 * 365 * 24 * 3600
API_ROLES = ("anon", "service_role")


class SandboxProject:
    """A project that lives in `root`: `up` makes it at the first time and starts it, `down` stops it and keeps it.

    `database` is the server beneath, `api` the HTTP server, which answers from a thread of this process.
    """

    def __init__(self, root: Path, ref: str, tools: PgTools) -> None:
        self.root = root
        self.ref = ref
        self.database = Cluster(root / "database", tools)
        self.account = Account(root.parent)
        self.api: ApiServer | None = None
        self._keys: dict[str, str] = {}

    def up(self, database_port: int = 0, api_port: int = 0) -> None:
        """Start both, on these ports if they are free. Raises ProjectError or ToolMissing; nothing is left then."""
        if self.database.pid:
            return
        if not self._key_file.exists():
            self._create()
        self._keys = json.loads(self._key_file.read_text())
        try:
            _on_port(self.database.start, database_port, PortTaken)
            _on_port(self._start_api, api_port, OSError)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stop both; nothing happens if they don't run."""
        if self.api:
            self.api.stop()
            self.api = None
        self.database.stop()

    @property
    def url(self) -> str:
        """What SUPABASE_URL is: without a slash at the end."""
        return f"http://{HOST}:{self.api.port if self.api else 0}"

    @property
    def anon_key(self) -> Secret:
        """The legacy public key: a JWT."""
        return Secret(self._keys["anon"])

    @property
    def service_key(self) -> Secret:
        """The legacy service key: a JWT."""
        return Secret(self._keys["service_role"])

    @property
    def db_url(self) -> Secret:
        """The connection string of `postgres`."""
        return self.database.dsn

    def env_text(self) -> str:
        """The text of a `.env` file that names this project."""
        settings = {
            "SUPABASE_URL": self.url,
            "SUPABASE_KEY": self.service_key.reveal(),
            "SUPABASE_ANON_KEY": self.anon_key.reveal(),
            "SUPABASE_DB_URL": self.db_url.reveal(),
            "SUPABASE_ACCESS_TOKEN": self.account.access_token.reveal(),
            "SUPABASE_MANAGEMENT_URL": self.url,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    @property
    def _key_file(self) -> Path:
        return self.root / KEY_FILE

    def _create(self) -> None:
        # Without keys a project was never up: what an interrupted making left is worth nothing.
        shutil.rmtree(self.database.root, ignore_errors=True)
        self.database.create()
        secret = secrets.token_urlsafe(40)
        now = int(time.time())
        keys = {"ref": self.ref, "jwt_secret": secret}
        for role in API_ROLES:
            claims = {"iss": "supabase", "ref": self.ref, "role": role, "iat": now, "exp": now + KEY_LIFETIME_S}
            keys[role] = sign(claims, Secret(secret))
        # Last, so that a project whose making was cut short is not taken for one.
        private.write(self._key_file, json.dumps(keys))

    def _start_api(self, port: int) -> None:
        storage = self.root / "storage"
        storage.mkdir(mode=0o700, exist_ok=True)
        jwt_secret = Secret(self._keys["jwt_secret"])
        api = ApiServer(port, self.database.admin_dsn, storage, jwt_secret, self.ref, self.account)
        api.start()
        self.api = api


def _on_port(start: Callable[[int], object], port: int, taken: type[Exception]) -> None:
    """Start on the wanted port, on any free one if it is taken."""
    try:
        start(port)
    except taken:
        if not port:
            raise
        start(0)
