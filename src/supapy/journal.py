"""What a restore has done, noted down as it goes, for the one that is begun after it was cut short."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from supapy.errors import NotFound, StoreError
from supapy.names import component
from supapy.store.base import Incoming, Store
from supapy.stream import lines


class Journal:
    """Notes on what was restored into one project, in a file beside the backups. What they say is only ever a reason
    to move less: without them, as where nothing can be written beside the backups, a restore does the same."""

    def __init__(self, store: Store, ref: str) -> None:
        self._store = store
        self._path = f"restoring_{component(ref)}.jsonl"
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._file: Incoming | None = None
        self._is_writable = True

    def earlier(self) -> Iterator[list[str]]:
        """What runs before this one have noted that were cut short. Lines that make no sense are none."""
        for line in self._lines():
            with suppress(ValueError, RecursionError):
                said = json.loads(line)
                if isinstance(said, list) and all(isinstance(one, str) for one in said):
                    yield said

    def note(self, *notes: tuple[str, ...]) -> None:
        """Add these. Safe to use from many threads."""
        text = b"".join(json.dumps(note, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for note in notes)
        with self._lock:
            try:
                if self._is_writable:
                    self._begun().write(text)
            except StoreError:
                self._is_writable = False

    def close(self) -> None:
        """End it; the notes stay."""
        with suppress(StoreError):
            if self._file:
                self._file.keep()
        self._file, self._is_writable = None, False
        self._open.close()

    def drop(self) -> None:
        """Forget all of it: the restore has come to its end."""
        self.close()
        with suppress(StoreError):
            self._store.delete(self._path)

    def _begun(self) -> Incoming:
        if self._file is None:
            before = list(self._lines())
            self._store.delete(self._path)
            self._file = self._open.enter_context(self._store.batch()).begin(self._path)
            self._file.write(b"".join(line + b"\n" for line in before))
        return self._file

    def _lines(self) -> Iterator[bytes]:
        with suppress(NotFound):
            yield from lines(self._store.get(self._path))
