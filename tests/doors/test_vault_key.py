"""Secrets of the vault come back without ever having been readable: the root key goes along, where that is wished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.doors.commands import Commands, Ran, settings_of
from tests.doors.test_activate import projects
from tests.projects import owner, superuser

from supapy.catalog import open_path
from supapy.errors import ProjectError
from supapy.journal import Journal
from supapy.parts.database.root_key import RootKeyPart
from supapy.project.management_api import ManagementApi
from supapy.project.project import Project
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.secret import Secret
from supapy.store.memory import MemoryStore

VALUES = "SELECT name, description, decrypted_secret FROM vault.decrypted_secrets ORDER BY name, 3"
SECRETS = "SELECT vault.create_secret('s3cret-value', 'stripe', 'for payments'), vault.create_secret('nameless-value')"


@pytest.fixture(scope="module")
def source(server_folder: Path) -> Iterator[SandboxProject]:
    with projects(server_folder, "source") as (project,):
        with owner(project.database) as connection:
            connection.execute("CREATE TABLE t (a int)")
            connection.execute(SECRETS)
        yield project


@pytest.fixture(scope="module")
def saved(source: SandboxProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    commands = Commands(tmp_path_factory.mktemp("saved"), settings_of(source))
    ran = commands("backup")
    assert ran.code == 0, ran.err
    assert "--vault-root-key" in ran.out
    return commands.folder / "backups" / commands.labels[0]


@pytest.fixture
def target(server_folder: Path) -> Iterator[SandboxProject]:
    with projects(server_folder, "target") as (project,):
        yield project


def account(project: SandboxProject) -> dict[str, str]:
    """The settings of a project with its account's token."""
    return settings_of(project) | {
        "SUPABASE_ACCESS_TOKEN": project.account.access_token.reveal(),
        "SUPABASE_MANAGEMENT_URL": project.url,
    }


def restored(folder: Path, saved: Path, settings: Mapping[str, str], *more: str) -> Ran:
    return Commands(folder, settings)("--json", "restore", saved, "--yes", "--vault-root-key", *more)


def root_key(project: SandboxProject) -> str:
    return project.database.root_key_file.read_text()


def test_the_root_key_goes_along_and_the_secrets_come_back(
    source: SandboxProject, saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    ran = restored(tmp_path, saved, account(target))
    assert ran.code == 0, ran.err
    (planned,) = [one for one in ran.objects if one.get("event") == "planned"]
    assert planned["steps"][0] == "the vault's root key of project source, in place of the target's own"
    assert planned["omissions"] == []
    assert root_key(target) == root_key(source)
    with superuser(source.database) as before, superuser(target.database) as after:
        assert after.execute(VALUES).fetchall() == before.execute(VALUES).fetchall()
        ((new,),) = after.execute("SELECT id::text FROM vault.secrets WHERE name = 'stripe'").fetchall()
    duties = {one["sort"]: one for one in ran.result["cut_over"]}
    (moved,) = duties["vault"]["names"]
    assert (moved.startswith("stripe: "), moved.endswith(new)) == (True, True)
    token = target.account.access_token.reveal()
    for file in [*tmp_path.rglob("*"), *saved.parent.rglob("*")]:
        if file.is_file():
            content = file.read_bytes()
            for secret in (root_key(source), token, "s3cret-value", "nameless-value"):
                assert secret.encode() not in content, file
    for secret in (root_key(source), token, "s3cret-value"):
        assert secret not in ran.out + ran.err
    verified = Commands(tmp_path, settings_of(target))("--json", "verify", saved)
    assert verified.code == 0, verified.out
    assert {"part": "database", "sort": "vault secrets", "count": 2} in verified.result["proofs"]


def test_without_the_key_the_secrets_stay_behind_and_the_sheet_names_them(
    saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    before = root_key(target)
    ran = Commands(tmp_path, account(target))("--json", "restore", saved, "--yes")
    assert ran.code == 0, ran.err
    (planned,) = [one for one in ran.objects if one.get("event") == "planned"]
    assert [one["name"] for one in planned["omissions"]] == ["secrets of the vault (stripe, 1 without a name)"]
    (duty,) = [one for one in ran.result["cut_over"] if one["sort"] == "vault"]
    assert duty["names"] == ["stripe", "1 without a name"]
    assert root_key(target) == before
    assert target.api
    assert not [one for one in target.api.requests if "/v1/projects" in one.raw_path]


def test_a_target_with_secrets_of_its_own_keeps_its_root_key(
    saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    with owner(target.database) as connection:
        connection.execute("SELECT vault.create_secret('mine', 'own')")
    before = root_key(target)
    ran = restored(tmp_path, saved, account(target), "--into", "target")
    assert ran.code == 60
    assert "its vault has 1 secret of its own, which another root key would make unreadable" in ran.err
    assert root_key(target) == before
    with superuser(target.database) as connection:
        assert connection.execute("SELECT to_regclass('public.t')").fetchall() == [(None,)]


def test_what_an_earlier_run_has_carried_is_not_in_the_way(
    source: SandboxProject, saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    target.database.root_key_file.write_text(root_key(source))
    with owner(target.database) as connection:
        connection.execute("SELECT vault.create_secret('mine', 'own')")
    ran = restored(tmp_path, saved, account(target), "--into", "target")
    assert ran.code == 0, ran.err
    with superuser(target.database) as connection:
        assert connection.execute("SELECT count(*) FROM vault.secrets").fetchall() == [(3,)]


@pytest.mark.parametrize(
    ("changed", "code", "said", "hint"),
    [
        ({"SUPABASE_ACCESS_TOKEN": ""}, 2, "SUPABASE_ACCESS_TOKEN is not set", "Account > Access Tokens"),
        (
            {"SUPABASE_ACCESS_TOKEN": "sbp_" + 40 * "0"},
            22,
            "refused the access token: Unauthorized",
            "Check SUPABASE_AC",
        ),
        ({"SUPABASE_ACCESS_TOKEN": "sbp ä"}, 22, "characters that no token has", "dashboard"),
        ({"SUPABASE_MANAGEMENT_URL": "ftp://x"}, 2, "SUPABASE_MANAGEMENT_URL isn't an address", "api.supabase.com"),
        ({"SUPABASE_MANAGEMENT_URL": "http://example.com"}, 2, "would cross the network in the clear", "https"),
    ],
)
def test_a_token_or_an_address_that_will_not_do_is_told_before_anything_is_written(
    saved: Path, target: SandboxProject, tmp_path: Path, changed: dict[str, str], code: int, said: str, hint: str
) -> None:
    ran = restored(tmp_path, saved, account(target) | changed)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert hint in ran.err
    with superuser(target.database) as connection:
        assert connection.execute("SELECT to_regclass('public.t')").fetchall() == [(None,)]


def test_a_source_that_is_gone_is_told(saved: Path, target: SandboxProject, tmp_path: Path) -> None:
    assert target.api
    target.api.faults.append(Fault("GET", "/v1/projects/source/", status=404, body=b'{"message": "Project not found"}'))
    ran = restored(tmp_path, saved, account(target))
    assert ran.code == 26
    assert "project source: its root key can't be read: 404 Project not found" in ran.err
    assert "one that is paused gives no key" in ran.err


def test_a_token_of_too_little_right_leaves_the_target_as_it_was(
    saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    assert target.api
    before = root_key(target)
    target.api.faults.append(Fault("PUT", "/v1/projects/target/", status=403, body=b'{"message": "Forbidden"}'))
    ran = restored(tmp_path, saved, account(target))
    assert ran.code == 22
    assert "project target: its root key can't be set: the access token may not (Forbidden)" in ran.err
    assert "secrets:write" in ran.err
    assert root_key(target) == before
    ran = restored(tmp_path, saved, account(target))
    assert ran.code == 0, ran.err


def test_a_database_that_does_not_use_the_new_key_yet_is_to_be_restarted(saved: Path, target: SandboxProject) -> None:
    assert target.api
    token, key = target.account.access_token, Secret(target.service_key.reveal())
    # The platform takes the key, and the database runs on with the one that it had read.
    target.api.faults.append(Fault("PUT", "/v1/projects/target/", status=200, body=b'{"root_key": "x"}'))
    with Project(target.url, key, target.db_url, management=ManagementApi(token, target.url)) as project:
        (step,) = RootKeyPart(patience_s=0).load(open_path(saved), project, Journal(MemoryStore(), "target"))
        with pytest.raises(ProjectError, match="has the root key by now, but its database doesn't use it") as refused:
            list(step.apply(lambda _: None))
    assert "Restart the project" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DROP EXTENSION supabase_vault", "its Vault is switched off"),
        (
            "ALTER FUNCTION vault._crypto_aead_det_decrypt RENAME TO _another",
            "its Vault is older than version 0.3, and can't open them",
        ),
    ],
)
def test_a_target_whose_vault_is_off_or_too_old_is_told(
    saved: Path, target: SandboxProject, tmp_path: Path, statement: str, told: str
) -> None:
    with superuser(target.database) as connection:
        connection.execute(statement.encode())
    ran = restored(tmp_path, saved, account(target))
    assert ran.code == 60
    assert told in ran.err


def test_the_option_is_for_the_whole_database(saved: Path, target: SandboxProject, tmp_path: Path) -> None:
    ran = restored(tmp_path, saved, account(target), "--table", "t")
    assert ran.code == 2
    assert "--vault-root-key is for a restore of the database" in ran.err
