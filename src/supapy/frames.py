"""Compressed files that are read from anywhere: a row of zstd frames, each complete by itself, and a table of them.

`zstd -dc` reads such a file like any other. The table stands at the end, in the form that zstd's own "seekable format"
(0.1.0) gives it: a skippable frame with the two sizes of each frame. So any range is read without what lies before it,
and neither the manifest nor whoever wrote the content has to know where frames lie.
"""

from __future__ import annotations

import struct
import sys
import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from supapy.model import Piece

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Level 3 costs 1.5 to 2 times the work; of rows it makes more than level 1 does, of text 8 % less
# (docs/decisions/0008).
LEVEL = 1
# A frame holds this much: a range costs little more than itself, and larger frames don't compress better.
FRAME_BYTES = 1024 * 1024
# What comes in at least this large is a frame of its own.
LEAST_FRAME_BYTES = FRAME_BYTES // 4
# A frame of ours needs a window no larger than itself; one that asks for much more wants to fill the memory.
MOST_WINDOW_LOG = 23
# Decoded bytes are handed on in pieces of at most this size, however much a frame claims to hold.
PIECE_BYTES = 256 * 1024

_SKIPPABLE_MAGIC = 0x184D2A5E
_SEEKABLE_MAGIC = 0x8F92EAB1
# A magic number and the length; for each frame its size and its content's; their number, flags and a magic number.
_HEAD = _ENTRY = struct.Struct("<II")
_TAIL = struct.Struct("<IBI")
# Terabytes of rows, and 100 MB of memory to read the table.
MOST_FRAMES = 4_000_000


class Broken(ValueError):
    """It isn't a file of frames, or not a whole one."""


class Framed(bytearray):
    """Bytes that were compressed already, where there was time for it: `frame` is what they are as a frame. Used as
    `bytes` are, and never changed: an array only because making one copies once, and a kind of `bytes` twice."""

    frame: bytes


def framed(piece: bytes | memoryview) -> bytes:
    """The same bytes, with their frame where they are enough for one."""
    if len(piece) < LEAST_FRAME_BYTES:
        return bytes(piece)
    found = Framed(piece)
    found.frame = _compressed(piece)
    return cast(bytes, found)


class Encoder:
    """Turns content, piece by piece, into the bytes of a file of frames."""

    def __init__(self) -> None:
        self._gathered = bytearray()
        self._table = bytearray()

    def add(self, piece: Piece | Framed) -> bytes:
        """What is ready to be written once the piece has come; often nothing."""
        if isinstance(piece, Framed):
            return self._flush() + self._noted(piece.frame, len(piece))
        self._gathered += piece
        return self._flush() if len(self._gathered) >= FRAME_BYTES else b""

    def end(self) -> bytes:
        """The last frame, and the table."""
        rest = self._flush()
        tail = _TAIL.pack(len(self._table) // _ENTRY.size, 0, _SEEKABLE_MAGIC)
        return rest + _HEAD.pack(_SKIPPABLE_MAGIC, len(self._table) + len(tail)) + self._table + tail

    def _flush(self) -> bytes:
        if not self._gathered:
            return b""
        size, frame = len(self._gathered), _compressed(self._gathered)
        self._gathered.clear()
        return self._noted(frame, size)

    def _noted(self, frame: bytes, size: int) -> bytes:
        self._table += _ENTRY.pack(len(frame), size)
        return frame


@dataclass(frozen=True, slots=True)
class Table:
    """Where the frames of a file begin, in it and in its content; the last of each is the end (bytes)."""

    stored: array[int]
    content: array[int]

    def stretch(self, start: int, end: int) -> tuple[int, int, int]:
        """The stored bytes that hold the content's [start, end): from, to, and where the content of the first frame
        begins."""
        first = max(0, bisect_right(self.content, start) - 1)
        last = min(len(self.content) - 1, bisect_right(self.content, max(end - 1, start)))
        return self.stored[first], self.stored[last], self.content[first]


def read_table(read: Callable[[int, int], bytes], stored_size: int, size: int) -> Table:
    """The table of a file of these sizes, encoded and decoded, of which `read` gives the bytes from one place to
    another. Raises Broken when it has none that fits them."""
    if stored_size < _HEAD.size + _TAIL.size:
        raise Broken("it is cut short")
    tail = read(stored_size - _TAIL.size, stored_size)
    count, flags, magic = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, 0, 0)
    begin = stored_size - _TAIL.size - count * _ENTRY.size - _HEAD.size
    if (magic, flags) != (_SEEKABLE_MAGIC, 0) or count > MOST_FRAMES or begin < 0:
        raise Broken("it doesn't end with a table of its frames")
    table = read(begin, stored_size - _TAIL.size)
    if len(table) != _HEAD.size + count * _ENTRY.size:
        raise Broken("it is cut short")
    entries = _ENTRY.iter_unpack(table)
    head = next(entries)
    stored, content = array("Q", [0]), array("Q", [0])
    for frame, plain in entries:
        stored.append(stored[-1] + frame)
        content.append(content[-1] + plain)
    expected = (_SKIPPABLE_MAGIC, count * _ENTRY.size + _TAIL.size)
    if (head, stored[-1], content[-1]) != (expected, begin, size):
        raise Broken("its table of frames is of another file")
    return Table(stored, content)


def decoded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content of frames, in pieces that never grow large. Raises Broken for what is no frame, or half of one."""
    decoder = _decoder()
    for piece in pieces:
        rest = piece
        while rest:
            if decoder.eof:
                decoder = _decoder()
            yield from _drained(decoder, rest)
            rest = decoder.unused_data
    if not decoder.eof:
        raise Broken("it is cut short")


def _drained(decoder: zstd.ZstdDecompressor, piece: bytes) -> Iterator[bytes]:
    try:
        if found := decoder.decompress(piece, PIECE_BYTES):
            yield found
        while not (decoder.needs_input or decoder.eof):
            if found := decoder.decompress(b"", PIECE_BYTES):
                yield found
    except zstd.ZstdError as error:
        raise Broken(f"it is damaged: {error}") from None


def _decoder() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MOST_WINDOW_LOG})


def _compressed(piece: bytes | bytearray | memoryview) -> bytes:
    compressor = _own.compressor
    return compressor.compress(piece, mode=compressor.FLUSH_FRAME)


class _Own(threading.local):
    """Each thread's own compressor: making one for each frame costs as much in the system as reading the frame."""

    def __init__(self) -> None:
        options: dict[int, int] = {zstd.CompressionParameter.compression_level: LEVEL}
        options[zstd.CompressionParameter.checksum_flag] = 1
        self.compressor = zstd.ZstdCompressor(options=options)


_own = _Own()
