"""The documents name what there is: every option, and every module in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from supapy.cli.main import main

HOME = Path(__file__).parents[2]
FOR_USERS = (".env.example", "README.md", "QUICKSTART.md", "SECURITY.md", "docs/restoring.md", "docs/sandbox.md")
# As it is written: `--no-…` stands for several.
OPTION = re.compile(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*(?![\w…-])")


def options_of(command: click.Command, context: click.Context) -> Iterator[str]:
    """All long options of a command and of those below it."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from (name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--"))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found
            yield from options_of(found, context)


OPTIONS = frozenset(options_of(main, click.Context(main))) | {"--help"}


@pytest.mark.parametrize("document", [*FOR_USERS, "CHANGELOG.md", "docs/format.md"])
def test_every_option_that_a_document_names_is_one(document: str) -> None:
    assert set(OPTION.findall((HOME / document).read_text())) <= OPTIONS


def test_every_option_stands_in_a_document_for_users() -> None:
    told = {option for document in FOR_USERS for option in OPTION.findall((HOME / document).read_text())}
    # Both ways of one are told where the one is: `--sessions` (and `--no-…`).
    opposites = {option.replace("--", "--no-", 1) for option in told}
    assert OPTIONS - told - opposites - {"--help", "--version"} == set()


def test_every_module_stands_in_the_plan_of_the_house() -> None:
    plan = (HOME / "PROJECT_STRUCTURE.md").read_text()
    modules = {path.name for path in (HOME / "src/supapy").rglob("*.py")} - {"__init__.py", "__main__.py"}
    below = {path.name for folder in ("cli", "sandbox") for path in (HOME / "src/supapy" / folder).rglob("*.py")}
    assert (modules - below) - set(re.findall(r"\w+\.py", plan)) == set()


def test_every_module_of_the_database_stands_in_its_room() -> None:
    plan = (HOME / "PROJECT_STRUCTURE.md").read_text()
    _, _, rooms = plan.partition("\n    database/")
    told = re.split(r"\n      (\w+)/", re.split(r"\n    \w", rooms)[0])
    said = {room: set(re.findall(r"\w+\.py", modules)) for room, modules in zip(told[1::2], told[2::2], strict=True)}
    folders = [path for path in (HOME / "src/supapy/parts/database").iterdir() if (path / "__init__.py").exists()]
    assert said == {path.name: {one.name for one in path.glob("*.py")} - {"__init__.py"} for path in folders}


def test_links_between_documents_lead_somewhere() -> None:
    for document in [*HOME.glob("*.md"), *HOME.glob("docs/**/*.md"), HOME / "benchmarks/README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
