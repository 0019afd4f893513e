"""What passes by: pieces of bytes counted, hashed and cut into lines; work done side by side, its results in order."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

from supapy.errors import Unreadable
from supapy.model import Progress

T = TypeVar("T")
# Enough under way to keep every worker busy past a slow one, few enough to bound what waits in memory.
MOST_WAITING = 64


class Meter:
    """Counts and hashes the pieces that pass through it; once they have passed, `size` and `sha256` are theirs."""

    def __init__(self, *, md5: str | None = None, size: int | None = None) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._expected_md5 = md5
        self._expected_size = size
        self.size = 0

    @property
    def sha256(self) -> str:
        """The digest of what has passed so far, as hex."""
        return self._sha256.hexdigest()

    def through(self, pieces: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
        """The same pieces. Raises Unreadable when they aren't what was expected, at the latest after the last."""
        for piece in pieces:
            self._sha256.update(piece)
            if self._md5:
                self._md5.update(piece)
            self.size += len(piece)
            if self._expected_size is not None and self.size > self._expected_size:
                raise Unreadable(f"more than the {self._expected_size} bytes that were promised came")
            progress(len(piece))
            yield piece
        if self._expected_size is not None and self.size < self._expected_size:
            raise Unreadable(f"{self.size} bytes came where {self._expected_size} were promised")
        if self._md5 and self._md5.hexdigest() != self._expected_md5:
            raise Unreadable("its bytes don't have the promised md5")


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a text that comes in pieces, without their newlines; one at the end begins no further line."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def in_order(
    pool: Executor, work: Iterable[Callable[[], T]], *, interrupt: Callable[[], object] = lambda: None
) -> Iterator[T]:
    """What each piece of work gives, in the order they stand, with a bounded number under way.

    When one raises, or the reader stops, the ones not begun are dropped and `interrupt` is called, which is to end
    what the others wait for.
    """
    waiting: deque[Future[T]] = deque()
    ended = False
    try:
        for piece in work:
            waiting.append(pool.submit(piece))
            while len(waiting) >= MOST_WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        ended = True
    finally:
        if not ended:
            for future in waiting:
                future.cancel()
            interrupt()
