"""When to try again, and how long to wait before.

Only what another try can mend is tried again: overload, lost connections, a service that is restarting. At random, so
that many workers don't come back together; a server that says how long to wait is believed, within reason.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from supapy.errors import SupapyError

T = TypeVar("T")

MOST_TRIES = 8
LONGEST_IN_ALL_S = 300.0
# The waits are drawn from 0 to 1, 2, 4, … 60 seconds.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
# A server may ask for more than our own longest wait, but not for so much that a backup seems dead.
LONGEST_ASKED_WAIT_S = 120.0


class Again(Exception):
    """Raised by a try that may be repeated, `most_tries` times in all: `error` is what to raise when none is left."""

    def __init__(self, error: SupapyError, wait_s: float | None = None, most_tries: int = MOST_TRIES) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait_s = wait_s
        self.most_tries = most_tries


_own_wait = wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)


def _again(state: RetryCallState) -> Again:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, Again)
    return failure


def _wait_s(state: RetryCallState) -> float:
    return max(_own_wait(state), min(_again(state).wait_s or 0.0, LONGEST_ASKED_WAIT_S))


def _enough(state: RetryCallState) -> bool:
    return state.attempt_number >= _again(state).most_tries or (state.seconds_since_start or 0.0) > LONGEST_IN_ALL_S


def trying(attempt: Callable[[], T], *, sleep: Callable[[float], None], most_tries: int = MOST_TRIES) -> T:
    """The value of `attempt`, which raises `Again` when it may be repeated. Raises its error when it stays so, at the
    latest after `most_tries`."""
    tries = Retrying(
        sleep=sleep,
        retry=retry_if_exception_type(Again),
        stop=lambda state: _enough(state) or state.attempt_number >= most_tries,
        wait=_wait_s,
        reraise=True,
    )
    try:
        return tries(attempt)
    except Again as again:
        raise again.error from None


def asked_wait_s(retry_after: str | None, now_s: float) -> float | None:
    """The seconds that a `Retry-After` header asks for: a number or a date; None when it says neither."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now_s)
    except (TypeError, ValueError, OverflowError):
        return None
