"""Taking single files out of a backup: no project is needed for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from supapy.backup import Backup
from supapy.errors import UsageError
from supapy.model import Entry
from supapy.store.base import Store

PART = "storage"
FOLDER = "storage/"
# The part's own lists: they are no objects.
_LISTS = frozenset({"buckets", "objects"})


def extract(backup: Backup, wanted: Sequence[str], target: Store) -> Iterator[tuple[str, str]]:
    """Write the objects that are wanted into the target, each under its path in the backup; gives key and path of
    each.

    One is wanted by its "<bucket>/<key>", by a begin of that which ends with a slash, or by a pattern. Raises
    UsageError before anything is written when one of these fits nothing, IntegrityError when a file isn't what was
    saved.
    """
    saved = [entry for entry in backup.entries(PART) if entry.name not in _LISTS]
    found = {one: [entry for entry in saved if _fits(entry, one)] for one in wanted}
    for one, entries in found.items():
        if not entries:
            raise UsageError(
                f"{backup.label} has no {one}", "Say BUCKET/KEY, BUCKET/FOLDER/ or a pattern like 'b/*.jpg'."
            )
    for entry in dict.fromkeys(entry for entries in found.values() for entry in entries):
        path = entry.path.removeprefix(FOLDER)
        target.put(path, backup.read(entry.path))
        yield entry.name, path


def _fits(entry: Entry, wanted: str) -> bool:
    is_within = wanted.endswith("/") and entry.name.startswith(wanted)
    return entry.name == wanted or is_within or fnmatchcase(entry.name, wanted)
