"""A live Supabase project: where its database, its Storage server and its Auth server are, and the keys to them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from supapy.errors import AccessDenied, UsageError, WrongProject
from supapy.project.moment import Moment, open_moment
from supapy.project.pgtools import PgTools, find
from supapy.project.postgres import Session, connect, parse
from supapy.secret import Secret

_HOSTED = re.compile(r"([a-z0-9]{20})\.supabase\.(?:co|in|net|red)")
_DIRECT = re.compile(r"db\.([a-z0-9]{20})\.supabase\.(?:co|in|net|red)")


class Project:
    """One project by its URL, service key and database connection.

    Raises at once when these can't be right together (F§3): a key that isn't the service's, a key or a database of
    another project than the URL. Nothing is sent before it is used.
    """

    def __init__(self, url: str, key: Secret, db_url: Secret, *, pg_bin: Path | None = None) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self.db_url = db_url
        self._pg_bin = pg_bin
        self._tools: PgTools | None = None
        self._connection = parse(db_url)
        self.ref = self._checked_ref()

    def __repr__(self) -> str:
        return f"Project({self.ref})"
