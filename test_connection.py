"""Check that all is ready: `python test_connection.py` is `supapy doctor`, with the options before it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from supapy.__main__ import run

if __name__ == "__main__":
    run([*sys.argv[1:], "doctor"])
