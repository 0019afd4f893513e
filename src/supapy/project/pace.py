"""How many requests are under way: more while the server keeps up, half as many when it says that it is too much."""

from __future__ import annotations

import asyncio
from collections import deque

# A server that has room for more shows it within a few hundred answers.
FIRST_AT_ONCE = 16


class Pace:
    """Lets requests through, `most` at the same time or fewer. Every use is on one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.allowed = min(FIRST_AT_ONCE, most)
        self._under_way = 0
        self._well = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for a place. Each must be left again."""
        while self._under_way >= self.allowed:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()
                raise
        self._under_way += 1

    def leave(self) -> None:
        """Give the place to the next."""
        self._under_way -= 1
        self._wake()

    def kept_up(self) -> None:
        """The server answered: after as many answers as there may be requests, there may be one more."""
        self._well += 1
        if self._well >= self.allowed and self.allowed < self._most:
            self._well = 0
            self.allowed += 1
            self._wake()

    def too_much(self) -> None:
        """The server asked for less, or fell silent. What was under way together says so together: that counts once."""
        if self._well or self.allowed == self._most:
            self.allowed = max(1, self.allowed // 2)
        self._well = 0

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
