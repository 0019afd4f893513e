"""A plain HTTP client for the contract: raw paths, raw headers, nothing repaired on the way."""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg

# Long enough for a loaded machine; no test waits for it to pass.
TIMEOUT_S = 60


@dataclass(frozen=True)
class Reply:
    """An answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def error(status: int, name: str, message: str, code: str) -> dict[str, str]:
    """The body of a Storage error (F§1.1)."""
    return {"statusCode": str(status), "error": name, "message": message, "code": code}


NO_BUCKET = error(404, "Bucket not found", "Bucket not found", "NoSuchBucket")
NO_KEY = error(404, "not_found", "Object not found", "NoSuchKey")
DUPLICATE = error(409, "Duplicate", "The resource already exists", "KeyAlreadyExists")


@dataclass
class Target:
    """A server to hold to the contract: the sandbox's, or any other (see conftest.py)."""

    url: str
    key: str
    anon_key: str
    db_url: str
    buckets: list[str] = field(default_factory=list)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        key: str | None = "",
    ) -> Reply:
        """One request on a connection of its own. `path` goes out as it is. `key`: ours by default, None for none."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        token = self.key if key == "" else key
        sent = {"Authorization": f"Bearer {token}", "apikey": token} if token else {}
        try:
            connection.request(method, path, body, {**sent, **(headers or {})})
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            connection.close()

    def storage(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """A Storage request; a body that isn't bytes goes as JSON."""
        return self.send(method, f"/storage/v1/{path}", *_encoded(body, options.pop("headers", {})), **options)

    def auth(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """An Auth request; a body that isn't bytes goes as JSON."""
        return self.send(method, f"/auth/v1/{path}", *_encoded(body, options.pop("headers", {})), **options)

    def bucket(self, **settings: Any) -> str:
        """A new bucket of a name that nobody else has; it goes with the test."""
        name = f"contract-{secrets.token_hex(6)}"
        reply = self.storage("POST", "bucket", {"name": name, **settings})
        assert reply.status == 200, reply.body
        self.buckets.append(settings.get("id", name))
        return str(settings.get("id", name))

    def upload(self, bucket: str, key: str, data: bytes = b"hello", **headers: str) -> Reply:
        """An upload in one request. Names of headers with `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.storage("POST", f"object/{bucket}/{escaped(key)}", data, headers=sent)

    def put(self, bucket: str, key: str, data: bytes = b"hello", **headers: str) -> str:
        """An upload that must go well; returns the object's id."""
        reply = self.upload(bucket, key, data, **headers)
        assert reply.status == 200, reply.body
        return str(reply.json()["Id"])

    def get(self, bucket: str, key: str, **headers: str) -> Reply:
        """A download by the authenticated route."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.storage("GET", f"object/authenticated/{bucket}/{escaped(key)}", headers=sent)

    def info(self, bucket: str, key: str) -> Any:
        """What /object/info says."""
        return self.storage("GET", f"object/info/authenticated/{bucket}/{escaped(key)}").json()

    def row(self, bucket: str, key: str) -> dict[str, Any]:
        """The row of an object, as SQL shows it."""
        with psycopg.connect(self.db_url, row_factory=psycopg.rows.dict_row) as connection:
            query = "select * from storage.objects where bucket_id = %s and name = %s"
            row = connection.execute(query, (bucket, key)).fetchone()
        assert row is not None, f"no row for {key}"
        return row

    def sql(self, query: str, parameters: tuple[object, ...] = ()) -> None:
        """A statement as `postgres`."""
        with psycopg.connect(self.db_url) as connection:
            connection.execute(query, parameters)

    def clean(self) -> None:
        """Takes away the buckets that a test made, with what is in them."""
        while self.buckets:
            bucket = escaped(self.buckets.pop())
            while keys := [found["name"] for found in self.list_flat(bucket)]:
                self.storage("DELETE", f"object/{bucket}", {"prefixes": keys[:1000]})
            self.storage("DELETE", f"bucket/{bucket}")

    def list_flat(self, bucket: str, **options: Any) -> list[dict[str, Any]]:
        """One page of list v2."""
        reply = self.storage("POST", f"object/list-v2/{bucket}", options)
        assert reply.status == 200, reply.body
        return list(reply.json()["objects"])


def escaped(key: str) -> str:
    """A key in a URL: everything but slashes is escaped."""
    return quote(key, safe="/")


def coded(value: Any) -> str:
    """JSON in base64, as the header x-metadata has it."""
    return base64.b64encode(json.dumps(value).encode()).decode()


def form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, dict[str, str]]:
    """A multipart form of (name, type of a file or None, content), and its header."""
    boundary = f"b{secrets.token_hex(8)}"
    body = b""
    for name, mime, content in parts:
        file = f'; filename="f"\r\nContent-Type: {mime}' if mime else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def from_environment() -> Target | None:
    """The server that the environment names, if any. Its database is asked as `postgres`."""
    names = ("URL", "KEY", "ANON_KEY", "DB_URL")
    values = [os.environ.get(f"SUPAPY_CONFORMANCE_{name}", "") for name in names]
    return Target(*values) if all(values) else None


def _encoded(body: Any, headers: Mapping[str, str]) -> tuple[bytes | Iterator[bytes] | None, dict[str, str]]:
    if body is None or isinstance(body, bytes) or hasattr(body, "__next__"):
        return body, dict(headers)
    return json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
