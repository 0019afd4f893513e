"""`supapy restore`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supapy.cli.shell import Shell, choice_options, folder_option
from supapy.errors import Interrupted, RestoreRefused, UsageError

if TYPE_CHECKING:
    from supapy.cli.screen import Screen
    from supapy.restore import Plan

_HALF_DONE = "The target holds a part of the backup. Say --into and its ref to go over it again, or take an empty one."


@click.command()
@click.argument("named", metavar="[BACKUP]", required=False)
@click.option("--latest", is_flag=True, help="Restore the newest backup.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@choice_options
@click.option("--into", metavar="REF", help="Write into this project though it isn't empty, or is the source itself.")
@click.option("--quick", is_flag=True, help="Afterwards compare files by their attributes only, not byte for byte.")
@folder_option("-o", "--backup-dir")
@click.pass_obj
def restore(
    shell: Shell,
    /,
    named: str | None,
    latest: bool,
    yes: bool,
    into: str | None,
    quick: bool,
    folder: Path | None,
    **components: bool,
) -> int:
    """Restore BACKUP, a label or a folder, into the project that the settings name; then compare the two.

    Choose the target with `supapy --env-file FILE restore …`. Every file is checked before anything is written, and
    a target that isn't empty is refused. Ends with 0 when the target equals the backup, with 3 when it doesn't.
    """
    from supapy.choice import Choice
    from supapy.cli import render
    from supapy.restore import restore as bring_back

    if bool(named) == latest:
        raise UsageError("which backup?", "Give its label or folder, or --latest; `supapy list` shows the backups.")
    screen, choice = shell.screen, Choice(**components)
    backup = shell.backup(named, folder)
    writing = False

    def confirm(plan: Plan) -> bool:
        nonlocal writing
        _show(screen, plan)
        writing = yes or _asked(shell, plan)
        return writing

    try:
        with shell.project() as project, screen.progress() as listener:
            outcome = bring_back(
                backup, project, choice, into=into, confirm=confirm, check_bytes=not quick, listener=listener
            )
    except KeyboardInterrupt:
        raise Interrupted("interrupted", _HALF_DONE if writing else "Nothing was written.") from None
    render.outcome(screen, outcome)
    said = render.outcome_json(outcome)
    screen.result(said)
    return int(said["exit_code"])


def _show(screen: Screen, plan: Plan) -> None:
    """The plan, before anything is written."""
    from supapy.cli import render
    from supapy.cli.screen import many, shown

    screen.say()
    screen.say(f"{plan.label} of project {shown(plan.source_ref)} goes into project {shown(plan.target_ref)}:", "bold")
    for number, step in enumerate(plan.steps, 1):
        screen.say(f"{number:4}. {shown(step.title)}")
    if plan.obstacles:
        held = ", ".join(shown(obstacle.text) for obstacle in plan.obstacles)
        screen.say(f"{shown(plan.target_ref)} isn't empty: it holds {held}", "yellow")
    if plan.saved_problems:
        screen.say(f"The backup lacks what could not be saved: {many(len(plan.saved_problems), 'problem')}", "yellow")
        render.not_saved(screen, plan.saved_problems)
    screen.say()


def _asked(shell: Shell, plan: Plan) -> bool:
    """Whether the user types the target's ref."""
    if shell.json or not sys.stdin.isatty():
        raise RestoreRefused(
            f"nobody is here to confirm the restore into {plan.target_ref}", "Nothing was written. Say --yes."
        )
    question = f"Type the target's ref ({plan.target_ref}) to restore into it"
    return bool(click.prompt(question, default="", show_default=False, err=True) == plan.target_ref)
