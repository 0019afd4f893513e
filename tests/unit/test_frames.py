"""Compressed files: any zstd reads them, any range of them is read alone, and nothing in them can hurt who reads."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import sys
import tracemalloc

import pytest

from supapy.frames import FRAME_BYTES, Broken, Encoder, Framed, decoded, framed, read_table

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROWS = b"".join(b"%d\trow %d\n" % (n, n * n) for n in range(200_000))


def encoded(pieces: list[bytes]) -> bytes:
    encoder = Encoder()
    return b"".join([*(encoder.add(piece) for piece in pieces), encoder.end()])


def cut(content: bytes, seed: int, largest: int) -> list[bytes]:
    choose, pieces = random.Random(seed), []
    while content:
        size = choose.randrange(1, largest)
        pieces.append(content[:size])
        content = content[size:]
    return pieces


def part(stored: bytes, size: int, start: int, end: int) -> bytes:
    table = read_table(lambda begin, stop: stored[begin:stop], len(stored), size)
    first, last, at = table.stretch(start, end)
    return b"".join(decoded([stored[first:last]]))[start - at : end - at]


@pytest.mark.parametrize("content", [b"", b"a", ROWS], ids=["empty", "one byte", "rows"])
def test_what_was_encoded_is_decoded_and_any_zstd_reads_it(content: bytes) -> None:
    stored = encoded(cut(content, 1, 400_000))
    assert b"".join(decoded(cut(stored, 2, 5000))) == content
    # Python's own reader takes one frame after another, and skips what isn't content.
    assert zstd.decompress(stored) == content
    if program := shutil.which("zstd"):
        assert subprocess.run([program, "-dc"], input=stored, capture_output=True, check=True).stdout == content


def test_pieces_that_were_compressed_before_stand_in_their_place() -> None:
    pieces = [b"head\n", framed(ROWS), b"between\n", framed(b"small"), framed(ROWS), b"tail\n"]
    assert [isinstance(piece, Framed) for piece in pieces] == [False, True, False, False, True, False]
    stored = encoded(pieces)
    assert b"".join(decoded([stored])) == b"".join(pieces)
    assert pieces[1].frame in stored  # type: ignore[attr-defined]


def test_any_range_is_read_from_few_frames() -> None:
    stored = encoded(cut(ROWS, 3, 300_000))
    choose = random.Random(4)
    borders = [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, len(ROWS) - 1, len(ROWS)]
    ranges = [(start, end) for start in borders for end in borders if start < end]
    ranges += [tuple(sorted(choose.sample(range(len(ROWS) + 1), 2))) for _ in range(50)]  # type: ignore[misc]
    for start, end in ranges:
        assert part(stored, len(ROWS), start, end) == ROWS[start:end]
    table = read_table(lambda begin, stop: stored[begin:stop], len(stored), len(ROWS))
    first, last, _ = table.stretch(FRAME_BYTES, FRAME_BYTES + 1)
    assert last - first < len(stored) / 2


def test_every_cut_of_a_file_is_broken() -> None:
    stored = encoded([b"some content\n" * 20])
    for length in range(len(stored)):
        with pytest.raises(Broken):
            read_table(lambda begin, stop, length=length: stored[:length][begin:stop], length, 260)  # type: ignore[misc]
    frame_ends = len(stored) - 25
    for length in range(frame_ends):
        with pytest.raises(Broken):
            list(decoded([stored[:length]]))


def test_a_table_that_says_other_sizes_than_the_manifest_is_broken() -> None:
    stored = encoded([ROWS])
    for size in (0, len(ROWS) - 1, len(ROWS) + 1):
        with pytest.raises(Broken):
            read_table(lambda begin, stop: stored[begin:stop], len(stored), size)
    with pytest.raises(Broken):
        read_table(lambda begin, stop: stored[begin:stop], len(stored) + 1, len(ROWS))


def test_a_table_that_claims_millions_of_frames_is_broken_before_it_is_read() -> None:
    asked = []

    def read(begin: int, stop: int) -> bytes:
        asked.append(stop - begin)
        return struct.pack("<IBI", 0xFFFFFFFF, 0, 0x8F92EAB1)

    with pytest.raises(Broken):
        read_table(read, 1 << 60, 1)
    assert sum(asked) < 100


def test_two_thousand_damaged_files_are_the_same_content_or_broken() -> None:
    content = ROWS[:20_000]
    stored = encoded(cut(content, 5, 3000))
    choose = random.Random(6)
    for _ in range(2000):
        damaged = bytearray(stored)
        damaged[choose.randrange(len(damaged))] ^= 1 << choose.randrange(8)
        try:
            found = b"".join(decoded([bytes(damaged)]))
        except Broken:
            continue
        # Only the table may be damaged without a frame noticing: the digest of the stored bytes tells.
        assert found == content


def test_a_bomb_comes_in_small_pieces() -> None:
    bomb = zstd.compress(bytes(256 * 1024 * 1024))
    tracemalloc.start()
    try:
        size = sum(map(len, decoded([bomb])))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (size, peak < 16 * 1024 * 1024) == (256 * 1024 * 1024, True)


def test_a_frame_that_wants_a_window_far_larger_than_ours_is_broken() -> None:
    greedy = zstd.compress(bytes(64 * 1024 * 1024), options={zstd.CompressionParameter.window_log: 27})
    with pytest.raises(Broken):
        list(decoded([greedy]))
