"""Verifying: every file of a backup against its digest, and the backup against a live project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from supapy.backup import Backup
from supapy.choice import Choice, to_restore
from supapy.errors import IntegrityError
from supapy.events import Advanced, Finished, Listener, Noted, Started, ignore
from supapy.model import Difference, Finding, Match
from supapy.names import few
from supapy.parts.base import comparing
from supapy.project.project import Project


def check_files(backup: Backup, listener: Listener = ignore) -> int:
    """Read every file of the backup against its digest; gives their number. Raises IntegrityError naming what isn't."""
    entries = backup.manifest[0]
    stage = "checking files"
    listener(Started(stage, sum(entry.size for entry in entries), "bytes"))
    damage = []
    for found in backup.damage():
        if isinstance(found, Difference):
            damage.append(found)
            listener(Noted(found))
        else:
            listener(Advanced(stage, found.size, found.name))
    listener(Finished(stage))
    if damage:
        raise IntegrityError(
            f"{backup.label} isn't what was saved: {few(f'{one.name} ({one.detail})' for one in damage)}",
            "Nothing was applied. Take another backup, or bring these files back from a copy.",
        )
    return len(entries)


def hold_against(
    backup: Backup,
    project: Project,
    choice: Choice | None = None,
    *,
    check_bytes: bool = True,
    extras: bool = True,
    listener: Listener = ignore,
) -> Iterator[Finding]:
    """The differences between the backup and the live project, and what was found equal, part by part. Reads only.

    `check_bytes` says whether every live object is read to its last byte, which costs as much traffic as a backup;
    `extras`, whether what the project has besides is a difference.
    """
    # What opens secrets is carried along and is no content.
    choice = replace((choice or Choice()).within(backup.metadata), vault_root_key=False)
    choice.check(project)
    with project.moment() as moment:
        for part in to_restore(choice, check_bytes=check_bytes, listener=listener):
            stage = comparing(part.name)
            listener(Started(stage))
            for finding in part.compare(backup, moment):
                if isinstance(finding, Difference) and finding.kind == "extra" and not extras:
                    continue
                if not isinstance(finding, Match):
                    listener(Noted(finding))
                yield finding
            listener(Finished(stage))
