"""What lies in a store already, so that it needn't be fetched again: known by its part, name and fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from supapy.model import Entry, Item

_KEY_BYTES = 16


class Kept(NamedTuple):
    """A file in the store: its path there, its size in bytes and its digest. What was written by a run that never
    committed may have been lost in a crash, and isn't `sure` before it was read."""

    path: str
    size: int
    sha256: bytes
    sure: bool


class Known:
    """Files of backups, by what they hold. Little memory for each: there may be millions."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Kept] = {}

    def add(self, label: str, entries: Iterable[Entry], *, sure: bool = True) -> None:
        """The entries of a backup, or of what is left of one. What is known already stays as it is."""
        for entry in entries:
            if entry.fingerprint is not None:
                kept = Kept(f"{label}/{entry.path}", entry.size, bytes.fromhex(entry.sha256), sure)
                self._kept.setdefault(_key(entry), kept)

    def find(self, item: Item) -> Kept | None:
        """The file that holds what the item would give; None when there is none, or nobody knows."""
        return self._kept.get(_key(item)) if self._kept and item.fingerprint is not None else None


def _key(one: Item | Entry) -> bytes:
    text = f"{one.part}\0{one.name}\0{one.fingerprint}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
