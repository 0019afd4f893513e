"""Few rows read at once: what is held of them until it is taken, wherever that is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.projects import ClusterFactory

from supapy.project.ahead import MOST_IN_MEMORY_BYTES, Ahead
from supapy.project.postgres import PIECE_BYTES, Session, connect

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def session(module_clusters: ClusterFactory) -> Iterator[Session]:
    with connect(module_clusters().dsn) as session:
        yield session


@contextmanager
def counted() -> Iterator[list[int]]:
    """The most memory that the block holds at once, in bytes, of which what libpq receives into is no part."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def rows(size: int, count: int) -> str:
    return f"COPY (SELECT repeat(chr(97 + n), {size - 1}) FROM generate_series(1, {count}) n) TO STDOUT"


def test_each_group_has_the_rows_of_its_own_statements_in_their_order(session: Session) -> None:
    groups = [[rows(3, 1)], [], [rows(2, 2), "COPY (SELECT 1 WHERE false) TO STDOUT", rows(4, 1)]]
    with closing(Ahead(session, groups)) as ahead:
        assert [b"".join(output) for output in ahead.outputs()] == [b"bb\n", b"", b"b\nc\nbbb\n"]


@pytest.mark.parametrize(("size", "count"), [(MEGABYTE // 8, 3), (MEGABYTE, 3), (MOST_IN_MEMORY_BYTES, 1)])
def test_more_than_memory_is_given_waits_in_a_file_and_comes_back_as_it_was(
    session: Session, size: int, count: int
) -> None:
    """Also rows each of which is as large as all that may be held. Sixteen times what little else there is."""
    many = 2 * MOST_IN_MEMORY_BYTES // (size * count)
    with closing(Ahead(session, [[rows(size, count)] * many, [rows(9, 1)]])) as ahead, counted() as peak:
        first, second = ahead.outputs()
        line = 0
        for piece in first:
            line += piece.count(b"\n")
            assert len(piece) <= PIECE_BYTES
        assert b"".join(second) == b"bbbbbbbb\n"
    assert line == many * count
    assert peak[0] < MOST_IN_MEMORY_BYTES * 1.2 + 2 * PIECE_BYTES
