"""Ids of users, of whom there may be millions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

_ID_BYTES = 16
# Few enough that they are little themselves, so many that of a million ids each has some fifteen.
_PLACES = 1 << 16


class Ids(Collection[str]):
    """Ids, each once and in no order: of a million in 30 MB, for which a set of texts takes 130. One that is no UUID,
    as somebody may write it into a file, is kept as it is."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        # By a hash that nobody can foresee, the bytes of those that have it.
        self._places: defaultdict[int, bytearray] = defaultdict(bytearray)
        self._others = set[str]()
        self._count = 0
        for one in ids:
            self.add(one)

    def add(self, one: str) -> bool:
        """Take one in; tells whether it is new."""
        if not (packed := _packed(one)):
            is_new = one not in self._others
            self._others.add(one)
        elif is_new := not _has(ids := self._places[hash(packed) % _PLACES], packed):
            ids += packed
        self._count += is_new
        return is_new

    def __contains__(self, one: object) -> bool:
        if packed := _packed(str(one)):
            return _has(self._places.get(hash(packed) % _PLACES, b""), packed)
        return one in self._others

    def __iter__(self) -> Iterator[str]:
        for ids in self._places.values():
            for at in range(0, len(ids), _ID_BYTES):
                yield str(UUID(bytes=bytes(ids[at : at + _ID_BYTES])))
        yield from self._others

    def __len__(self) -> int:
        return self._count


def _has(ids: bytes | bytearray, packed: bytes) -> bool:
    at = ids.find(packed)
    while at > 0 and at % _ID_BYTES:
        at = ids.find(packed, at + 1)
    return at >= 0


def _packed(text: str) -> bytes:
    """The bytes of a UUID; none where it isn't one."""
    try:
        packed = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return b""
    return packed if len(packed) == _ID_BYTES else b""
