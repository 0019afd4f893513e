"""What runs on an event loop, in another thread or process, waited for: so that a test can say it in one line."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from typing import Any

from supapy.errors import Interrupted
from supapy.loop import Loop
from supapy.model import Piece
from supapy.project.http import Download, Http
from supapy.project.project import Project
from supapy.project.saying import Said
from supapy.project.storage_api import StorageApi

POLL_S = 0.02
# Only so that a test which fails doesn't wait for ever.
LONGEST_WAIT_S = 120


def until(true: Callable[[], object], what: str = "") -> None:
    """Wait until it is so; `what` is said when it never is."""
    end = time.monotonic() + LONGEST_WAIT_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(POLL_S)


def pieces_of(loop: Loop, pieces: AsyncGenerator[Piece, None]) -> Iterator[bytes]:
    """What an asynchronous generator gives, each piece copied to be kept; stopped in its middle it is closed."""

    async def step() -> tuple[bytes, ...]:
        async for piece in pieces:
            return (bytes(piece),)
        return ()

    try:
        while piece := loop.run(step()):
            yield piece[0]
    finally:
        with suppress(Interrupted):
            loop.run(_closed(pieces))


async def _closed(pieces: AsyncGenerator[Piece, None]) -> None:
    await pieces.aclose()


class WaitingDownload:
    """A download whose body is an ordinary iterator."""

    def __init__(self, loop: Loop, download: Download) -> None:
        self._loop = loop
        self._download = download
        self.headers = download.headers
        self.first = download.first

    def pieces(self) -> Iterator[bytes]:
        return pieces_of(self._loop, self._download.pieces())  # type: ignore[arg-type]

    def close(self) -> None:
        self._loop.soon(self._download.close)


def download(http: Http, path: str, **how: int) -> WaitingDownload:
    return WaitingDownload(http.loop, http.loop.run(http.download(path, **how)))


class WaitingStorage:
    """A Storage server's transfers, one at a time."""

    def __init__(self, http: Http) -> None:
        self._loop = http.loop
        self._storage = StorageApi(http)
        self.buckets = self._storage.buckets

    def download(self, *what: Any) -> Iterator[bytes]:
        return pieces_of(self._loop, self._storage.download(*what))

    def upload(self, *what: Any, **how: Any) -> None:
        self._loop.run(self._storage.upload(*what, **how))


def put(
    project: Project, bucket: str, key: str, content: bytes, mimetype: str = "text/plain", cache: str = "no-cache"
) -> None:
    """Upload an object."""

    def read(start: int, end: int | None) -> Iterator[bytes]:
        yield content[start:end]

    upload = project.storage.upload(bucket, key, read, len(content), Said(mimetype, cache))
    project.loop.run(upload)
