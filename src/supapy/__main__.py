"""`python -m supapy` and the `supapy` command."""

from __future__ import annotations

from supapy.cli.main import run

__all__ = ["run"]

if __name__ == "__main__":
    run()
