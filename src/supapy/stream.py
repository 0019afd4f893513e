"""What passes by: pieces of bytes counted, hashed and cut into lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from supapy.errors import Unreadable
from supapy.model import Piece

HASH_BYTES = 16


class Meter:
    """Counts and hashes the pieces that pass through it; once they have passed, `size` and `sha256` are theirs."""

    def __init__(self, *, md5: str | None = None, size: int | None = None) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._expected_md5 = md5
        self._expected_size = size
        self.size = 0

    @property
    def sha256(self) -> str:
        """The digest of what has passed so far, as hex."""
        return self._sha256.hexdigest()

    def add(self, piece: Piece) -> None:
        """One more piece. Raises Unreadable when it is more than was expected."""
        self._sha256.update(piece)
        if self._md5:
            self._md5.update(piece)
        self.size += len(piece)
        if self._expected_size is not None and self.size > self._expected_size:
            raise Unreadable(f"more than the {self._expected_size} bytes that were promised came")

    def end(self) -> None:
        """It was the last piece. Raises Unreadable when they aren't what was expected."""
        if self._expected_size is not None and self.size < self._expected_size:
            raise Unreadable(f"{self.size} bytes came where {self._expected_size} were promised")
        if self._md5 and self._md5.hexdigest() != self._expected_md5:
            raise Unreadable("its bytes don't have the promised md5")

    def through(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces, counted and hashed. Raises Unreadable when they aren't what was expected, at the latest
        after the last."""
        for piece in pieces:
            self.add(piece)
            yield piece
        self.end()


def newlines(piece: bytes) -> int:
    """How many lines end in it. Taking them out leaps from one to the next, where `count` looks at each byte: of 600 MB
    of ordinary rows 0.05 s instead of 0.2 to 0.35; of lines shorter than 40 bytes it is the other way round."""
    return len(piece) - len(piece.replace(b"\n", b""))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of lines in any order: how many, and the sum of a 128-bit hash of each. Equal ones are of equal lines."""

    rows: int
    total: int

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint(self.rows + other.rows, (self.total + other.total) % (1 << 8 * HASH_BYTES))

    def unlike(self, found: Fingerprint) -> str:
        """How what was found differs from what was saved, this; "" where it doesn't."""
        if self.rows != found.rows:
            return f"saved {self.rows} rows, found {found.rows}"
        return "" if self == found else "other values"


NO_ROWS = Fingerprint(0, 0)


def fingerprint(pieces: Iterable[bytes]) -> Fingerprint:
    """The fingerprint of a text's lines."""
    return fingerprint_of(lines(pieces))


def fingerprint_of(rows: Iterable[bytes]) -> Fingerprint:
    """The fingerprint of lines."""
    count = total = 0
    for line in rows:
        count += 1
        total += int.from_bytes(hashlib.blake2b(line, digest_size=HASH_BYTES).digest(), "little")
    return Fingerprint(count, total % (1 << 8 * HASH_BYTES))


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a text that comes in pieces, without their newlines; one at the end begins no further line."""
    # In parts until its end comes: to put each piece to what there is of a line would copy a long one time and again.
    begun: list[bytes] = []
    for piece in pieces:
        first, *others = piece.split(b"\n")
        begun.append(first)
        if others:
            yield b"".join(begun)
            *whole, last = others
            yield from whole
            begun = [last]
    if rest := b"".join(begun):
        yield rest
