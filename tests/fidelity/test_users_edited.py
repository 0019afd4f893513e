"""auth_users.json as somebody may have edited it, every digest made right again; and servers of which one is gone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.backups import forge, manifest_line
from tests.fidelity.test_auth import ALICE, BOB, MORE, PEOPLE
from tests.fidelity.whole import as_superuser, backed_up, restored
from tests.projects import ProjectFactory

from supapy.back_up import back_up
from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.errors import AccessDenied, IntegrityError, RestoreRefused, UnknownFormat, Unreachable
from supapy.parts.auth import People
from supapy.project.project import Project
from supapy.restore import restore
from supapy.sandbox.project import SandboxProject
from supapy.secret import Secret
from supapy.store.local import LocalStore

AUTH = Choice(database=False, storage=False)
BY_API = Choice(database=False, storage=False, people=People(via="api"))
LABEL = "backup_20261122_071500"
NOWHERE = "http://127.0.0.1:9"

Edit = Callable[[str], str]


@pytest.fixture
def source(project_factory: ProjectFactory) -> SandboxProject:
    sandbox = project_factory("source")
    as_superuser(sandbox, PEOPLE, MORE)
    return sandbox


def edited(source: SandboxProject, folder: Path, edit: Edit) -> Backup:
    """A backup with that file in it, as if it had been written so."""
    content = edit(b"".join(backed_up(source, folder / "true", AUTH).read("auth_users.json")).decode()).encode()
    store = LocalStore(folder / "edited")
    store.put(f"{LABEL}/auth_users.json", [content])
    about = {"part": "auth", "name": "users", "path": "auth_users.json", "size": len(content)}
    manifest = manifest_line(**about, sha256=hashlib.sha256(content).hexdigest())
    forge(store, LABEL, manifest, source={"ref": "source"}, include_database=False, include_storage=False)
    return Catalog(store).open(LABEL)


def is_half_restored(target: SandboxProject) -> bool:
    return as_superuser(target, "SELECT count(*) FROM pg_namespace WHERE nspname = 'supapy_restore'") != [(0,)]


def line_of(text: str, user: str) -> str:
    return next(line + "\n" for line in text.split("\n") if line.startswith(f'{{"id":"{user}'))


def with_token(text: str, user: str, token: str) -> str:
    line = line_of(text, user)
    return text.replace(
        line, line.replace(',"raw_app_meta_data"', f',"confirmation_token":"{token}","raw_app_meta_data"')
    )


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: json.dumps(json.loads(text), indent=1), "doesn't begin"),
        (lambda text: text[: text.index(line_of(text, BOB))], "breaks off"),
        (lambda text: text.replace(',"sessions":[', ',"session":['), "isn't where it should be"),
        (lambda text: text.replace(line_of(text, BOB), "hello\n"), "isn't a row"),
        (lambda text: text.replace('"columns"', '"colums"'), "columns aren't named"),
        (lambda text: "", "doesn't begin"),
        (lambda text: text.replace("\n", "\r\n"), "line 3"),
        (lambda text: text.replace(f'"id":"{BOB}",', ""), "has no id"),
        (lambda text: text.replace(BOB, "bob"), "has no id"),
        (lambda text: text[: text.rindex("]")], "breaks off"),
        (lambda text: text.replace(BOB, ALICE.upper()), "more than once"),
    ],
)
def test_a_file_that_is_no_longer_as_it_is_written_is_refused_and_nobody_comes(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path, edit: Edit, said: str
) -> None:
    backup, target = edited(source, tmp_path, edit), project_factory("target")
    with pytest.raises(IntegrityError, match=said):
        restored(backup, target, AUTH)
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(0,)]
    assert not is_half_restored(target)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text.replace(f'"id":"{BOB}","', f'"id":"{BOB}";"', 1), "type json"),
        (lambda text: re.sub('"created_at":"[^"]+"', '"created_at":"yesteryear"', text, count=1), "yesteryear"),
        (lambda text: text.replace('"is_sso_user":false', '"is_sso_user":"maybe"', 1), "maybe"),
        (lambda text: text.replace(',"is_sso_user":false', "", 1), "not-null"),
        (lambda text: text.replace("bob@", "bob\\u0000@"), "Unicode"),
    ],
)
@pytest.mark.parametrize("there", [False, True], ids=["into none", "among others"])
def test_a_value_that_is_none_is_refused_and_the_target_is_as_it_was(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path, edit: Edit, said: str, there: bool
) -> None:
    backup, target = edited(source, tmp_path, edit), project_factory("target")
    if there:
        as_superuser(target, "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'zoe@example.com')")
    with pytest.raises(RestoreRefused, match=said) as refused:
        restored(backup, target, AUTH, into="target")
    assert "auth_users.json was edited" in str(refused.value.hint)
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(int(there),)]
    assert not is_half_restored(target)


@pytest.mark.parametrize("people", [People(via="api"), People(users=(ALICE,))], ids=["by API", "one user"])
def test_a_row_that_is_no_json_is_told_where_it_is_read_here(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path, people: People
) -> None:
    backup = edited(source, tmp_path, lambda text: text.replace(f'"id":"{BOB}","', f'"id":"{BOB}";"', 1))
    target = project_factory("target")
    with pytest.raises(IntegrityError, match=f"row {BOB} isn't JSON"):
        restored(backup, target, Choice(database=False, storage=False, people=people))
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(0,)]


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace(line_of(text, BOB), line_of(text, BOB).rstrip(",\n") + "\n"),
        lambda text: text.replace('"confirmation_token":"",', ""),
    ],
    ids=["BOM", "no comma", "no tokens"],
)
def test_what_makes_no_difference_to_a_reader_makes_none(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path, edit: Edit
) -> None:
    target = project_factory("target")
    assert restored(edited(source, tmp_path, edit), target, AUTH).is_whole
    assert as_superuser(target, "SELECT count(*) FROM auth.users WHERE confirmation_token IS NULL") == [(0,)]


def test_a_file_of_a_newer_form_is_not_guessed_at(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = edited(source, tmp_path, lambda text: text.replace('"format":3', '"format":4'))
    with pytest.raises(UnknownFormat, match="of format 4"):
        restored(backup, project_factory("target"), AUTH)


def test_two_users_with_one_address_are_refused_and_nobody_comes(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = edited(source, tmp_path, lambda text: text.replace("bob@example.com", "old@example.com"))
    target = project_factory("target")
    with pytest.raises(RestoreRefused, match=r"\(email old@example.com\): .*users_email_partial_key") as refused:
        restored(backup, target, AUTH)
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(0,)]
    assert "half restored" not in str(refused.value.hint)
    assert restored(backed_up(source, tmp_path / "other", AUTH), target, AUTH).is_whole, "nothing stands in its way"


def test_a_field_that_nobody_knows_is_named_and_the_rest_comes(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = edited(source, tmp_path, lambda text: text.replace(f'"id":"{BOB}"', f'"id":"{BOB}","colour":"red"', 1))
    target = project_factory("target")
    outcome = restored(backup, target, AUTH)
    assert [(one.name, one.detail) for one in outcome.differences] == [
        (f"auth.users {BOB}", "colour is no column of auth.users")
    ]
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(5,)]
    plan = restored(backup, project_factory("by-api"), BY_API).plan
    assert "fields that this version doesn't know (colour) of 1 user" in {one.name for one in plan.omissions}


def test_what_was_edited_in_good_form_comes_as_it_stands(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = edited(source, tmp_path, lambda text: text.replace('"bob@example.com"', '"robert@example.com"'))
    target = project_factory("target")
    assert restored(backup, target, AUTH).is_whole
    assert as_superuser(target, f"SELECT email FROM auth.users WHERE id = '{BOB}'") == [("robert@example.com",)]


def test_users_are_saved_and_restored_while_the_auth_server_is_gone(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    with Project(NOWHERE, source.service_key, source.db_url) as project:
        backup = back_up(project, Catalog(LocalStore(tmp_path)), AUTH)
    with Project(NOWHERE, target.service_key, target.db_url) as project:
        assert restore(backup, project, AUTH, confirm=lambda plan: True).is_whole


def test_a_database_that_is_gone_is_told_and_nobody_is_made_by_the_auth_server_instead(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup, target = backed_up(source, tmp_path, AUTH), project_factory("target")
    nowhere = Secret("postgresql://postgres:secret@127.0.0.1:9/postgres")
    with Project(target.url, target.service_key, nowhere) as project, pytest.raises(Unreachable) as refused:
        restore(backup, project, AUTH, confirm=lambda plan: True)
    assert "secret" not in str(refused.value)
    assert "--via api" in str(refused.value.hint)
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(0,)]


def test_ten_megabytes_of_metadata_come_back_by_sql_and_are_named_where_a_request_can_not_bring_them(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    large = "jsonb_build_object('a', repeat('0123456789', 1000000))"
    as_superuser(source, f"UPDATE auth.users SET raw_user_meta_data = {large} WHERE id = '{BOB}'")
    backup, target, by_api = backed_up(source, tmp_path, AUTH), project_factory("target"), project_factory("by-api")
    assert restored(backup, target, AUTH).is_whole
    digest = f"SELECT md5(raw_user_meta_data::text) FROM auth.users WHERE id = '{BOB}'"
    assert as_superuser(target, digest) == as_superuser(source, digest)
    outcome = restored(backup, by_api, BY_API)
    assert outcome.is_whole
    assert "users with more metadata than a request may bring: 1" in [one.name for one in outcome.plan.omissions]
    assert as_superuser(by_api, f"SELECT count(*) FROM auth.users WHERE id = '{BOB}'") == [(0,)]


def test_by_api_an_auth_server_that_is_gone_or_refuses_the_key_is_told_and_the_database_is_not_asked(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup, target = backed_up(source, tmp_path, AUTH), project_factory("target")
    with Project(NOWHERE, target.service_key, most_tries=1) as project, pytest.raises(Unreachable):
        restore(backup, project, BY_API, confirm=lambda plan: True)
    head, claims, _ = target.service_key.reveal().split(".")
    with Project(target.url, Secret(f"{head}.{claims}.{'A' * 43}")) as project, pytest.raises(AccessDenied):
        restore(backup, project, BY_API, confirm=lambda plan: True)
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(0,)]


def test_users_come_back_from_a_compressed_backup(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    with Project(NOWHERE, source.service_key, source.db_url) as project:
        backup = back_up(project, Catalog(LocalStore(tmp_path)), AUTH, compress=True)
    target = project_factory("target")
    assert restored(backup, target, AUTH).is_whole
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(5,)]


def test_an_empty_token_is_the_same_written_and_left_out(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = edited(source, tmp_path, lambda text: with_token(text, ALICE, ""))
    assert b"".join(backup.read("auth_users.json")).count(b'"confirmation_token":""') == 1
    target = project_factory("target")
    assert restored(backup, target, AUTH).is_whole
    tokens = "SELECT id::text, confirmation_token FROM auth.users ORDER BY confirmation_token DESC LIMIT 2"
    assert [token for _, token in as_superuser(target, tokens)] == ["pending", ""]
    assert restored(backup, target, AUTH, into="target").is_whole, "who is there as he was saved isn't in the way"


def test_a_token_that_two_users_would_have_is_not_shown(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = edited(source, tmp_path, lambda text: with_token(text, ALICE, "pending"))
    with pytest.raises(RestoreRefused, match=r"key: .*confirmation_token_idx") as refused:
        restored(backup, project_factory("target"), AUTH)
    assert "pending" not in str(refused.value)
