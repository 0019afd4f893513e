"""`supapy restore`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supapy.cli.options import (
    choice_options,
    concurrency_option,
    folder_option,
    jobs_option,
    people_options,
    quiesce_option,
    selection_options,
    table_options,
    vault_key_option,
)
from supapy.cli.shell import Shell
from supapy.errors import Interrupted, RestoreRefused, UsageError
from supapy.events import Finished

if TYPE_CHECKING:
    from supapy.cli.screen import Screen
    from supapy.events import Event, Listener
    from supapy.parts.storage import Selection
    from supapy.restore import Plan


@click.command()
@click.argument("named", metavar="[BACKUP]", required=False)
@click.option("--latest", is_flag=True, help="Restore the newest backup.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@choice_options
@table_options
@click.option("--from-json", is_flag=True, help="Fill tables that are there from tables_json; nothing else.")
@click.option(
    "--into-schema", metavar="NAME", help="Make plain copies of the tables in a new schema, to look at; nothing else."
)
@selection_options
@people_options
@click.option("--to-bucket", metavar="BUCKET", help="Put the files of one --bucket into this one, which is there.")
@vault_key_option
@quiesce_option
@click.option("--scan-urls", is_flag=True, help="Afterwards look through all rows for the old project's address.")
@concurrency_option
@jobs_option("bring the database back")
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
    to_bucket: str | None,
    concurrency: int | None,
    jobs: int | None,
    only: Selection,
    scan_urls: bool,
    **chosen: Any,
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
    choice = Choice(only=replace(only, to_bucket=to_bucket), **chosen)
    backup = shell.backup(named, folder)
    run = _Run(shell, asks=not yes)
    try:
        with shell.screen.progress() as listener, shell.project(concurrency, listener) as project:
            told = partial(bring_back, into=into, confirm=run.confirm, check_bytes=not quick, scan_urls=scan_urls)
            outcome = told(backup, project, choice, jobs=jobs, listener=partial(run.hear, listener))
    except (KeyboardInterrupt, click.Abort):
        raise Interrupted("interrupted", run.state) from None
    return render.restored(shell.screen, outcome)


@dataclass
class _Run:
    """How far a restore has come, to be told when it is interrupted."""

    shell: Shell
    asks: bool
    plan: Plan | None = None
    has_begun: bool = False
    is_back: bool = False

    @property
    def state(self) -> str:
        """What is to be said of the target."""
        from supapy.restore import UNTOUCHED

        if self.is_back:
            return "All was brought back, but not compared to the end: `supapy verify` compares."
        if self.plan:
            return self.plan.cut_short if self.has_begun else self.plan.untouched
        return UNTOUCHED

    def confirm(self, plan: Plan) -> bool:
        """Show the plan, and ask where that is wanted."""
        self.plan = plan
        _show(self.shell.screen, plan, asks=self.asks)
        self.has_begun = not self.asks or _asked(self.shell, plan)
        return self.has_begun

    def hear(self, listener: Listener, event: Event) -> None:
        """Pass an event on. The plan's last step is the last that writes."""
        if self.plan and self.plan.steps and event == Finished(self.plan.steps[-1].title):
            self.is_back = True
        listener(event)


def _show(screen: Screen, plan: Plan, *, asks: bool) -> None:
    """The plan, before anything is written. Who is asked is shown it also when he wants quiet."""
    from supapy.cli import render
    from supapy.cli.words import shown
    from supapy.names import many

    say = partial(screen.say, always=asks)
    source, target = shown(plan.source_ref), shown(plan.target_ref)
    say()
    say(f"{plan.label} of project {source} goes into project {target}:", "bold")
    if plan.goes_on:
        say("An earlier run didn't come to its end: it goes on where it was.", "yellow")
    for number, step in enumerate(plan.steps, 1):
        say(shown(step.title), lead=f"{number:4}. ")
    render.left_out(screen, plan.omissions, "won't come back", always=asks)
    held = [shown(obstacle.text) for obstacle in plan.obstacles]
    if held:
        said = "wasn't empty: it held" if plan.goes_on else "isn't empty: it holds"
        say(f"{target} {said} {', '.join(held)}", "yellow")
    if plan.saved_problems:
        say(f"The backup lacks what could not be saved: {many(len(plan.saved_problems), 'problem')}", "yellow")
        render.not_saved(screen, plan.saved_problems)
    say()
    steps = [step.title for step in plan.steps]
    lost = render.items_json(plan.omissions)
    planned = {"source": plan.source_ref, "target": plan.target_ref, "steps": steps, "held": held, "omissions": lost}
    screen.tell({"event": "planned", "goes_on": plan.goes_on} | planned)


def _asked(shell: Shell, plan: Plan) -> bool:
    """Whether the user types the target's ref."""
    if shell.json or not (sys.stdin and sys.stdin.isatty()):
        raise RestoreRefused(
            f"nobody is here to confirm the restore into {plan.target_ref}", f"{plan.untouched} Say --yes."
        )
    question = f"Type the target's ref ({plan.target_ref}) to restore into it"
    return bool(click.prompt(question, default="", show_default=False, err=True) == plan.target_ref)
