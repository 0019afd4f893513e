"""Many files of a folder, written one by one and made durable together.

A file is written under its own name: until the batch is synced nothing relies on it. Where the whole file system can be
synced, that is one act at the end; elsewhere each file is synced when it is kept, and at the end each folder once.
"""

from __future__ import annotations

import errno
import os
import stat as modes
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress

from supapy.errors import NotFound
from supapy.model import Piece
from supapy.store.base import checked
from supapy.store.durable import send_on_its_way
from supapy.store.tree import NEW_FILE, Fsync, Tree, write_all

# Handles on folders that stay open between files: the neighbours of a file mostly go into the same few.
MOST_OPEN_FOLDERS = 64
# A large file goes to the disk while more of it is coming: at the end little is left to sync, and the system needn't
# stop whoever writes because too much waits for the disk.
ON_ITS_WAY_BYTES = 8 * 1024 * 1024
# No hard links here, not between these two, or not one more to this file.
_CANT_LINK = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})


class LocalBatch:
    """Files below a tree. `read` gives a file's bytes, where it has to be copied."""

    def __init__(
        self,
        tree: Tree,
        read: Callable[[str], Iterator[bytes]],
        link: Callable[..., None],
        fsync: Fsync,
        sync_all: Fsync,
        can_sync_all: Callable[[int], bool],
    ) -> None:
        self._tree = tree
        self.told = tree.told
        self._read = read
        self._fsync = fsync
        self._sync_all = sync_all
        self._link = link
        self._lock = threading.Lock()
        self._folders: OrderedDict[str, int] = OrderedDict()
        with self.told(""):
            # Held from the start: what the disk refuses from here on is told to this handle.
            self._root = tree.open("", make=fsync)
        self.syncs_each = not can_sync_all(self._root)
        self._unsynced: set[str] = set()

    def begin(self, path: str) -> LocalIncoming:
        folder, _, name = checked(path).rpartition("/")
        with self.told(path), self._lock:
            handle = os.open(name, NEW_FILE, 0o600, dir_fd=self._folder(folder, make=True))
        return LocalIncoming(self, path, handle)

    def link(self, old: str, new: str) -> int:
        old_folder, _, old_name = checked(old).rpartition("/")
        folder, _, name = checked(new).rpartition("/")
        with self._lock:
            with self.told(old):
                source = self._folder(old_folder)
                about = os.stat(old_name, dir_fd=source, follow_symlinks=False)
            if not modes.S_ISREG(about.st_mode):
                raise NotFound(f"not a file: {old}")
            with self.told(new):
                target = self._folder(folder, make=True)
                try:
                    self._link(old_name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
                    return about.st_size
                except OSError as error:
                    if error.errno not in _CANT_LINK:
                        raise
        return self._copy(old, new)

    def sync(self) -> None:
        with self.told(""):
            if not self.syncs_each:
                self._sync_all(self._root)
                return
            for folder in sorted(self._unsynced):
                with self._lock:
                    self._fsync(self._folder(folder))
            self._unsynced.clear()

    def close(self) -> None:
        """Let go of all folders."""
        with self._lock:
            for handle in (self._root, *self._folders.values()):
                os.close(handle)
            self._folders.clear()

    def sync_file(self, handle: int) -> None:
        """Make one file durable, where the file system can't be synced as a whole."""
        if self.syncs_each:
            self._fsync(handle)

    def forget(self, path: str) -> None:
        # Its folder stays: the next file may go into it, by the handle that is open.
        folder, _, name = checked(path).rpartition("/")
        with suppress(NotFound), self.told(path), self._lock:
            os.unlink(name, dir_fd=self._folder(folder))

    def _copy(self, old: str, new: str) -> int:
        incoming, size = self.begin(new), 0
        try:
            for piece in self._read(old):
                incoming.write(piece)
                size += len(piece)
            incoming.keep()
        except BaseException:
            incoming.drop()
            raise
        return size

    def _folder(self, path: str, *, make: bool = False) -> int:
        """A handle that stays open for the next file; the ones not used for longest are let go. Under the lock."""
        handle = self._folders.get(path)
        if handle is None:
            while len(self._folders) >= MOST_OPEN_FOLDERS:
                os.close(self._folders.popitem(last=False)[1])
            handle = self._folders[path] = self._tree.open(path, make=self._made if make else None)
        else:
            self._folders.move_to_end(path)
        if make and self.syncs_each:
            self._unsynced.add(path)
        return handle

    def _made(self, parent: int) -> None:
        if self.syncs_each:
            self._fsync(parent)


class LocalIncoming:
    """A file of a batch while it is written."""

    def __init__(self, batch: LocalBatch, path: str, handle: int) -> None:
        self._batch = batch
        self._path = path
        self._handle = handle
        self._size = self._on_its_way = 0

    def write(self, piece: Piece) -> None:
        try:
            write_all(self._handle, piece)
            self._size += len(piece)
            if self._size - self._on_its_way >= ON_ITS_WAY_BYTES:
                send_on_its_way(self._handle, self._on_its_way, self._size)
                self._on_its_way = self._size
        except OSError:
            with self._batch.told(self._path):
                raise

    def keep(self) -> None:
        handle, self._handle = self._handle, -1
        with self._batch.told(self._path):
            try:
                self._batch.sync_file(handle)
            finally:
                os.close(handle)

    def drop(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._batch.forget(self._path)
