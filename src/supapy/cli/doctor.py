"""`supapy doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from supapy.cli.shell import Shell

_STYLES = {"ok": "", "warning": "yellow", "failed": "bold red"}
# As long as the longest name of a state and of a check, so that lines that come one by one stand in columns.
_STATE_CHARS = 9
_NAME_CHARS = 21


@click.command()
@click.pass_obj
def doctor(shell: Shell) -> int:
    """Check that settings, project and this machine are ready. Nothing is changed anywhere.

    Ends with 0 when nothing failed, else with the exit code of the first check that did.
    """
    from supapy.cli.words import shown
    from supapy.doctor import examine
    from supapy.names import many

    screen, checks = shell.screen, []
    for check in examine(shell.settings):
        checks.append(check)
        loud = check.state != "ok"
        lead = f"{check.state:{_STATE_CHARS}}{check.name:{_NAME_CHARS}}"
        screen.say(shown(check.text), _STYLES[check.state], lead=lead, always=loud)
        if check.hint:
            screen.say(f"hint: {shown(check.hint)}", lead=" " * len(lead), always=True)
        screen.tell({"event": "checked", **asdict(check)})
    failed = [check for check in checks if check.state == "failed"]
    warnings = sum(check.state == "warning" for check in checks)
    screen.say()
    if failed:
        screen.say(f"{many(len(failed), 'check')} failed", "bold red", always=True)
    else:
        screen.say(f"ready, with {many(warnings, 'warning')}" if warnings else "ready", "bold green")
    code = failed[0].exit_code if failed else 0
    screen.result({"failed": len(failed), "warnings": warnings, "exit_code": code})
    return code
