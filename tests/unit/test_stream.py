"""Pieces counted, hashed and cut into lines; work side by side, its results in order."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supapy.errors import Unreadable
from supapy.stream import MOST_WAITING, Meter, in_order, lines

MD5_OF_ABC = "900150983cd24fb0d6963f7d28e17f72"


def passed(meter: Meter, *pieces: bytes) -> bytes:
    return b"".join(meter.through(pieces, lambda amount: None))


@given(st.lists(st.binary(max_size=50)))
def test_a_meter_tells_size_and_digest_of_what_passed_unchanged(pieces: list[bytes]) -> None:
    meter, steps = Meter(), []
    content = b"".join(meter.through(pieces, steps.append))
    assert content == b"".join(pieces)
    assert (meter.size, meter.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert sum(steps) == len(content)


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
        for _ in Meter(size=25).through(endless(), lambda amount: None):
            pass


def test_a_meter_refuses_other_bytes_than_were_promised() -> None:
    with pytest.raises(Unreadable, match="md5"):
        passed(Meter(size=3, md5=MD5_OF_ABC), b"abd")


@given(st.lists(st.binary(max_size=4) | st.sampled_from([b"\n", b"a\n", b"\n\n", b"\r\n", b"\x0b"]), max_size=30))
def test_lines_do_not_hang_on_how_the_text_was_cut(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    expected = text.split(b"\n")
    assert list(lines(pieces)) == (expected if expected[-1] else expected[:-1])


# --- in_order --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_results_come_in_the_order_of_the_work(pool: ThreadPoolExecutor) -> None:
    later = threading.Event()

    def slow() -> int:
        later.wait()
        return 0

    def last() -> int:
        later.set()
        return 3

    work: list[Callable[[], int]] = [slow, lambda: 1, lambda: 2, last]
    assert list(in_order(pool, work)) == [0, 1, 2, 3]


def test_no_more_than_a_bounded_number_is_under_way(pool: ThreadPoolExecutor) -> None:
    begun, taken = 0, 0

    def work() -> Iterator[Callable[[], int]]:
        nonlocal begun
        for number in range(10 * MOST_WAITING):
            begun += 1
            assert begun - taken <= MOST_WAITING
            yield partial(int, number)

    for taken, number in enumerate(in_order(pool, work()), start=1):
        assert number == taken - 1
    assert taken == 10 * MOST_WAITING


def fail() -> int:
    raise ZeroDivisionError


def test_the_first_error_drops_what_has_not_begun_and_interrupts_the_rest(pool: ThreadPoolExecutor) -> None:
    interrupted, holding, done = threading.Event(), threading.Semaphore(0), []

    def hold() -> int:
        holding.release()
        assert interrupted.wait(60)
        return 0

    def fail_once_the_others_hold() -> int:
        for _ in range(3):
            holding.acquire()
        raise ZeroDivisionError

    work: list[Callable[[], object]] = [fail_once_the_others_hold, hold, hold, hold, *[partial(done.append, 1)] * 20]
    with pytest.raises(ZeroDivisionError):
        list(in_order(pool, work, interrupt=interrupted.set))
    pool.shutdown()
    # The one worker that failed may have taken one more before the rest was dropped; the three held on to the end.
    assert len(done) < 20


def test_an_error_in_finding_the_work_interrupts_too(pool: ThreadPoolExecutor) -> None:
    interrupted = threading.Event()

    def work() -> Iterator[Callable[[], int]]:
        yield partial(interrupted.wait, 60)
        fail()

    with pytest.raises(ZeroDivisionError):
        list(in_order(pool, work(), interrupt=interrupted.set))


def test_a_reader_who_stops_interrupts_too(pool: ThreadPoolExecutor) -> None:
    interrupted = threading.Event()
    results = in_order(pool, [partial(int, 1), partial(interrupted.wait, 60)], interrupt=interrupted.set)
    assert next(results) == 1
    results.close()  # type: ignore[attr-defined]
    assert interrupted.is_set()


def test_work_that_ends_well_is_not_interrupted(pool: ThreadPoolExecutor) -> None:
    interrupted = threading.Event()
    assert list(in_order(pool, [partial(int, 1)], interrupt=interrupted.set)) == [1]
    assert not interrupted.is_set()
