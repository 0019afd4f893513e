"""Files for one pair of eyes: passwords, keys and the state that holds them."""

from __future__ import annotations

from pathlib import Path


def write(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.rename(file)
