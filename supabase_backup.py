"""Back a Supabase project up: `SupabaseBackup().create_backup()`; see example_usage.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from supapy.doors import IncompleteWarning, SupabaseBackup

__all__ = ["IncompleteWarning", "SupabaseBackup"]
