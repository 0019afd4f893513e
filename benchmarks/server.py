"""The server that every contender of the benchmarks talks to: a Storage server's answers, as cheap as Python has them.

Run as a process of its own; it prints its port. Objects are made up: `4k-<n>` has 4 KiB, `<n>-bytes` has n of them.
Uploads are counted and thrown away. `/files/` is the same for programs that read lists.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import sys
import tempfile

SMALL = random.Random(1).randbytes(4096)
ETAG = hashlib.md5(SMALL, usedforsecurity=False).hexdigest()
# A large object is a file with a hole, sent again and again: to find memory for one as long as the object takes the
# system longer than to send it, and now and then three times as long.
HOLE_BYTES = 64 * 1024 * 1024
_PLAIN = b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\nContent-Type: application/octet-stream\r\n%s\r\n"
_SMALL_ANSWER = _PLAIN % (200, len(SMALL), f'ETag: "{ETAG}"\r\n'.encode()) + SMALL
_SIZED = re.compile(rb"/(\d+)-bytes$")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_OFFSET = re.compile(rb"upload-offset: *(\d+)", re.IGNORECASE)


def _answer(status: int, body: bytes = b"", headers: str = "") -> bytes:
    return _PLAIN % (status, len(body), headers.encode()) + body


class Storage(asyncio.Protocol):
    """One connection. Requests come one after another, none is sent before the last was answered."""

    fetched = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""
        self._head = b""
        self._body_left = 0
        self._sending: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self._body_left:
            self._body_left -= len(data)
            if self._body_left <= 0:
                self._respond()
            return
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        self._buffer, self._head = b"", head
        found = _LENGTH.search(head)
        self._body_left = (int(found[1]) if found else 0) - len(rest)
        if self._body_left <= 0:
            self._respond()

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
            # As a server too old for it: only the database knows which objects there are.
            return _answer(404, b'{"statusCode":"404","message":"no such route"}')
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
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Storage, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
