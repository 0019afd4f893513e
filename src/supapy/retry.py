"""When to try again, and how long to wait before.

Only what another try can mend is tried again: overload, lost connections, a service that is restarting. At random, so
that many workers don't come back together; a server that says how long to wait is believed, within reason.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from supapy.errors import ProjectError

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

    def __init__(self, error: ProjectError, wait_s: float | None = None, most_tries: int = MOST_TRIES) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait_s = wait_s
        self.most_tries = most_tries


def _wait_s(again: Again, tries: int) -> float:
    own = random.uniform(0, min(FIRST_WAIT_S * 2 ** (tries - 1), LONGEST_WAIT_S))  # noqa: S311 (no secret)
    return max(own, min(again.wait_s or 0.0, LONGEST_ASKED_WAIT_S))


async def trying(
    attempt: Callable[[], Awaitable[T]],
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    now: Callable[[], float] = time.monotonic,
    most_tries: int = MOST_TRIES,
    told: Callable[[Again], object] = lambda _: None,
) -> T:
    """The value of `attempt`, which raises `Again` when it may be repeated; `told` hears of each that will be. Raises
    its error when it stays so, at the latest after `most_tries`. `sleep` and `now` are its clock, in seconds."""
    begun_at, tries = now(), 0
    while True:
        try:
            return await attempt()
        except Again as again:
            tries += 1
            if tries >= min(most_tries, again.most_tries) or now() - begun_at > LONGEST_IN_ALL_S:
                raise again.error from None
            told(again)
            wait_s = _wait_s(again, tries)
        await sleep(wait_s)


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
