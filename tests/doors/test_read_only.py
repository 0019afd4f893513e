"""A source of which the database, or a role, is set to take no changes: a restore brings that too, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.commands import Commands, settings_of
from tests.projects import ProjectFactory, asked, few_locks, run

SOURCE = """
CREATE TABLE kept (id int PRIMARY KEY);
INSERT INTO kept VALUES (1), (2);
CREATE MATERIALIZED VIEW seen AS SELECT * FROM kept;
"""
# So many that few locks don't do for one transaction.
MORE = "DO $$ BEGIN FOR i IN 1..110 LOOP EXECUTE 'CREATE TABLE more_' || i || ' ()'; END LOOP; END $$"
USER = "INSERT INTO auth.users (id, email) VALUES ('00000000-0000-0000-0000-000000000001', 'ada@example.com')"
SET = "default_transaction_read_only = on"


@pytest.mark.parametrize("whose", ["DATABASE postgres", "ROLE postgres"])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_it_is_restored_to_its_end_and_told(
    project_factory: ProjectFactory, tmp_path: Path, whose: str, in_pieces: bool
) -> None:
    source, target = project_factory("source"), project_factory("target")
    run(source.database, SOURCE, *([MORE] if in_pieces else []), f"ALTER {whose} SET {SET}")
    if in_pieces:
        few_locks(target.database)
    assert Commands(tmp_path, settings_of(source))("backup").code == 0
    supapy = Commands(tmp_path, settings_of(target))
    ran = supapy("restore", "--latest", "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert "take no changes, as in the source, and supapy activate makes none either" in " ".join(ran.out.split())
    assert asked(target.database, "SELECT to_regnamespace('supapy_restore')") == [(None,)]
    assert "set to be read-only" in supapy("restore", "--latest", "--yes", "--into", "target").err
    # And the target can be saved and compared as any other.
    assert supapy("verify").code == 0


def test_one_that_was_cut_short_after_that_goes_on(project_factory: ProjectFactory, tmp_path: Path) -> None:
    source, target = project_factory("source"), project_factory("target")
    run(source.database, SOURCE, MORE, "CREATE TABLE last (n int CHECK (n > 0)); INSERT INTO last VALUES (1)")
    asked(source.database, USER)
    run(source.database, f"ALTER DATABASE postgres SET {SET}")
    few_locks(target.database)
    assert Commands(tmp_path, settings_of(source))("backup").code == 0
    supapy = Commands(tmp_path, settings_of(target))
    # Something stands in the way amid the schema, after roles and settings, and is taken away.
    asked(
        target.database,
        "CREATE FUNCTION pg_catalog.refuse() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'not now'; END $$",
        "CREATE EVENT TRIGGER refuse ON ddl_command_start "
        "WHEN TAG IN ('CREATE MATERIALIZED VIEW') EXECUTE FUNCTION pg_catalog.refuse()",
        "ALTER EVENT TRIGGER refuse ENABLE ALWAYS",
    )
    ran = supapy("restore", "--latest", "--yes")
    assert "not now" in ran.err
    assert asked(target.database, "SHOW default_transaction_read_only") == [("on",)]
    asked(target.database, "SET default_transaction_read_only = off", "DROP EVENT TRIGGER refuse")
    again = supapy("restore", "--latest", "--yes")
    assert (again.code, again.err) == (0, "")
