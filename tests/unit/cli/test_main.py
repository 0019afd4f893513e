"""The list of commands, and what it costs to show it."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from supapy.cli.main import COMMANDS, main

HEAVY = {"rich", "aiohttp", "psycopg", "dotenv", "asyncio", "supapy.project", "supapy.parts"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_help_imports_nothing_that_takes_time(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom supapy.__main__ import run\n"
        f"try:\n    run({arguments!r})\nfinally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0
    assert not HEAVY & set(ended.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_list_is_there_and_explains_itself(name: str) -> None:
    with main.make_context("supapy", ["--help"], resilient_parsing=True) as context:
        command = main.get_command(context, name)
        assert name in context.get_help()
        assert COMMANDS[name][1] in " ".join(context.get_help().split())
    assert command is not None
    assert command.name == name
    assert command.help
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))


@pytest.mark.parametrize("name", ["backup", "restore", "activate", "list", "verify", "config", "doctor"])
def test_no_command_has_an_option_for_a_secret(name: str) -> None:
    with main.make_context("supapy", [], resilient_parsing=True) as context:
        command = main.get_command(context, name)
    assert command is not None
    # A switch takes no value.
    valued = [one for one in (*main.params, *command.params) if not (isinstance(one, click.Option) and one.is_flag)]
    names = {option for parameter in valued for option in parameter.opts}
    assert not [option for option in names for word in ("pass", "key", "secret", "token", "url") if word in option]


def test_help_of_a_command_shows_where_the_options_before_it_are() -> None:
    ended = subprocess.run([sys.executable, "-m", "supapy", "backup", "-h"], capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stdout.startswith("Usage: supapy backup [OPTIONS]")


def test_ctrl_c_while_the_command_is_still_being_imported_is_no_traceback() -> None:
    program = """
import sys
class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
from supapy.__main__ import run
run()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
