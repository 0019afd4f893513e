"""The search for rows that refer to nobody, among rows of which the server has no idea yet."""

from __future__ import annotations

from tests.fidelity.whole import as_superuser, opened
from tests.projects import ProjectFactory

from supapy.parts.auth.orphans import orphans

USERS = 2_000
ROWS = (
    f"INSERT INTO auth.users (id) SELECT md5('user' || n)::uuid FROM generate_series(1, {USERS}) n",
    "INSERT INTO auth.identities (id, provider_id, user_id, identity_data, provider) "
    "SELECT md5('i' || id)::uuid, id, id, '{}', 'email' FROM auth.users",
    "INSERT INTO auth.identities (id, provider_id, user_id, identity_data, provider) "
    "SELECT md5('lost')::uuid, 'lost', md5('lost')::uuid, '{}', 'email'",
)
# Rows that this transaction has read from end to end, and entries of indexes.
READ = """
SELECT sum(pg_stat_get_xact_tuples_returned(c.oid)) FROM pg_class c
WHERE c.relnamespace = 'auth'::regnamespace AND c.relkind = %s
"""


def test_rows_of_nobody_are_looked_for_from_end_to_end_whatever_a_vacuum_amid_the_load_told(
    project_factory: ProjectFactory,
) -> None:
    target = project_factory("target")
    with opened(target) as project, project.session() as session, session.transaction():
        session.execute("SET LOCAL session_replication_role = replica")
        for statement in ROWS:
            session.execute(statement)
        # It sees pages without a row, which is what the planner then reckons with.
        as_superuser(target, "VACUUM auth.users", "VACUUM auth.identities")
        before, entries_before = (session.value(READ, (kind,)) for kind in "ri")
        found = [(one.name, one.reason) for one in orphans(session)]
        read, entries_read = session.value(READ, ("r",)) - before, session.value(READ, ("i",)) - entries_before
    (said,) = found
    assert said[0] == "auth.identities.user_id"
    assert said[1].startswith("1 row refers to auth.users")
    assert read < 5 * USERS
    assert not entries_read
