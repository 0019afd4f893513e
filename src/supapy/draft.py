"""A backup that is being written. Here, and only here, bytes move from a project into a store.

    item.open -> count -> sha256 -> put          then, at the end: manifest.jsonl, and metadata.json last of all

Until metadata.json is there the folder is no backup: it is listed nowhere, and removed when the draft is given up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from supapy.errors import Unreadable
from supapy.events import Advanced, Listener, Noted, Saved
from supapy.model import Dumped, Entry, Item, Json, Omission, Problem, Totals
from supapy.store.base import Store
from supapy.stream import Meter, in_order

METADATA = "metadata.json"
MANIFEST = "manifest.jsonl"
# Claims the label while the draft is written; gone before the backup is committed.
CLAIM = ".draft"


def encode(what: Json) -> bytes:
    """JSON as backups hold it: one line, UTF-8."""
    return json.dumps(what, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def sealed(metadata: Json) -> bytes:
    """metadata.json as it is written: with a digest of the rest in it, so that damage to this file is seen too."""
    complete = metadata | {"sha256": hashlib.sha256(encode(metadata)).hexdigest()}
    return json.dumps(complete, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"


class Draft:
    """Takes items and problems, and commits them as one backup. `interrupt` ends what the items are waiting for."""

    def __init__(
        self, store: Store, label: str, listener: Listener, interrupt: Callable[[], None] = lambda: None
    ) -> None:
        self.label = label
        self.totals: dict[str, Totals] = {}
        self.problems: list[Problem] = []
        self.omissions: list[Omission] = []
        self._store = store
        self._listener = listener
        self._interrupt = interrupt
        self._manifest: list[bytes] = []
        self._begun: list[str] = []

    def take_all(self, dumped: Iterable[Dumped], streams: int = 1) -> None:
        """Save every item and note every problem, in order; up to `streams` items are open at the same time."""
        if streams == 1:
            for one in dumped:
                self._note(*self._take(one))
            return
        with ThreadPoolExecutor(streams, thread_name_prefix="supapy-draft") as pool:
            work = (partial(self._take, one) for one in dumped)
            for taken, counts in in_order(pool, work, interrupt=self._interrupt):
                self._note(taken, counts)

    def commit(self, metadata: Json) -> None:
        """Make it a backup. `metadata` is completed with what was taken and the manifest's digest."""
        manifest = Meter()
        self._put(MANIFEST, manifest.through(iter(self._manifest), lambda _: None))
        complete = metadata | {
            "parts": {name: totals.to_json() for name, totals in self.totals.items()},
            "problems": len(self.problems),
            "omissions": len(self.omissions),
            "bytes": sum(totals.bytes for totals in self.totals.values()),
            "manifest": {"lines": len(self._manifest), "size": manifest.size, "sha256": manifest.sha256},
        }
        self._store.delete(f"{self.label}/{CLAIM}")
        self._put(METADATA, [sealed(complete)])

    def discard(self) -> None:
        """Remove everything that was written; first of all what would make it a backup, last what holds the label."""
        for path in (METADATA, *self._begun, CLAIM):
            self._store.delete(f"{self.label}/{path}")

    def _put(self, path: str, pieces: Iterable[bytes], *, if_absent: bool = False) -> None:
        # Also one that comes to nothing: the store may have made a folder for it.
        self._begun.append(path)
        self._store.put(f"{self.label}/{path}", pieces, if_absent=if_absent)

    def _take(self, one: Dumped) -> tuple[Entry | Problem | Omission, Mapping[str, int]]:
        """What became of it, and what is in it."""
        if not isinstance(one, Item):
            return one, {}
        meter = Meter(md5=one.md5, size=one.size)
        try:
            pieces = meter.through(one.open(), lambda amount: self._listener(Advanced(one.part, amount, one.name)))
            # Two things never share a path: one would be lost.
            self._put(one.path, pieces, if_absent=True)
        except Unreadable as error:
            return Problem(one.part, one.name, error.message), {}
        return Entry(one.part, one.name, one.path, meter.size, meter.sha256, one.fingerprint), one.counts

    def _note(self, taken: Entry | Problem | Omission, counts: Mapping[str, int]) -> None:
        totals = self.totals.setdefault(taken.part, Totals())
        self._manifest.append(encode(taken.to_json()))
        if isinstance(taken, Entry):
            totals.entries += 1
            totals.bytes += taken.size
            for what, number in counts.items():
                totals.counts[what] = totals.counts.get(what, 0) + number
            self._listener(Saved(taken))
            return
        if isinstance(taken, Problem):
            totals.problems += 1
            self.problems.append(taken)
        else:
            totals.omissions += 1
            self.omissions.append(taken)
        self._listener(Noted(taken))
