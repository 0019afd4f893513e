"""The second waist: a flat place for bytes. Paths are relative, with slashes, and were made by names.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from supapy.errors import UnsafePath
from supapy.model import Piece, Stat

# One piece handed on: large enough that the cost per piece vanishes, small enough to stay in the cache.
PIECE_BYTES = 256 * 1024
# What may not stand in a path, and the pieces that may not be one: empty, `.` and `..`.
_UNSAFE = re.compile(r"[\0\\\ud800-\udfff]|(?:\A|/)\.{0,2}(?:/|\Z)")


class Store(Protocol):
    """Keeps files. Every implementation passes one contract suite (tests/contract/test_stores.py).

    A path that isn't `checked` raises UnsafePath, before anything is opened. Safe to use from many threads, for
    different paths.
    """

    @property
    def place(self) -> str:
        """Where it is, for messages."""

    def put(self, path: str, pieces: Iterable[bytes], *, if_absent: bool = False) -> int:
        """Keep the bytes under that path: all or nothing, durable on return. Gives how many they were.

        An error while they are read leaves what was there before. `if_absent` raises AlreadyExists when something is
        there, also when two try at once. Raises StoreFull when there is no room.
        """

    def get(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes [start, end) in pieces. Raises NotFound at once."""

    def stat(self, path: str) -> Stat:
        """Path and size in bytes. Raises NotFound."""

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """All files whose path begins with the prefix, sorted by path. Links and whatever else isn't a plain file are
        left out."""

    def folders(self) -> Iterator[str]:
        """The names directly below the root that have files or folders in them, sorted."""

    def delete(self, path: str) -> None:
        """Forget a file. One that isn't there is no error."""

    def delete_folder(self, path: str) -> None:
        """Forget all files below a folder, and the folder. One that isn't there is no error."""

    def hold(self, path: str) -> AbstractContextManager[bool]:
        """Hold a file, for as long as the block and this process last. Gives False where somebody else holds it, or
        where that can't be known. Raises NotFound."""

    def batch(self) -> AbstractContextManager[Batch]:
        """Many files to be written together."""


class Incoming(Protocol):
    """A file that is being written. It is to be relied on once it was kept and the batch synced; a process that is
    killed before may leave a piece of it behind, or nothing."""

    def write(self, piece: Piece) -> None:
        """Add to it. Raises StoreFull when there is no room."""

    def keep(self) -> None:
        """It is whole; the batch's `sync` makes it durable."""

    def drop(self) -> None:
        """Give it up: nothing of it is left."""


class Batch(Protocol):
    """Files that become durable together, which costs far less than one by one. Safe to use from many threads."""

    def begin(self, path: str) -> Incoming:
        """A new file. Raises AlreadyExists when something is there."""

    def link(self, old: str, new: str) -> int:
        """A file under a further path: the same bytes, without a copy where that can be; each stays when the other
        is deleted. Gives its size in bytes. NotFound without an old one, AlreadyExists with a new one.
        """

    def forget(self, path: str) -> None:
        """Remove a file again. One that isn't there is no error."""

    def sync(self) -> None:
        """All files kept and linked so far are durable on return."""


def checked(path: str) -> str:
    """The path, if it is relative and plain: no empty, `.` or `..` piece, no backslash, no NUL, no half of a surrogate
    pair. Raises UnsafePath."""
    if _UNSAFE.search(path):
        raise UnsafePath(f"not a path inside a backup: {path[:200]!r}", "The backup was tampered with or is damaged.")
    return path
