"""COPY's binary form, in pieces that are cut anywhere."""

from __future__ import annotations

import struct

import pytest

from supapy.errors import ConnectionLost
from supapy.project.quick import named_lines

HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
ROWS = [[b"one", None], [b"", b"x" * 300 + b"\n"], [None, b""], [b"two", b"\xff\xff\n\n" + b"y" * 70_000 + b"\n"]]


def output(rows: list[list[bytes | None]]) -> bytes:
    values = b"".join(
        struct.pack(">h", len(row))
        + b"".join(struct.pack(">i", -1) if one is None else struct.pack(">i", len(one)) + one for one in row)
        for row in rows
    )
    return HEAD + values + b"\xff\xff"


@pytest.mark.parametrize("size", [1, 2, 7, 19, 64, 10_000])
def test_the_lines_are_the_same_wherever_the_pieces_are_cut(size: int) -> None:
    data = output(ROWS) + output([]) + output(ROWS[:1])
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    rows = [(name or b"", (text or b"").splitlines(keepends=True)) for name, text in ROWS]
    assert list(named_lines(pieces, 3)) == [*rows, rows[0]]


@pytest.mark.parametrize("missing", [1, 2, 3, 100, 70_000])
def test_an_output_that_breaks_off_is_no_shorter_one(missing: int) -> None:
    data = output(ROWS) + output(ROWS)
    with pytest.raises(ConnectionLost):
        list(named_lines([data[:-missing]], 2))
