"""What servers know from 16 and 17 on, and an older server with a newer one's programs (recipe §10)."""

from __future__ import annotations

from pathlib import Path

from tests.fidelity import oracle
from tests.fidelity.saved import differences, loaded, psql, save
from tests.projects import ClusterFactory, owner, superuser

# Each line is run by itself.
OPTIONS = """
CREATE ROLE lead
CREATE ROLE member LOGIN
CREATE ROLE quiet LOGIN NOINHERIT
CREATE ROLE boss CREATEROLE
GRANT lead TO member WITH INHERIT FALSE
GRANT lead TO quiet WITH INHERIT TRUE, SET FALSE
GRANT lead TO boss WITH ADMIN TRUE, INHERIT FALSE, SET FALSE
GRANT anon TO member WITH SET FALSE
GRANT boss TO postgres WITH SET TRUE
CREATE TABLE kept (id int)
GRANT MAINTAIN ON kept TO lead, anon WITH GRANT OPTION
REVOKE MAINTAIN ON kept FROM authenticated
CREATE SCHEMA s
ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT MAINTAIN ON TABLES TO lead
ALTER DEFAULT PRIVILEGES REVOKE MAINTAIN ON TABLES FROM service_role
"""
MEMBERSHIPS = """
SELECT r.rolname, m.rolname, g.rolname, a.admin_option, a.inherit_option, a.set_option
FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
JOIN pg_roles g ON g.oid = a.grantor ORDER BY 1, 2, 3
"""


def test_memberships_keep_their_options_and_the_right_to_maintain_is_one_like_others(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(17), cluster_factory(17)
    with owner(source) as connection:
        for statement in OPTIONS.strip().splitlines():
            connection.execute(statement.encode())
    saved = save(source, 17, tmp_path)
    assert (saved.problems, saved.omissions) == ([], [])
    done = psql(target, 17, saved.script)
    assert (done.returncode, done.stderr) == (0, "")
    with superuser(source) as before, superuser(target) as after:
        memberships = before.execute(MEMBERSHIPS).fetchall()
        assert after.execute(MEMBERSHIPS).fetchall() == memberships
    assert ("lead", "quiet", "postgres", False, True, False) in memberships
    assert oracle.privileges(target) == oracle.privileges(source)


def test_the_programs_of_a_newer_server_will_do_for_an_older_one(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, by_psql, by_part = (cluster_factory(15) for _ in range(3))
    with owner(source) as connection:
        connection.execute(
            "CREATE TABLE kept (id int PRIMARY KEY, body text); CREATE ROLE app_reader; INSERT INTO kept VALUES (1)"
        )
        connection.execute("GRANT SELECT ON kept TO app_reader; CREATE MATERIALIZED VIEW seen AS SELECT * FROM kept")
    saved = save(source, 17, tmp_path)
    assert (saved.problems, saved.omissions) == ([], [])
    done = psql(by_psql, 17, saved.script)
    assert (done.returncode, done.stderr) == (0, "")
    assert loaded(saved, by_part, 17) == []
    for target in (by_psql, by_part):
        assert differences(saved, target, 17) == []
