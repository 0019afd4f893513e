"""What stands in a backup's way: each ends in an error or a problem that names it, never in fewer rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from tests.fidelity.saved import loaded, moment_of, psql, save
from tests.projects import DEFAULT_MAJOR, ClusterFactory, owner, superuser

from supapy.errors import AccessDenied, Overtaken, SqlError
from supapy.parts.database.part import DatabasePart
from supapy.parts.database.rows.holding import hold
from supapy.project.patterns import Patterns
from supapy.project.project import Project
from supapy.project.schema import user_tables
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret


@pytest.fixture(scope="module")
def source(server_folder: Path) -> Iterator[Cluster]:
    with ExitStack() as cleanup:
        cluster = ClusterFactory(server_folder, cleanup)(DEFAULT_MAJOR)
        with owner(cluster) as connection:
            connection.execute(
                "CREATE TABLE some_hidden AS SELECT generate_series(1, 2) id; "
                "ALTER TABLE some_hidden ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON some_hidden USING (id = 1); "
                "CREATE TABLE plain (id int); INSERT INTO plain VALUES (1); "
                "CREATE ROLE reader LOGIN PASSWORD 'reader-secret'"
            )
        with superuser(cluster) as connection:
            connection.execute("GRANT pg_read_all_data TO reader")
        yield cluster


@pytest.mark.parametrize("part", [DatabasePart(), DatabasePart(auth=False, storage=False)])
def test_a_role_from_which_row_security_hides_rows_saves_none(source: Cluster, part: DatabasePart) -> None:
    dsn = Secret(make_conninfo(source.dsn.reveal(), user="reader", password="reader-secret"))
    project = Project("http://127.0.0.1:9", Secret("sb_secret_unused"), dsn)
    with project, project.moment() as moment, pytest.raises(AccessDenied) as refused:
        next(part.dump(moment))
    assert "public.some_hidden" in refused.value.message or "auth." in refused.value.message
    assert "BYPASSRLS" in str(refused.value.hint)


def test_a_table_that_stays_locked_is_named_with_who_holds_it(source: Cluster) -> None:
    with owner(source) as other, moment_of(source, DEFAULT_MAJOR) as moment:
        other.execute("SET application_name = 'a migration'")
        with other.transaction():
            other.execute("LOCK TABLE plain")
            with pytest.raises(SqlError) as refused:
                hold(moment, user_tables(moment), wait_s=1)
        holder = other.info.backend_pid
    assert refused.value.message.startswith(f"table public.plain is locked by process {holder}")
    assert "(a migration)" in refused.value.message


def test_a_lock_that_is_let_go_of_in_time_is_waited_for(source: Cluster) -> None:
    with owner(source) as other, moment_of(source, DEFAULT_MAJOR) as moment:
        tables = user_tables(moment)
        other.execute("BEGIN; LOCK TABLE plain")
        waiting = threading.Thread(target=hold, args=(moment, tables))
        waiting.start()
        with superuser(source) as looking:
            query = "SELECT count(*) FROM pg_locks WHERE relation = 'plain'::regclass AND NOT granted"
            while looking.execute(query).fetchone() != (1,):
                pass
        other.execute("COMMIT")
        waiting.join()
        assert moment.value("SELECT count(*) FROM public.plain") == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("TRUNCATE changing", "table public.changing was emptied or rewritten"),
        ("ALTER TABLE changing ALTER id TYPE bigint", "table public.changing was emptied or rewritten"),
        ("DROP TABLE changing", "a table was dropped or renamed"),
        ("ALTER TABLE changing RENAME TO renamed", "a table was dropped or renamed"),
    ],
)
def test_a_table_that_the_snapshot_no_longer_sees_as_it_was_ends_the_moment(
    source: Cluster, change: str, told: str
) -> None:
    with owner(source) as other:
        other.execute("DROP TABLE IF EXISTS changing, renamed; CREATE TABLE changing AS SELECT 1 AS id")
        with moment_of(source, DEFAULT_MAJOR) as moment:
            # The snapshot is taken, the locks aren't: there is always a moment between.
            tables = user_tables(moment)
            other.execute(change.encode())
            with pytest.raises(Overtaken) as refused:
                hold(moment, tables)
        other.execute("DROP TABLE IF EXISTS changing, renamed")
    assert refused.value.message == f"{told} just when the backup began"


def test_what_is_held_can_be_written_but_not_altered(source: Cluster) -> None:
    with owner(source) as other, moment_of(source, DEFAULT_MAJOR) as moment:
        hold(moment, user_tables(moment))
        other.execute("INSERT INTO plain VALUES (2); DELETE FROM plain WHERE id = 2")
        for change in ("TRUNCATE plain", "ALTER TABLE plain ADD more int", "DROP TABLE plain"):
            with pytest.raises(Exception, match="lock timeout"):
                other.execute(f"SET lock_timeout = '50ms'; {change}".encode())


def test_limits_of_the_role_and_the_database_cut_nothing_short(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source, target = cluster_factory(), cluster_factory()
    with owner(source) as connection:
        connection.execute(
            "CREATE TABLE rows AS SELECT generate_series(1, 100000) n; "
            "CREATE MATERIALIZED VIEW slow AS SELECT pg_sleep(0.5) IS NULL AS never"
        )
    for cluster in (source, target):
        with superuser(cluster) as connection:
            connection.execute(
                "ALTER ROLE postgres SET statement_timeout = '300ms'; ALTER ROLE postgres SET lock_timeout = '1ms'; "
                "ALTER ROLE postgres SET idle_in_transaction_session_timeout = '1ms'; "
                "ALTER DATABASE postgres SET transaction_timeout = '300ms'; "
                "ALTER ROLE postgres SET default_transaction_isolation = 'serializable'"
            )
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    assert saved.problems == []
    done = psql(target, DEFAULT_MAJOR, saved.script)
    assert done.returncode == 0, done.stderr
    with superuser(target) as connection:
        assert connection.execute("SELECT count(*) FROM rows").fetchone() == (100_000,)


def test_rows_of_the_platform_that_may_not_be_read_are_a_problem(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source = cluster_factory()
    with superuser(source) as connection:
        connection.execute(
            "REVOKE pg_read_all_data FROM postgres; REVOKE ALL ON auth.sessions, storage.objects FROM postgres; "
            "REVOKE ALL ON storage.objects FROM anon, authenticated, service_role; "
            "CREATE SCHEMA closed; CREATE TABLE closed.door (id int); GRANT SELECT ON closed.door TO postgres"
        )
    problems = [one.name for one in save(source, DEFAULT_MAJOR, tmp_path).problems]
    assert problems == ['table "auth"."sessions"', 'table "closed"."door"', 'table "storage"."objects"']


def test_rows_that_no_longer_fit_their_check_are_told_with_a_way_around(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    with owner(source) as connection:
        connection.execute(
            "CREATE FUNCTION fits(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'; "
            "CREATE TABLE unfit (n int CHECK (fits(n))); INSERT INTO unfit VALUES (1); CREATE TABLE fit (n int); "
            "CREATE OR REPLACE FUNCTION fits(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false'"
        )
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    with pytest.raises(SqlError, match="violates check constraint") as refused:
        loaded(saved, target)
    assert "--exclude-table" in (refused.value.hint or "")
    for patterns, schema in ((Patterns(excluded=("unfit",)), None), (Patterns(tables=("unfit",)), "look")):
        assert loaded(saved, target, part=DatabasePart(patterns=patterns, into_schema=schema)) == []
    with owner(target) as connection:
        assert connection.execute("SELECT n, to_regclass('fit')::text FROM look.unfit").fetchall() == [(1, "fit")]
