"""`supapy list`."""

from __future__ import annotations

from pathlib import Path

import click

from supapy.cli.options import folder_option
from supapy.cli.shell import Shell


@click.command("list")
@folder_option("-o", "--backup-dir")
@click.pass_obj
def list_backups(shell: Shell, folder: Path | None) -> None:
    """List the backups there are, newest first."""
    from supapy.cli import render
    from supapy.cli.words import shown, size
    from supapy.errors import IntegrityError

    screen, catalog = shell.screen, shell.catalog(folder)
    rows, found, damaged = [], [], list[IntegrityError]()
    for label in catalog.labels():
        try:
            backup = catalog.open(label)
        except IntegrityError as error:
            rows.append((label, render.age(label), "", "", "", "damaged"))
            damaged.append(error)
            found.append({"label": label, "damaged": error.message})
            continue
        said = render.backup_json(backup)
        parts = [f"{name} (in part)" if name in said["in_part"] else name for name in said["included"]]
        what, problems = ", ".join(parts), said["problems"]
        source = shown(said["source"])
        rows.append((label, render.age(label), size(said["bytes"]), source, what, f"{problems:,}" if problems else "-"))
        found.append(said)
    if rows:
        screen.table(("label", "age", "size", "project", "included", "problems"), rows, right=frozenset({2}))
        for one in damaged:
            screen.say(shown(one.message), "yellow", lead="damaged: ", always=True)
    else:
        screen.say(f"No backup in {catalog.store.place}. Make one with `supapy backup`.")
    screen.result({"folder": catalog.store.place, "backups": found})
