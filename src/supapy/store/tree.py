"""The folders below one root, walked by hand: no link leads out of it, and what the disk says is told in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from supapy.errors import AlreadyExists, NotFound, StoreError, StoreFull, UnsafePath
from supapy.model import Piece
from supapy.store.base import checked

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LINK_MET = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW

Fsync = Callable[[int], None]


class Tree:
    """A root and what is below it. Whatever gets a new name in it goes through `fsync`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def folder_of(self, path: str, *, make: Fsync | None = None) -> Iterator[tuple[int, str]]:
        """A handle on the folder that holds the path, and the last piece of it; no link is followed below the root.

        With `make` folders that aren't there are made, and it is called with the handle of each that got a new name.
        """
        above, _, name = checked(path).rpartition("/")
        handle = self.open(above, make=make)
        try:
            yield handle, name
        finally:
            os.close(handle)

    def open(self, folder: str, *, make: Fsync | None = None) -> int:
        """A handle on a folder below the root, or on the root itself, to be closed by the caller."""
        if make and not self.root.is_dir():
            self._make_root(make)
        handle = os.open(self.root, _FOLDER)
        try:
            for piece in folder.split("/") if folder else ():
                if make:
                    _make_folder(handle, piece, make)
                inner = os.open(piece, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
        except BaseException:
            os.close(handle)
            raise
        return handle

    @contextmanager
    def told(self, path: str) -> Iterator[None]:
        """What goes wrong with a path becomes one of our errors."""
        path = path or str(self.root)
        try:
            yield
        except FileExistsError:
            raise AlreadyExists(f"there already: {path}") from None
        except FileNotFoundError:
            raise NotFound(f"no such file: {path}", f"It was looked for in {self.root}.") from None
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFull(f"no space left in {self.root}", "Free some, or choose another folder.") from None
            if error.errno in _LINK_MET:
                raise UnsafePath(
                    f"a link or a file stands where a folder belongs: {path}", "Backups hold plain files only."
                ) from None
            raise StoreError(f"{path}: {error.strerror}", f"Look at the rights of {self.root}.") from None

    def _make_root(self, fsync: Fsync) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        above = os.open(self.root.parent, _FOLDER)
        try:
            fsync(above)
        finally:
            os.close(above)


def _make_folder(parent: int, name: str, fsync: Fsync) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return
    fsync(parent)


def write_all(handle: int, piece: Piece) -> None:
    """Write a piece, however often the system has to be asked."""
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(handle, rest) :]
