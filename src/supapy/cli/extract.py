"""`supapy extract`."""

from __future__ import annotations

from pathlib import Path

import click

from supapy.cli.options import folder_option
from supapy.cli.shell import Shell


@click.command()
@click.argument("named", metavar="BACKUP")
@click.argument("keys", metavar="KEY…", nargs=-1, required=True)
@click.option(
    "-t",
    "--to",
    "target",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=".",
    show_default=True,
    help="The folder to write into.",
)
@folder_option("-o", "--backup-dir")
@click.pass_obj
def extract(shell: Shell, named: str, keys: tuple[str, ...], target: Path, folder: Path | None) -> int:
    """Write files of BACKUP, a label or a folder, into a folder.

    A KEY is BUCKET/KEY, BUCKET/FOLDER/ for all that is in it, or a pattern like 'photos/*.jpg'. Each file is checked
    against its digest. What no file system can hold as it is named has another name there; both are told.
    """
    from supapy.cli.words import shown
    from supapy.extract import extract as taken_out
    from supapy.names import many
    from supapy.store.local import LocalStore

    screen, files = shell.screen, []
    for key, path in taken_out(shell.backup(named, folder), keys, LocalStore(target.expanduser())):
        screen.say(f"{shown(key)} -> {shown(target / path)}" if key != path else shown(target / path))
        files.append({"key": key, "path": str(target / path)})
    screen.say(f"{many(len(files), 'file')} written", "bold green")
    screen.result({"files": files, "exit_code": 0})
    return 0
