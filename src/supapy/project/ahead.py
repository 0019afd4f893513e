"""Few rows, read at once by the connection that is there: another takes longer to begin than these to be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise
from tempfile import SpooledTemporaryFile

from supapy.model import Piece
from supapy.project.postgres import PIECE_BYTES, Session
from supapy.project.pumps import Output

# What takes few pages on disk may be compressed there, a hundred times and more.
MOST_IN_MEMORY_BYTES = 32 * 1024 * 1024


class Ahead:
    """What groups of `COPY … TO STDOUT` statements put out, read all at once and held until it is taken. `close` it,
    whatever happens."""

    def __init__(self, session: Session, groups: Sequence[Sequence[str]]) -> None:
        self._session = session
        self._groups = groups
        self._held = SpooledTemporaryFile(MOST_IN_MEMORY_BYTES)  # noqa: SIM115 (closed by `close`)
        self._left = [0] * sum(map(len, groups))

    def outputs(self) -> Iterator[Output]:
        """Read, and give for each group the output of its statements, in pieces; each is to be read to its end before
        the next."""
        statements = list(chain.from_iterable(self._groups))
        if statements:
            self._session.copies(statements, self._hold)
        self._held.seek(0)
        ends = accumulate(map(len, self._groups), initial=0)
        return (Output(self._taken, first, end) for first, end in pairwise(ends))

    def close(self) -> None:
        """Let go of what is held."""
        self._held.close()

    def _hold(self, number: int, piece: Piece) -> None:
        if self._held.tell() + len(piece) > MOST_IN_MEMORY_BYTES:
            # Before it is written: the file of itself looks afterwards, when memory has taken in all of it.
            self._held.rollover()
        self._held.write(piece)
        self._left[number] += len(piece)

    def _taken(self, number: int) -> bytes:
        if not self._left[number]:
            return b""
        piece = self._held.read(min(self._left[number], PIECE_BYTES))
        self._left[number] -= len(piece)
        return piece
