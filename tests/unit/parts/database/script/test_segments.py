"""Where each segment lies is noted truly, however its bytes come."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from supapy.parts.database.script.segments import PIECE_BYTES, Segment, Segments, gathered


@given(st.lists(st.lists(st.binary(max_size=300))))
def test_offsets_lengths_and_digests_are_those_of_the_file(parts: list[list[bytes]]) -> None:
    segments = Segments()
    file = b"".join(
        piece for number, pieces in enumerate(parts) for piece in segments.write(str(number), "sql", pieces)
    )
    assert len(segments.written) == len(parts)
    for segment, pieces in zip(segments.written, parts, strict=True):
        content = file[segment.offset : segment.offset + segment.length]
        assert content == b"".join(pieces)
        assert segment.sha256 == hashlib.sha256(content).hexdigest()


def test_small_pieces_are_put_together_and_large_ones_passed_on() -> None:
    large = b"y" * PIECE_BYTES
    pieces = list(gathered([*[b"x" * 1000] * 1000, large, b"z"]))
    assert all(len(piece) >= PIECE_BYTES for piece in pieces[:-3])
    assert pieces[-2] is large
    assert b"".join(pieces) == b"x" * 1_000_000 + large + b"z"


def test_a_segment_survives_json() -> None:
    segment = Segment("rows of a", "data", "auth", 7, 9, "ab", {"schema": "s", "table": "a", "rows": 3})
    assert Segment.from_json(segment.to_json()) == segment
