"""`supapy pg`: the PostgreSQL programs that supapy works with."""

from __future__ import annotations

import click


@click.group()
def pg() -> None:
    """PostgreSQL's own programs: pg_dump, psql and, for the sandbox, the server."""


@pg.command()
@click.argument("major", type=int)
def install(major: int) -> None:
    """Download PostgreSQL MAJOR (15 or 17) into the user's cache."""
    from supapy.project import pgtools

    tools = pgtools.install(major)
    click.echo(f"PostgreSQL {tools.version} is in {tools.bin}")


@pg.command("list")
def list_() -> None:
    """Show the PostgreSQL versions on this machine."""
    from supapy.project import pgtools

    for tools in pgtools.installed():
        click.echo(f"{tools.version}\t{tools.bin}")
