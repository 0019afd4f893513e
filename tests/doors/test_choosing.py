"""Choosing tables through the command: at a backup, at a restore, beside, and out of the JSON."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from tests.doors.commands import Commands, env_file
from tests.projects import ProjectFactory, superuser

from supapy.doors import SupabaseBackup, SupabaseRestore
from supapy.sandbox.project import SandboxProject


def run(project: SandboxProject, sql: str) -> list[tuple[object, ...]]:
    with superuser(project.database) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def test_a_backup_of_one_table_says_everywhere_that_it_is_a_part(supapy: Commands, source: SandboxProject) -> None:
    made = supapy("backup", "--no-storage", "--no-auth", "--table", "stops")
    assert (made.code, made.err) == (0, "")
    assert "left out: all of the database but --table stops" in made.out
    assert "left out: fk constraint stops stops_trip_fkey in schema public" in made.out
    folder = supapy.folder / "backups" / supapy.labels[0]
    assert [path.name for path in (folder / "tables_json").iterdir()] == ["stops.json"]
    said = json.loads((folder / "metadata.json").read_text())
    assert said["database_only"] == {"schemas": [], "tables": ["stops"], "excluded": [], "without_rows": []}
    assert "database (in part)" in supapy("list").out
    assert supapy("--json", "list").result["backups"][0]["in_part"] == ["database"]
    verified = supapy("verify")
    assert (verified.code, verified.err) == (0, "")
    assert "and equal to project source in database, as far as it was saved\nIt was made of a part only: database." in (
        verified.out
    )


def test_the_last_line_says_what_was_compared(
    supapy: Commands, saved: Path, source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    where = ("-o", saved.parent)

    def last_line(*options: str) -> str:
        target = project_factory("target")
        ran = supapy("--env-file", env_file(target, tmp_path), "restore", saved.name, "--yes", *where, *options)
        assert (ran.code, ran.err) == (0, "")
        return ran.out.splitlines()[-1].removeprefix(f"{saved.name} is restored into project target: ")

    assert last_line("--exclude-table-data", "stops", "--no-auth") == (
        "the two are equal in database and storage, as chosen by --exclude-table-data stops"
    )
    assert last_line("--no-storage") == "the two are equal in database and auth"
    verified = supapy("verify", saved.name, "--exclude-table-data", "stops", *where)
    assert verified.out.splitlines()[-1].endswith(
        "and equal to project source in database, storage and auth, as chosen by --exclude-table-data stops"
    )
    assert supapy("verify", saved.name, *where).out.splitlines()[-1].endswith("and equal to project source")


def ran_in(saved: Path, command: tuple[str, ...]) -> list[str | Path]:
    return [] if command == ("backup",) else ["-o", saved.parent]


@pytest.mark.parametrize("command", [("backup",), ("restore", "--latest", "--yes"), ("verify",)])
def test_a_pattern_that_fits_nothing_ends_before_anything_is_written(
    supapy: Commands, saved: Path, command: tuple[str, ...]
) -> None:
    ran = supapy(*command, "--table", "nothing*", *ran_in(saved, command))
    assert (ran.code, supapy.labels) == (2, [])
    assert "--table nothing*: no table of that name" in ran.err
    nothing = supapy(*command, "--table", "trips", "--exclude-table", "tr*", *ran_in(saved, command))
    assert (nothing.code, "--exclude-table leaves nothing of what --table chose" in nothing.err) == (2, True)
    both = supapy("backup", "--table", "trips", "--schema", "public")
    assert (both.code, "--schema says nothing beside --table" in both.err) == (2, True)


@pytest.mark.parametrize(
    "options",
    [
        ("backup", "--no-database", "--table", "trips"),
        ("backup", "--no-database", "--vault-plaintext"),
        ("backup", "--no-storage", "--bucket", "photos"),
        ("restore", "--latest", "--no-database", "--into-schema", "look"),
        ("restore", "--latest", "--no-auth", "--user", "ada@example.com"),
        ("verify", "--no-storage", "--exclude", "*.png"),
    ],
)
def test_to_choose_in_what_is_left_out_is_no_call(supapy: Commands, options: tuple[str, ...]) -> None:
    ran = supapy(*options)
    assert (ran.code, "asked for that are left out" in ran.err, supapy.labels) == (2, True, [])


def test_some_tables_come_back_and_the_rest_stays(
    supapy: Commands, saved: Path, project_factory: ProjectFactory
) -> None:
    target = project_factory("target")
    env = env_file(target, supapy.folder)
    ran = supapy("--env-file", env, "restore", saved, "--yes", "--table", "trips")
    assert (ran.code, ran.err) == (0, "")
    assert "1. 1 table with 20 rows: public.trips" in ran.out
    assert ran.out.splitlines()[-1].endswith("is restored into project target, as it was saved")
    assert run(target, "SELECT count(*) FROM auth.users") == [(0,)]
    again = supapy("--env-file", env, "restore", saved, "--yes", "--table", "trips", "--into", "target")
    assert (again.code, "exist there already (table public.trips" in again.err) == (60, True)
    assert "--into-schema" in again.err
    verified = supapy("--env-file", env, "verify", saved, "--table", "trips")
    assert (verified.code, verified.err) == (0, "")


def test_tables_are_copied_beside_those_that_are_there(supapy: Commands, saved: Path, source: SandboxProject) -> None:
    try:
        refused = supapy("restore", saved, "--yes", "--into-schema", "look")
        assert (refused.code, "the one this backup was made of" in refused.err) == (60, True)
        ran = supapy("restore", saved, "--yes", "--into-schema", "look", "--into", "source")
        assert (ran.code, ran.err) == (0, "")
        assert "copies of 2 tables with 40 rows in a new schema look" in ran.out
        assert run(source, "SELECT count(*) FROM look.stops JOIN look.trips ON trip = trips.id") == [(20,)]
        again = supapy("restore", saved, "--yes", "--into-schema", "look", "--into", "source")
        assert (again.code, "it has a schema look already" in again.err) == (60, True)
        for taken in ("public", "auth", "pg_mine", "", "x" * 64):
            assert supapy("restore", saved, "--yes", "--into-schema", taken).code == 2
    finally:
        run(source, "DROP SCHEMA IF EXISTS look CASCADE")


def test_rows_come_back_out_of_the_json(supapy: Commands, saved: Path, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    env = env_file(target, supapy.folder)
    missing = supapy("--env-file", env, "restore", saved, "--yes", "--from-json")
    assert (missing.code, "it has no table public.stops, public.trips" in missing.err) == (60, True)
    run(target, "CREATE TABLE public.trips (name text, id serial PRIMARY KEY, more int DEFAULT 7)")
    ran = supapy("--env-file", env, "restore", saved, "--yes", "--from-json", "--table", "trips")
    assert (ran.code, ran.err) == (0, "")
    assert run(target, "SELECT count(*), min(name), sum(more) FROM public.trips") == [(20, "trip 1", 140)]
    assert run(target, "INSERT INTO public.trips (name) VALUES ('new') RETURNING id") == [(21,)]
    held = supapy("--env-file", env, "restore", saved, "--yes", "--from-json", "--table", "trips")
    assert (held.code, "rows in 1 table that would be replaced (public.trips)" in held.err) == (60, True)
    again = supapy(
        *("--env-file", env, "restore", saved, "--yes", "--from-json", "--table", "trips", "--into", "target")
    )
    assert (again.code, again.err) == (0, "")
    assert run(target, "SELECT count(*) FROM public.trips") == [(20,)]
    run(target, "ALTER TABLE public.trips RENAME name TO title")
    lacking = supapy("--env-file", env, "restore", saved, "--yes", "--from-json", "--table", "trips")
    assert (lacking.code, "its table public.trips has no column name" in lacking.err) == (60, True)


def test_the_library_chooses_too(supapy: Commands, source: SandboxProject, project_factory: ProjectFactory) -> None:
    given = (source.url, source.service_key.reveal(), source.db_url.reveal())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = SupabaseBackup(*given, str(supapy.folder)).create_backup(False, False, tables=["trips"])
    target = project_factory("target")
    restore = SupabaseRestore(target.url, target.service_key.reveal(), target.db_url.reveal())
    said = restore.restore_backup(path, confirm=True, tables=["trips"])
    assert (said["database"], said["details"]) == (True, [])
    beside = restore.restore_backup(path, confirm=True, into="target", into_schema="look")
    assert beside["details"] == []
    again = restore.restore_backup(path, confirm=True, into="target", from_json=True)
    assert again["details"] == []
    assert run(target, "SELECT count(*) FROM look.trips") == [(20,)]
