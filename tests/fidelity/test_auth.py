"""The users: out of one project, into another, and then they sign in with the passwords they had."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.fidelity.whole import Pair, as_superuser, backed_up, differences, opened, posted, restored
from tests.projects import ProjectFactory

from supapy.choice import Choice
from supapy.errors import RestoreRefused
from supapy.model import Difference
from supapy.parts.auth import AuthPart, People
from supapy.parts.auth.tables import NESTED, NEVER_NULL, OTHERS
from supapy.project.schema import AUTH_LEFT_OUT, tables_of
from supapy.sandbox.project import SandboxProject

AUTH = Choice(database=False, storage=False, people=People(on_conflict="replace", sessions=True, audit_log=True))
PASSWORD = "correct horse battery staple é"
ALICE, BOB, SSO, ANON, OLD = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "12345")

ARRIVALS = """
CREATE TABLE public.arrivals (id uuid);
CREATE FUNCTION public.arrived() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
  $$ BEGIN INSERT INTO public.arrivals VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER arrived AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.arrived();
"""
PEOPLE = f"""
INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token,
  recovery_token, email_change_token_new, email_change, raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
  phone, last_sign_in_at, banned_until, is_super_admin, is_sso_user)
VALUES
 ('00000000-0000-0000-0000-000000000000', '{ALICE}', 'authenticated', 'authenticated', 'alice@example.com',
  extensions.crypt('{PASSWORD}', extensions.gen_salt('bf', 4)), '2024-01-01 00:00:00.000001+00', '', '', '', '',
  '{{"provider": "email", "n": 1.10}}', '{{"name": "Ä \\u2028 \\"x\\"", "deep": [1, true, null]}}',
  '2023-12-31 23:59:59.999999+00', '2024-02-02+00', '491234567', '2025-05-05 05:05:05.55+00', NULL, NULL, false),
 ('00000000-0000-0000-0000-000000000000', '{BOB}', 'authenticated', 'authenticated', 'bob@example.com',
  extensions.crypt('{PASSWORD}', extensions.gen_salt('bf', 4)), now(), 'pending', '', '', '', 'null', NULL,
  now(), now(), NULL, NULL, 'infinity', false, false),
 ('00000000-0000-0000-0000-000000000000', '{SSO}', 'authenticated', 'authenticated', 'alice@example.com', NULL, now(),
  '', '', '', '', '{{}}', 'null', now(), now(), NULL, NULL, NULL, true, true);
"""
# Without trigger and constraint: an anonymous user, and one whose tokens are NULL, which breaks every sign-in (F§2.6).
MORE = f"""
SET session_replication_role = replica;
INSERT INTO auth.users (instance_id, id, aud, role, is_anonymous, created_at) VALUES
 ('00000000-0000-0000-0000-000000000000', '{ANON}', 'authenticated', 'authenticated', true, now());
INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, phone_change,
  phone_change_token, email_change_token_current, reauthentication_token, created_at, updated_at)
VALUES ('00000000-0000-0000-0000-000000000000', '{OLD}', 'authenticated', 'authenticated', 'old@example.com',
  extensions.crypt('{PASSWORD}', extensions.gen_salt('bf', 4)), now(), NULL, NULL, NULL, NULL, now(), now());
INSERT INTO auth.identities (provider_id, user_id, identity_data, provider, id, created_at, updated_at) VALUES
 ('{ALICE}', '{ALICE}', '{{"sub": "{ALICE}", "email": "Alice@Example.com"}}', 'email', gen_random_uuid(), now(), now()),
 ('g-1', '{ALICE}', '{{"sub": "g-1", "n": 9007199254740993}}', 'google', gen_random_uuid(), now(), now()),
 ('{BOB}', '{BOB}', '{{"sub": "{BOB}"}}', 'email', gen_random_uuid(), now(), now()),
 ('{OLD}', '{OLD}', '{{"sub": "{OLD}"}}', 'email', gen_random_uuid(), now(), now());
INSERT INTO auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret) VALUES
 (gen_random_uuid(), '{ALICE}', 'phone "app"', 'totp', 'verified', now(), now(), 'JBSWY3DPEHPK3PXP'),
 (gen_random_uuid(), '{ALICE}', '', 'totp', 'unverified', now(), now(), 'OTHER');
INSERT INTO auth.sessions (id, user_id, created_at, updated_at, aal, refreshed_at, ip, user_agent) VALUES
 ('aaaaaaaa-0000-4000-8000-000000000000', '{ALICE}', now(), now(), 'aal2', '2025-01-01 01:01:01.000001', '::1', 'x');
INSERT INTO auth.refresh_tokens (id, token, user_id, revoked, session_id, parent) VALUES
 (41, 'token-41', '{ALICE}', true, 'aaaaaaaa-0000-4000-8000-000000000000', NULL),
 (1041, 'token-1041', '{ALICE}', false, 'aaaaaaaa-0000-4000-8000-000000000000', 'token-41'),
 (5, 'token-5', '{BOB}', false, NULL, NULL);
INSERT INTO auth.mfa_amr_claims (session_id, created_at, updated_at, authentication_method, id)
VALUES ('aaaaaaaa-0000-4000-8000-000000000000', now(), now(), 'password', gen_random_uuid());
INSERT INTO auth.audit_log_entries (id, payload, created_at) VALUES
 (gen_random_uuid(), '{{ "a":1,  "a":2 }}', now());
INSERT INTO auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to)
VALUES (gen_random_uuid(), '{BOB}', 'confirmation_token', 'hash', 'bob@example.com');
"""
# One by phone, one who has not confirmed, one who is deleted; and a row in each table that had none.
RARE = f"""
INSERT INTO auth.users (instance_id, id, aud, role, email, phone, encrypted_password, phone_confirmed_at, deleted_at,
  confirmation_token, recovery_token, email_change_token_new, email_change, created_at, updated_at)
SELECT '00000000-0000-0000-0000-000000000000', (repeat(n::text, 8) || '-0000-4000-8000-000000000000')::uuid,
  'authenticated', 'authenticated', email, phone, '', CASE WHEN phone > '' THEN now() END, gone,
  coalesce('pending' || email, ''), '', '', '', now(), now()
FROM (VALUES (6, NULL, '4955555', NULL), (7, 'new@example.com', NULL, NULL), (8, NULL, NULL, now()))
  AS rare (n, email, phone, gone);
INSERT INTO auth.webauthn_credentials (id, user_id, credential_id, public_key, attestation_type, transports) VALUES
 (gen_random_uuid(), '{ALICE}', '\\x00ff', '\\x04', 'none', '["usb"]');
INSERT INTO auth.sso_providers (id, resource_id, created_at) VALUES ('{SSO}', 'corp', now());
INSERT INTO auth.sso_domains (id, sso_provider_id, domain) VALUES (gen_random_uuid(), '{SSO}', 'corp.example');
INSERT INTO auth.saml_providers (id, sso_provider_id, entity_id, metadata_xml, attribute_mapping) VALUES
 (gen_random_uuid(), '{SSO}', 'https://idp.example', '<a b="c">\u2028</a>', '{{"keys": {{"email": "mail"}}}}');
INSERT INTO auth.oauth_clients
  (id, client_secret_hash, registration_type, redirect_uris, grant_types, client_name, token_endpoint_auth_method)
VALUES ('{BOB}', 'hash', 'manual', 'https://app.example', 'authorization_code', 'The "App"', 'none');
INSERT INTO auth.oauth_consents (id, user_id, client_id, scopes) VALUES
 (gen_random_uuid(), '{ALICE}', '{BOB}', 'email');
INSERT INTO auth.custom_oauth_providers (id, provider_type, identifier, name, client_id, client_secret, scopes, issuer)
VALUES (gen_random_uuid(), 'oidc', 'custom:corp', 'Corp', 'c', 'secret', '{{"openid", "a b"}}', 'https://idp.example');
"""


@pytest.fixture(scope="module")
def pair(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as cleanup:
        projects = ProjectFactory(server_folder, cleanup)
        source, target = projects("source"), projects("target")
        as_superuser(source, PEOPLE, MORE, RARE)
        as_superuser(target, ARRIVALS)
        folder = tmp_path_factory.mktemp("backups")
        backup = backed_up(source, folder, AUTH)
        yield Pair(source, backup, target, restored(backup, target, AUTH), folder)


def rows(sandbox: SandboxProject, table: str) -> list[str]:
    return [text for (text,) in as_superuser(sandbox, f"SELECT t::text FROM auth.{table} t ORDER BY 1")]


def test_the_restore_says_that_everything_is_back(pair: Pair) -> None:
    assert (pair.outcome.problems, pair.outcome.differences) == ([], [])
    proofs = {proof.sort: proof.count for proof in pair.outcome.proofs}
    rare = dict.fromkeys(("oauth_clients", "oauth_consents", "sso_providers", "sso_domains", "saml_providers"), 1)
    often = {"users": 8, "sessions": 1, "refresh_tokens": 3, "mfa_amr_claims": 1, "audit_log_entries": 1}
    assert proofs == often | rare | {"custom_oauth_providers": 1}


@pytest.mark.parametrize("table", [*NESTED, *OTHERS])
def test_every_row_that_belongs_to_signing_in_is_the_same(pair: Pair, table: str) -> None:
    assert rows(pair.target, table) == rows(pair.source, table) != []


def test_every_user_is_the_same_to_the_last_field(pair: Pair) -> None:
    untouched = f"SELECT t::text FROM auth.users t WHERE id NOT IN ('{OLD}', '{ANON}') ORDER BY 1"
    assert as_superuser(pair.target, untouched) == as_superuser(pair.source, untouched)


def test_tokens_that_break_every_sign_in_come_back_empty(pair: Pair) -> None:
    query = """SELECT confirmation_token, recovery_token, email_change_token_new, email_change, phone_change,
        phone_change_token, email_change_token_current, reauthentication_token FROM auth.users WHERE id = '{}'"""
    assert as_superuser(pair.source, query.format(OLD)) == [(None,) * 8]
    assert as_superuser(pair.target, query.format(OLD)) == [("",) * 8]


@pytest.mark.parametrize("email", ["alice@example.com", "old@example.com"])
def test_people_sign_in_with_their_old_passwords(pair: Pair, email: str) -> None:
    status, said = posted(pair.target, "/auth/v1/token?grant_type=password", {"email": email, "password": PASSWORD})
    assert (status, said.get("user", {}).get("email")) == (200, email)
    status, _ = posted(pair.target, "/auth/v1/token?grant_type=password", {"email": email, "password": "wrong"})
    assert status == 400
    # A session that was new took the next number of its own: the sequence had been moved on.
    (last,) = as_superuser(pair.target, "SELECT max(id) FROM auth.refresh_tokens")[0]
    assert last > 1041


def test_a_trigger_on_users_does_not_see_them_arrive(pair: Pair) -> None:
    assert as_superuser(pair.target, "TABLE public.arrivals") == []


def test_what_is_under_way_is_left_behind_and_said_once(pair: Pair) -> None:
    assert rows(pair.target, "one_time_tokens") == []
    assert [omission.part for omission in pair.backup.manifest[2]] == ["auth"]


def test_the_file_is_json_that_a_person_can_read(pair: Pair) -> None:
    said = json.loads((pair.folder / pair.backup.label / "auth_users.json").read_text())
    users = {user["id"]: user for user in said["users"]}
    assert users[ALICE]["email"] == "alice@example.com"
    assert users[ALICE]["encrypted_password"].startswith("$2")
    assert users[ALICE]["raw_user_meta_data"] == {"name": 'Ä \u2028 "x"', "deep": [1, True, None]}
    assert sorted(identity["provider"] for identity in users[ALICE]["identities"]) == ["email", "google"]
    assert {factor["secret"] for factor in users[ALICE]["mfa_factors"]} == {"JBSWY3DPEHPK3PXP", "OTHER"}
    assert users[ANON].keys().isdisjoint({"identities", "email", "invited_at"}), "what is NULL or empty is left out"
    tokens = {(user["id"], token): user[token] for user in said["users"] for token in NEVER_NULL & user.keys()}
    assert all(tokens.values()) and tokens[BOB, "confirmation_token"] == "pending"
    assert "one_time_tokens" not in said
    assert pair.backup.count("auth", "users") == 8


def test_a_second_restore_over_the_first_changes_nothing(pair: Pair) -> None:
    tables = ["users", *NESTED, "mfa_amr_claims"]
    with pytest.raises(RestoreRefused, match="8 users"):
        restored(pair.backup, pair.target, AUTH)
    restored(pair.backup, pair.target, AUTH, into=pair.target.ref)
    before = [rows(pair.target, table) for table in tables]
    restored(pair.backup, pair.target, AUTH, into=pair.target.ref)
    assert [rows(pair.target, table) for table in tables] == before


# --- one project alone -----------------------------------------------------------------------------------------------


@pytest.fixture
def people(project_factory: ProjectFactory, pg_major: int) -> SandboxProject:
    sandbox = project_factory("people", pg_major)
    as_superuser(sandbox, PEOPLE, MORE)
    return sandbox


CHANGES = [
    (
        f"UPDATE auth.users SET encrypted_password = 'x' WHERE id = '{ALICE}'",
        f"auth.users {ALICE}",
        "encrypted_password",
    ),
    (
        f"UPDATE auth.users SET raw_user_meta_data = 'null' WHERE id = '{BOB}'",
        f"auth.users {BOB}",
        "raw_user_meta_data",
    ),
    (f"UPDATE auth.users SET raw_user_meta_data = NULL WHERE id = '{SSO}'", f"auth.users {SSO}", "raw_user_meta_data"),
    (
        f"UPDATE auth.users SET created_at = created_at + '1 us' WHERE id = '{ALICE}'",
        f"auth.users {ALICE}",
        "created_at",
    ),
    ("UPDATE auth.identities SET identity_data = '{}' WHERE provider = 'google'", f"auth.users {ALICE}", "identities"),
    ("UPDATE auth.mfa_factors SET secret = 'x' WHERE friendly_name <> ''", f"auth.users {ALICE}", "mfa_factors"),
    ("UPDATE auth.refresh_tokens SET revoked = true WHERE id = 5", "auth.refresh_tokens 5", "revoked"),
]


def test_a_comparison_names_each_user_that_differs(people: SandboxProject, tmp_path: Path) -> None:
    backup = backed_up(people, tmp_path / "backups", AUTH)
    assert differences(backup, people, AUTH) == []
    for change, name, detail in CHANGES:
        as_superuser(people, change)
        assert differences(backup, people, AUTH) == [Difference("auth", name, "changed", detail)], change
        restored(backup, people, AUTH, into="people")
    as_superuser(
        people, "DELETE FROM auth.refresh_tokens WHERE id = 1041", f"DELETE FROM auth.users WHERE id = '{ANON}'"
    )
    as_superuser(people, "INSERT INTO auth.users (id) VALUES ('99999999-0000-4000-8000-000000000000')")
    found = {(one.name, one.kind) for one in differences(backup, people, AUTH)}
    assert found == {
        (f"auth.users {ANON}", "missing"),
        ("auth.users 99999999-0000-4000-8000-000000000000", "extra"),
        ("auth.refresh_tokens 1041", "missing"),
    }


def test_a_table_that_may_not_be_read_is_a_problem(people: SandboxProject, tmp_path: Path) -> None:
    as_superuser(people, "REVOKE pg_read_all_data FROM postgres", "REVOKE ALL ON auth.sessions FROM postgres")
    backup = backed_up(people, tmp_path / "backups", AUTH)
    assert [problem.name for problem in backup.manifest[1]] == ["auth.sessions"]
    assert "sessions" not in json.loads(b"".join(backup.read("auth_users.json")))


def test_a_table_of_a_newer_server_is_a_problem_once_it_has_rows(people: SandboxProject, tmp_path: Path) -> None:
    as_superuser(people, "CREATE TABLE auth.novelties (id int)", "GRANT SELECT ON auth.novelties TO postgres")
    assert backed_up(people, tmp_path / "empty", AUTH).manifest[1] == []
    as_superuser(people, "INSERT INTO auth.novelties VALUES (1)")
    assert [problem.name for problem in backed_up(people, tmp_path / "full", AUTH).manifest[1]] == ["auth.novelties"]


def test_every_table_of_the_server_is_either_saved_or_known_to_be_left_out(people: SandboxProject) -> None:
    with opened(people) as project, project.moment() as moment:
        known = {table.name for table in tables_of(moment, "auth")}
    assert known == {"users", *NESTED, *OTHERS, *AUTH_LEFT_OUT}


@pytest.mark.parametrize("pg_major", [15])
def test_columns_that_the_target_lacks_are_problems_and_those_it_has_more_take_their_defaults(
    people: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = backed_up(people, tmp_path / "backups", AUTH)
    target = project_factory("target", 17)
    as_superuser(
        target,
        "ALTER TABLE auth.users DROP COLUMN last_sign_in_at",
        "ALTER TABLE auth.users DROP COLUMN invited_at",
        "DROP TABLE auth.mfa_amr_claims",
        "ALTER TABLE auth.users ADD COLUMN fresh jsonb NOT NULL DEFAULT '{}', ADD COLUMN newer text DEFAULT 'x'",
    )
    outcome = restored(backup, target, AUTH)
    assert {problem.name for problem in outcome.problems} == {"auth.users.last_sign_in_at", "auth.mfa_amr_claims"}
    assert as_superuser(target, "SELECT DISTINCT fresh::text, newer FROM auth.users") == [("{}", "x")]


@pytest.mark.parametrize(
    ("older", "said"),
    [
        ("ALTER TABLE auth.users DROP COLUMN banned_until", "auth.users"),
        ("DROP TABLE auth.mfa_factors CASCADE", "auth.mfa_factors"),
        (
            "UPDATE pg_enum SET enumlabel = 'other' WHERE enumlabel = 'verified' "
            "AND enumtypid = 'auth.factor_status'::regtype",
            'enum auth.factor_status: "verified"',
        ),
    ],
)
def test_a_target_that_could_not_keep_out_who_is_kept_out_gets_nobody(
    people: SandboxProject, project_factory: ProjectFactory, tmp_path: Path, older: str, said: str
) -> None:
    backup, target = backed_up(people, tmp_path / "backups", AUTH), project_factory("target")
    as_superuser(target, older)
    with pytest.raises(RestoreRefused, match=r"too old|keeps people out") as refused:
        restored(backup, target, AUTH)
    assert said in str(refused.value)
    assert "Upgrade the target" in str(refused.value.hint)
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(0,)]


@pytest.mark.parametrize("depth", [100, 400, 2500])
def test_metadata_that_a_visitor_made_as_deep_as_he_could_harms_nothing(
    people: SandboxProject, project_factory: ProjectFactory, tmp_path: Path, depth: int
) -> None:
    deep = f"(repeat('[', {depth}) || repeat(']', {depth}))::jsonb"
    as_superuser(
        people,
        f"UPDATE auth.users SET raw_user_meta_data = {deep} WHERE id = '{ALICE}'",
        f"UPDATE auth.identities SET identity_data = jsonb_build_object('a', {deep}) WHERE provider = 'google'",
    )
    backup = backed_up(people, tmp_path / "backups", AUTH)
    target = project_factory("target")
    assert restored(backup, target, AUTH).is_whole
    as_superuser(
        target, f"UPDATE auth.users SET raw_user_meta_data = jsonb_build_array(raw_user_meta_data) WHERE id = '{ALICE}'"
    )
    as_superuser(
        target, "UPDATE auth.identities SET identity_data = jsonb_build_array(identity_data) WHERE provider = 'google'"
    )
    assert [one.detail for one in differences(backup, target, AUTH)] == ["raw_user_meta_data, identities"]


def test_a_restore_that_fails_leaves_no_user_behind(
    people: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = backed_up(people, tmp_path / "backups", AUTH)
    target = project_factory("target")
    as_superuser(target, "ALTER TABLE auth.refresh_tokens ADD CONSTRAINT no_more CHECK (id < 1000)")
    with pytest.raises(Exception, match="no_more"):
        restored(backup, target, AUTH)
    assert as_superuser(target, "SELECT count(*) FROM auth.users") == [(0,)]


def test_a_project_without_users_is_saved_and_restored(project_factory: ProjectFactory, tmp_path: Path) -> None:
    source, target = project_factory("source"), project_factory("target")
    backup = backed_up(source, tmp_path / "backups", AUTH)
    assert json.loads(b"".join(backup.read("auth_users.json")))["users"] == []
    assert restored(backup, target, AUTH).is_whole


def test_the_number_of_users_is_the_true_one_around_every_page_size(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    sandbox = project_factory("many")
    for number in (1, 49, 1, 950, 1):
        as_superuser(sandbox, f"INSERT INTO auth.users (id) SELECT gen_random_uuid() FROM generate_series(1, {number})")
        (expected,) = as_superuser(sandbox, "SELECT count(*) FROM auth.users")[0]
        with opened(sandbox) as project, project.moment() as moment:
            document = json.loads(b"".join(next(iter(AuthPart().dump(moment))).open()))  # type: ignore[union-attr]
        assert len(document["users"]) == expected
