"""The fingerprint of rows: of the rows, not of their order or of how their bytes came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supapy.stream import NO_ROWS, fingerprint

ROWS = st.lists(st.binary(max_size=8).map(lambda row: row.replace(b"\n", b"")))


def whole(rows: list[bytes]) -> bytes:
    return b"".join(row + b"\n" for row in rows)


@given(ROWS)
def test_order_makes_no_difference(rows: list[bytes]) -> None:
    assert fingerprint([whole(sorted(rows))]) == fingerprint([whole(rows)])


@given(ROWS, ROWS)
def test_other_rows_make_a_difference(rows: list[bytes], others: list[bytes]) -> None:
    assert (fingerprint([whole(rows)]) == fingerprint([whole(others)])) == (sorted(rows) == sorted(others))


@given(ROWS, st.integers(min_value=1, max_value=9))
def test_where_the_pieces_are_cut_makes_no_difference(rows: list[bytes], size: int) -> None:
    content = whole(rows)
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    assert fingerprint(pieces) == fingerprint([content])


@given(ROWS, ROWS)
def test_fingerprints_of_parts_add_up(rows: list[bytes], others: list[bytes]) -> None:
    assert fingerprint([whole(rows)]) + fingerprint([whole(others)]) == fingerprint([whole(rows + others)])
    assert fingerprint([whole(rows)]) + NO_ROWS == fingerprint([whole(rows)])


def test_rows_without_columns_count() -> None:
    assert fingerprint([b"\n\n"]).rows == 2
