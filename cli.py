"""The command from a checkout: `python cli.py backup` is `supapy backup`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from supapy.__main__ import run

if __name__ == "__main__":
    run()
