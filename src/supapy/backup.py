"""A committed backup: what it says of itself, its files, and whether they are what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from supapy.draft import MANIFEST, METADATA, sealed
from supapy.errors import IntegrityError, NotFound, UnknownFormat, Unreadable, UnsafePath
from supapy.frames import Broken, Table, decoded, read_table
from supapy.model import ENCODINGS, Difference, Encoded, Entry, Json, Omission, Problem
from supapy.store.base import Store, checked
from supapy.stream import Meter, lines

FORMAT = 1
# What one file of settings may hold at most before it's taken for damage: metadata.json has a few kilobytes.
LARGEST_METADATA_BYTES = 16 * 1024 * 1024
# What every reader of a backup takes for granted.
_SHAPE = {"timestamp": str, "source": dict, "parts": dict, "manifest": dict, "bytes": int, "problems": int}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HINT = "Take another backup; nothing was applied."


class Backup:
    """One backup in a store, opened by reading its metadata. Raises NotFound, IntegrityError or UnknownFormat."""

    def __init__(self, store: Store, label: str) -> None:
        self.store = store
        self.label = label
        self.metadata = self._metadata()
        self._tables: dict[str, Table] = {}

    @property
    def path(self) -> str:
        """Where it lies, for people."""
        return f"{self.store.place}/{self.label}"

    @cached_property
    def manifest(self) -> tuple[list[Entry], list[Problem], list[Omission]]:
        """What was saved, what could not be, what never is. Raises IntegrityError when the manifest isn't the one
        that the metadata was written for."""
        entries, problems, omissions = [], [], []
        for one in self._manifest_lines():
            match one:
                case Entry() as entry:
                    entries.append(entry)
                case Problem() as problem:
                    problems.append(problem)
                case omission:
                    omissions.append(omission)
        return entries, problems, omissions

    def entries_of_manifest(self) -> Iterator[Entry]:
        """What was saved, one by one: there may be too many to have them all. Raises IntegrityError like `manifest`,
        before the first."""
        return (one for one in self._manifest_lines() if isinstance(one, Entry))

    @property
    def source_ref(self) -> str:
        """The project it was made of; empty where it doesn't say."""
        return str(self.metadata["source"].get("ref") or "")

    def holds_files_of(self, ref: str) -> bool:
        """Whether it has files of that project's storage."""
        return bool(self.metadata.get("include_storage")) and self.source_ref == ref

    def _manifest_lines(self) -> Iterator[Entry | Problem | Omission]:
        said, meter = self.metadata["manifest"], Meter()
        for _ in meter.through(self._get(MANIFEST, 0, None)):
            pass
        if (said.get("sha256"), said.get("size")) != (meter.sha256, meter.size):
            raise IntegrityError(f"{self.label}: {MANIFEST} isn't the one that was saved", _HINT)
        for line in lines(self._get(MANIFEST, 0, None)):
            yield read_line(line, self.label)

    @cached_property
    def _by_path(self) -> dict[str, Entry]:
        return {entry.path: entry for entry in self.manifest[0]}

    def entries(self, part: str) -> list[Entry]:
        """The part's entries, in the order they were saved."""
        return [entry for entry in self.manifest[0] if entry.part == part]

    def has(self, path: str) -> bool:
        """Whether the backup has a file at that path, as its manifest says."""
        return path in self._by_path

    def count(self, part: str, what: str) -> int:
        """How many of `what` the part saved, as its items counted them; 0 when they didn't."""
        found = self.metadata
        for key in ("parts", part, "counts", what):
            found = found.get(key, {}) if isinstance(found, dict) else {}
        return found if isinstance(found, int) else 0

    def size(self, path: str) -> int:
        """A file's size in bytes. Raises IntegrityError when there is no such file."""
        return self._entry(path).size

    def sha256(self, path: str) -> str:
        """A file's digest. Raises IntegrityError when there is no such file."""
        return self._entry(path).sha256

    def _entry(self, path: str) -> Entry:
        try:
            return self._by_path[path]
        except KeyError:
            raise IntegrityError(f"{self.label} has no {path}", _HINT) from None

    def read(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """A file's content, or the bytes [start, end) of it, decoded. A whole read raises IntegrityError on damage; a
        read of some bytes does so when they can't be decoded."""
        entry = self._entry(path)
        try:
            if start or end is not None:
                yield from self._some(entry, start, entry.size if end is None else min(end, entry.size))
            else:
                yield from self._all(entry)
        except (Unreadable, Broken) as error:
            raise self._damaged(entry) from error

    def _all(self, entry: Entry) -> Iterator[bytes]:
        content, stored = Meter(size=entry.size), Meter(size=entry.stored_size)
        pieces = self._get(entry.stored_path, 0, None)
        yield from content.through(decoded(stored.through(pieces)) if entry.encoded else pieces)
        if content.sha256 != entry.sha256 or (entry.encoded and stored.sha256 != entry.encoded.sha256):
            raise self._damaged(entry)

    def _some(self, entry: Entry, start: int, end: int) -> Iterator[bytes]:
        if not entry.encoded:
            yield from self._get(entry.path, start, end)
        elif start < end:
            first, last, at = self._table(entry).stretch(start, end)
            for piece in decoded(self._get(entry.stored_path, first, last)):
                if wanted := piece[max(0, start - at) : max(0, end - at)]:
                    yield wanted
                at += len(piece)
            if at < end:
                raise self._damaged(entry)

    def _table(self, entry: Entry) -> Table:
        """Where the frames of a compressed file lie, read when it is asked for first."""
        if entry.path not in self._tables:

            def read(start: int, end: int) -> bytes:
                return b"".join(self._get(entry.stored_path, start, end))

            self._tables[entry.path] = read_table(read, entry.stored_size, entry.size)
        return self._tables[entry.path]

    def _damaged(self, entry: Entry) -> IntegrityError:
        return IntegrityError(f"{self.label}: {entry.stored_path} isn't what was saved", _HINT)

    def read_json(self, path: str) -> Json:
        """A JSON file's content. Raises IntegrityError when it isn't an object, or is damaged."""
        return _object(b"".join(self.read(path)), f"{self.label}: {path}")

    def damage(self) -> Iterator[Difference | Entry]:
        """Reads every file against its digest: a Difference for each that is missing, changed or not of this backup,
        the Entry for each that is as it was saved."""
        for entry in self.manifest[0]:
            found = Difference(entry.part, entry.path, "changed", "not the bytes that were saved")
            try:
                for _ in self.read(entry.path):
                    pass
            except IntegrityError as error:
                missing = isinstance(error.__cause__, NotFound)
                yield Difference(entry.part, entry.path, "missing", "the file is gone") if missing else found
            else:
                yield entry
        paths = (entry.stored_path for entry in self.manifest[0])
        known = {f"{self.label}/{path}" for path in (*paths, MANIFEST, METADATA)}
        for stat in self.store.list(f"{self.label}/"):
            if stat.path not in known:
                path = stat.path.removeprefix(f"{self.label}/")
                yield Difference("backup", path, "extra", "not in the manifest")

    def _get(self, path: str, start: int, end: int | None) -> Iterator[bytes]:
        try:
            return self.store.get(f"{self.label}/{path}", start, end)
        except (NotFound, UnsafePath) as error:
            raise IntegrityError(f"{self.label}: {path} is missing", _HINT) from error

    def _metadata(self) -> Json:
        path = f"{self.label}/{METADATA}"
        if self.store.stat(path).size > LARGEST_METADATA_BYTES:
            raise IntegrityError(f"{self.label}: {METADATA} is far too large", _HINT)
        raw = b"".join(self.store.get(path))
        metadata = _object(raw, f"{self.label}: {METADATA}")
        if metadata.get("format") != FORMAT:
            raise UnknownFormat(
                f"{self.label} is of format {metadata.get('format')!r}, this version knows {FORMAT}",
                "Use the version of supapy that wrote it, or a newer one.",
            )
        metadata.pop("sha256", None)
        if not _is_sealed(metadata, raw) or any(not isinstance(metadata.get(k), kind) for k, kind in _SHAPE.items()):
            raise IntegrityError(f"{self.label}: {METADATA} isn't what was written", _HINT)
        return metadata


def _is_sealed(metadata: Json, raw: bytes) -> bool:
    try:
        return sealed(metadata) == raw
    except RecursionError:
        return False


def _object(raw: bytes, name: str) -> Json:
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise IntegrityError(f"{name} is damaged: no JSON object", _HINT)
    return said


def read_line(line: bytes, label: str) -> Entry | Problem | Omission:
    """What a line of a manifest says. Raises UnknownFormat or IntegrityError."""
    said = _object(line, f"{label}: a line of {MANIFEST}")
    kind = said.pop("kind", None)
    try:
        match kind:
            case "entry":
                return _entry(said)
            case "problem":
                return Problem(**_texts(said))
            case "omission":
                return Omission(**_texts(said))
    except (KeyError, TypeError, UnsafePath):
        pass
    raise UnknownFormat(
        f"{label}: {MANIFEST} holds a line that this version can't read", "Use the version of supapy that wrote it."
    )


def _entry(said: Json) -> Entry:
    size = _size(said.pop("size"))
    encoded = _encoded(said) if "encodings" in said else None
    entry = Entry(size=size, encoded=encoded, **_texts(said))
    _check_digest(entry.sha256)
    checked(entry.path)
    return entry


def _encoded(said: Json) -> Encoded:
    encodings, size, sha256 = said.pop("encodings"), said.pop("stored_size"), said.pop("stored_sha256")
    # Of all that there may be once, this is what this version decodes.
    if encodings != list(ENCODINGS):
        raise TypeError(encodings)
    _check_digest(sha256)
    return Encoded(tuple(encodings), _size(size), sha256)


def _size(size: object) -> int:
    if type(size) is not int or size < 0:
        raise TypeError(size)
    return size


def _check_digest(sha256: str) -> None:
    if type(sha256) is not str or not _SHA256.fullmatch(sha256):
        raise TypeError(sha256)


def _texts(said: Json) -> dict[str, Any]:
    if not all(isinstance(value, str) for value in said.values()):
        raise TypeError(said)
    return said
