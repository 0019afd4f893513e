"""A backup that is being written. Here, and only here, bytes move from a project into a store.

    known from before -> link          else: item.open -> count -> sha256 -> compress -> sha256 -> write
    then, at the end: everything is made durable, manifest.jsonl is written, and metadata.json last of all

Until metadata.json is there the folder is no backup, and it is listed nowhere. What was fetched by a run that did not
come to its end is known again by its journal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing, suppress
from tempfile import SpooledTemporaryFile

from supapy.errors import NotFound, StoreError, Unreadable
from supapy.events import Advanced, Left, Listener, Noted, Saved
from supapy.frames import Encoder
from supapy.known import Kept, Known
from supapy.loop import Loop, side_by_side
from supapy.model import ENCODINGS, Dumped, Encoded, Entry, Item, Json, Omission, Piece, Problem, Totals
from supapy.store.base import PIECE_BYTES, Batch, Incoming, Store
from supapy.stream import Meter

METADATA = "metadata.json"
MANIFEST = "manifest.jsonl"
# Claims the label while the draft is written, and says what is in the making; gone before the backup is committed.
CLAIM = ".draft"
# A line for each fetched thing as soon as it is there, for whoever takes up what a killed run has begun.
JOURNAL = ".journal"
# The manifest waits in memory as long as it is no larger.
LARGEST_MANIFEST_IN_MEMORY_BYTES = 8 * 1024 * 1024

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

Taken = tuple[Entry | Problem | Omission, Mapping[str, int]]


def encode(what: Json) -> bytes:
    """JSON as backups hold it: one line, UTF-8."""
    return _encoder.encode(what).encode("utf-8", "replace") + b"\n"


def sealed(metadata: Json) -> bytes:
    """metadata.json as it is written: with a digest of the rest in it, so that damage to this file is seen too."""
    complete = metadata | {"sha256": hashlib.sha256(encode(metadata)).hexdigest()}
    return json.dumps(complete, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"


class Draft:
    """Takes items and problems, and commits them as one backup. What `known` has is linked instead of fetched; items
    that are taken side by side are waited for on the `loop`. With `compress`, what may be encoded is."""

    def __init__(
        self,
        store: Store,
        batch: Batch,
        label: str,
        listener: Listener,
        loop: Loop,
        known: Known | None = None,
        *,
        compress: bool = False,
    ) -> None:
        self.label = label
        self.totals: dict[str, Totals] = {}
        self.problems: list[Problem] = []
        self.omissions: list[Omission] = []
        self._store = store
        self._batch = batch
        self._listener = listener
        self._loop = loop
        self._known = known or Known()
        self._compress = compress
        self._journal: Incoming | None = None
        self._journaled = Totals()
        self._without_fingerprint: list[str] = []
        self._lines = 0
        self._digest = Meter()
        self._manifest = SpooledTemporaryFile(LARGEST_MANIFEST_IN_MEMORY_BYTES)  # noqa: SIM115 (closed by `close`)

    def take_all(self, dumped: Iterable[Dumped], at_once: int | None = None) -> None:
        """Save every item and note every problem, in order; up to `at_once` items are open side by side, or else one
        after the other."""
        if at_once is not None:
            side_by_side(self._loop, dumped, self._take, self._note, at_once=at_once, quick=self._at_hand)
            return
        for one in dumped:
            self._note(self._at_hand(one) or self._take_in_turn(one))

    def commit(self, metadata: Json) -> None:
        """Make it a backup. `metadata` is completed with what was taken and the manifest's digest."""
        self._batch.sync()
        self._store.put(f"{self.label}/{MANIFEST}", self._manifest_pieces())
        complete = metadata | {
            "parts": {name: totals.to_json() for name, totals in self.totals.items()},
            "problems": len(self.problems),
            "omissions": len(self.omissions),
            "bytes": sum(totals.bytes for totals in self.totals.values()),
            "stored_bytes": sum(totals.stored_bytes for totals in self.totals.values()),
            "manifest": {"lines": self._lines, "size": self._digest.size, "sha256": self._digest.sha256},
        }
        if self._journal:
            self._journal.drop()
            self._journal = None
        self._store.delete(f"{self.label}/{CLAIM}")
        self._store.put(f"{self.label}/{METADATA}", [sealed(complete)])

    def leave(self) -> bool:
        """Give it up, but leave what a later run can take up. Gives whether there is anything."""
        if self._journal is None:
            return False
        with suppress(StoreError):
            self._journal.keep()
            for path in self._without_fingerprint:
                self._batch.forget(path)
        self._listener(Left(self.label, self._journaled.entries, self._journaled.bytes))
        return True

    def close(self) -> None:
        """Let go of what is held in memory."""
        self._manifest.close()

    def _at_hand(self, one: Dumped) -> Taken | None:
        """What needs no fetching: a problem, an omission, an item whose bytes are here already."""
        if not isinstance(one, Item):
            return one, {}
        kept = self._known.find(one)
        if kept is None or not (kept.sure or self._is_whole(kept)):
            return None
        path = f"{self.label}/{one.path}"
        try:
            size = self._batch.link(kept.path, path)
        except NotFound:
            return None
        if size != kept.size:
            # It was cut or added to since; the project still has the right one.
            self._batch.forget(path)
            return None
        self._listener(Advanced(one.part, size, one.name))
        entry = Entry(one.part, one.name, one.path, size, kept.sha256.hex(), one.fingerprint)
        if not kept.sure:
            self._note_down(entry)
        return entry, one.counts

    def _is_whole(self, kept: Kept) -> bool:
        digest = hashlib.sha256()
        with suppress(NotFound):
            for piece in self._store.get(kept.path):
                digest.update(piece)
        return digest.digest() == kept.sha256

    def _take_in_turn(self, item: Dumped) -> Taken:
        assert isinstance(item, Item)
        pieces = item.open()
        assert not isinstance(pieces, AsyncGenerator), "taken side by side only"
        incoming = self._begin(item)
        try:
            for piece in pieces:
                incoming.count(piece)
                incoming.write(piece)
            return self._noted_down(incoming.keep()), item.counts
        except Unreadable as error:
            incoming.drop()
            return Problem(item.part, item.name, error.message), {}

    async def _take(self, item: Dumped) -> Taken:
        assert isinstance(item, Item)
        pieces = item.open()
        if not isinstance(pieces, AsyncGenerator):
            return self._take_in_turn(item)
        incoming = self._begin(item)
        try:
            async with aclosing(pieces):
                await self._loop.pump(pieces, incoming.count, incoming.write)
            return self._noted_down(incoming.keep()), item.counts
        except Unreadable as error:
            incoming.drop()
            return Problem(item.part, item.name, error.message), {}
        except BaseException:
            incoming.drop()
            raise

    def _begin(self, item: Item) -> _Incoming:
        encodings = ("zstd",) if self._compress and not item.as_it_is else ()
        path = f"{self.label}/{item.path}" + "".join(ENCODINGS[name] for name in encodings)
        if item.fingerprint is None:
            self._without_fingerprint.append(path)
        return _Incoming(self._batch.begin(path), item, self._listener, encodings)

    def _noted_down(self, entry: Entry) -> Entry:
        if entry.fingerprint is not None:
            self._note_down(entry)
        return entry

    def _note_down(self, entry: Entry) -> None:
        if self._journal is None:
            self._journal = self._batch.begin(f"{self.label}/{JOURNAL}")
        self._journal.write(encode(entry.to_json()))
        self._journaled.entries += 1
        self._journaled.bytes += entry.size

    def _note(self, taken: Taken) -> None:
        one, counts = taken
        totals = self.totals.setdefault(one.part, Totals())
        line = encode(one.to_json())
        self._lines += 1
        self._digest.add(line)
        self._manifest.write(line)
        if isinstance(one, Entry):
            totals.entries += 1
            totals.bytes += one.size
            totals.stored_bytes += one.stored_size
            for what, number in counts.items():
                totals.counts[what] = totals.counts.get(what, 0) + number
            self._listener(Saved(one))
            return
        if isinstance(one, Problem):
            totals.problems += 1
            self.problems.append(one)
        else:
            totals.omissions += 1
            self.omissions.append(one)
        self._listener(Noted(one))

    def _manifest_pieces(self) -> Iterator[bytes]:
        self._manifest.seek(0)
        while piece := self._manifest.read(PIECE_BYTES):
            yield piece


class _Incoming:
    """A file on its way in: its pieces are counted, hashed and told of, and they are encoded and written. Each piece
    goes through both, in whatever order, also at the same time."""

    def __init__(self, file: Incoming, item: Item, listener: Listener, encodings: tuple[str, ...]) -> None:
        self._file = file
        self._item = item
        self._listener = listener
        self._content = Meter(md5=item.md5, size=item.size)
        self._encodings = encodings
        self._encoder = Encoder() if encodings else None
        self._stored = Meter()

    def count(self, piece: Piece) -> None:
        self._content.add(piece)
        self._listener(Advanced(self._item.part, len(piece), self._item.name))

    def write(self, piece: Piece) -> None:
        if self._encoder:
            self._write_encoded(self._encoder.add(piece))
        else:
            self._file.write(piece)

    def keep(self) -> Entry:
        self._content.end()
        encoded = None
        if self._encoder:
            self._write_encoded(self._encoder.end())
            encoded = Encoded(self._encodings, self._stored.size, self._stored.sha256)
        self._file.keep()
        item, content = self._item, self._content
        return Entry(item.part, item.name, item.path, content.size, content.sha256, item.fingerprint, encoded)

    def drop(self) -> None:
        self._file.drop()

    def _write_encoded(self, ready: bytes) -> None:
        if ready:
            self._stored.add(ready)
            self._file.write(ready)
