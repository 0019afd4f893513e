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


class Sent:
    """What was sent into a target. That bytes of a digest are an object's is believed as long as its row names the
    version it had then; every upload gives another. `session` is used from one thread at a time, and not ours."""

    def __init__(self, journal: Journal, session: Session) -> None:
        self._journal = journal
        self._session = session
        self._lock = threading.Lock()
        self._whole: set[bytes] = set()
        self._begun: dict[bytes, str] = {}
        self._unnoted: dict[tuple[str, str], str] = {}
        self._unnoted_bytes = 0
        for note in journal.earlier():
            match note:
                case [kind, mark] if kind == _WHOLE:
                    self._whole.add(mark.encode())
                case [kind, mark, address] if kind == _BEGUN:
                    self._begun[mark.encode()] = address

    def is_whole(self, sha256: str, bucket: str, key: str, version: str) -> bool:
        """Whether these bytes were sent there, and nobody has sent others since."""
        return _mark(sha256, bucket, key, version).encode() in self._whole

    def begun(self, sha256: str, bucket: str, key: str, mimetype: str) -> str | None:
        """The address of an upload of these bytes to there that was begun, None when there is none."""
        return self._begun.get(_mark(sha256, bucket, key, mimetype).encode())

    def note_begun(self, sha256: str, bucket: str, key: str, mimetype: str, address: str) -> None:
        """An upload in pieces has begun."""
        self._journal.note((_BEGUN, _mark(sha256, bucket, key, mimetype), address))

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
