"""The options that several commands share. Each group reaches its command as one thing, built when it is called."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

F = TypeVar("F", bound=Callable[..., Any])


def choice_options(command: F) -> F:
    """The options that leave a component out: they reach the command as `database`, `storage` and `auth`."""
    for name, what in (("auth", "the users"), ("storage", "the files"), ("database", "the database")):
        option = click.option(f"--no-{name}", name, flag_value=False, default=True, help=f"Leave {what} out.")
        command = option(command)
    return command


def selection_options(command: F) -> F:
    """The options that choose among the files: they reach the command as `only`, a storage `Selection`."""

    @wraps(command)
    def gathered(
        *arguments: Any,
        buckets: tuple[str, ...],
        prefixes: tuple[str, ...],
        excluded: tuple[str, ...],
        **others: Any,
    ) -> Any:
        from supapy.parts.storage import Selection

        return command(*arguments, only=Selection(buckets, prefixes, excluded), **others)

    options = (
        (
            "--exclude",
            "excluded",
            "GLOB",
            "Leave out files whose BUCKET/KEY looks like this; `*` stands for slashes too.",
        ),
        ("--prefix", "prefixes", "PREFIX", "Only files whose key begins like this."),
        ("--bucket", "buckets", "GLOB", "Only the files of such buckets."),
    )
    for name, variable, metavar, text in options:
        gathered = click.option(name, variable, metavar=metavar, multiple=True, help=f"{text} May be given again.")(
            gathered
        )
    return cast(F, gathered)


def table_options(command: F) -> F:
    """The options that choose among the tables: they reach the command as `tables`, a `Patterns`."""

    @wraps(command)
    def gathered(
        *arguments: Any,
        schemas: tuple[str, ...],
        tables: tuple[str, ...],
        excluded_tables: tuple[str, ...],
        without_rows: tuple[str, ...],
        **others: Any,
    ) -> Any:
        from supapy.project.patterns import Patterns

        return command(*arguments, tables=Patterns(schemas, tables, excluded_tables, without_rows), **others)

    options = (
        ("--exclude-table-data", "without_rows", "The definition of such tables without their rows."),
        ("--exclude-table", "excluded_tables", "Leave such tables out."),
        ("--table", "tables", "Only such tables, views and sequences, with what they need."),
        ("--schema", "schemas", "Only what is in such schemas, with what that needs."),
    )
    for name, variable, text in options:
        text = f"{text} A pattern as pg_dump takes it; may be given again."
        gathered = click.option(name, variable, metavar="PATTERN", multiple=True, help=text)(gathered)
    return cast(F, gathered)


concurrency_option = click.option(
    "--concurrency",
    type=click.IntRange(min=1, max=1000),
    metavar="N",
    help="At most so many requests at once (32); fewer while the server can't keep up.",
)


def jobs_option(what: str) -> Callable[[F], F]:
    """How many connections do so at once; it reaches the command as `jobs`."""
    return click.option(
        "--jobs",
        type=click.IntRange(min=1),
        metavar="N",
        help=f"How many connections {what} at once; unless told otherwise one a core, at most 8.",
    )


def folder_option(*names: str) -> Callable[[F], F]:
    """The folder that the backups are in; it reaches the command as `folder`."""
    return click.option(
        *names,
        "folder",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The folder that holds the backups, instead of BACKUP_DIR.",
    )
