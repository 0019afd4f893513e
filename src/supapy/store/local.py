"""A folder as a store: durable, private, and deaf to links.

A file is written beside its place under a temporary name, synced, renamed, and its folder synced: after a power cut
there is the old file or the new one, never a piece. Every folder on the way is opened by hand without following
links, so that nothing planted in the tree leads out of it. Folders are 0700, files 0600.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat as modes
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from supapy.errors import NotFound
from supapy.model import Stat
from supapy.store.base import PIECE_BYTES
from supapy.store.durable import can_sync_file_system, sync_file_system
from supapy.store.local_batch import LocalBatch
from supapy.store.tree import NEW_FILE, Fsync, Tree, write_all

# What a file system says that has no hard links: exFAT, some network shares.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
_TEMPORARY = ".supapy-"


class LocalStore:
    """The files below one folder, which is made when the first file is put. `fsync`, `sync_all` and `link` are the
    disk's, and so is whether `sync_all` can be relied on."""

    def __init__(
        self,
        root: Path,
        *,
        fsync: Fsync = os.fsync,
        can_sync_all: Callable[[int], bool] = can_sync_file_system,
        sync_all: Fsync = sync_file_system,
        link: Callable[..., None] = os.link,
    ) -> None:
        self._root = root
        self._tree = Tree(root)
        self._fsync = fsync
        self._can_sync_all = can_sync_all
        self._sync_all = sync_all
        self._link = link

    @property
    def place(self) -> str:
        return str(self._root)

    def put(self, path: str, pieces: Iterable[bytes], *, if_absent: bool = False) -> int:
        with self._tree.told(path), self._tree.folder_of(path, make=self._fsync) as (folder, name):
            temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
            handle = os.open(temporary, NEW_FILE, 0o600, dir_fd=folder)
            try:
                try:
                    size = _write_all(handle, pieces)
                    self._fsync(handle)
                finally:
                    os.close(handle)
                if if_absent:
                    self._place_new(temporary, name, folder)
                else:
                    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            self._fsync(folder)
            return size

    def _place_new(self, temporary: str, name: str, folder: int) -> None:
        """Give the file its name unless that is taken: in one act where the file system has hard links."""
        try:
            self._link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.unlink(temporary, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.close(os.open(name, NEW_FILE, 0o600, dir_fd=folder))
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)

    def get(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return _Reading(self._tree, path, self._open(path), start, end)

    def stat(self, path: str) -> Stat:
        with self._tree.told(path), self._tree.folder_of(path) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not modes.S_ISREG(found.st_mode):
            raise NotFound(f"not a file: {path}")
        return Stat(path, found.st_size)

    def list(self, prefix: str = "") -> Iterator[Stat]:
        found: list[Stat] = []
        base = prefix[: prefix.rfind("/") + 1]
        with suppress(NotFound), self._tree.told(prefix), self._tree.folder_of(f"{base}any") as (top, _):
            for inner, _, files, folder in os.fwalk(".", dir_fd=top, onerror=_raise_unless_gone):
                for name in files:
                    # Whoever writes at the same time may have renamed or removed it.
                    with suppress(FileNotFoundError):
                        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
                        if modes.S_ISREG(about.st_mode) and not name.startswith(_TEMPORARY):
                            found.append(Stat(base + Path(inner, name).as_posix(), about.st_size))
        return iter(sorted((stat for stat in found if stat.path.startswith(prefix)), key=lambda stat: stat.path))

    def folders(self) -> Iterator[str]:
        entries: list[str] = []
        with suppress(NotFound), self._tree.told(""), os.scandir(self._root) as scanned:
            entries = [entry.name for entry in scanned if entry.is_dir(follow_symlinks=False)]
        return iter(sorted(entries))

    def delete(self, path: str) -> None:
        with suppress(NotFound), self._tree.told(path), self._tree.folder_of(path) as (folder, name):
            os.unlink(name, dir_fd=folder)
            self._fsync(folder)
        self._drop_empty_folders(path)

    def delete_folder(self, path: str) -> None:
        with suppress(NotFound), self._tree.told(path), self._tree.folder_of(path) as (folder, name):
            shutil.rmtree(name, dir_fd=folder)
            self._fsync(folder)

    @contextmanager
    def hold(self, path: str) -> Iterator[bool]:
        handle = self._open(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except OSError:
            # Somebody else's, or a file system without locks.
            held = False
        try:
            yield held
        finally:
            os.close(handle)

    @contextmanager
    def batch(self) -> Iterator[LocalBatch]:
        batch = LocalBatch(self._tree, self.get, self._link, self._fsync, self._sync_all, self._can_sync_all)
        try:
            yield batch
        finally:
            batch.close()

    def _drop_empty_folders(self, path: str) -> None:
        # A folder is no thing of its own in a flat store: the last file's going takes it along.
        for parent in Path(path).parents:
            if parent == Path():
                return
            try:
                (self._root / parent).rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return

    def _open(self, path: str) -> int:
        with self._tree.told(path), self._tree.folder_of(path) as (folder, name):
            # Without NONBLOCK a named pipe planted in the tree would hold us for ever.
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        if not modes.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise NotFound(f"not a file: {path}")
        return handle


class _Reading:
    """The bytes [start, end) of an open file, piece by piece; the file is closed at their end, or with the last use."""

    def __init__(self, tree: Tree, path: str, handle: int, start: int, end: int | None) -> None:
        self._tree = tree
        self._path = path
        self._handle = handle
        self._at = start
        # Room for a whole piece costs more than to read a small file into less.
        size = os.fstat(handle).st_size
        self._end = size if end is None else min(end, size)

    def __iter__(self) -> _Reading:
        return self

    def __next__(self) -> bytes:
        want = min(PIECE_BYTES, self._end - self._at)
        piece = b""
        if self._handle >= 0 and want > 0:
            try:
                piece = os.pread(self._handle, want, self._at)
            except OSError:
                with self._tree.told(self._path):
                    raise
        self._at += len(piece)
        if not piece or self._at == self._end:
            self._close()
        if not piece:
            raise StopIteration
        return piece

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        self._close()


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _write_all(handle: int, pieces: Iterable[bytes]) -> int:
    size = 0
    for piece in pieces:
        write_all(handle, piece)
        size += len(piece)
    return size
