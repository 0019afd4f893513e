"""A store in memory: for tests, and to see what a backup would be without writing it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from supapy.errors import AlreadyExists, NotFound
from supapy.model import Piece, Stat
from supapy.store.base import PIECE_BYTES, checked


class MemoryStore:
    """Keeps files in a dict, gone with the process."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._held: set[str] = set()

    @property
    def place(self) -> str:
        return "memory"

    def put(self, path: str, pieces: Iterable[bytes], *, if_absent: bool = False) -> int:
        checked(path)
        content = b"".join(pieces)
        with self._lock:
            if if_absent and path in self._files:
                raise AlreadyExists(f"there already: {path}")
            self._files[path] = content
        return len(content)

    def get(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        content = self._content(path)[start:end]
        return (content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES))

    def stat(self, path: str) -> Stat:
        return Stat(path, len(self._content(path)))

    def list(self, prefix: str = "") -> Iterator[Stat]:
        with self._lock:
            found = [Stat(path, len(content)) for path, content in self._files.items() if path.startswith(prefix)]
        return iter(sorted(found, key=lambda stat: stat.path))

    def folders(self) -> Iterator[str]:
        return iter(sorted({stat.path.split("/")[0] for stat in self.list() if "/" in stat.path}))

    def delete(self, path: str) -> None:
        with self._lock:
            self._files.pop(checked(path), None)

    def delete_folder(self, path: str) -> None:
        below = f"{checked(path)}/"
        with self._lock:
            self._files = {path: content for path, content in self._files.items() if not path.startswith(below)}

    @contextmanager
    def hold(self, path: str) -> Iterator[bool]:
        self.stat(path)
        with self._lock:
            free = path not in self._held
            self._held.add(path)
        try:
            yield free
        finally:
            if free:
                self._held.discard(path)

    @contextmanager
    def batch(self) -> Iterator[MemoryBatch]:
        yield MemoryBatch(self)

    def _content(self, path: str) -> bytes:
        with self._lock:
            try:
                return self._files[checked(path)]
            except KeyError:
                raise NotFound(f"no such file: {path}") from None


class MemoryBatch:
    """Files that are there once they are kept."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def begin(self, path: str) -> MemoryIncoming:
        with suppress(NotFound):
            self._store.stat(path)
            raise AlreadyExists(f"there already: {path}")
        return MemoryIncoming(self._store, path)

    def link(self, old: str, new: str) -> int:
        return self._store.put(new, self._store.get(old), if_absent=True)

    def forget(self, path: str) -> None:
        self._store.delete(path)

    def sync(self) -> None:
        """Nothing here outlives the process."""


class MemoryIncoming:
    """A file's pieces until it is kept."""

    def __init__(self, store: MemoryStore, path: str) -> None:
        self._store = store
        self._path = path
        self._pieces: list[bytes] = []

    def write(self, piece: Piece) -> None:
        self._pieces.append(bytes(piece))

    def keep(self) -> None:
        self._store.put(self._path, self._pieces, if_absent=True)

    def drop(self) -> None:
        self._pieces.clear()
