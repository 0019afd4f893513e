"""Users into a project that has some: found before anything is written, left, replaced, or some of them alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fidelity.test_auth import ALICE, ANON, BOB, MORE, OLD, PASSWORD, PEOPLE, SSO
from tests.fidelity.whole import as_superuser, backed_up, differences, opened, posted, restored
from tests.projects import ProjectFactory

from supapy.backup import Backup
from supapy.choice import Choice
from supapy.errors import Interrupted, RestoreRefused, UsageError
from supapy.events import Event, Started
from supapy.parts.auth import People
from supapy.restore import Outcome, Plan, restore
from supapy.sandbox.project import SandboxProject

OTHER = "77777777-0000-4000-8000-000000000000"
# Somebody else with Bob's address, whom a row of the app refers to.
NEWCOMER = f"""
INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, created_at, updated_at,
  confirmation_token, recovery_token, email_change_token_new, email_change)
VALUES ('00000000-0000-0000-0000-000000000000', '{OTHER}', 'authenticated', 'authenticated', 'bob@example.com',
  'new', now(), now(), '', '', '', '');
INSERT INTO auth.sessions (id, user_id) VALUES ('bbbbbbbb-0000-4000-8000-000000000000', '{OTHER}');
CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE);
INSERT INTO public.profiles VALUES ('{OTHER}');
"""
# Changes who comes in even while triggers are quiet.
SPOILS = (
    """CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.aud = 'spoiled'; RETURN NEW; END $$""",
    "CREATE TRIGGER spoil BEFORE INSERT ON auth.users FOR EACH ROW WHEN (NEW.email LIKE 'alice@%') "
    "EXECUTE FUNCTION public.spoil(); ALTER TABLE auth.users ENABLE ALWAYS TRIGGER spoil",
)


def auth(**said: object) -> Choice:
    return Choice(database=False, storage=False, people=People(**said))  # type: ignore[arg-type]


@pytest.fixture
def source(project_factory: ProjectFactory) -> SandboxProject:
    sandbox = project_factory("source")
    as_superuser(sandbox, PEOPLE, MORE)
    return sandbox


@pytest.fixture
def backup(source: SandboxProject, tmp_path: Path) -> Backup:
    return backed_up(source, tmp_path / "backups", auth())


@pytest.fixture
def target(project_factory: ProjectFactory) -> SandboxProject:
    sandbox = project_factory("target")
    as_superuser(sandbox, NEWCOMER)
    return sandbox


def ids(sandbox: SandboxProject) -> set[str]:
    return {str(one) for (one,) in as_superuser(sandbox, "SELECT id FROM auth.users")}


def held(outcome: Outcome) -> str:
    return "; ".join(one.text for one in outcome.plan.obstacles)


def test_by_itself_a_restore_overwrites_nobody_and_says_whose_address_is_taken(
    backup: Backup, target: SandboxProject
) -> None:
    with pytest.raises(RestoreRefused, match=r"1 user of the backup \(bob@example.com: .* is taken\)") as refused:
        restored(backup, target, auth(), into="target")
    assert "--on-conflict skip" in str(refused.value.hint)
    assert ids(target) == {OTHER}


def test_skipped_users_stay_as_they_are_with_all_that_is_theirs(backup: Backup, target: SandboxProject) -> None:
    outcome = restored(backup, target, auth(on_conflict="skip", sessions=True), into="target")
    assert ids(target) == {ALICE, SSO, ANON, OLD, OTHER}
    assert "bob@example.com" in held(outcome)
    assert "stay as they are" in held(outcome)
    assert as_superuser(target, f"SELECT count(*) FROM auth.refresh_tokens WHERE user_id = '{BOB}'") == [(0,)]
    assert as_superuser(target, "SELECT id::text FROM public.profiles") == [(OTHER,)]
    assert [one.name for one in outcome.differences] == []
    assert ("users left as they were", 1) in {(proof.sort, proof.count) for proof in outcome.proofs}


def test_what_keeps_a_skipped_user_signed_in_is_no_difference(backup: Backup, target: SandboxProject) -> None:
    as_superuser(target, f"INSERT INTO auth.users (id, email) VALUES ('{ALICE}', 'al@example.com')")
    outcome = restored(backup, target, auth(on_conflict="skip", sessions=True), into="target")
    assert as_superuser(target, f"SELECT count(*) FROM auth.sessions WHERE user_id = '{ALICE}'") == [(0,)]
    assert outcome.is_whole
    claim = "DELETE FROM auth.mfa_amr_claims"
    as_superuser(target, "DELETE FROM auth.users", claim)
    assert restored(backup, target, auth(sessions=True), into="target").is_whole
    as_superuser(target, claim)
    found = differences(backup, target, auth(sessions=True))
    assert [one.name.partition(" ")[0] for one in found] == ["auth.mfa_amr_claims"], "else it is one"


def test_who_comes_out_otherwise_by_the_restore_itself_is_a_difference_also_where_others_are_skipped(
    backup: Backup, target: SandboxProject
) -> None:
    as_superuser(target, *SPOILS)
    outcome = restored(backup, target, auth(on_conflict="skip"), into="target")
    assert [(one.name, one.kind, one.detail) for one in outcome.differences] == [
        (f"auth.users {ALICE}", "changed", "aud"),
        (f"auth.users {SSO}", "changed", "aud"),
    ]
    assert ("users left as they were", 1) in {(proof.sort, proof.count) for proof in outcome.proofs}


def test_after_a_break_who_came_before_it_is_still_a_difference_and_who_was_there_still_none(
    source: SandboxProject, target: SandboxProject, tmp_path: Path
) -> None:
    choice = Choice(storage=False, people=People(on_conflict="skip"))
    backup = backed_up(source, tmp_path / "all", choice)
    as_superuser(target, *SPOILS)

    def breaks(event: Event) -> None:
        if isinstance(event, Started) and "database" in event.stage:
            raise Interrupted("interrupted")

    with opened(target) as project, pytest.raises(Interrupted):
        restore(backup, project, choice, into="target", confirm=lambda plan: True, listener=breaks)
    assert ids(target) == {ALICE, SSO, ANON, OLD, OTHER}
    outcome = restored(backup, target, choice, into="target")
    assert outcome.plan.goes_on
    assert [(one.name, one.detail) for one in outcome.differences if one.part == "auth"] == [
        (f"auth.users {ALICE}", "aud"),
        (f"auth.users {SSO}", "aud"),
    ]
    assert ("users left as they were", 1) in {(proof.sort, proof.count) for proof in outcome.proofs}


@pytest.mark.parametrize("on_conflict", ["fail", "skip", "replace"])
def test_who_signs_up_with_a_saved_address_while_the_plan_is_looked_at_stops_it_before_anybody_comes(
    backup: Backup, target: SandboxProject, on_conflict: str
) -> None:
    as_superuser(target, "DELETE FROM auth.users", "DELETE FROM public.profiles")
    as_superuser(target, "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'zoe@example.com')")
    before = ids(target)

    def looked_at(plan: Plan) -> bool:
        as_superuser(target, f"INSERT INTO auth.users (id, email) VALUES ('{OTHER}', 'bob@example.com')")
        return True

    with opened(target) as project, pytest.raises(RestoreRefused, match=r"\(email bob@example.com\)"):
        restore(backup, project, auth(on_conflict=on_conflict), into="target", confirm=looked_at)
    assert ids(target) == before | {OTHER}


def test_replaced_users_go_with_their_sessions_and_rows_that_referred_to_them_are_named(
    backup: Backup, target: SandboxProject
) -> None:
    outcome = restored(backup, target, auth(on_conflict="replace"), into="target")
    assert ids(target) == {ALICE, BOB, SSO, ANON, OLD}
    assert as_superuser(target, "SELECT count(*) FROM auth.sessions") == [(0,)]
    assert as_superuser(target, "SELECT count(*) FROM public.profiles") == [(1,)]
    (problem,) = outcome.problems
    assert problem.name == "public.profiles.id"
    assert OTHER in problem.reason
    status, _ = posted(target, "/auth/v1/token?grant_type=password", {"email": "bob@example.com", "password": PASSWORD})
    assert status == 400, "he is banned, as he was"


def test_a_phone_number_is_an_address_too(backup: Backup, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    as_superuser(target, f"INSERT INTO auth.users (id, phone) VALUES ('{OTHER}', '491234567')")
    with pytest.raises(RestoreRefused, match=r"1 user of the backup \(alice@example.com"):
        restored(backup, target, auth(), into="target")


def test_who_is_there_as_he_was_saved_is_not_in_the_way(backup: Backup, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    assert restored(backup, target, auth()).is_whole
    # Also one whose tokens were NULL, and are empty now.
    outcome = restored(backup, target, auth(), into="target")
    assert outcome.is_whole
    assert outcome.plan.steps[0].title.startswith("0 users")
    as_superuser(target, f"DELETE FROM auth.users WHERE id = '{ALICE}'")
    outcome = restored(backup, target, auth(on_conflict="skip"), into="target")
    assert outcome.plan.steps[0].title.startswith("1 user ")
    assert ids(target) == {ALICE, BOB, SSO, ANON, OLD}


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ((ALICE,), {ALICE}),
        (("BOB@example.com",), {BOB}),
        (("+491234567",), {ALICE}),
        (("*@example.com",), {ALICE, BOB, SSO, OLD}),
        (("old@*", f"{ANON[:5]}*"), {OLD, ANON}),
    ],
)
def test_some_users_come_alone_with_what_is_theirs(
    backup: Backup, project_factory: ProjectFactory, users: tuple[str, ...], expected: set[str]
) -> None:
    target = project_factory("target")
    outcome = restored(backup, target, auth(users=users, sessions=True))
    assert outcome.is_whole
    assert ids(target) == expected
    both = "SELECT user_id::text FROM auth.sessions UNION SELECT user_id FROM auth.refresh_tokens"
    owners = as_superuser(target, both)
    assert {one for (one,) in owners} == expected & {ALICE, BOB}
    assert as_superuser(target, "SELECT count(*) FROM auth.audit_log_entries") == [(0,)]
    assert f"{len(expected)} user" in outcome.plan.steps[0].title


@pytest.mark.parametrize(("user", "expected"), [(ALICE, ["1 session"]), (f"{OLD[:3]}*", [])])
def test_of_some_users_only_their_own_sessions_stay_behind(
    backup: Backup, project_factory: ProjectFactory, user: str, expected: list[str]
) -> None:
    outcome = restored(backup, project_factory("target"), auth(users=(user,)))
    assert outcome.is_whole
    assert [one.name for one in outcome.plan.omissions] == expected


def test_a_refresh_token_of_nobody_is_none_of_theirs(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    as_superuser(source, "UPDATE auth.refresh_tokens SET user_id = NULL WHERE id = 41")
    backup = backed_up(source, tmp_path / "nobodys", auth())
    target = project_factory("target")
    outcome = restored(backup, target, auth(users=(ALICE,), sessions=True))
    assert outcome.is_whole
    assert as_superuser(target, "SELECT id FROM auth.refresh_tokens") == [(1041,)]
    as_superuser(target, "UPDATE auth.users SET email = 'al@example.com'", "DELETE FROM auth.refresh_tokens")
    outcome = restored(backup, target, auth(on_conflict="skip", sessions=True), into="target")
    assert outcome.is_whole, (outcome.problems, outcome.differences)
    assert as_superuser(target, "SELECT id FROM auth.refresh_tokens ORDER BY 1") == [(5,), (41,)]


def test_a_user_nobody_knows_is_an_error(backup: Backup, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    with pytest.raises(UsageError, match=r"no user of the backup is zoe@\*"):
        restored(backup, target, auth(users=("alice@*", "zoe@*")))
    # What a script says whose variable is empty: nobody, not all who have no phone number.
    for nobody in ("", "+"):
        with pytest.raises(UsageError, match="no user of the backup is"):
            restored(backup, target, auth(users=(nobody,)))
    assert ids(target) == set()


def test_sessions_and_audit_log_come_back_into_the_same_project_and_stay_behind_otherwise(
    backup: Backup, source: SandboxProject, project_factory: ProjectFactory
) -> None:
    target = project_factory("target")
    outcome = restored(backup, target, auth())
    assert [one.name for one in outcome.plan.omissions] == ["1 session", "1 audit record"]
    assert outcome.is_whole
    assert as_superuser(target, "SELECT count(*) FROM auth.sessions, auth.audit_log_entries") == [(0,)]
    as_superuser(source, "TRUNCATE auth.users, auth.audit_log_entries CASCADE", "DELETE FROM auth.refresh_tokens")
    assert restored(backup, source, auth(), into="source").is_whole
    count = "SELECT (SELECT count(*) FROM auth.refresh_tokens), (SELECT count(*) FROM auth.audit_log_entries)"
    assert as_superuser(source, count) == [(3, 1)]
    as_superuser(source, "TRUNCATE auth.users, auth.audit_log_entries CASCADE", "DELETE FROM auth.refresh_tokens")
    assert restored(backup, source, auth(sessions=False, audit_log=False), into="source").is_whole
    assert as_superuser(source, count) == [(0, 0)]


def test_rows_whose_user_is_gone_are_a_problem_of_the_backup(source: SandboxProject, tmp_path: Path) -> None:
    as_superuser(source, f"SET session_replication_role = replica; DELETE FROM auth.users WHERE id = '{BOB}'")
    backup = backed_up(source, tmp_path / "again", auth())
    assert [(one.name, one.reason) for one in backup.manifest[1]] == [
        ("auth.identities", "1 row of users who aren't there: left out")
    ]


def test_values_that_the_server_sealed_are_named(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    sealed = '{"key_id": "k", "alg": "aes-gcm-hkdf", "data": "x", "nonce": "y"}'
    as_superuser(
        source,
        f"UPDATE auth.users SET encrypted_password = '{sealed}' WHERE id = '{BOB}'",
        f"UPDATE auth.mfa_factors SET secret = '{sealed}' WHERE friendly_name <> ''",
    )
    backup = backed_up(source, tmp_path / "again", auth())
    assert "the key to 2 sealed values" in [one.name for one in backup.manifest[2]]
    outcome = restored(backup, project_factory("target"), auth())
    assert "the key to 2 sealed values" in [one.name for one in outcome.plan.omissions]
    assert outcome.is_whole


def test_identities_from_before_they_had_a_provider_id_come_back_under_todays_names(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    old = (
        "ALTER TABLE auth.identities DROP CONSTRAINT identities_pkey",
        "ALTER TABLE auth.identities DROP COLUMN id",
        "ALTER TABLE auth.identities RENAME COLUMN provider_id TO id",
    )
    target = project_factory("target")
    expected = as_superuser(source, "SELECT user_id, provider_id FROM auth.identities ORDER BY 1, 2")
    as_superuser(source, *old)
    saved = backed_up(source, tmp_path / "old", auth())
    assert differences(saved, source, auth()) == []
    outcome = restored(saved, target, auth())
    assert outcome.is_whole, (outcome.problems, outcome.differences)
    assert as_superuser(target, "SELECT user_id, provider_id FROM auth.identities ORDER BY 1, 2") == expected
    assert as_superuser(target, "SELECT count(DISTINCT id) FROM auth.identities") == [(4,)]
    # And the other way round.
    older = project_factory("older")
    as_superuser(older, *old)
    outcome = restored(backed_up(target, tmp_path / "new", auth()), older, auth())
    assert outcome.is_whole, (outcome.problems, outcome.differences)
    assert as_superuser(older, "SELECT user_id, id FROM auth.identities ORDER BY 1, 2") == expected


def test_a_server_that_wants_what_the_backup_has_not_is_refused_or_named(
    backup: Backup, project_factory: ProjectFactory
) -> None:
    target = project_factory("target")
    as_superuser(target, "ALTER TABLE auth.identities ADD COLUMN fresh int NOT NULL")
    outcome = restored(backup, target, auth())
    assert [(one.name, "fresh" in one.reason) for one in outcome.problems] == [("auth.identities", True)]
    as_superuser(target, "TRUNCATE auth.users CASCADE", "ALTER TABLE auth.mfa_factors ADD COLUMN fresh int NOT NULL")
    with pytest.raises(RestoreRefused, match=r"keeps people out in auth.mfa_factors"):
        restored(backup, target, auth())
    as_superuser(target, "ALTER TABLE auth.users ADD COLUMN newer int NOT NULL")
    with pytest.raises(RestoreRefused, match=r"wants a value for auth.users.newer"):
        restored(backup, target, auth())


def test_what_an_older_server_has_no_place_for_is_in_the_plan_and_in_the_end(
    backup: Backup, project_factory: ProjectFactory
) -> None:
    target = project_factory("target")
    as_superuser(
        target,
        "ALTER TABLE auth.users DROP COLUMN is_anonymous, DROP COLUMN phone_change",
        "DROP TABLE auth.refresh_tokens",
    )
    outcome = restored(backup, target, auth(sessions=True))
    lost = {one.name for one in outcome.problems}
    assert {"auth.users.is_anonymous", "auth.refresh_tokens"} <= lost
    assert lost == {one.name.partition(":")[0] for one in outcome.plan.omissions if "no such" in one.name}
    assert ids(target) == {ALICE, BOB, SSO, ANON, OLD}
    # What none of them has is no loss.
    outcome = restored(backup, project_factory("other"), auth(users=(ALICE,)))
    assert [one.name for one in outcome.plan.omissions] == ["1 session"]


def test_who_would_be_let_in_is_told_before_anybody_is_asked(backup: Backup, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    as_superuser(target, "ALTER TABLE auth.users DROP COLUMN banned_until")
    asked: list[Plan] = []
    with opened(target) as project, pytest.raises(RestoreRefused, match=r"keeps people out in auth.users"):
        restore(backup, project, auth(), confirm=lambda plan: bool(asked.append(plan)))
    assert asked == []
    assert restored(backup, target, auth(users=(ALICE,))).is_whole, "she isn't kept out"


def test_two_users_with_one_address_by_single_sign_on_are_both_kept(
    backup: Backup, project_factory: ProjectFactory
) -> None:
    target = project_factory("target")
    assert restored(backup, target, auth()).is_whole
    both = as_superuser(target, "SELECT is_sso_user FROM auth.users WHERE email = 'alice@example.com' ORDER BY 1")
    assert both == [(False,), (True,)]


def test_many_users_by_ranges_and_chunks_are_the_same_to_the_last_field(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    source, target = project_factory("source"), project_factory("target")
    as_superuser(
        source,
        "SET session_replication_role = replica",
        """INSERT INTO auth.users (id, email, raw_user_meta_data, created_at, confirmation_token)
           SELECT gen_random_uuid(), n || '@x', jsonb_build_object('n', n, 't', repeat(md5(n::text), 20)), now(), ''
           FROM generate_series(1, 15000) n""",
        """INSERT INTO auth.identities (provider_id, user_id, identity_data, provider)
           SELECT k || id::text, id, '{}', 'p' || k FROM auth.users, generate_series(1, 2) k""",
        # As much as no request may bring, and more than a chunk.
        """UPDATE auth.users SET raw_user_meta_data = jsonb_build_object('big', repeat('ä', 5000000))
           WHERE email = '7@x'""",
        "ANALYZE auth.users",
    )
    backup = backed_up(source, tmp_path / "backups", auth())
    assert restored(backup, target, auth()).is_whole
    digest = "SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM auth.{} t"
    for table in ("identities",):
        assert as_superuser(target, digest.format(table)) == as_superuser(source, digest.format(table))
    assert as_superuser(target, "SELECT count(*), sum(hashtext(raw_user_meta_data::text)) FROM auth.users") == (
        as_superuser(source, "SELECT count(*), sum(hashtext(raw_user_meta_data::text)) FROM auth.users")
    )
    assert differences(backup, source, auth()) == []
