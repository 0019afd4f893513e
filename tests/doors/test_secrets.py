"""Canaries: the key and the database password are looked for in everything that a run says or leaves."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.doors.commands import Commands, settings_of
from tests.projects import ProjectFactory

from supapy.project.project import Project
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.secret import Secret

HOSTED = "https://abcdefghijklmnopqrst.supabase.co"
COMMANDS = (("backup",), ("list",), ("verify",), ("config",), ("doctor",), ("restore", "--latest", "--yes"))
LOUD = ((), ("-v",), ("--json",), ("-v", "--json"))


def password_of(db_url: str) -> str:
    """The password in a connection string."""
    return db_url.split(":")[2].rpartition("@")[0]


def forms(secret: str) -> Iterable[str]:
    """A secret as it could be found: as it is, in a URL, in base64 at any of its three beginnings."""
    yield secret
    yield quote(secret, safe="")
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + secret.encode()).decode()
        yield whole[4 if before else 0 : len(whole) // 4 * 4 - 4]


def assert_kept(settings: dict[str, str], *texts: str) -> None:
    """None of the secrets stands in any of the texts."""
    for secret in (settings["SUPABASE_KEY"], password_of(settings["SUPABASE_DB_URL"])):
        for form in forms(secret):
            for text in texts:
                assert form not in text


@pytest.mark.parametrize("loud", LOUD, ids=" ".join)
def test_no_command_shows_a_secret_when_all_goes_well(source: SandboxProject, tmp_path: Path, loud: tuple[str]) -> None:
    settings = settings_of(source)
    supapy = Commands(tmp_path, settings)
    codes = []
    for command in COMMANDS:
        ran = supapy(*loud, *command)
        codes.append(ran.code)
        assert_kept(settings, ran.out, ran.err)
    assert codes == [0, 0, 0, 0, 0, 60]


def test_no_file_of_a_backup_holds_a_secret_of_the_project(source: SandboxProject, saved: Path) -> None:
    for file in saved.rglob("*"):
        if file.is_file():
            assert_kept(settings_of(source), file.read_bytes().decode("latin-1"))


# What is wrong, as settings to put over the right ones; the secrets in them are as secret as the right ones.
WRONG = {
    "password": {"SUPABASE_DB_URL": "postgresql://postgres:{password}@127.0.0.1:{port}/postgres"},
    "port of nobody": {"SUPABASE_DB_URL": "postgresql://postgres:{password}@127.0.0.1:1/postgres"},
    "transaction pooler": {"SUPABASE_DB_URL": "postgresql://postgres.abc:{password}@x.pooler.supabase.com:6543/p"},
    "host": {"SUPABASE_DB_URL": "postgresql://postgres:{password}@no..host:5432/postgres"},
    "port": {"SUPABASE_DB_URL": "postgresql://postgres:{password}@127.0.0.1:many/postgres"},
    "parameter": {"SUPABASE_DB_URL": "postgresql://postgres:{password}@127.0.0.1:{port}/postgres?nonsense=1"},
    "no host": {"SUPABASE_DB_URL": "postgresql://postgres:{password}@/postgres"},
    "key's project": {"SUPABASE_URL": HOSTED},
    "key's form": {"SUPABASE_KEY": "correct-horse-{password}"},
    "key's characters": {"SUPABASE_KEY": "sb_secret_ä{password}"},
    "publishable key": {"SUPABASE_KEY": "sb_publishable_{password}"},
    "key": {"SUPABASE_KEY": "sb_secret_{password}"},
    "url": {"SUPABASE_URL": "nonsense"},
    "url with a password": {"SUPABASE_URL": "https://user:{password}@x.co"},
    "server gone": {"SUPABASE_URL": "https://project.invalid"},
    "database": {"SUPABASE_DB_URL": "postgresql://postgres:{password}@127.0.0.1:{port}/nothing"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_no_error_shows_a_secret(source: SandboxProject, tmp_path: Path, wrong: str) -> None:
    password, port = secrets.token_urlsafe(16), source.db_url.reveal().rpartition(":")[2].partition("/")[0]
    settings = settings_of(source)
    settings |= {name: value.format(password=password, port=port) for name, value in WRONG[wrong].items()}
    supapy = Commands(tmp_path, settings)
    for command in (("-v", "backup"), ("--json", "-v", "doctor"), ("-v", "config"), ("--json", "config")):
        ran = supapy(*command)
        assert ran.code != 0 or command[-1] == "config"
        for form in forms(password):
            assert form not in ran.out + ran.err
        assert_kept(settings_of(source), ran.out, ran.err)


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_server_that_repeats_the_key_does_not_get_it_shown(
    project_factory: ProjectFactory, tmp_path: Path, status: int
) -> None:
    project = project_factory("parrot")
    assert project.api
    settings = settings_of(project)
    body = json.dumps({"message": f"I don't like {settings['SUPABASE_KEY']}"}).encode()
    project.api.faults.append(Fault(path="/storage/v1/bucket", times=100, status=status, body=body))
    supapy = Commands(tmp_path, settings)
    ran = supapy("-v", "backup")
    assert ran.code in (22, 26)
    assert_kept(settings, ran.out, ran.err)


def test_a_project_shows_no_secret_of_its_own(source: SandboxProject) -> None:
    with Project(source.url, source.service_key, source.db_url) as project:
        said = [
            repr(project),
            str(project),
            f"{project}",
            repr(project.key),
            f"{project.db_url!s:>5}",
            str(vars(project)),
        ]
        assert_kept(settings_of(source), *said)


def test_a_secret_is_masked_so_that_two_can_be_told_apart_and_neither_guessed() -> None:
    one, other = Secret("sb_secret_one"), Secret("sb_secret_other")
    assert one.masked() != other.masked()
    assert "one" not in one.masked()
