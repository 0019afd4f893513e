"""The rest of a large body, received without a copy: into memory that is used again, in pieces that are views of it.

aiohttp makes new memory of whatever comes and copies it twice more, which takes as long as hashing it does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

from supapy.model import Piece

# One piece: handing it on costs little beside hashing it, and what is received at once mostly fits.
PIECE_BYTES = 512 * 1024
# Pieces that are received before they are asked for: the line doesn't stand still while one is handed on.
MOST_AHEAD = 2


class Receiver(asyncio.BufferedProtocol):
    """What is `left` (bytes) of a body whose connection is this one's from now on, behind those that `came` already."""

    def __init__(self, transport: asyncio.Transport, came: bytes, left: int, stall_after_s: float) -> None:
        self._transport = transport
        self._before = cast(asyncio.Protocol, transport.get_protocol())
        self._stall_after_s = stall_after_s
        self._loop = asyncio.get_running_loop()
        self._left = left
        self._ready: deque[Piece] = deque([came] if came else [])
        self._buffers: list[bytearray] = []
        self._buffer: bytearray | None = None
        self._filled = 0
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._broken: OSError | None = None
        self._is_reading = True
        self._heard_at_s = self._loop.time()
        transport.set_protocol(self)
        transport.resume_reading()

    async def more(self) -> Piece:
        """The next piece, empty at the end. Its memory is used again when nobody has it, nor a view of it, any more.

        Raises TimeoutError when no byte came for `stall_after_s`, another OSError when the connection broke; whatever
        came before has been handed on then.
        """
        while not self._ready:
            if self._filled and self._broken:
                self._hand_on()
            elif self._broken:
                raise self._broken
            elif not self._left:
                return b""
            else:
                await self._something()
        piece = self._ready.popleft()
        self._read_or_pause()
        return piece

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        if self._buffer is None:
            self._buffer = next(filter(_is_unused, self._buffers), None)
        if self._buffer is None:
            self._buffer = bytearray(PIECE_BYTES)
            self._buffers.append(self._buffer)
        return memoryview(self._buffer)[self._filled : min(PIECE_BYTES, self._filled + self._left)]

    def buffer_updated(self, nbytes: int) -> None:
        """So many have come."""
        self._heard_at_s = self._loop.time()
        self._filled += nbytes
        self._left -= nbytes
        if self._filled == PIECE_BYTES or not self._left:
            self._hand_on()
            self._read_or_pause()
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """None will come any more."""
        self._broken = exc if isinstance(exc, OSError) else ConnectionResetError("closed too early")
        self._wake()
        if self._timer:
            self._timer.cancel()
        self._before.connection_lost(exc)

    def _hand_on(self) -> None:
        assert self._buffer is not None
        self._ready.append(memoryview(self._buffer)[: self._filled])
        self._buffer, self._filled = None, 0

    def _read_or_pause(self) -> None:
        read = self._left > 0 and len(self._ready) < MOST_AHEAD
        if read and not self._is_reading:
            # That nobody took more for so long wasn't the server's silence.
            self._heard_at_s = self._loop.time()
            self._transport.resume_reading()
        elif self._is_reading and not read:
            self._transport.pause_reading()
        self._is_reading = read

    async def _something(self) -> None:
        """Wait for a piece or the end of all."""
        self._waiter = self._loop.create_future()
        self._timer = self._timer or self._loop.call_at(self._heard_at_s + self._stall_after_s, self._look)
        await self._waiter

    def _look(self) -> None:
        """Whether it has been silent for too long: looked at once for many pieces, not timed for each."""
        self._timer = None
        silent_at_s = self._heard_at_s + self._stall_after_s
        if not self._waiter or self._waiter.done():
            return
        if self._loop.time() < silent_at_s:
            self._timer = self._loop.call_at(silent_at_s, self._look)
        else:
            self._broken = TimeoutError("silent")
            self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


def _is_unused(buffer: bytearray) -> bool:
    """Whether there is no view of it: as long as there is one, its size can't be changed."""
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return False
    return True
