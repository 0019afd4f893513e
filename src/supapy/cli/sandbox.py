"""`supapy sandbox`: local projects to rehearse on."""

from __future__ import annotations

from dataclasses import asdict

import click

from supapy.cli.demo import demo
from supapy.cli.shell import Shell

NAME = click.argument("name")


@click.group()
def sandbox() -> None:
    """Local Supabase projects: real PostgreSQL, with Storage and Auth in front of it."""


@sandbox.command()
@NAME
@click.option(
    "--pg", "major", type=click.Choice(["15", "17"]), default="17", show_default=True, help="PostgreSQL version."
)
@click.pass_obj
def up(shell: Shell, name: str, major: str) -> None:
    """Start a project, made if there is none of that name. It runs until `down`."""
    from supapy import settings
    from supapy.sandbox.registry import Registry

    environment = Registry().up(name, int(major), settings.load().pg_bin)
    url = environment.partition("\n")[0].partition("=")[2]
    shell.screen.say(f"{name} is up at {url} with PostgreSQL {major}")
    shell.screen.say(f"Its settings: supapy sandbox env {name} > {name}.env, then supapy --env-file {name}.env …")
    shell.screen.result({"name": name, "major": int(major), "url": url})


@sandbox.command()
@NAME
@click.option("--delete", is_flag=True, help="Remove it with everything in it.")
@click.pass_obj
def down(shell: Shell, name: str, delete: bool) -> None:
    """Stop a project. What is in it stays, unless --delete."""
    from supapy.sandbox.registry import Registry

    Registry().down(name, delete=delete)
    shell.screen.say(f"{name} is {'gone' if delete else 'down'}")
    shell.screen.result({"name": name, "deleted": delete})


@sandbox.command()
@NAME
@click.pass_obj
def env(shell: Shell, name: str) -> None:
    """Print the settings of a project that is up, as a .env file. They hold its keys and password."""
    from supapy.sandbox.registry import Registry

    text = Registry().environment(name)
    if shell.json:
        shell.screen.result(dict(line.split("=", 1) for line in text.splitlines()))
    else:
        # As it is, however long the lines: it is to be a file.
        click.echo(text, nl=False)


@sandbox.command("list")
@click.pass_obj
def list_(shell: Shell) -> None:
    """Show the projects there are."""
    from supapy.sandbox.registry import Registry

    found = Registry().list()
    if found:
        rows = [(one.name, str(one.major), one.url or "down") for one in found]
        shell.screen.table(("sandbox", "PostgreSQL", "address"), rows)
    else:
        shell.screen.say("No sandbox. Start one with `supapy sandbox up NAME`.")
    shell.screen.result({"sandboxes": [asdict(one) for one in found]})


sandbox.add_command(demo)
