"""`supapy backup`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supapy.cli.options import (
    choice_options,
    concurrency_option,
    folder_option,
    jobs_option,
    selection_options,
    table_options,
    vault_option,
)
from supapy.cli.shell import Shell
from supapy.errors import Interrupted, SupapyError
from supapy.events import Event, Left, Listener

if TYPE_CHECKING:
    from supapy.cli.screen import Screen
    from supapy.parts.storage import Selection
    from supapy.project.patterns import Patterns

_NOTHING_STAYS = "Nothing of it was kept; the backups made before are as they were."


@click.command()
@choice_options
@folder_option("-o", "--output")
@jobs_option("read the database's rows")
@click.option("--compress", is_flag=True, help="Compress all but the files of Storage: they lie in it as .zst.")
@table_options
@vault_option
@selection_options
@concurrency_option
@click.option("--full", is_flag=True, help="Fetch every file, also those that an earlier backup has.")
@click.option("--resume", is_flag=True, help="Go on with a backup that was cut short, as it was begun.")
@click.pass_obj
def backup(
    shell: Shell,
    /,
    folder: Path | None,
    jobs: int | None,
    compress: bool,
    concurrency: int | None,
    full: bool,
    resume: bool,
    only: Selection,
    tables: Patterns,
    vault_plaintext: bool,
    **components: Any,
) -> int:
    """Back up the project: database, files and users, at one instant.

    Ends with 0 when everything was saved and with 3 when something wasn't: what it was is named, and stands in the
    backup as well.
    """
    from supapy.back_up import back_up
    from supapy.choice import Choice
    from supapy.cli import render

    screen = shell.screen
    choice = Choice(only=only, tables=tables, vault_plaintext=vault_plaintext, **components)
    with _told_what_stays(screen) as listener, shell.project(concurrency, listener) as project:
        made = back_up(
            project, shell.catalog(folder), choice, listener, jobs=jobs, full=full, resume=resume, compress=compress
        )
    render.saved(screen, made)
    _, problems, omissions = made.manifest
    code = 3 if problems else 0
    found = {"problems": render.items_json(problems), "omissions": render.items_json(omissions), "exit_code": code}
    screen.result(render.backup_json(made) | found)
    return code


@contextmanager
def _told_what_stays(screen: Screen) -> Iterator[Listener]:
    """The screen's progress; what ends the run before its end says how much of it stays."""
    left: list[Left] = []
    try:
        with screen.progress() as shows:

            def listen(event: Event) -> None:
                if isinstance(event, Left):
                    left.append(event)
                shows(event)

            yield listen
    except KeyboardInterrupt:
        raise Interrupted("interrupted", _stays(left) or _NOTHING_STAYS) from None
    except SupapyError as error:
        error.hint = " ".join(filter(None, (error.hint, _stays(left)))) or None
        raise


def _stays(left: list[Left]) -> str | None:
    """What a run has left, and what it is good for."""
    from supapy.cli.words import size
    from supapy.names import many

    if not left:
        return None
    *_, one = left
    what = f"{many(one.files, 'file')} that it fetched, {size(one.bytes)}, {'stays' if one.files == 1 else 'stay'}"
    return f"{what} in {one.label}: `supapy backup --resume`, or the next backup like it, goes on from there."
