"""What lies in a store already, so that it needn't be fetched again: known by its part, name and fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from supapy.errors import NotFound
from supapy.model import Entry, Item, Match
from supapy.names import component
from supapy.store.base import Store
from supapy.stream import lines

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


def remember(store: Store, ref: str, label: str, matches: Iterable[Match]) -> None:
    """Write down that these things of a project are files of a backup, byte for byte, so that the project's next backup
    needn't fetch what has just been restored into it."""
    known = (match for match in matches if match.fingerprint is not None)
    store.put(_memory(ref), (_line(label, match.part, match.name, match.path, match.fingerprint) for match in known))


def recall(store: Store, ref: str) -> Iterator[tuple[str, str, Entry]]:
    """What was remembered of a project: the label of the backup, the path in it, and an entry that lacks what only the
    backup itself can say for sure, size and digest. Lines that make no sense are none."""
    try:
        raw = store.get(_memory(ref))
    except NotFound:
        return
    for line in lines(raw):
        try:
            label, part, name, path, fingerprint = map(str, json.loads(line))
        except (ValueError, TypeError, RecursionError):
            continue
        yield label, path, Entry(part, name, path, 0, "", fingerprint)


def completed(found: Iterable[tuple[str, Entry]], entries: Iterable[Entry]) -> Iterator[Entry]:
    """What was remembered of one backup, by what that backup's entries say of the same files."""
    by_path = {entry.path: entry for entry in entries}
    for path, entry in found:
        if path in by_path:
            yield replace(by_path[path], part=entry.part, name=entry.name, fingerprint=entry.fingerprint)


def _memory(ref: str) -> str:
    return f"restored_{component(ref)}.jsonl"


def _line(*values: str | None) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
