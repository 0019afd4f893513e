"""Users are read as they lie on disk: whatever order that is, each is saved once, with all that is his."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fidelity.whole import as_superuser, backed_up, differences, opened
from tests.projects import MAJORS

from supapy.choice import Choice
from supapy.parts.auth.document import row_of
from supapy.parts.auth.dump import Tally, written
from supapy.parts.auth.tables import NESTED, readable
from supapy.parts.auth.windows import Windows
from supapy.project.moment import Moment
from supapy.sandbox.project import SandboxProject

AUTH = Choice(database=False, storage=False)
# Of the pages that these take several windows are made, and of each table's pages many values.
USERS = 16_000
PEOPLE = f"""
SET session_replication_role = replica;
INSERT INTO auth.users (id, email, raw_user_meta_data, created_at)
SELECT md5('user' || n)::uuid, 'user' || n, jsonb_build_object('about', repeat(md5(n::text), 12)), now()
FROM generate_series(1, {USERS}) n;
INSERT INTO auth.identities (id, provider_id, user_id, identity_data, provider, created_at)
SELECT md5('i' || id)::uuid, email, id, jsonb_build_object('sub', email), 'email', now()
FROM auth.users WHERE email LIKE 'user%';
"""
# A second identity of every third, and factors of some who come first, long after; rows of three who aren't there; and
# what pages can't hold.
LATER = f"""
SET session_replication_role = replica;
INSERT INTO auth.identities (id, provider_id, user_id, identity_data, provider, created_at)
SELECT md5('j' || n)::uuid, n, md5('user' || n)::uuid, jsonb_build_object('sub', n), 'google', now()
FROM generate_series(1, {USERS}, 3) n;
INSERT INTO auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)
SELECT md5('f' || n)::uuid, md5('user' || (1 + n % 40))::uuid, 'phone ' || n, 'totp', 'verified', now(), now(), 'S'
FROM generate_series(1, 60) n;
INSERT INTO auth.identities (id, provider_id, user_id, identity_data, provider, created_at)
SELECT md5('k' || n)::uuid, 'lost' || n, md5('lost' || n)::uuid, '{{}}', 'email', now() FROM generate_series(1, 3) n;
UPDATE auth.users SET raw_user_meta_data = jsonb_build_object('avatar', 'é"\\u0001\\\\' ||
    (SELECT string_agg(md5(n::text || id), '') FROM generate_series(1, 30000) n))
WHERE email LIKE 'user777%';
UPDATE auth.users SET encrypted_password = '{{"alg": "aes-gcm-hkdf", "key_id": "k"}}' WHERE email LIKE 'user%00';
INSERT INTO auth.sessions (id, user_id) SELECT md5('s' || n)::uuid, md5('user' || n)::uuid FROM generate_series(1, 7) n;
"""
# Of two shapes most are; of these one shape is that, and in nothing else they are like the others.
UNUSUAL = """
SET session_replication_role = replica;
UPDATE auth.users SET aud = 'authenticated', role = 'authenticated', is_sso_user = true, phone = '"' || email,
    is_super_admin = false, encrypted_password = 'a\\"b\n', instance_id = id,
    banned_until = '-infinity', invited_at = '0044-03-15 BC';
UPDATE auth.users SET aud = 'Authenticated', role = 'authenticated ', phone_change = '*' WHERE email LIKE 'user%1';
UPDATE auth.users SET raw_app_meta_data = 'null', aud = '', phone = NULL, email = '' WHERE email LIKE 'user%2';
UPDATE auth.users SET raw_user_meta_data = NULL, created_at = NULL, instance_id = NULL WHERE email LIKE 'user%3';
"""
SHUFFLED = """
SET session_replication_role = replica;
CREATE TABLE public.held AS SELECT * FROM auth.identities ORDER BY md5(id::text);
TRUNCATE auth.identities;
ALTER TABLE public.held DROP COLUMN email;
INSERT INTO auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at, id)
SELECT provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at, id FROM public.held;
DROP TABLE public.held;
"""
NESTED_IDS = """
SELECT user_id::text, array_agg(id::text ORDER BY id) FROM auth.{} t
WHERE EXISTS (SELECT FROM auth.users u WHERE u.id = t.user_id) GROUP BY user_id
"""


def saved(moment: Moment) -> bytes:
    return b"".join(written(moment, readable(moment), 2, Tally()))


def lines_of(file: bytes) -> list[str]:
    return sorted(line.rstrip(",") for line in file.decode().split("\n"))


def everybody(sandbox: SandboxProject) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Every user's id, with the ids of what is nested in him."""
    nested = {table: dict(as_superuser(sandbox, NESTED_IDS.format(table))) for table in NESTED}
    for (user,) in as_superuser(sandbox, "SELECT id::text FROM auth.users ORDER BY id"):
        yield user, {table: theirs[user] for table, theirs in nested.items() if user in theirs}


@pytest.mark.parametrize(
    ("pg_major", "disorder"),
    [(MAJORS[0], ()), (MAJORS[-1], (SHUFFLED,)), (MAJORS[-1], ("CLUSTER auth.users USING users_pkey",))],
)
def test_whatever_the_order_on_disk_every_user_is_saved_once_with_all_that_is_his(
    project: SandboxProject, disorder: tuple[str, ...], tmp_path: Path
) -> None:
    as_superuser(project, PEOPLE, LATER, *disorder)
    backup = backed_up(project, tmp_path, AUTH)
    users = json.loads(b"".join(backup.read("auth_users.json")))["users"]
    found = [
        (user["id"], {table: [row["id"] for row in user[table]] for table in NESTED if table in user}) for user in users
    ]
    assert sorted(found) == list(everybody(project))
    assert [(one.name, one.reason) for one in backup.manifest[1]] == [
        ("auth.identities", "3 rows of users who aren't there: left out")
    ]
    counted = {what: backup.count("auth", what) for what in ("users", "sessions", "sealed values", "audit records")}
    assert counted == {"users": USERS, "sessions": 7, "sealed values": USERS // 100, "audit records": 0}
    # Which asks for the rows by their ids.
    assert differences(backup, project, AUTH) == []


@pytest.mark.parametrize("pg_major", MAJORS)
def test_a_row_of_a_usual_shape_is_written_as_any_other_is(project: SandboxProject) -> None:
    as_superuser(project, PEOPLE, UNUSUAL)
    with opened(project) as live, live.moment() as moment:
        users = readable(moment)["users"]
        as_any_other = [line for (line,) in moment.rows(f"SELECT {row_of(users)} FROM auth.users t")]
        file = saved(moment)
    nested = re.compile(r',"identities":\[.*\]')
    assert sorted(nested.sub("", line) for line in lines_of(file) if line.startswith('{"id"')) == sorted(as_any_other)


def test_what_changes_and_moves_meanwhile_is_saved_as_it_was(project: SandboxProject) -> None:
    as_superuser(project, PEOPLE, LATER)
    with opened(project) as one, opened(project) as other, one.moment() as moment, other.moment() as another:
        before = saved(moment)
        as_superuser(
            project,
            "DELETE FROM auth.identities WHERE id::text < '4'",
            "UPDATE auth.users SET email = 'x' || email, phone_change = repeat('y', 300) WHERE id::text < 'c'",
            "UPDATE auth.identities SET identity_data = identity_data || '{\"more\": 1}'",
            "DELETE FROM auth.users WHERE id::text > 'e'",
            PEOPLE.replace("'user", "'new"),
            "VACUUM auth.users",
            "VACUUM auth.identities",
        )
        assert lines_of(saved(another)) == lines_of(before)
        assert lines_of(saved(moment)) == lines_of(before)


def test_where_rows_came_in_the_order_of_their_users_hardly_any_is_searched_for(project: SandboxProject) -> None:
    as_superuser(project, PEOPLE)
    with opened(project) as live, live.moment() as moment:
        tables = readable(moment)
        found = Windows.found(moment, tables["users"], [tables["identities"]], 2, Counter())
    assert len(found.windows) == 3
    assert sum(len(window.scattered["identities"].split()) for window in found.windows) < USERS / 100
