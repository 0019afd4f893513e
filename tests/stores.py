"""Stores that misbehave or take notes, around a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from supapy.model import Stat
from supapy.store.base import Store
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
