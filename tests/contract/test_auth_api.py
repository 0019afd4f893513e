"""Auth as F§2 says it is: the administrators' routes, signing in, and what a bad row does."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from tests.contract.client import Reply, Target

# bcrypt of "restored-password", cost 4, made by another implementation than the one that checks it.
BCRYPT = "$2b$04$abcdefghijklmnopqrstuuNyCIM4olT8EYbLVszvJR.2MtScmGadK"
ARGON2 = "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$a8h8WzK3Lz0mNfYz0i0m8mXo6rN7dB2gQ0wq1v9c3vY"
PASSWORD = "a-good-password-1"


class Users:
    """Makes users that go with the test."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.made: list[str] = []

    def create(self, **fields: Any) -> Reply:
        reply = self.target.auth("POST", "admin/users", fields)
        if reply.status == 200:
            self.made.append(reply.json()["id"])
        return reply

    def new(self, **fields: Any) -> dict[str, Any]:
        """A user that may sign in with PASSWORD."""
        fields = {"email": email(), "email_confirm": True, "password": PASSWORD} | fields
        reply = self.create(**fields)
        assert reply.status == 200, reply.body
        return dict(reply.json())

    def sign_in(self, address: str, password: str = PASSWORD) -> Reply:
        return self.target.auth("POST", "token?grant_type=password", {"email": address, "password": password})


def email() -> str:
    return f"{secrets.token_hex(6)}@contract.example"


def column(target: Target, name: str, user_id: str) -> Any:
    """A column of auth.users."""
    with psycopg.connect(target.db_url) as connection:
        row = connection.execute(f"select {name} from auth.users where id = %s", (user_id,)).fetchone()
    assert row is not None
    return row[0]


def refusal(reply: Reply) -> tuple[int, str, str]:
    """Status, code and message of an error, which must agree with itself."""
    body = reply.json()
    assert body["code"] == reply.status
    assert reply.headers["x-sb-error-code"] == body["error_code"]
    return reply.status, body["error_code"], body["msg"]


@pytest.fixture
def users(target: Target) -> Iterator[Users]:
    made = Users(target)
    yield made
    for user_id in made.made:
        target.auth("DELETE", f"admin/users/{user_id}")


class TestAccess:
    def test_health_and_settings(self, target: Target) -> None:
        assert target.auth("GET", "health").json()["name"] == "GoTrue"
        settings = target.auth("GET", "settings").json()
        assert (settings["external"]["email"], settings["disable_signup"]) == (True, False)
        assert isinstance(target.auth("GET", ".well-known/jwks.json").json()["keys"], list)

    def test_the_administrators_routes_are_for_the_service_role(self, target: Target) -> None:
        for method, path in (("GET", "admin/users"), ("GET", f"admin/users/{uuid4()}"), ("POST", "admin/users")):
            body = {} if method == "POST" else None
            assert refusal(target.auth(method, path, body, key=target.anon_key)) == (
                403,
                "not_admin",
                "User not allowed",
            )

    def test_a_broken_token_is_refused_with_its_true_status(self, target: Target) -> None:
        reply = target.auth("GET", "admin/users", key=None, headers={"Authorization": "Bearer rubbish"})
        assert refusal(reply)[:2] == (403, "bad_jwt")

    def test_the_error_format_follows_the_version_that_is_asked_for(self, target: Target) -> None:
        headers = {"X-Supabase-Api-Version": "2024-01-01"}
        reply = target.auth("GET", f"admin/users/{uuid4()}", headers=headers)
        assert (reply.status, reply.json()) == (404, {"code": "user_not_found", "message": "User not found"})


class TestUsers:
    def test_a_new_user_has_an_identity_and_empty_texts_where_the_server_needs_them(
        self, target: Target, users: Users
    ) -> None:
        address = email()
        user = users.new(email=address.upper(), user_metadata={"name": "Ä"}, app_metadata={"plan": "pro"})
        assert (user["email"], user["aud"], user["role"]) == (address, "authenticated", "authenticated")
        assert user["app_metadata"] == {"provider": "email", "providers": ["email"], "plan": "pro"}
        assert (user["is_anonymous"], user["phone"]) == (False, "")
        assert user["user_metadata"] == {"name": "Ä", "email_verified": True}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", user["created_at"])
        assert user["email_confirmed_at"]
        (identity,) = user["identities"]
        assert (identity["provider"], identity["id"], identity["user_id"]) == ("email", user["id"], user["id"])
        assert identity["identity_data"]["sub"] == user["id"]
        assert identity["email"] == address
        for name in ("confirmation_token", "recovery_token", "email_change_token_new", "email_change"):
            assert column(target, name, user["id"]) == ""
        assert str(column(target, "instance_id", user["id"])) == "00000000-0000-0000-0000-000000000000"

    def test_nothing_secret_is_shown(self, users: Users) -> None:
        user = users.new()
        assert not {"encrypted_password", "confirmation_token", "instance_id", "is_sso_user"} & user.keys()

    def test_an_id_that_is_given_is_kept(self, target: Target, users: Users) -> None:
        wanted = str(uuid4())
        assert users.new(id=wanted)["id"] == wanted
        assert refusal(users.create(id="x", email=email()))[:2] == (400, "validation_failed")
        assert refusal(users.create(id=str(uuid4()).replace("-", "")[:8], email=email()))[0] == 400
        nil = "00000000-0000-0000-0000-000000000000"
        assert refusal(users.create(id=nil, email=email()))[:2] == (400, "validation_failed")

    def test_a_hash_is_stored_as_it_is(self, target: Target, users: Users) -> None:
        for text in (BCRYPT, ARGON2):
            user = users.new(password=None, password_hash=text)
            assert column(target, "encrypted_password", user["id"]) == text

    def test_a_password_and_a_hash_exclude_each_other(self, users: Users) -> None:
        reply = users.create(email=email(), password="x", password_hash=BCRYPT)
        message = "Only a password or a password hash should be provided"
        assert refusal(reply) == (400, "validation_failed", message)

    def test_a_hash_of_an_unknown_form_is_a_failure(self, users: Users) -> None:
        assert refusal(users.create(email=email(), password_hash="md5:abc"))[:2] == (500, "unexpected_failure")

    def test_without_an_address_there_is_no_user(self, users: Users) -> None:
        message = "Cannot create a user without either an email or phone"
        assert refusal(users.create(password="x")) == (400, "validation_failed", message)

    def test_an_address_is_had_once(self, users: Users) -> None:
        user = users.new()
        message = "A user with this email address has already been registered"
        assert refusal(users.create(email=user["email"])) == (422, "email_exists", message)

    def test_a_phone_is_an_address_too(self, users: Users) -> None:
        phone = "49" + "".join(secrets.choice("0123456789") for _ in range(9))
        user = users.new(email=None, phone=phone, phone_confirm=True)
        assert (user["phone"], user["email"]) == (phone, "")
        assert user["app_metadata"] == {"provider": "phone", "providers": ["phone"]}
        assert refusal(users.create(phone=phone))[:2] == (422, "phone_exists")

    def test_an_update_merges_metadata_and_null_takes_a_name_away(self, target: Target, users: Users) -> None:
        user = users.new(user_metadata={"a": 1, "b": 2})
        changes = {"user_metadata": {"b": None, "c": 3}, "app_metadata": {"plan": "pro"}, "role": "editor"}
        after = target.auth("PUT", f"admin/users/{user['id']}", changes).json()
        assert (after["user_metadata"], after["role"]) == (
            {"a": 1, "c": 3, "email_verified": True},
            "editor",
        )
        assert after["app_metadata"] == {**user["app_metadata"], "plan": "pro"}

    def test_a_new_address_changes_the_identity_as_well(self, target: Target, users: Users) -> None:
        user, address = users.new(), email()
        path = f"admin/users/{user['id']}"
        assert target.auth("PUT", path, {"email": address, "email_confirm": True}).json()["email"] == address
        after = target.auth("GET", path).json()
        assert (after["email"], after["identities"][0]["email"]) == (address, address)
        assert users.sign_in(address).status == 200

    def test_a_new_password_replaces_the_old_one(self, target: Target, users: Users) -> None:
        user = users.new()
        target.auth("PUT", f"admin/users/{user['id']}", {"password": "another-password-2"})
        assert users.sign_in(user["email"]).status == 400
        assert users.sign_in(user["email"], "another-password-2").status == 200

    def test_a_constraint_of_the_database_shows_through(self, target: Target, users: Users) -> None:
        first, second = users.new(), users.new()
        reply = target.auth("PUT", f"admin/users/{second['id']}", {"email": first["email"]})
        assert (reply.status, reply.json()["code"]) == (500, "23505")
        assert reply.json()["detail"] == f"Key (email)=({first['email']}) already exists."

    def test_a_deleted_user_is_gone(self, target: Target, users: Users) -> None:
        path = f"admin/users/{users.new()['id']}"
        assert (target.auth("DELETE", path).status, target.auth("DELETE", path).status) == (200, 404)
        assert refusal(target.auth("GET", path)) == (404, "user_not_found", "User not found")

    def test_a_soft_deleted_user_stays_as_a_row_that_says_nothing(self, target: Target, users: Users) -> None:
        user = users.new(user_metadata={"name": "x"})
        path = f"admin/users/{user['id']}"
        assert target.auth("DELETE", path, {"should_soft_delete": True}).json() == {}
        after = target.auth("GET", path).json()
        assert after["deleted_at"]
        assert (after["user_metadata"], "identity_data" in after["identities"][0]) == ({}, False)
        assert after["email"] != user["email"]
        assert column(target, "encrypted_password", user["id"]) is None
        assert users.sign_in(user["email"]).status == 400

    def test_an_id_that_is_no_uuid_is_not_found(self, target: Target) -> None:
        message = "user_id must be an UUID"
        assert refusal(target.auth("GET", "admin/users/nobody")) == (404, "validation_failed", message)

    def test_a_body_that_is_no_json_is_refused(self, target: Target) -> None:
        assert refusal(target.auth("POST", "admin/users", b"{"))[:2] == (400, "bad_json")

    def test_one_user_shows_factors_but_not_their_secrets(self, target: Target, users: Users) -> None:
        user = users.new()
        target.sql(
            "insert into auth.mfa_factors"
            " (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)"
            " values (gen_random_uuid(), %s, 'phone', 'totp', 'verified', now(), now(), 'SECRET')",
            (user["id"],),
        )
        (factor,) = target.auth("GET", f"admin/users/{user['id']}").json()["factors"]
        assert (factor["friendly_name"], factor["factor_type"], factor["status"]) == ("phone", "totp", "verified")
        assert "secret" not in factor


class TestList:
    def test_the_list_is_paged_counted_and_shows_neither_identities_nor_factors(
        self, target: Target, users: Users
    ) -> None:
        made = [users.new(password_hash=BCRYPT, password=None)["id"] for _ in range(5)]
        reply = target.auth("GET", "admin/users?page=1&per_page=2")
        body = reply.json()
        assert (len(body["users"]), body["aud"]) == (2, "authenticated")
        assert all(user["identities"] is None and "factors" not in user for user in body["users"])
        total = int(reply.headers["x-total-count"])
        last = -(-total // 2)
        link = reply.headers["link"]
        assert re.search(r'<[^>]*\?page=2&per_page=2>; rel="next"', link)
        assert re.search(rf'<[^>]*\?page={last}&per_page=2>; rel="last"', link)
        assert 'rel="next"' not in target.auth("GET", f"admin/users?page={last}&per_page=2").headers["link"]
        assert target.auth("GET", f"admin/users?page={last + 1}&per_page=2").json()["users"] == []
        newest = target.auth("GET", "admin/users?per_page=5").json()["users"]
        assert [user["id"] for user in newest] == made[::-1]

    def test_a_page_has_fifty_users_unless_told_otherwise(self, target: Target, users: Users) -> None:
        tag = secrets.token_hex(4)
        target.sql(
            "insert into auth.users (instance_id, id, aud, role, email, confirmation_token, recovery_token,"
            " email_change_token_new, email_change, created_at, updated_at)"
            " select '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'authenticated', 'authenticated',"
            " n || %s, '', '', '', '', now(), now() from generate_series(1, 60) n",
            (f"@{tag}.example",),
        )
        try:
            reply = target.auth("GET", f"admin/users?filter={tag}")
            assert (len(reply.json()["users"]), reply.headers["x-total-count"]) == (50, "60")
            assert len(target.auth("GET", f"admin/users?filter={tag}&per_page=1000").json()["users"]) == 60
        finally:
            target.sql("delete from auth.users where email like %s", (f"%{tag}.example",))

    def test_rows_of_another_audience_or_without_an_instance_are_not_listed(self, target: Target, users: Users) -> None:
        user = users.new()
        target.sql("update auth.users set aud = 'elsewhere' where id = %s", (user["id"],))
        search = f"admin/users?filter={user['email'].partition('@')[0]}"
        assert target.auth("GET", search).json()["users"] == []
        listed = target.auth("GET", search, headers={"X-JWT-AUD": "elsewhere"}).json()["users"]
        assert [found["id"] for found in listed] == [user["id"]]
        target.sql("update auth.users set aud = 'authenticated', instance_id = null where id = %s", (user["id"],))
        try:
            assert target.auth("GET", search).json()["users"] == []
            assert target.auth("GET", f"admin/users/{user['id']}").status == 404
        finally:
            nil = "00000000-0000-0000-0000-000000000000"
            target.sql("update auth.users set instance_id = %s where id = %s", (nil, user["id"]))

    def test_a_page_of_nothing_breaks_the_server(self, target: Target) -> None:
        assert target.auth("GET", "admin/users?per_page=0").status == 500

    def test_only_created_at_can_be_sorted_by(self, target: Target) -> None:
        assert target.auth("GET", "admin/users?sort=created_at%20asc&per_page=1").status == 200
        assert refusal(target.auth("GET", "admin/users?sort=email"))[:2] == (400, "validation_failed")


class TestSignIn:
    def test_a_password_opens_a_session_with_rows_and_a_token(self, target: Target, users: Users) -> None:
        user = users.new(user_metadata={"n": 1})
        session = users.sign_in(user["email"].upper()).json()
        assert (session["token_type"], session["expires_in"], session["user"]["id"]) == ("bearer", 3600, user["id"])
        assert session["user"]["identities"][0]["provider"] == "email"
        part = session["access_token"].split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        assert (said["sub"], said["role"], said["aal"]) == (user["id"], "authenticated", "aal1")
        assert (said["email"], said["user_metadata"]["n"]) == (user["email"], 1)
        with psycopg.connect(target.db_url) as connection:
            query = "select user_id::text from auth.sessions where id = %s"
            assert connection.execute(query, (said["session_id"],)).fetchone() == (user["id"],)
        me = target.auth("GET", "user", key=session["access_token"]).json()
        assert (me["id"], me["last_sign_in_at"] is not None) == (user["id"], True)

    def test_a_wrong_password_and_an_unknown_address_look_the_same(self, users: Users) -> None:
        user = users.new()
        wrong = (400, "invalid_credentials", "Invalid login credentials")
        assert refusal(users.sign_in(user["email"], "wrong")) == wrong
        assert refusal(users.sign_in(email())) == wrong

    @pytest.mark.parametrize("letter", ["a", "b", "y"])
    def test_a_hash_made_elsewhere_lets_its_password_in(self, target: Target, users: Users, letter: str) -> None:
        user = users.new(password=None, password_hash=BCRYPT.replace("$2b$", f"$2{letter}$"))
        assert users.sign_in(user["email"], "restored-password").status == 200
        assert users.sign_in(user["email"], "other-password").status == 400

    def test_an_address_must_be_confirmed(self, users: Users) -> None:
        user = users.new(email_confirm=False)
        assert refusal(users.sign_in(user["email"])) == (400, "email_not_confirmed", "Email not confirmed")

    def test_a_banned_user_stays_out_until_the_ban_is_lifted(self, target: Target, users: Users) -> None:
        user = users.new(ban_duration="24h")
        assert user["banned_until"]
        assert refusal(users.sign_in(user["email"])) == (400, "user_banned", "User is banned")
        target.auth("PUT", f"admin/users/{user['id']}", {"ban_duration": "none"})
        assert users.sign_in(user["email"]).status == 200

    def test_a_refresh_token_is_followed_by_another(self, target: Target, users: Users) -> None:
        first = users.sign_in(users.new()["email"]).json()
        path = "token?grant_type=refresh_token"
        second = target.auth("POST", path, {"refresh_token": first["refresh_token"]}).json()
        assert second["refresh_token"] != first["refresh_token"]
        assert target.auth("GET", "user", key=second["access_token"]).status == 200
        message = "Invalid Refresh Token: Refresh Token Not Found"
        reply = target.auth("POST", path, {"refresh_token": "aaaaaaaaaaaa"})
        assert refusal(reply) == (400, "refresh_token_not_found", message)

    @pytest.mark.parametrize("name", ["confirmation_token", "recovery_token", "email_change", "phone_change_token"])
    def test_a_null_where_a_text_must_be_breaks_sign_in_and_lists(
        self, target: Target, users: Users, name: str
    ) -> None:
        user = users.new()
        target.sql(f"update auth.users set {name} = null where id = %s", (user["id"],))
        try:
            failed = (500, "unexpected_failure", "Database error querying schema")
            assert refusal(users.sign_in(user["email"])) == failed
            reply = target.auth("GET", f"admin/users/{user['id']}")
            assert refusal(reply) == (500, "unexpected_failure", "Database error loading user")
            reply = target.auth("GET", "admin/users?per_page=1000")
            assert refusal(reply) == (500, "unexpected_failure", "Database error finding users")
        finally:
            target.sql(f"update auth.users set {name} = '' where id = %s", (user["id"],))

    @pytest.mark.parametrize(
        ("table", "name"),
        [
            *(("identities", "created_at"), ("identities", "updated_at")),
            *(("mfa_factors", "friendly_name"), ("mfa_factors", "secret")),
        ],
    )
    def test_a_null_in_what_is_a_users_breaks_him_alone(
        self, target: Target, users: Users, table: str, name: str
    ) -> None:
        user = users.new()
        factor = """insert into auth.mfa_factors
            (id, user_id, friendly_name, factor_type, status, created_at, updated_at,
            secret) values (gen_random_uuid(), %s, 'phone', 'totp', 'verified', now(), now(), 'JBSWY3DPEHPK3PXP')"""
        target.sql(factor, (user["id"],))
        assert users.sign_in(user["email"]).status == 200
        target.sql(f"update auth.{table} set {name} = null where user_id = %s", (user["id"],))
        failed = (500, "unexpected_failure", "Database error querying schema")
        assert refusal(users.sign_in(user["email"])) == failed
        assert refusal(users.sign_in(user["email"], "wrong")) == failed
        reply = target.auth("GET", f"admin/users/{user['id']}")
        assert refusal(reply) == (500, "unexpected_failure", "Database error loading user")
        assert target.auth("GET", "admin/users?per_page=1000").status == 200
        target.sql(f"delete from auth.{table} where user_id = %s", (user["id"],))

    def test_a_trigger_that_fails_on_auth_users_fails_the_creation(self, target: Target, users: Users) -> None:
        name = f"t{secrets.token_hex(4)}"
        target.sql(
            f"create function public.{name}() returns trigger language plpgsql as"
            f" $$begin insert into {name}_missing values (1); return new; end$$"
        )
        target.sql(f"create trigger {name} after insert on auth.users for each row execute function public.{name}()")
        try:
            message = "Database error creating new user"
            assert refusal(users.create(email=email())) == (500, "unexpected_failure", message)
        finally:
            target.sql(f"drop function public.{name}() cascade")
