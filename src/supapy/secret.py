"""A value that must not be seen: keys, passwords and connection strings that hold one."""

from __future__ import annotations

import hashlib
from typing import NoReturn


class Secret:
    """Holds a text; everything but `reveal()` shows stars. Equal secrets compare equal.

    It can't be pickled, so that it can't end up in a cache or a message by accident.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Each call is a place to look at in a review."""
        return self._text

    def masked(self) -> str:
        """Enough to tell two secrets apart without giving one away: stars and a short digest."""
        digest = hashlib.sha256(self._text.encode()).hexdigest()
        return f"****** (fingerprint {digest[:8]})" if self._text else "(empty)"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return "Secret(******)"

    def __str__(self) -> str:
        return "******"

    def __format__(self, spec: str) -> str:
        return "******"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled")
