"""What is tried again, how often, and how long is waited between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supapy import retry
from supapy.errors import ApiError, Unreachable
from supapy.retry import LONGEST_ASKED_WAIT_S, LONGEST_IN_ALL_S, LONGEST_WAIT_S, MOST_TRIES, Again, asked_wait_s

NOW_S = 1_800_000_000.0


class Attempts:
    """Fails with the given errors, one a try, then gives "well"."""

    def __init__(self, errors: Iterator[Exception]) -> None:
        self.errors = errors
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        for error in self.errors:
            raise error
        return "well"


def trying(attempt: Callable[[], str], *, sleep: Callable[[float], object]) -> str:
    """`retry.trying` on a clock that only the sleeps move."""
    seconds = 0.0

    async def tried() -> str:
        return attempt()

    async def slept(wait_s: float) -> None:
        nonlocal seconds
        seconds += wait_s
        sleep(wait_s)

    return asyncio.run(retry.trying(tried, sleep=slept, now=lambda: seconds))


def busy(times: int, **how: float) -> Attempts:
    return Attempts(Again(Unreachable("busy"), **how) for _ in range(times))  # type: ignore[arg-type]


def waits_of(attempt: Callable[[], str]) -> list[float]:
    waits: list[float] = []
    with suppress(Unreachable):
        trying(attempt, sleep=waits.append)
    return waits


def test_what_succeeds_at_once_is_tried_once() -> None:
    attempts = busy(0)
    assert trying(attempts, sleep=pytest.fail) == "well"
    assert attempts.tries == 1


@pytest.mark.parametrize("failures", range(1, MOST_TRIES))
def test_what_fails_fewer_times_than_it_may_succeeds(failures: int) -> None:
    attempts = busy(failures)
    assert trying(attempts, sleep=lambda seconds: None) == "well"
    assert attempts.tries == failures + 1


def test_what_fails_for_ever_is_given_up_after_eight_tries_with_its_own_error() -> None:
    attempts = busy(1000)
    with pytest.raises(Unreachable, match="busy"):
        trying(attempts, sleep=lambda seconds: None)
    assert attempts.tries == 8


def test_a_failure_may_be_worth_fewer_tries() -> None:
    attempts = busy(1000, most_tries=3)
    with pytest.raises(Unreachable):
        trying(attempts, sleep=lambda seconds: None)
    assert attempts.tries == 3


def test_any_other_error_ends_it_at_once() -> None:
    attempts = Attempts(iter([ApiError("no such object", status=404)]))
    with pytest.raises(ApiError):
        trying(attempts, sleep=pytest.fail)
    assert attempts.tries == 1


def test_own_waits_grow_but_stay_bounded() -> None:
    every = [waits_of(busy(1000)) for _ in range(50)]
    for number in range(MOST_TRIES - 1):
        longest = max(waits[number] for waits in every)
        assert longest <= min(2.0**number, LONGEST_WAIT_S)
    assert len({waits[3] for waits in every}) > 40, "workers that fail together don't come back together"


@pytest.mark.parametrize("asked_s", [0.0, 1.5, 60.0, LONGEST_ASKED_WAIT_S])
def test_no_request_comes_earlier_than_the_server_asked(asked_s: float) -> None:
    assert all(wait >= asked_s for wait in waits_of(busy(1000, wait_s=asked_s)))


def test_an_absurd_wait_is_cut() -> None:
    waits = waits_of(busy(1000, wait_s=9999.0))
    assert set(waits) == {LONGEST_ASKED_WAIT_S}


def test_no_try_is_begun_after_five_minutes() -> None:
    waits = waits_of(busy(1000, wait_s=LONGEST_ASKED_WAIT_S))
    assert sum(waits[:-1]) <= LONGEST_IN_ALL_S < sum(waits)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *((None, None), ("", None), ("soon", None), ("nan", 0.0), ("0", 0.0), ("7", 7.0), ("-7", 0.0), ("1.5", 1.5)),
        (format_datetime(datetime.fromtimestamp(NOW_S + 30, UTC), usegmt=True), 30.0),
        (format_datetime(datetime.fromtimestamp(NOW_S - 30, UTC), usegmt=True), 0.0),
        *(("Wed, 99 Nov 2026 07:15:00 GMT", None), ("Wed, 21 Oct", None)),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert asked_wait_s(header, NOW_S) == seconds


@given(st.text() | st.from_regex(r"\A(Mon|Tue), \d+ (Nov|Xxx) \d+ \d+:\d+:\d+ ?[-+A-Z0-9]*\Z"))
def test_no_header_breaks_it(header: str) -> None:
    asked = asked_wait_s(header, NOW_S)
    assert asked is None or asked >= 0
