"""Stores that misbehave or take notes, around a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from supapy.model import Stat
from supapy.store.base import Batch, Incoming, Store
from supapy.store.memory import MemoryStore


class Watched:
    """A store that tells of every act before it is done; who listens may raise instead."""

    def __init__(self, before: Callable[[str, str], None], inner: Store | None = None) -> None:
        self.before = before
        self.inner = inner or MemoryStore()

    @property
    def place(self) -> str:
        return self.inner.place

    def put(self, path: str, pieces: Iterable[bytes], *, if_absent: bool = False) -> int:
        self.before("put", path)
        return self.inner.put(path, pieces, if_absent=if_absent)

    def get(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self.before("get", path)
        return self.inner.get(path, start, end)

    def stat(self, path: str) -> Stat:
        self.before("stat", path)
        return self.inner.stat(path)

    def list(self, prefix: str = "") -> Iterator[Stat]:
        self.before("list", prefix)
        return self.inner.list(prefix)

    def folders(self) -> Iterator[str]:
        self.before("folders", "")
        return self.inner.folders()

    def delete(self, path: str) -> None:
        self.before("delete", path)
        self.inner.delete(path)

    def delete_folder(self, path: str) -> None:
        self.before("delete_folder", path)
        self.inner.delete_folder(path)

    def hold(self, path: str) -> AbstractContextManager[bool]:
        self.before("hold", path)
        return self.inner.hold(path)

    @contextmanager
    def batch(self) -> Iterator[WatchedBatch]:
        with self.inner.batch() as batch:
            yield WatchedBatch(self, batch)


class WatchedBatch:
    """Its files are told of when they are begun, as `put`."""

    def __init__(self, store: Watched, inner: Batch) -> None:
        self.store = store
        self.inner = inner

    def begin(self, path: str) -> Incoming:
        self.store.before("put", path)
        return self.inner.begin(path)

    def link(self, old: str, new: str) -> int:
        self.store.before("link", new)
        return self.inner.link(old, new)

    def forget(self, path: str) -> None:
        self.store.before("forget", path)
        self.inner.forget(path)

    def sync(self) -> None:
        self.store.before("sync", "")
        self.inner.sync()
