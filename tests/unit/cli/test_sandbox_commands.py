"""`supapy sandbox` and `supapy pg`, as a user types them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from tests.projects import tools

from supapy.cli.main import main
from supapy.cli.shell import Shell
from supapy.errors import ToolMissing, UsageError
from supapy.sandbox.registry import Registry


@pytest.fixture
def name() -> Iterator[str]:
    """A name that the user of this machine has no sandbox of."""
    name = f"test-{secrets.token_hex(6)}"
    yield name
    with suppress(UsageError):
        Registry().down(name, delete=True)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments, obj=Shell(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def rows(*arguments: str) -> list[list[str]]:
    """The table that a command prints, without its head."""
    return [line.split() for line in run(*arguments).splitlines()[1:]]


def result(*arguments: str) -> Any:
    """The last object that it prints for a program."""
    return json.loads(run("--json", *arguments).splitlines()[-1])["result"]


def test_a_sandbox_goes_up_tells_its_settings_and_goes_away(name: str) -> None:
    said = run("sandbox", "up", name)
    settings = dict(line.split("=", 1) for line in run("sandbox", "env", name).splitlines())
    assert settings["SUPABASE_URL"] in said
    assert settings["SUPABASE_KEY"] not in said
    assert settings["SUPABASE_DB_URL"] not in said
    assert [name, "17", settings["SUPABASE_URL"]] in rows("sandbox", "list")
    assert result("sandbox", "env", name) == settings
    listed = {"name": name, "major": 17, "url": settings["SUPABASE_URL"]}
    assert result("sandbox", "up", name) == listed
    assert listed in result("sandbox", "list")["sandboxes"]
    with psycopg.connect(settings["SUPABASE_DB_URL"]) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("postgres",)
    assert "down" in run("sandbox", "down", name)
    assert [name, "17", "down"] in rows("sandbox", "list")
    assert result("sandbox", "down", name, "--delete") == {"name": name, "deleted": True}
    assert name not in run("sandbox", "list")


def test_the_settings_of_a_sandbox_that_is_not_there_are_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(UsageError, match="is not up") as refused:
        run("sandbox", "env", name)
    assert f"supapy sandbox up {name}" in (refused.value.hint or "")


def test_the_installed_versions_are_listed_and_an_unknown_one_is_refused() -> None:
    version = tools(17).version  # here by now, downloaded if need be
    assert [version, str(tools(17).bin)] in rows("pg", "list")
    assert {"version": version, "folder": str(tools(17).bin)} in result("pg", "list")["versions"]
    with pytest.raises(ToolMissing, match="no PostgreSQL 9 can be downloaded"):
        run("pg", "install", "9")
