"""The server that every contender of the benchmarks talks to: a Storage server's answers, as cheap as Python has them.

Run as a process of its own, `server.py LISTED`; it prints its port. Objects are made up: `4k-<n>` has 4 KiB,
`<n>-bytes` has n of them. Uploads are counted and thrown away. `/files/` is the same for programs that read lists;
list v2 shows so many as LISTED says, as `listed` tells their keys and ids.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import os
import random
import re
import sys
import tempfile
from bisect import bisect_right

SMALL = random.Random(1).randbytes(4096)
ETAG = hashlib.md5(SMALL, usedforsecurity=False).hexdigest()
# A large object is a file with a hole, sent again and again: to find memory for one as long as the object takes the
# system longer than to send it, and now and then three times as long.
HOLE_BYTES = 64 * 1024 * 1024
# What it takes to make the same keys and ids by SQL, of a number `n`.
KEY_SQL, ID_SQL = "'folder ' || n % 100 || '/4k-' || n", "md5(n::text)::uuid"
LONG_AGO = "2026-01-01T00:00:00.000Z"
_PLAIN = b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\nContent-Type: application/octet-stream\r\n%s\r\n"
_SMALL_ANSWER = _PLAIN % (200, len(SMALL), f'ETag: "{ETAG}"\r\n'.encode()) + SMALL
_SIZED = re.compile(rb"/(\d+)-bytes$")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_OFFSET = re.compile(rb"upload-offset: *(\d+)", re.IGNORECASE)


def _answer(status: int, body: bytes = b"", headers: str = "") -> bytes:
    return _PLAIN % (status, len(body), headers.encode()) + body


@functools.cache
def listed(count: int) -> list[tuple[str, str]]:
    """The keys of so many objects, in order, and their ids."""
    ids = (hashlib.md5(b"%d" % n, usedforsecurity=False).hexdigest() for n in range(1, count + 1))
    keys = (f"folder {n % 100}/4k-{n}" for n in range(1, count + 1))
    return sorted(
        (key, f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}") for key, one in zip(keys, ids, strict=True)
    )


def _page(asked: dict[str, object], count: int) -> bytes:
    """A page of list v2: what comes after the cursor's key, as many as are asked for."""
    after = base64.b64decode(str(asked.get("cursor") or "")).decode().removeprefix("l:")
    every = listed(count)
    start = bisect_right(every, after, key=lambda one: one[0])
    some = every[start : start + int(str(asked["limit"]))]
    times = dict.fromkeys(("created_at", "updated_at", "last_accessed_at"), LONG_AGO)
    metadata = {"size": len(SMALL), "mimetype": "application/octet-stream"}
    objects = [{"name": key, "id": one, "metadata": metadata, **times} for key, one in some]
    more = {"nextCursor": base64.b64encode(f"l:{some[-1][0]}".encode()).decode()} if some else {}
    answer = {"hasNext": start + len(some) < len(every), "folders": [], "objects": objects, **more}
    return json.dumps(answer).encode()


class Storage(asyncio.Protocol):
    """One connection. Requests come one after another, none is sent before the last was answered."""

    fetched = 0
    listed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""
        self._head = b""
        self._body = b""
        self._body_left = 0
        self._sending: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self._body_left:
            self._body_left -= len(data)
            self._keep(data)
            if self._body_left <= 0:
                self._respond()
            return
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        self._buffer, self._head, self._body = b"", head, b""
        found = _LENGTH.search(head)
        self._body_left = (int(found[1]) if found else 0) - len(rest)
        self._keep(rest)
        if self._body_left <= 0:
            self._respond()

    def _keep(self, data: bytes) -> None:
        """Of a request's body only what asks for a list is ever looked at."""
        if b"/list-v2/" in self._head:
            self._body += data

    def _respond(self) -> None:
        self._body_left = 0
        method, target, _ = self._head.split(b"\r\n", 1)[0].split(b" ", 2)
        sized = _SIZED.search(target)
        if method == b"GET" and sized:
            self._sending = asyncio.ensure_future(self._send(int(sized[1])))
        else:
            self._transport.write(self._small(method, target))

    def _small(self, method: bytes, target: bytes) -> bytes:
        if method == b"HEAD":
            return _SMALL_ANSWER[: -len(SMALL)]
        if method == b"GET" and b"/4k-" in target:
            Storage.fetched += 1
            return _SMALL_ANSWER
        if method == b"GET" and target == b"/fetched":
            return _answer(200, str(Storage.fetched).encode())
        if method == b"GET" and target.endswith(b"/"):
            names = "".join(f'<a href="4k-{n}">4k-{n}</a>\n' for n in range(int(target.rsplit(b"/", 2)[1])))
            page = f"<html><body>{names}</body></html>".encode()
            return _answer(200, page).replace(b"application/octet-stream", b"text/html")
        if method == b"GET":
            return _answer(200, b'[{"id":"files"}]')
        if b"/list-v2/" in target:
            return _answer(200, _page(json.loads(self._body), Storage.listed))
        if method == b"POST" and target.endswith(b"/resumable"):
            return _answer(201, b"", "Location: /upload/resumable/one\r\nTus-Resumable: 1.0.0\r\n")
        if method == b"PATCH":
            start, length = _OFFSET.search(self._head), _LENGTH.search(self._head)
            assert start
            assert length
            return _answer(204, b"", f"Upload-Offset: {int(start[1]) + int(length[1])}\r\n").replace(
                b"Content-Length: 0\r\n", b""
            )
        return _answer(200, b'{"Key":"k","Id":"i"}')

    async def _send(self, size: int) -> None:
        self._transport.write(_PLAIN % (200, size, f'ETag: "{size}-1"\r\n'.encode()))
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryFile() as file:
            os.truncate(file.fileno(), HOLE_BYTES)
            for sent in range(0, size, HOLE_BYTES):
                await loop.sendfile(self._transport, file, 0, min(HOLE_BYTES, size - sent))


async def main() -> None:
    """Serve until killed, or until whoever started it closes its end of standard input."""
    Storage.listed = int(sys.argv[1])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Storage, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
