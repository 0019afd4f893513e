"""What the server believes of the users' tables once they came in, and what a comparison reads then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
from tests.fidelity.whole import as_superuser, backed_up, differences, opened, restored
from tests.projects import ProjectFactory

from supapy.choice import Choice
from supapy.journal import Journal
from supapy.parts.auth import People
from supapy.restore import make_plan

AUTH = Choice(database=False, storage=False)
# Several times what a comparison asks for at once.
USERS = 2_000
FILL = f"""
INSERT INTO auth.users (id, raw_user_meta_data)
SELECT md5('user' || n)::uuid, jsonb_build_object('about', repeat(md5(n::text), 64)) FROM generate_series(1, {USERS}) n
"""
READ = """
SELECT sum(pg_stat_get_tuples_returned(oid)) FROM pg_class
WHERE oid IN ('auth.users'::regclass, 'auth.users_pkey'::regclass)
"""
BELIEVED = "SELECT reltuples FROM pg_class WHERE oid = 'auth.users'::regclass"


def test_a_vacuum_that_saw_no_row_makes_no_comparison_read_all_users_for_each_few(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    source, target = project_factory("source"), project_factory("target")
    as_superuser(source, "SET session_replication_role = replica", FILL)
    backup = backed_up(source, tmp_path, AUTH)
    with psycopg.connect(target.db_url.reveal()) as connection:
        connection.execute(FILL)
        as_superuser(target, "VACUUM auth.users")
        connection.rollback()
    assert as_superuser(target, BELIEVED) == [(0,)]
    restored(backup, target, AUTH)
    assert as_superuser(target, BELIEVED) == [(USERS,)]
    [(before,)] = as_superuser(target, READ)
    assert differences(backup, target, AUTH) == []
    [(after,)] = as_superuser(target, READ)
    assert after - before < 4 * USERS


def test_nor_does_looking_for_those_who_are_there_already(project_factory: ProjectFactory, tmp_path: Path) -> None:
    source, target = project_factory("source"), project_factory("target")
    # So large that there are many chunks.
    large = FILL.replace("64", "640")
    as_superuser(source, "SET session_replication_role = replica", large)
    backup = backed_up(source, tmp_path, AUTH)
    with psycopg.connect(target.db_url.reveal()) as connection:
        connection.execute(FILL)
        as_superuser(target, "VACUUM auth.users")
    assert as_superuser(target, BELIEVED) == [(0,)]
    skip = replace(AUTH, people=People(on_conflict="skip"))
    [(before,)] = as_superuser(target, READ)
    with opened(target) as project:
        plan = make_plan(backup, project, skip, Journal(backup.store, project.ref), "target")
    [(after,)] = as_superuser(target, READ)
    assert plan.steps[0].title.startswith("0 users")
    # Their number, their ids, and once each address.
    assert after - before < 8 * USERS
