"""The options that several commands share. Each group reaches its command as one thing, built when it is called."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from supapy.parts.auth.people import OnConflict, Via

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


# In the reverse of the order in which the help names them.
_PEOPLE = (
    click.option(
        "--via",
        type=click.Choice(["sql", "api"]),
        default="sql",
        help="How users come back: by SQL, or by the Auth server with less, which the plan names.",
    ),
    click.option(
        "--audit-log/--no-audit-log",
        default=None,
        help="Bring back the log of sign-ins; unless told otherwise into the same project only.",
    ),
    click.option(
        "--sessions/--no-sessions",
        default=None,
        help="Bring back who is signed in; unless told otherwise into the same project only: it has the same keys.",
    ),
    click.option(
        "--on-conflict",
        type=click.Choice(["fail", "skip", "replace"]),
        default="fail",
        help="What becomes of a user who is there already, by id, e-mail address or phone number (fail).",
    ),
    click.option(
        "--user",
        "users",
        metavar="USER",
        multiple=True,
        help="Only such users: an id, an e-mail address, a phone number or a GLOB of these. May be given again.",
    ),
)


def people_options(command: F) -> F:
    """The options that say which users come back, and with what: they reach the command as `people`, a `People`."""

    @wraps(command)
    def gathered(
        *arguments: Any,
        users: tuple[str, ...],
        on_conflict: OnConflict,
        sessions: bool | None,
        audit_log: bool | None,
        via: Via,
        **others: Any,
    ) -> Any:
        from supapy.parts.auth import People

        return command(*arguments, people=People(users, on_conflict, sessions, audit_log, via), **others)

    for option in _PEOPLE:
        gathered = option(gathered)
    return cast(F, gathered)


vault_option = click.option(
    "--vault-plaintext",
    is_flag=True,
    help="Save the vault's secrets readably, to whoever has the backup, and not sealed.",
)


vault_key_option = click.option(
    "--vault-root-key",
    is_flag=True,
    help="Give the target the root key of the source's vault, so that its secrets come back; by the Management API "
    "(SUPABASE_ACCESS_TOKEN), and only where the target's own vault is empty.",
)


def quiesce_option(command: F) -> F:
    """What sleeps after a restore; it reaches the command as `quiesce`, a `Quiesce` or None."""

    @wraps(command)
    def gathered(*arguments: Any, quiesce: bool | None, **others: Any) -> Any:
        from supapy.parts.database.alive.quiesced import Quiesce

        chosen = None if quiesce is None else Quiesce.ALL if quiesce else Quiesce.NONE
        return command(*arguments, quiesce=chosen, **others)

    option = click.option(
        "--quiesce/--no-quiesce",
        default=None,
        help="Let what acts by itself sleep until `supapy activate`, or run at once. Unless told, cron jobs and "
        "webhooks sleep in another project and run in the backup's own, and subscriptions sleep in both.",
    )
    return cast(F, option(gathered))


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
