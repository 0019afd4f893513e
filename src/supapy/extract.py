"""Taking single files out of a backup: no project is needed for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from supapy.backup import Backup
from supapy.errors import NotFound, UsageError
from supapy.model import Entry
from supapy.parts.storage.files import BUCKETS, FOLDER, OBJECTS, PART
from supapy.store.base import Store


def extract(backup: Backup, wanted: Sequence[str], target: Store) -> Iterator[tuple[str, str]]:
    """Write the objects that are wanted into the target, each under its path in the backup; gives key and path of
    each.

    One is wanted by its "<bucket>/<key>", by a begin of that which ends with a slash, or by a pattern. Raises
    UsageError before anything is written when one of these fits nothing or a file is there already, IntegrityError
    when a file isn't what was saved.
    """
    saved = [entry for entry in backup.entries(PART) if entry.path not in (BUCKETS, OBJECTS)]
    found = {one: [entry for entry in saved if _fits(entry, one)] for one in wanted}
    for one, entries in found.items():
        if not entries:
            raise UsageError(
                f"{backup.label} has no {one}", "Say BUCKET/KEY, BUCKET/FOLDER/ or a pattern like 'b/*.jpg'."
            )
    files = {entry.path.removeprefix(FOLDER): entry for entries in found.values() for entry in entries}
    for path in files:
        with suppress(NotFound):
            target.stat(path)
            raise UsageError(
                f"there is a file already: {target.place}/{path}", "Take it away, or write --to elsewhere."
            )
    for path, entry in files.items():
        target.put(path, backup.read(entry.path), if_absent=True)
        yield entry.name, path


def _fits(entry: Entry, wanted: str) -> bool:
    is_within = wanted.endswith("/") and entry.name.startswith(wanted)
    return entry.name == wanted or is_within or fnmatchcase(entry.name, wanted)
