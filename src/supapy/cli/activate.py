"""`supapy activate`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from supapy.cli.shell import Shell
from supapy.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from supapy.activate import Awakened, Sleeper
    from supapy.cli.screen import Screen
    from supapy.secret import Secret

_INTERRUPTED = "What was told as woken is awake, and one more may be; `supapy activate` shows what sleeps on."


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Wake everything that sleeps.")
@click.option(
    "--rewrite", "pairs", metavar="OLD=NEW", multiple=True, help="Replace an address in what wakes. May be given again."
)
@click.option("--rewrite-keys", is_flag=True, help="Replace the old project's keys by this project's, of the settings.")
@click.option("--in-functions", is_flag=True, help="Rewrite the functions that are called as well.")
@click.pass_obj
def activate(
    shell: Shell,
    names: tuple[str, ...],
    everything: bool,
    pairs: tuple[str, ...],
    rewrite_keys: bool,
    in_functions: bool,
) -> int:
    """Show what a restore left asleep (cron jobs, webhooks, subscriptions) and what it calls; wake what is named, or
    all of it.

    A webhook is a trigger, a rule or an event trigger that reaches out. Without a name and --all nothing is changed.
    Ends with 3 when something could not be woken: it sleeps on.
    """
    from supapy.activate import activate as wake
    from supapy.activate import rewriting, sleepers

    if names and everything:
        raise UsageError("either names or --all", "Leave one of them out.")
    wakes = bool(names or everything)
    if not wakes and (pairs or rewrite_keys or in_functions):
        raise UsageError("rewrite in what?", "Name what is to wake, or say --all.")
    how = rewriting(pairs, _keys(shell) if rewrite_keys else {}, in_functions=in_functions)
    with shell.project() as project:
        if wakes:
            try:
                outcome = wake(project, None if everything else names, how, lambda one: _tell(shell.screen, one))
            except KeyboardInterrupt:
                raise Interrupted("interrupted", _INTERRUPTED) from None
            return _ending(shell.screen, project.ref, outcome)
        found = sleepers(project)
    _show(shell.screen, project.ref, found)
    return 0


def _ending(screen: Screen, ref: str, outcome: Awakened) -> int:
    from supapy.cli import render
    from supapy.cli.words import shown
    from supapy.names import many

    for problem in outcome.problems:
        screen.say(f"{shown(problem.name)}: {shown(problem.reason)}", "red", lead="not woken: ", always=True)
    code = 3 if outcome.problems else 0
    left = f"{many(len(outcome.asleep), 'thing')} asleep still" if outcome.asleep else "nothing sleeps any more"
    summary = f"{many(len(outcome.woken), 'thing')} woken in project {shown(ref)}, {left}"
    if not (outcome.woken or outcome.problems or outcome.asleep):
        summary = _nothing(ref)
    screen.say(summary, "bold yellow" if code else "bold green", always=bool(code))
    woken, asleep = ([asdict(one) for one in some] for some in (outcome.woken, outcome.asleep))
    problems = render.items_json(outcome.problems)
    screen.result({"woken": woken, "asleep": asleep, "problems": problems, "exit_code": code})
    return code


def _keys(shell: Shell) -> dict[str, Secret]:
    """This project's keys by their roles."""
    from supapy.secret import Secret

    keys = {"service_role": Secret(shell.settings.need("SUPABASE_KEY"))}
    return keys | ({"anon": Secret(shell.settings.anon_key)} if shell.settings.anon_key else {})


def _tell(screen: Screen, one: Sleeper) -> None:
    screen.tell({"event": "woken", **asdict(one)})
    _describe(screen, one, "woken: ")


def _show(screen: Screen, ref: str, found: list[Sleeper]) -> None:
    from supapy.cli.words import shown
    from supapy.names import many

    for one in found:
        _describe(screen, one, "asleep: ")
    if found:
        screen.say()
    said = f"{many(len(found), 'thing')} asleep in project {shown(ref)}: supapy activate NAME, or --all"
    screen.say(said if found else _nothing(ref), "bold")
    screen.result({"asleep": [asdict(one) for one in found], "exit_code": 0})


def _nothing(ref: str) -> str:
    from supapy.cli.words import shown

    return f"nothing sleeps in project {shown(ref)}"


def _describe(screen: Screen, one: Sleeper, lead: str) -> None:
    from supapy.cli.words import shown

    screen.say(shown(one.name) + (", which is gone or there already" if one.gone else ""), lead=lead)
    blank = " " * len(lead)
    if one.runs:
        screen.say(shown(one.runs), lead=f"{blank}runs  ")
    for url in one.urls:
        old = url in one.old_urls
        screen.say(shown(url) + (", of the old project" if old else ""), "yellow" if old else "", lead=f"{blank}calls ")
    for key in one.keys:
        screen.say(shown(key), "yellow", lead=f"{blank}with ")
    if one.functions:
        screen.say(shown(", ".join(one.functions)), lead=f"{blank}in   ")
