"""`supapy verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supapy.cli.options import choice_options, folder_option, selection_options, table_options
from supapy.cli.shell import Shell
from supapy.errors import IntegrityError

if TYPE_CHECKING:
    from supapy.backup import Backup
    from supapy.choice import Choice
    from supapy.model import Difference, Finding
    from supapy.parts.storage import Selection
    from supapy.project.patterns import Patterns


@click.command()
@click.argument("named", metavar="[BACKUP]", required=False)
@click.option("--offline", is_flag=True, help="Check the backup's files only; ask no project.")
@click.option("--quick", is_flag=True, help="Compare the project's files by their attributes only, not byte for byte.")
@choice_options
@table_options
@selection_options
@folder_option("-o", "--backup-dir")
@click.pass_obj
def verify(
    shell: Shell,
    /,
    named: str | None,
    offline: bool,
    quick: bool,
    folder: Path | None,
    only: Selection,
    tables: Patterns,
    **components: Any,
) -> int:
    """Check every file of BACKUP, a label or a folder (the newest without one), against its digest.

    Where the settings name a project, the backup is then held against it: tables, rows, users, objects and their
    bytes. Ends with 0 when all is equal, with 3 when the project differs, with 50 when the backup is damaged.
    """
    from supapy.choice import Choice, in_part
    from supapy.cli import render
    from supapy.cli.words import shown
    from supapy.model import Difference, Proof
    from supapy.names import many

    choice = Choice(only=only, tables=tables, **components)
    screen, backup = shell.screen, shell.backup(named, folder)
    files = _check(shell, backup)
    # One setting alone is a mistake to be told of; none at all is somebody who has a backup and no project.
    asked = not offline and any(shell.settings.values.values())
    ref, found = _compare(shell, backup, choice, quick) if asked else (None, [])
    differences = [one for one in found if isinstance(one, Difference)]
    proofs = [one for one in found if isinstance(one, Proof)]
    if ref:
        render.proved(screen, proofs)
        render.differing(screen, differences)
    render.not_saved(screen, backup.manifest[1])
    said, parts = f"{backup.label}: {many(files, 'file')} as saved", in_part(backup.metadata)
    if ref is None:
        screen.say(said if offline else f"{said}; no project is set to compare it with", "bold green")
    elif differences:
        verdict = f"project {shown(ref)} differs from it in {many(len(differences), 'place')}"
        screen.say(f"{said}, but {verdict}", "bold yellow", always=True)
    else:
        looked_at = render.scope(choice.within(backup.metadata), bool(parts))
        screen.say(f"{said}, and equal to project {shown(ref)}{looked_at}", "bold green")
    if parts:
        screen.say(f"It was made of a part only: {' and '.join(parts)}. The rest wasn't looked at.", "dim")
    code = 3 if differences else 0
    compared = {"differences": render.items_json(differences), "proofs": render.proofs_json(proofs)}
    screen.result({"label": backup.label, "files": files, "project": ref, "exit_code": code} | compared)
    return code


def _check(shell: Shell, backup: Backup) -> int:
    """Every file against its digest; names the damaged ones. Raises IntegrityError."""
    from supapy.cli import render
    from supapy.events import Event, Noted
    from supapy.model import Difference
    from supapy.verify import check_files

    damage: list[Difference] = []
    with shell.screen.progress() as listener:

        def listen(event: Event) -> None:
            if isinstance(event, Noted) and isinstance(event.what, Difference):
                damage.append(event.what)
            listener(event)

        try:
            return check_files(backup, listen)
        except IntegrityError:
            render.differing(shell.screen, damage)
            raise


def _compare(shell: Shell, backup: Backup, choice: Choice, quick: bool) -> tuple[str, list[Finding]]:
    """The project's ref, and what holding the backup against it found."""
    from supapy.verify import hold_against

    with shell.screen.progress() as listener, shell.project(listener=listener) as project:
        return project.ref, list(hold_against(backup, project, choice, check_bytes=not quick, listener=listener))
