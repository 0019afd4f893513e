"""`supapy pg`: the PostgreSQL programs that supapy works with."""

from __future__ import annotations

import click

from supapy.cli.shell import Shell


@click.group()
def pg() -> None:
    """PostgreSQL's own programs: pg_dump, psql and, for the sandbox, the server."""


@pg.command()
@click.argument("major", type=int)
@click.pass_obj
def install(shell: Shell, major: int) -> None:
    """Download PostgreSQL MAJOR (15 or 17) into the user's cache."""
    from supapy.project import pgtools

    tools = pgtools.install(major)
    shell.screen.say(f"PostgreSQL {tools.version} is in {tools.bin}")
    shell.screen.result({"version": tools.version, "folder": str(tools.bin)})


@pg.command("list")
@click.pass_obj
def list_(shell: Shell) -> None:
    """Show the PostgreSQL versions on this machine."""
    from supapy.project import pgtools

    found = [(tools.version, str(tools.bin)) for tools in pgtools.installed()]
    if found:
        shell.screen.table(("version", "folder"), found)
    else:
        shell.screen.say("No PostgreSQL on this machine. Download one with `supapy pg install 17`.")
    shell.screen.result({"versions": [{"version": version, "folder": folder} for version, folder in found]})
