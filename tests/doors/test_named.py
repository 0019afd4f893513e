"""What can't come back as it was, through the command: told at the backup, in the plan, and with a way around."""

from __future__ import annotations

from tests.doors.commands import Commands, env_file
from tests.projects import ProjectFactory, superuser

from supapy.sandbox.project import SandboxProject


def test_what_cannot_come_back_is_told_and_the_way_around_works(
    supapy: Commands, source: SandboxProject, project_factory: ProjectFactory
) -> None:
    with superuser(source.database) as connection:
        connection.execute(
            "CREATE EXTENSION hstore SCHEMA extensions VERSION '1.7'; SET ROLE postgres; "
            "CREATE TYPE pair AS (n int, what regclass); "
            "CREATE TABLE watched (id int PRIMARY KEY, what regclass, more pair[]); "
            "INSERT INTO watched VALUES (1, 'watched_pkey', '{\"(2,watched_pkey)\"}')"
        )
    made = supapy("backup", "--no-storage")
    assert made.code == 3
    assert all(f'column "{name}" names what' in made.out + made.err for name in ("what", "more"))
    assert "left out: version 1.7 of extension hstore" in made.out
    target = project_factory("target")
    env = env_file(target, supapy.folder)
    ran = supapy("--env-file", env, "restore", "--latest", "--yes", "--exclude-table-data", "watched")
    assert "won't come back: version 1.7 of extension hstore" in ran.out
    assert ran.code == 0
    rows = supapy(
        "--env-file", env, "restore", "--latest", "--yes", "--from-json", "--table", "watched", "--into", target.ref
    )
    assert (rows.code, rows.err) == (0, "")
    with superuser(target.database) as connection:
        assert connection.execute("SELECT what::text, more::text FROM watched").fetchall() == [
            ("watched_pkey", '{"(2,watched_pkey)"}')
        ]
