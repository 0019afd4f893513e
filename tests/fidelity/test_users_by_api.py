"""Users brought back by the Auth server alone: what it can be given, and what is lost and said beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.doors.commands import Commands, settings_of
from tests.fidelity.test_auth import ALICE, ANON, BOB, MORE, OLD, PASSWORD, PEOPLE, SSO
from tests.fidelity.whole import Pair, as_superuser, backed_up, posted
from tests.projects import ProjectFactory

from supapy.backup import Backup
from supapy.choice import Choice
from supapy.errors import Interrupted, RestoreRefused
from supapy.events import Advanced, Event
from supapy.model import Difference, Proof
from supapy.parts.auth import People
from supapy.parts.auth.people import OnConflict
from supapy.project.project import Project
from supapy.restore import Outcome, restore
from supapy.sandbox.project import SandboxProject
from supapy.verify import hold_against

ACTIVE, DELETED, PHONE, OTHER = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "6789")
EVEN_MORE = f"""
INSERT INTO auth.users (instance_id, id, aud, role, email, phone, encrypted_password, confirmation_token,
  recovery_token, email_change_token_new, email_change, raw_app_meta_data, raw_user_meta_data, banned_until, deleted_at,
  phone_confirmed_at, created_at, updated_at) VALUES
 ('00000000-0000-0000-0000-000000000000', '{ACTIVE}', 'authenticated', 'editor', 'active@example.com', NULL, 'md5:x',
  '', '', '', 'next@example.com', '{{"plan": "pro"}}', '{{"n": 1.50, "big": 12345678901234567890}}', now() + '1 h',
  NULL, NULL, now(), now()),
 ('00000000-0000-0000-0000-000000000000', '{DELETED}', 'authenticated', 'authenticated', 'gone', NULL, NULL, '', '',
  '', '', '{{}}', '{{}}', NULL, now(), NULL, now(), now()),
 ('00000000-0000-0000-0000-000000000000', '{PHONE}', 'authenticated', 'authenticated', NULL, '4955555', NULL, '', '',
  '', '', '{{"provider": "phone"}}', '{{}}', NULL, NULL, now(), now(), now());
"""


def auth(**said: object) -> Choice:
    return Choice(database=False, storage=False, people=People(via="api", **said))  # type: ignore[arg-type]


def restored(backup: Backup, sandbox: SandboxProject, choice: Choice, into: str | None = None) -> Outcome:
    """Into a project whose database nobody may ask."""
    with Project(sandbox.url, sandbox.service_key) as project:
        return restore(backup, project, choice, into=into, confirm=lambda plan: True)


@pytest.fixture(scope="module")
def pair(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as cleanup:
        projects = ProjectFactory(server_folder, cleanup)
        source, target = projects("source"), projects("target")
        as_superuser(source, PEOPLE, MORE, EVEN_MORE)
        folder = tmp_path_factory.mktemp("backups")
        backup = backed_up(source, folder, Choice(database=False, storage=False))
        yield Pair(source, backup, target, restored(backup, target, auth()), folder)


def test_whoever_can_be_made_is_and_nobody_else(pair: Pair) -> None:
    assert (pair.outcome.problems, pair.outcome.differences) == ([], [])
    found = {str(one) for (one,) in as_superuser(pair.target, "SELECT id FROM auth.users")}
    assert found == {ALICE, BOB, OLD, ACTIVE, PHONE}
    assert [(proof.sort, proof.count) for proof in pair.outcome.proofs] == [("users, as the Auth server shows them", 5)]


def test_people_sign_in_with_their_old_passwords(pair: Pair) -> None:
    for email, expected in (("alice@example.com", 200), ("old@example.com", 200), ("bob@example.com", 400)):
        status, _ = posted(pair.target, "/auth/v1/token?grant_type=password", {"email": email, "password": PASSWORD})
        assert status == expected, email


def test_what_the_server_takes_is_what_was_saved(pair: Pair) -> None:
    query = """SELECT aud, role, email, phone, email_confirmed_at IS NULL, phone_confirmed_at IS NULL,
        banned_until > now(), raw_app_meta_data->>'plan' FROM auth.users WHERE id IN ('{}', '{}', '{}') ORDER BY id"""
    query = query.format(ACTIVE, PHONE, ALICE)
    assert as_superuser(pair.target, query) == as_superuser(pair.source, query)
    hashes = f"SELECT encrypted_password FROM auth.users WHERE id IN ('{ALICE}', '{BOB}', '{OLD}') ORDER BY id"
    assert as_superuser(pair.target, hashes) == as_superuser(pair.source, hashes)
    names = f"SELECT raw_user_meta_data->'name' FROM auth.users WHERE id = '{ALICE}'"
    assert as_superuser(pair.target, names) == as_superuser(pair.source, names)


def test_what_is_lost_is_counted_before_anything_is_written(pair: Pair) -> None:
    assert [one.name for one in pair.outcome.plan.omissions] == [
        "users without e-mail address and phone number: 1",
        "users of single sign-on: 1",
        "deleted users, kept as rows: 1",
        "times (created, confirmed, invited, last signed in) of 5 users",
        "MFA factors of 1 user",
        "identities of other providers (google) of 1 user",
        "passwords whose hash the server doesn't take of 1 user",
        "confirmations, recoveries and changes of address under way of 2 users",
        "numbers of more than 15 digits in metadata of 1 user",
        "1 row of auth.sessions",
        "3 rows of auth.refresh_tokens",
        "1 row of auth.mfa_amr_claims",
        "1 row of auth.audit_log_entries",
    ]


def test_who_is_there_already_is_met_as_by_sql(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "target.env"
    url, key = pair.target.url, pair.target.service_key.reveal()
    file.write_text(f"SUPABASE_URL={url}\nSUPABASE_KEY={key}\n")
    supapy = Commands(tmp_path, settings_of(pair.source))
    arguments = ("--env-file", file, "restore", pair.backup.path, "--no-database", "--no-storage", "--via", "api", "-y")
    refused = supapy(*arguments, "--into", "target")
    assert refused.code == 60
    assert "--on-conflict skip" in refused.err
    changed = f"UPDATE auth.users SET encrypted_password = 'x' WHERE id = '{ALICE}'"
    as_superuser(pair.target, changed, f"DELETE FROM auth.users WHERE id = '{PHONE}'")
    skipped = supapy("--json", *arguments, "--into", "target", "--on-conflict", "skip")
    assert skipped.code == 0, skipped.out + skipped.err
    password = f"SELECT encrypted_password FROM auth.users WHERE id = '{ALICE}'"
    assert as_superuser(pair.target, password) == [("x",)]
    planned = next(one for one in skipped.objects if one.get("event") == "planned")
    assert planned["steps"] == ["1 user by the Auth server, with their passwords"]
    replaced = supapy(*arguments, "--into", "target", "--on-conflict", "replace", "--user", "alice@*")
    assert replaced.code == 0, replaced.out + replaced.err
    assert as_superuser(pair.target, password) == as_superuser(pair.source, password)
    assert as_superuser(pair.target, "SELECT count(*) FROM auth.users") == [(5,)]


@pytest.mark.parametrize("listed", [True, False], ids=["as listed", "by his identities"])
def test_who_comes_by_single_sign_on_is_no_other_for_having_his_address(
    pair: Pair, project_factory: ProjectFactory, listed: bool
) -> None:
    target = project_factory("target")
    said = '{"provider": "sso:1", "providers": ["sso:1"]}' if listed else "{}"
    as_superuser(
        target,
        "INSERT INTO auth.users (instance_id, id, aud, role, email, is_sso_user, raw_app_meta_data, created_at, "
        "updated_at, confirmation_token, recovery_token, email_change_token_new, email_change) VALUES "
        f"('00000000-0000-0000-0000-000000000000', '{OTHER}', 'authenticated', 'authenticated', 'alice@example.com', "
        f"true, '{said}', now(), now(), '', '', '', '')",
        "INSERT INTO auth.identities (user_id, provider, provider_id, identity_data, created_at, updated_at) "
        f"VALUES ('{OTHER}', 'sso:1', 'a', '{{}}', now(), now())",
    )
    how = {} if listed else {"on_conflict": "replace"}
    outcome = restored(pair.backup, target, auth(users=("alice@*", "bob@*"), **how), "target")
    assert (outcome.problems, outcome.differences) == ([], [])
    assert {str(one) for (one,) in as_superuser(target, "SELECT id FROM auth.users")} == {ALICE, BOB, OTHER}


def test_a_server_that_can_list_nobody_is_told_with_the_reason_before_anybody_is_made(
    pair: Pair, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    assert posted(target, "/auth/v1/admin/users", {"id": OTHER, "email": "zoe@example.com"})[0] == 200
    as_superuser(target, "UPDATE auth.users SET updated_at = NULL")
    arguments = ("restore", pair.backup.path, "--no-database", "--no-storage", "--via", "api", "-y", "--into", "target")
    ran = Commands(tmp_path, settings_of(target))(*arguments)
    assert ran.code == 26
    assert "updated_at" in ran.err.partition("hint: ")[2]
    assert as_superuser(target, "SELECT id::text FROM auth.users") == [(OTHER,)]


def test_one_whose_id_and_address_are_two_others_replaces_both(pair: Pair, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    for person in ({"id": OTHER, "email": "bob@example.com"}, {"id": BOB, "email": "rob@example.com"}):
        assert posted(target, "/auth/v1/admin/users", person)[0] == 200
    outcome = restored(pair.backup, target, auth(on_conflict="replace", users=("bob@example.com",)), "target")
    assert outcome.is_whole
    assert as_superuser(target, "SELECT id::text, email FROM auth.users") == [(BOB, "bob@example.com")]


def test_who_comes_out_otherwise_by_the_restore_itself_is_a_difference_also_where_others_are_skipped(
    pair: Pair, project_factory: ProjectFactory
) -> None:
    target = project_factory("target")
    assert posted(target, "/auth/v1/admin/users", {"id": OTHER, "email": "bob@example.com"})[0] == 200
    as_superuser(
        target,
        """CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.raw_user_meta_data = '{"spoiled": true}'; RETURN NEW; END $$""",
        "CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON auth.users FOR EACH ROW EXECUTE FUNCTION public.spoil()",
    )
    users = ("active@*", "bob@*")
    outcome = restored(pair.backup, target, auth(on_conflict="skip", users=users), "target")
    assert [(one.name, one.detail) for one in outcome.differences] == [(f"auth.users {ACTIVE}", "raw_user_meta_data")]
    assert ("users left as they were", 1) in {(one.sort, one.count) for one in outcome.proofs}


def test_skipped_users_stay_whatever_differs_and_are_no_difference(
    pair: Pair, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    for person in (
        {"id": OTHER, "email": "bob@example.com"},
        {"id": f"{'a' * 8}-0000-4000-8000-000000000000", "phone": "4955555"},
        {"id": ALICE, "email": "elsewhere@example.com", "user_metadata": {"name": "Al"}},
    ):
        assert posted(target, "/auth/v1/admin/users", person)[0] == 200
    arguments = ("restore", pair.backup.path, "--no-database", "--no-storage", "--via", "api", "-y", "--into", "target")
    ran = Commands(tmp_path, settings_of(target))("--json", *arguments, "--on-conflict", "skip")
    assert ran.code == 0, ran.out + ran.err
    assert ran.result["differences"] == []
    planned = next(one for one in ran.objects if one.get("event") == "planned")
    assert planned["steps"] == ["2 users by the Auth server, with their passwords"]
    assert [one["name"] for one in planned["omissions"]] == [
        "users without e-mail address and phone number: 1",
        "users of single sign-on: 1",
        "deleted users, kept as rows: 1",
        "times (created, confirmed, invited, last signed in) of 2 users",
        "passwords whose hash the server doesn't take of 1 user",
        "confirmations, recoveries and changes of address under way of 1 user",
        "numbers of more than 15 digits in metadata of 1 user",
        "1 row of auth.audit_log_entries",
    ]
    proofs = {one["sort"]: one["count"] for one in ran.result["proofs"]}
    assert proofs == {"users, as the Auth server shows them": 2, "users left as they were": 3}
    as_superuser(target, f"DELETE FROM auth.users WHERE id = '{OLD}'")
    met = auth(on_conflict="skip", staying=frozenset({ALICE, BOB, PHONE}))
    with Project(target.url, target.service_key) as project:
        found = [one for one in hold_against(pair.backup, project, met) if isinstance(one, Difference)]
    assert [(one.name, one.kind) for one in found] == [(f"auth.users {OLD}", "missing")]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (
            "bob@*",
            [
                "times (created, confirmed, invited, last signed in) of 1 user",
                "confirmations, recoveries and changes of address under way of 1 user",
                "1 row of auth.refresh_tokens",
            ],
        ),
        (
            "491234567",
            [
                "times (created, confirmed, invited, last signed in) of 1 user",
                "MFA factors of 1 user",
                "identities of other providers (google) of 1 user",
                "1 row of auth.sessions",
                "2 rows of auth.refresh_tokens",
                "1 row of auth.mfa_amr_claims",
            ],
        ),
    ],
)
def test_of_some_users_only_what_is_theirs_is_lost(
    pair: Pair, project_factory: ProjectFactory, user: str, expected: list[str]
) -> None:
    outcome = restored(pair.backup, project_factory("target"), auth(users=(user,)))
    assert outcome.is_whole
    assert [one.name for one in outcome.plan.omissions] == expected


def test_a_user_whom_the_server_refuses_is_named_and_the_others_come(
    pair: Pair, project_factory: ProjectFactory
) -> None:
    target = project_factory("target")
    as_superuser(target, "ALTER TABLE auth.users ADD CONSTRAINT none CHECK (email <> 'bob@example.com')")
    outcome = restored(pair.backup, target, auth())
    assert [one.name for one in outcome.problems] == [f"auth.users {BOB}"]
    assert [(one.name, one.kind) for one in outcome.differences] == [(f"auth.users {BOB}", "missing")]
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(4,)]
    # One who is missing and a stranger are two differences, though there are as many users as there should be.
    assert posted(target, "/auth/v1/admin/users", {"id": OTHER, "email": "stranger@example.com"})[0] == 200
    with Project(target.url, target.service_key) as project:
        found = [one for one in hold_against(pair.backup, project, auth()) if isinstance(one, Difference)]
    assert [(one.name, one.kind) for one in found] == [(f"auth.users {BOB}", "missing"), ("1 user", "extra")]


def test_who_was_there_is_told_to_be_gone_when_the_server_does_not_take_his_successor(
    pair: Pair, project_factory: ProjectFactory
) -> None:
    target = project_factory("target")
    assert posted(target, "/auth/v1/admin/users", {"id": OTHER, "email": "bob@example.com"})[0] == 200
    as_superuser(target, "ALTER TABLE auth.users ADD CONSTRAINT none CHECK (email <> 'bob@example.com') NOT VALID")
    outcome = restored(pair.backup, target, auth(on_conflict="replace", users=("bob@example.com",)), "target")
    (problem,) = outcome.problems
    assert problem.name == f"auth.users {BOB}"
    assert "the user who was there is deleted" in problem.reason
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(0,)]


def test_metadata_too_deep_to_be_compared_is_told_and_not_taken_for_equal(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    source, target = project_factory("source"), project_factory("target")
    as_superuser(source, PEOPLE)
    plain = backed_up(source, tmp_path / "plain", Choice(database=False, storage=False))
    deep = "[" * 3000 + "]" * 3000
    as_superuser(source, f"UPDATE auth.users SET raw_user_meta_data = '{{\"a\": {deep}}}' WHERE id = '{BOB}'")
    backup = backed_up(source, tmp_path / "deep", Choice(database=False, storage=False))
    assert restored(plain, target, auth()).is_whole
    with Project(target.url, target.service_key) as project:
        found = [one for one in hold_against(backup, project, auth()) if isinstance(one, Difference)]
    assert [(one.name, one.detail) for one in found] == [(f"auth.users {BOB}", "raw_user_meta_data")]


def test_one_user_whom_the_server_cannot_show_is_told_and_the_others_are_compared(
    pair: Pair, project_factory: ProjectFactory
) -> None:
    target = project_factory("target")
    assert restored(pair.backup, target, auth()).is_whole
    as_superuser(target, f"UPDATE auth.users SET confirmation_token = NULL WHERE id = '{BOB}'")
    with Project(target.url, target.service_key, most_tries=1) as project:
        found = list(hold_against(pair.backup, project, auth()))
    (one,) = [one for one in found if isinstance(one, Difference)]
    assert one.name == f"auth.users {BOB}"
    assert "the server doesn't show him: " in one.detail
    assert ("users, as the Auth server shows them", 4) in {
        (one.sort, one.count) for one in found if isinstance(one, Proof)
    }


def test_without_the_word_a_project_without_a_database_is_refused(pair: Pair, tmp_path: Path) -> None:
    settings = settings_of(pair.target)
    del settings["SUPABASE_DB_URL"]
    ran = Commands(tmp_path, settings)("restore", pair.backup.path, "--no-database", "--no-storage", "--yes")
    assert ran.code == 2
    assert "--via api" in ran.err


def test_what_is_saved_is_enough_to_know_everything_of_a_user(pair: Pair) -> None:
    said = json.loads(b"".join(pair.backup.read("auth_users.json")))
    sso = next(user for user in said["users"] if user["id"] == SSO)
    assert sso["is_sso_user"] is True
    assert ANON in {user["id"] for user in said["users"]}


@pytest.mark.parametrize("on_conflict", ["fail", "skip"])
def test_after_a_break_the_same_command_goes_on_and_who_came_before_it_is_no_stranger(
    pair: Pair, project_factory: ProjectFactory, on_conflict: OnConflict
) -> None:
    target, choice = project_factory("target"), auth(on_conflict=on_conflict)
    as_superuser(
        target,
        """CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.raw_user_meta_data = '{"spoiled": true}'; RETURN NEW; END $$""",
        "CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON auth.users FOR EACH ROW EXECUTE FUNCTION public.spoil()",
    )
    if on_conflict == "skip":
        assert posted(target, "/auth/v1/admin/users", {"id": BOB, "email": "bobby@example.com"})[0] == 200

    def breaks(event: Event) -> None:
        if isinstance(event, Advanced) and "Auth server" in event.stage:
            raise Interrupted("interrupted")

    with Project(target.url, target.service_key) as project, pytest.raises(Interrupted):
        restore(pair.backup, project, choice, into="target", confirm=lambda plan: True, listener=breaks)
    assert as_superuser(target, f"SELECT count(*) > 0 FROM auth.users WHERE id <> '{BOB}'") == [(True,)]
    outcome = restored(pair.backup, target, choice, into="target")
    spoiled = {ALICE, OLD, ACTIVE, PHONE} | ({BOB} if on_conflict == "fail" else set())
    assert {one.name for one in outcome.differences} == {f"auth.users {one}" for one in spoiled}
    left = [one.count for one in outcome.proofs if one.sort == "users left as they were"]
    assert left == ([1] if on_conflict == "skip" else [])
    assert not outcome.problems
    # It has come to its end: what is there now is anybody's.
    if on_conflict == "fail":
        with pytest.raises(RestoreRefused, match="5 users of the backup"):
            restored(pair.backup, target, choice, into="target")
