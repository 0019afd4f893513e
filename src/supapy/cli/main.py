"""The commands there are, the options that stand before them, and the run from the arguments to the exit code.

What is heavy to import is imported inside the commands, and a command's own module only when it is called, so that
`--help` answers at once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

import click

from supapy import __version__
from supapy.cli.ending import heed_signals, ignore_signals, tell
from supapy.cli.shell import Shell

# New objects between two looks for dead circles, instead of Python's 700: a transfer makes hundreds, hardly ever in
# circles, and looking for them took a fifth of its time. A few megabytes more may wait to be found.
OBJECTS_BETWEEN_COLLECTIONS = 20_000

# Each command with the place it is written at, and what the list of commands says of it.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "backup": ("supapy.cli.backup:backup", "Back up the project: database, files and users, at one instant."),
    "restore": ("supapy.cli.restore:restore", "Restore a backup into the project, and prove the two equal."),
    "extract": ("supapy.cli.extract:extract", "Take single files out of a backup; no project is needed."),
    "list": ("supapy.cli.listing:list_backups", "List the backups there are, newest first."),
    "activate": (
        "supapy.cli.activate:activate",
        "Wake what a restore left asleep: cron jobs, webhooks, subscriptions.",
    ),
    "verify": ("supapy.cli.verify:verify", "Check a backup's files, and hold it against the project."),
    "config": ("supapy.cli.config:config", "Show the settings and where they come from; secrets are masked."),
    "doctor": ("supapy.cli.doctor:doctor", "Check that settings, project and this machine are ready."),
    "sandbox": ("supapy.cli.sandbox:sandbox", "Local Supabase projects to rehearse on."),
    "pg": ("supapy.cli.pg:pg", "PostgreSQL's own programs, which supapy works with."),
}


class LazyGroup(click.Group):
    """The commands of `COMMANDS`, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the project's settings from this file, and from nowhere else.",
)
@click.option("--json", is_flag=True, help="Print one JSON object a line, for programs.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what went wrong or differs.")
@click.option("-v", "--verbose", is_flag=True, help="Name every difference; show where a bug happened.")
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, env_file: Path | None, json: bool, quiet: bool, verbose: bool) -> None:
    """Back up and restore a whole Supabase project: database, storage files and auth users.

    The project is named by SUPABASE_URL, SUPABASE_KEY and SUPABASE_DB_URL, in the environment or in a file .env;
    .env.example shows where to find them.
    """
    shell = ctx.obj
    assert isinstance(shell, Shell)
    shell.env_file, shell.json, shell.quiet, shell.verbose = env_file, json, quiet, verbose
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Do what the arguments say and end the process with the exit code (see `supapy.errors`)."""
    # None is what Python has of a stream that was closed before it began.
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, TextIOWrapper)]
    for stream in streams:
        # A name that the terminal's encoding can't show must not end a restore half way.
        stream.reconfigure(errors="backslashreplace")
    heed_signals()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    code = ended(sys.argv[1:] if arguments is None else arguments)
    ignore_signals()
    for stream in streams:
        _flush(stream)
    sys.exit(code)


def ended(arguments: Sequence[str]) -> int:
    """Do what the arguments say, telling errors on standard error; gives the exit code."""
    # Errors among the arguments themselves are told in the way they ask for.
    shell = Shell(json="--json" in arguments)
    try:
        with main.make_context("supapy", list(arguments), obj=shell) as context:
            code = main.invoke(context)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except BaseException as error:
        code = tell(error, shell)
    return code if isinstance(code, int) else 0


def _flush(stream: TextIOWrapper) -> None:
    try:
        stream.flush()
    except OSError:
        # Whoever read it has gone; the interpreter would try once more and complain.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
