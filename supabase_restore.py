"""Bring a backup back: `SupabaseRestore().restore_backup(path, confirm=True)`; see example_usage.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from supapy.doors import SupabaseRestore

__all__ = ["SupabaseRestore"]
