"""`supapy sandbox`: local projects to rehearse on."""

from __future__ import annotations

import click

from supapy.cli.demo import demo

NAME = click.argument("name")


@click.group()
def sandbox() -> None:
    """Local Supabase projects: real PostgreSQL, with Storage and Auth in front of it."""


@sandbox.command()
@NAME
@click.option(
    "--pg", "major", type=click.Choice(["15", "17"]), default="17", show_default=True, help="PostgreSQL version."
)
def up(name: str, major: str) -> None:
    """Start a project, made if there is none of that name. It runs until `down`."""
    from supapy import settings
    from supapy.sandbox.registry import Registry

    environment = Registry().up(name, int(major), settings.load().pg_bin)
    url = environment.partition("\n")[0].partition("=")[2]
    click.echo(f"{name} is up at {url} with PostgreSQL {major}")
    click.echo(f"Its settings: supapy sandbox env {name} > {name}.env, then supapy --env-file {name}.env …")


@sandbox.command()
@NAME
@click.option("--delete", is_flag=True, help="Remove it with everything in it.")
def down(name: str, delete: bool) -> None:
    """Stop a project. What is in it stays, unless --delete."""
    from supapy.sandbox.registry import Registry

    Registry().down(name, delete=delete)
    click.echo(f"{name} is {'gone' if delete else 'down'}")


@sandbox.command()
@NAME
def env(name: str) -> None:
    """Print the settings of a project that is up, as a .env file. They hold its keys and password."""
    from supapy.sandbox.registry import Registry

    click.echo(Registry().environment(name), nl=False)


@sandbox.command("list")
def list_() -> None:
    """Show the projects there are."""
    from supapy.sandbox.registry import Registry

    for project in Registry().list():
        click.echo(f"{project.name}\tPostgreSQL {project.major}\t{project.url or 'down'}")


sandbox.add_command(demo)
