"""The process that serves a named sandbox: `python -m supapy.sandbox FOLDER MAJOR BIN DATABASE_PORT API_PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

from supapy.errors import SupapyError
from supapy.sandbox.registry import serve

if __name__ == "__main__":
    folder, major, bin_dir, database_port, api_port = sys.argv[1:]
    try:
        serve(Path(folder), int(major), Path(bin_dir), int(database_port), int(api_port))
    except SupapyError as error:
        sys.exit(error.message)
