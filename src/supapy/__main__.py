"""`python -m supapy` and the `supapy` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Do what the arguments say and end the process with the exit code (see `supapy.errors`)."""
    try:
        from supapy.cli.main import run as begin
    except KeyboardInterrupt:
        # The imports take half a second, in which nobody heeds signals yet.
        sys.exit(130)
    begin(arguments)


if __name__ == "__main__":
    run()
