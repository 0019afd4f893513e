"""A live Supabase project: where its database, its Storage server and its Auth server are, and the keys to them.

The database connection may be missing: then its servers can still be asked, and whatever needs SQL says that it does.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from supapy.errors import AccessDenied, UsageError, WrongProject
from supapy.events import Listener, ignore
from supapy.loop import Loop
from supapy.model import Json
from supapy.project.auth_api import AuthApi
from supapy.project.http import MOST_AT_ONCE, Http, can_be_sent
from supapy.project.management_api import BASE_URL, ManagementApi
from supapy.project.moment import Moment, open_moment
from supapy.project.pgtools import PgTools, find
from supapy.project.postgres import Session, connect, is_loopback, no_database, parse
from supapy.project.storage_api import StorageApi
from supapy.retry import MOST_TRIES
from supapy.secret import Secret
from supapy.settings import MANAGEMENT_URL, Settings

# A host and perhaps a port; no user and password, which have no place in a project's address.
_PLACE = re.compile(r"(?:[\w-]{1,63}(?:\.[\w-]{1,63})*|\[[0-9a-f:.]+\])(?::\d+)?", re.ASCII | re.IGNORECASE)
_HOSTED = re.compile(r"([a-z0-9]{20})\.supabase\.(?:co|in|net|red)")


class Project:
    """One project by its URL, service key and, if it is known, its database connection. Close it, or use it as a
    context manager.

    Raises at once when these can't be right together (F§3): a key that isn't the service's, a key or a database of
    another project than the URL. Nothing is sent before something is asked of it, and a request to its servers is
    tried `most_tries` times at most, `at_once` at the same time or fewer; the `listener` hears when they answer nothing
    for a while. `management` is the account's way to what only the platform can do; without it none is known.
    """

    def __init__(
        self,
        url: str,
        key: Secret,
        db_url: Secret | None = None,
        *,
        pg_bin: Path | None = None,
        most_tries: int = MOST_TRIES,
        at_once: int = MOST_AT_ONCE,
        management: ManagementApi | None = None,
        listener: Listener = ignore,
    ) -> None:
        self.url = _checked_url(url)
        self.key = key
        self._db_url = db_url or None
        self._pg_bin = pg_bin
        self.at_once = at_once
        self._insists = False
        self._http = Http(self.url, key, most_tries=most_tries, at_once=at_once, listener=listener)
        self.management = management or ManagementApi(Secret(""))
        self.ref = _checked_ref(self.url, key, db_url)

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        most_tries: int = MOST_TRIES,
        at_once: int = MOST_AT_ONCE,
        listener: Listener = ignore,
    ) -> Self:
        """The project that the settings name. Raises UsageError naming the first setting that is missing; the database
        connection may be."""
        return cls(
            settings.need("SUPABASE_URL"),
            Secret(settings.need("SUPABASE_KEY")),
            Secret(settings.values.get("SUPABASE_DB_URL", "")),
            pg_bin=settings.pg_bin,
            most_tries=most_tries,
            at_once=at_once,
            management=management_of(settings),
            listener=listener,
        )

    def __repr__(self) -> str:
        return f"Project({self.ref})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def host(self) -> str:
        """The place in its URL, with the port if one is named: "abcdefghijklmnopqrst.supabase.co"."""
        return urlsplit(self.url).netloc

    @property
    def has_database(self) -> bool:
        """Whether its database can be asked, and not only its servers."""
        return self._db_url is not None

    @property
    def db_url(self) -> Secret:
        """The connection to its database. Raises UsageError when it isn't known."""
        if self._db_url is None:
            raise no_database("this")
        return self._db_url

    @cached_property
    def storage(self) -> StorageApi:
        """The project's Storage server."""
        return StorageApi(self._http)

    @cached_property
    def auth(self) -> AuthApi:
        """The project's Auth server."""
        return AuthApi(self._http)

    @property
    def loop(self) -> Loop:
        """Where the requests run that were begun side by side."""
        return self._http.loop

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A connection that may write."""
        with connect(self.db_url) as session:
            if self._insists:
                session.execute("SET default_transaction_read_only = off")
            yield session

    def insist(self) -> None:
        """From here on sessions write, also where the database or its role is set to take no changes."""
        self._insists = True

    @contextmanager
    def moment(self) -> Iterator[Moment]:
        """One instant of the database, read only, kept open until the end of the block. Of a project without a
        database it is only a name for now."""
        with open_moment(self) as moment:
            yield moment

    @cached_property
    def server_major(self) -> int:
        """The major version of its database's server, asked once."""
        with self.session() as session:
            return session.server_version // 10_000

    def tools(self, major: int) -> PgTools:
        """pg_dump, pg_restore and psql for a server of that major version."""
        return find(major, bin_dir=self._pg_bin)

    def hang_up(self) -> None:
        """End every HTTP request under way, from whichever thread; those that wait for one get `Interrupted`."""
        self._http.hang_up()
        self.management.hang_up()

    def close(self) -> None:
        """Let go of the HTTP connections. Closing twice is safe."""
        self._http.close()
        self.management.close()


def management_of(settings: Settings) -> ManagementApi:
    """The Management API as the settings name it, with their token. Raises UsageError for what is no address."""
    url = settings.management_url
    return ManagementApi(
        Secret(settings.access_token), _checked_url(url, MANAGEMENT_URL, BASE_URL) if url else BASE_URL
    )


def _checked_url(url: str, name: str = "SUPABASE_URL", example: str = "https://REF.supabase.co") -> str:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and _PLACE.fullmatch(parts.netloc) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise UsageError(f"{name} isn't an address of Supabase's", f"It looks like {example}.")
    host = parts.hostname or ""
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(f"{name} is http, and the key would cross the network in the clear", "Use https.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def claims(key: Secret) -> Json | None:
    """What a JWT key says of itself (F§3), unchecked; None when the key isn't a JWT."""
    pieces = key.reveal().split(".")
    if len(pieces) != 3:
        return None
    try:
        said = json.loads(base64.urlsafe_b64decode(pieces[1] + "=" * (-len(pieces[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return said if isinstance(said, dict) else None


def ref_of_database(db_url: Secret) -> str | None:
    """The project a database connection leads to, from its host or its pooler user (F§4.1); None when neither says."""
    parts = parse(db_url)
    hosted = _HOSTED.fullmatch(parts.get("host", "").removeprefix("db."))
    if hosted:
        return hosted[1]
    _, dot, ref = parts.get("user", "").partition(".")
    return ref if dot and "pooler" in parts.get("host", "") else None


def _checked_ref(url: str, key: Secret, db_url: Secret | None) -> str:
    parts = urlsplit(url)
    hosted = _HOSTED.fullmatch(parts.hostname or "")
    ref = hosted[1] if hosted else None
    said = claims(key)
    _check_role(key, said)
    key_ref = said.get("ref") if said else None
    if ref and key_ref and ref != key_ref:
        raise WrongProject(
            f"the service key is of project {key_ref}, SUPABASE_URL of {ref}", "Take URL and key from the same project."
        )
    database_ref = ref_of_database(db_url) if db_url else None
    known = ref or key_ref
    if known and database_ref and known != database_ref:
        raise WrongProject(
            f"SUPABASE_DB_URL leads to project {database_ref}, SUPABASE_URL to {known}",
            "Take both from the same project.",
        )
    return str(known or database_ref or parts.netloc)


def _check_role(key: Secret, said: Json | None) -> None:
    """An anon key doesn't fail, it lists nothing (F§1.1): so it's refused before it is used."""
    hint = "Use the service_role key or a secret key (sb_secret_…): dashboard, Settings > API keys."
    if not can_be_sent(key):
        raise AccessDenied("SUPABASE_KEY holds characters that no key has", hint)
    if key.reveal().startswith("sb_publishable_"):
        raise AccessDenied("SUPABASE_KEY is a publishable key, which sees only what any visitor sees", hint)
    if key.reveal().startswith("sb_secret_"):
        return
    if said is None:
        raise AccessDenied("SUPABASE_KEY is neither a service key (a JWT) nor a secret key (sb_secret_…)", hint)
    if said.get("role") != "service_role":
        raise AccessDenied(f"SUPABASE_KEY is the key of the role {said.get('role')!r}, not of service_role", hint)
