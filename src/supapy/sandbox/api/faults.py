"""Faults on order: what a test wants to go wrong at the server, without a line in the product that knows of it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# A thread's event can't be awaited.
LOOKED_AGAIN_S = 0.01


class Seen(NamedTuple):
    """A request as it came in: the raw path has its query and is not decoded."""

    method: str
    raw_path: str


@dataclass
class Fault:
    """What happens to the next `times` requests whose method and raw path match (regular expressions).

    With `status` the request isn't carried out: that status, `headers` and `body` are the answer. Without, it is
    carried out, and then its answer ends after `cut_after_bytes` of its body: the connection is closed, or reset
    (`reset`), or nothing more ever comes (`stall`); `unsized` leaves the length out, so that a cut answer looks whole.
    With `read_bytes` the connection is reset when so many bytes of the request's body have been taken. With `after`
    nothing at all happens before the test has set it: what the test does first comes first on any machine.
    """

    method: str = ".*"
    path: str = ".*"
    times: int = 1
    after: threading.Event | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after_bytes: int | None = None
    reset: bool = False
    stall: bool = False
    unsized: bool = False
    read_bytes: int | None = None

    def takes(self, seen: Seen) -> bool:
        """Whether it is this request's turn; if so, one of `times` is used up."""
        if self.times < 1 or not re.fullmatch(self.method, seen.method) or not re.search(self.path, seen.raw_path):
            return False
        self.times -= 1
        return True

    async def due(self) -> None:
        """Until its time has come."""
        while self.after and not self.after.is_set():
            await asyncio.sleep(LOOKED_AGAIN_S)
