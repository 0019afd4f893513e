"""What comes from outside, as it may be printed; and sizes in words."""

from __future__ import annotations

import re

# Anyone who may upload a file chooses its name: what would move the cursor or turn the text round is shown as a code.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: object) -> str:
    """A text from outside as it may be printed: on one line, and without control characters."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def size(number: int) -> str:
    """A number of bytes in words: 21.2 MB."""
    amount, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{number:,} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
