"""Pieces counted, hashed and cut into lines; rows told apart by a fingerprint, however they are ordered and cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supapy.errors import Unreadable
from supapy.stream import NO_ROWS, Meter, fingerprint, lines, newlines

MD5_OF_ABC = "900150983cd24fb0d6963f7d28e17f72"
ROWS = st.lists(st.binary(max_size=8).map(lambda row: row.replace(b"\n", b"")))


def passed(meter: Meter, *pieces: bytes) -> bytes:
    return b"".join(meter.through(pieces))


@given(st.lists(st.binary(max_size=50)))
def test_a_meter_tells_size_and_digest_of_what_passed_unchanged(pieces: list[bytes]) -> None:
    meter = Meter()
    content = b"".join(meter.through(pieces))
    assert content == b"".join(pieces)
    assert (meter.size, meter.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_meter_lets_pass_what_was_promised() -> None:
    assert passed(Meter(size=3, md5=MD5_OF_ABC), b"a", b"", b"bc") == b"abc"
    assert passed(Meter(size=0)) == b""


@pytest.mark.parametrize("pieces", [[], [b"ab"], [b"ab", b"cd"], [b"abcd"]])
def test_a_meter_refuses_another_size_than_was_promised(pieces: list[bytes]) -> None:
    with pytest.raises(Unreadable, match="3"):
        passed(Meter(size=3), *pieces)


def test_a_meter_stops_reading_what_is_longer_than_promised() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 10

    with pytest.raises(Unreadable):
        for _ in Meter(size=25).through(endless()):
            pass


def test_a_meter_refuses_other_bytes_than_were_promised() -> None:
    with pytest.raises(Unreadable, match="md5"):
        passed(Meter(size=3, md5=MD5_OF_ABC), b"abd")


@given(st.lists(st.binary(max_size=4) | st.sampled_from([b"\n", b"a\n", b"\n\n", b"\r\n", b"\x0b"]), max_size=30))
def test_lines_do_not_hang_on_how_the_text_was_cut(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    expected = text.split(b"\n")
    assert list(lines(pieces)) == (expected if expected[-1] else expected[:-1])


@given(st.binary(max_size=50))
def test_newlines_are_counted_in_whatever_holds_them(piece: bytes) -> None:
    assert newlines(piece) == newlines(bytearray(piece)) == piece.count(b"\n")


def whole(rows: list[bytes]) -> bytes:
    return b"".join(row + b"\n" for row in rows)


@given(ROWS)
def test_order_makes_no_difference_to_a_fingerprint(rows: list[bytes]) -> None:
    assert fingerprint([whole(sorted(rows))]) == fingerprint([whole(rows)])


@given(ROWS, ROWS)
def test_other_rows_have_another_fingerprint(rows: list[bytes], others: list[bytes]) -> None:
    assert (fingerprint([whole(rows)]) == fingerprint([whole(others)])) == (sorted(rows) == sorted(others))


@given(ROWS, st.integers(min_value=1, max_value=9))
def test_where_pieces_are_cut_makes_no_difference_to_a_fingerprint(rows: list[bytes], size: int) -> None:
    content = whole(rows)
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    assert fingerprint(pieces) == fingerprint([content])


@given(ROWS, ROWS)
def test_fingerprints_of_parts_add_up(rows: list[bytes], others: list[bytes]) -> None:
    assert fingerprint([whole(rows)]) + fingerprint([whole(others)]) == fingerprint([whole(rows + others)])
    assert fingerprint([whole(rows)]) + NO_ROWS == fingerprint([whole(rows)])


@given(ROWS, ROWS)
def test_it_is_said_how_rows_differ(rows: list[bytes], others: list[bytes]) -> None:
    said = fingerprint([whole(rows)]).unlike(fingerprint([whole(others)]))
    if len(rows) != len(others):
        assert said == f"saved {len(rows)} rows, found {len(others)}"
    else:
        assert said == ("" if sorted(rows) == sorted(others) else "other values")


def test_rows_without_columns_count_in_a_fingerprint() -> None:
    assert fingerprint([b"\n\n"]).rows == 2
