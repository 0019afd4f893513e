"""Which bytes a target has already, by the notes of the restores that were cut short before this one."""

from __future__ import annotations

import hashlib
import threading

from supapy.errors import ProjectError
from supapy.journal import Journal
from supapy.loop import in_thread
from supapy.project.postgres import Session

# A note needs the version that the server gave: they are asked for together, at the latest after so much.
MOST_UNNOTED = 64
MOST_UNNOTED_BYTES = 64 * 1024 * 1024

_WHOLE, _BEGUN = "whole", "begun"
_VERSIONS = (
    "SELECT o.bucket_id, o.name, o.version FROM unnest(%s::text[], %s::text[]) AS sent (bucket, key) "
    "JOIN storage.objects o ON o.bucket_id = sent.bucket AND o.name = sent.key WHERE o.version IS NOT NULL"
)


class Begun:
    """The uploads in pieces that were begun into a target."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        notes = (note for note in journal.earlier() if len(note) == 3 and note[0] == _BEGUN)
        self._begun = {mark.encode(): address for _, mark, address in notes}

    def address(self, sha256: str, bucket: str, key: str, mimetype: str) -> str | None:
        """Where an upload of these bytes to there was begun, None when none was."""
        return self._begun.get(_mark(sha256, bucket, key, mimetype).encode())

    def note(self, sha256: str, bucket: str, key: str, mimetype: str, address: str) -> None:
        """One has begun."""
        self._journal.note((_BEGUN, _mark(sha256, bucket, key, mimetype), address))


class Sent:
    """What went whole into a target. That bytes of a digest are an object's is believed as long as its row names the
    version it had then; every upload gives another. `session` is used from one thread at a time, and not ours."""

    def __init__(self, journal: Journal, session: Session) -> None:
        self._journal = journal
        self._session = session
        self._lock = threading.Lock()
        notes = (note for note in journal.earlier() if len(note) == 2 and note[0] == _WHOLE)
        self._whole = {mark.encode() for _, mark in notes}
        self._unnoted: dict[tuple[str, str], str] = {}
        self._unnoted_bytes = 0

    def is_whole(self, sha256: str, bucket: str, key: str, version: str) -> bool:
        """Whether these bytes were sent there, and nobody has sent others since."""
        return _mark(sha256, bucket, key, version).encode() in self._whole

    async def add(self, sha256: str, bucket: str, key: str, size: int) -> None:
        """All of it is there."""
        self._unnoted[bucket, key] = sha256
        self._unnoted_bytes += size
        if len(self._unnoted) >= MOST_UNNOTED or self._unnoted_bytes >= MOST_UNNOTED_BYTES:
            await in_thread(self._note, self._taken())

    def note_rest(self) -> None:
        """Note what wasn't yet."""
        self._note(self._taken())

    def _taken(self) -> dict[tuple[str, str], str]:
        unnoted, self._unnoted, self._unnoted_bytes = self._unnoted, {}, 0
        return unnoted

    def _note(self, sent: dict[tuple[str, str], str]) -> None:
        if not sent:
            return
        buckets, keys = map(list, zip(*sent, strict=True))
        try:
            with self._lock:
                rows = self._session.rows(_VERSIONS, (buckets, keys))
        except ProjectError:
            # Nothing is lost by it but the next run's time.
            return
        marks = (_mark(sent[bucket, key], bucket, key, version) for bucket, key, version in rows)
        self._journal.note(*((_WHOLE, mark) for mark in marks))


def _mark(*what: str) -> str:
    text = "\0".join(what).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
