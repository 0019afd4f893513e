"""`supapy sandbox` and `supapy pg`, as a user types them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from click.testing import CliRunner
from tests.projects import tools

from supapy.cli.pg import pg
from supapy.cli.sandbox import sandbox
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
    result = CliRunner().invoke(sandbox, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_sandbox_goes_up_tells_its_settings_and_goes_away(name: str) -> None:
    said = run("up", name)
    settings = dict(line.split("=", 1) for line in run("env", name).splitlines())
    assert settings["SUPABASE_URL"] in said
    assert settings["SUPABASE_KEY"] not in said
    assert settings["SUPABASE_DB_URL"] not in said
    assert f"{name}\tPostgreSQL 17\t{settings['SUPABASE_URL']}" in run("list").splitlines()
    with psycopg.connect(settings["SUPABASE_DB_URL"]) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("postgres",)
    assert "down" in run("down", name)
    assert f"{name}\tPostgreSQL 17\tdown" in run("list").splitlines()
    assert "gone" in run("down", name, "--delete")
    assert name not in run("list")


def test_the_settings_of_a_sandbox_that_is_not_there_are_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(UsageError, match="is not up") as refused:
        run("env", name)
    assert f"supapy sandbox up {name}" in (refused.value.hint or "")


def test_the_installed_versions_are_listed_and_an_unknown_one_is_refused() -> None:
    version = tools(17).version  # here by now, downloaded if need be
    result = CliRunner().invoke(pg, ["list"], catch_exceptions=False)
    assert f"{version}\t{tools(17).bin}" in result.output.splitlines()
    with pytest.raises(ToolMissing, match="no PostgreSQL 9 can be downloaded"):
        CliRunner().invoke(pg, ["install", "9"], catch_exceptions=False)
