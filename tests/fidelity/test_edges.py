"""What is special at the edges of a dump and a restore: odd sources, odd targets, a source that changes meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fidelity.saved import Saved, differences, loaded, moment_of, project_of, psql, save, steps_of
from tests.projects import DEFAULT_MAJOR, MAJORS, ClusterFactory, few_locks, owner, run, superuser

from supapy.events import Event, Expected, TableEnded, TableMoved
from supapy.model import Item, Omission, Problem
from supapy.parts.database.part import DatabasePart
from supapy.sandbox.cluster import Cluster

PEOPLE = Path(__file__).parent / "people.sql"


def restored(saved: Saved, target: Cluster, major: int = DEFAULT_MAJOR) -> str:
    """Restore by psql; gives the warnings."""
    done = psql(target, major, saved.script)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_everything_is_of_one_moment_whatever_is_written_between_the_reads(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source = cluster_factory()
    run(source, "CREATE TABLE a (n int); INSERT INTO a VALUES (1)", "CREATE TABLE z (n int); INSERT INTO z VALUES (1)")
    with moment_of(source, DEFAULT_MAJOR) as moment:
        run(source, "INSERT INTO a VALUES (2)", "CREATE TABLE later (n int)", "DELETE FROM z")
        for one in DatabasePart().dump(moment):
            assert isinstance(one, Item)
            with (tmp_path / one.path).open("wb") as file:
                for piece in one.open():
                    run(source, "INSERT INTO z VALUES (3)", "GRANT SELECT ON a TO PUBLIC")
                    file.write(piece)
    target = cluster_factory()
    restored(Saved(tmp_path), target)
    with superuser(target) as connection:
        assert connection.execute("SELECT (SELECT array_agg(n) FROM a), (SELECT array_agg(n) FROM z)").fetchall() == [
            ([1], [1])
        ]
        assert connection.execute("SELECT to_regclass('later')").fetchone() == (None,)
    assert differences(Saved(tmp_path), target) == []


def test_without_users_and_files_the_rows_that_point_to_them_are_kept(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    assert psql(source, DEFAULT_MAJOR, PEOPLE).returncode == 0
    run(
        source,
        "CREATE TABLE profiles (id uuid REFERENCES auth.users)",
        "INSERT INTO profiles SELECT id FROM auth.users",
    )
    saved = save(source, DEFAULT_MAJOR, tmp_path, DatabasePart(auth=False, storage=False))
    assert "example.com" not in saved.script.read_text()
    assert "fk constraint profiles profiles_id_fkey" in restored(saved, target)
    with superuser(target) as connection:
        assert connection.execute("SELECT count(*) FROM profiles").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM auth.users").fetchone() == (0,)
    assert [one.name for one in differences(saved, target)] == ["table public.profiles: constraint profiles_id_fkey"]


def test_the_segments_of_users_and_files_are_not_loaded_by_the_part(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    assert psql(source, DEFAULT_MAJOR, PEOPLE).returncode == 0
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    fed = 0

    def count(amount: int) -> None:
        nonlocal fed
        fed += amount

    with project_of(target, DEFAULT_MAJOR) as project:
        (step,) = steps_of(saved, project)
        assert list(step.apply(count)) == []
    assert fed == step.total
    with superuser(target) as connection:
        assert connection.execute("SELECT count(*) FROM auth.users").fetchone() == (0,)


def test_a_migration_history_that_is_there_already_gets_what_it_lacks(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(
        source,
        "CREATE SCHEMA supabase_migrations",
        "CREATE TABLE supabase_migrations.schema_migrations "
        "(version text PRIMARY KEY, statements text[], name text UNIQUE)",
        "INSERT INTO supabase_migrations.schema_migrations VALUES ('1', '{a}', 'n')",
    )
    run(
        target,
        "CREATE SCHEMA supabase_migrations",
        "CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY)",
    )
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    with moment_of(target, DEFAULT_MAJOR) as moment:
        assert list(DatabasePart().obstacles(saved, moment)) == []
    restored(saved, target)
    assert differences(saved, target) == []


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize(
    "statement",
    [
        "DROP PUBLICATION supabase_realtime; CREATE PUBLICATION supabase_realtime FOR ALL TABLES",
        "DROP PUBLICATION supabase_realtime",
        "ALTER PUBLICATION supabase_realtime SET (publish = 'delete', publish_via_partition_root = true)",
    ],
)
def test_the_realtime_publication_is_what_the_user_made_of_it(
    cluster_factory: ClusterFactory, tmp_path: Path, statement: str, major: int
) -> None:
    source, target = cluster_factory(major), cluster_factory(major)
    run(source, "CREATE TABLE t (id int PRIMARY KEY)", *statement.split("; "))
    saved = save(source, major, tmp_path)
    restored(saved, target, major)
    assert differences(saved, target, major) == []
    query = (
        "SELECT pubname, puballtables, pubinsert, pubdelete, pubviaroot, pubowner::regrole::text FROM pg_publication"
    )
    with superuser(source) as before, superuser(target) as after:
        assert after.execute(query).fetchall() == before.execute(query).fetchall()


def test_an_older_server_is_no_target(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    saved = save(cluster_factory(17), 17, tmp_path)
    with moment_of(cluster_factory(15), 15) as moment:
        obstacles = list(DatabasePart().obstacles(saved, moment))
    assert [(one.final, one.text) for one in obstacles] == [(True, "its PostgreSQL is 15, the backup's is 17")]


def test_an_extension_that_the_target_lacks_is_told_before_anything_is_written(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    said = json.loads((tmp_path / "database.toc.json").read_text())
    said["inventory"]["extensions"]["extension postgis"] = {"schema": "public"}
    said["inventory"]["extensions"]["extension pgjwt"] = {"schema": "extensions"}
    (tmp_path / "database.toc.json").write_text(json.dumps(said))
    with moment_of(target, DEFAULT_MAJOR) as moment:
        obstacles = list(DatabasePart().obstacles(saved, moment))
    assert [(one.final, one.text) for one in obstacles] == [(True, "it has no extension postgis")]


@pytest.mark.parametrize("newest", ["20260625000000", "20991231000000"])
def test_what_users_added_to_the_platforms_tables_is_told_from_what_a_newer_platform_may_have_added(
    cluster_factory: ClusterFactory, tmp_path: Path, newest: str
) -> None:
    source, target = cluster_factory(), cluster_factory()
    with superuser(source) as connection:
        # Before postgres lost the ownership of these tables, projects had columns of their own in them.
        connection.execute("ALTER TABLE auth.users ADD nickname text; ALTER TABLE auth.users ADD unused text")
        connection.execute("CREATE INDEX by_nickname ON auth.users (nickname); CREATE TABLE auth.extra (id int)")
        connection.execute("ALTER TABLE auth.extra OWNER TO supabase_auth_admin")
        connection.execute("INSERT INTO auth.schema_migrations VALUES (%s) ON CONFLICT DO NOTHING", (newest,))
    run(source, "CREATE VIEW names AS SELECT id, nickname FROM auth.users")
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    named = [omission.name for omission in saved.omissions]
    with moment_of(target, DEFAULT_MAJOR) as moment:
        obstacles = list(DatabasePart().obstacles(saved, moment))
    columns = [f"column {name} of table auth.users" for name in ("nickname", "unused")]
    added = ["table auth.extra", *columns, "index by_nickname of table auth.users"]
    if newest.startswith("2026"):
        # All that this version's migrations made is known, so this is the user's; a view can't be without its column.
        assert named == ["view names in schema public", *added]
        assert obstacles == []
        restored(saved, target)
        assert differences(saved, target) == []
    else:
        # It is one word a night, whatever a newer platform has added; and the restore looks before it begins.
        assert named == [f"what the platform may not have made: {', '.join(added)}"]
        assert [one.final for one in obstacles] == [True]
        assert "auth.users.nickname" in obstacles[0].text
        assert "unused" not in obstacles[0].text


def test_the_script_refuses_a_project_that_has_nothing_but_users(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(source, "CREATE TABLE t ()")
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    assert psql(target, DEFAULT_MAJOR, PEOPLE).returncode == 0
    done = psql(target, DEFAULT_MAJOR, saved.script)
    assert done.returncode == 3
    assert "it has rows in auth.users" in done.stderr
    with superuser(target) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_tables_that_may_not_be_read_are_named_if_the_users_and_left_out(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(source, "CREATE TABLE mine (a int); INSERT INTO mine VALUES (1)")
    with superuser(source) as connection:
        # As on older projects, where postgres reads what it was granted only.
        connection.execute("REVOKE pg_read_all_data FROM postgres; REVOKE ALL ON auth.schema_migrations FROM postgres")
        connection.execute(
            "CREATE TABLE public.hidden (a int); REVOKE ALL ON public.hidden FROM postgres, "
            "anon, authenticated, service_role"
        )
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    assert [problem.name for problem in saved.problems] == ['table "public"."hidden"']
    restored(saved, target)
    with superuser(target) as connection:
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (1,)


def test_passwords_that_cannot_be_read_are_named(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source = cluster_factory()
    run(source, "CREATE ROLE app LOGIN PASSWORD 'x'", "CREATE ROLE quiet")
    with superuser(source) as connection:
        connection.execute("REVOKE pg_read_all_data FROM postgres")
    omissions = [one.name for one in save(source, DEFAULT_MAJOR, tmp_path).omissions]
    assert omissions == ["password of role app"]


def test_materialized_views_are_filled_whatever_their_functions_read_and_one_that_cannot_be_is_told(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(
        source,
        "CREATE TABLE base (n int); INSERT INTO base VALUES (1)",
        # Nothing tells a dump that the second needs the first to be filled.
        "CREATE MATERIALIZED VIEW z_read AS SELECT n FROM base",
        "CREATE FUNCTION reads() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT n FROM public.z_read); END'",
        "CREATE MATERIALIZED VIEW a_reading AS SELECT reads() AS n",
        # Since it was filled, its query has ceased to run.
        "CREATE MATERIALIZED VIEW stale AS SELECT 10 / n AS n FROM base; UPDATE base SET n = 0",
        "CREATE MATERIALIZED VIEW on_stale AS SELECT n FROM stale",
        "REFRESH MATERIALIZED VIEW z_read; REFRESH MATERIALIZED VIEW a_reading",
    )
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    with project_of(target, DEFAULT_MAJOR) as project:
        (step,) = steps_of(saved, project)
        problems = list(step.apply(lambda _: None))
    assert [(problem.name, problem.reason.rpartition(": ")[2]) for problem in problems] == [
        ("materialized view stale in schema public", "division by zero"),
        ("materialized view on_stale in schema public", 'materialized view "stale" has not been populated'),
    ]
    assert [one.name for one in differences(saved, target)] == [
        "materialized view public.on_stale",
        "materialized view public.stale",
    ]
    with superuser(target) as connection:
        assert connection.execute("SELECT n FROM a_reading").fetchall() == [(0,)]


@pytest.mark.parametrize("locks", ["many", "few"])
def test_what_the_rows_contradict_is_told_and_all_else_comes_back(
    cluster_factory: ClusterFactory, tmp_path: Path, locks: str
) -> None:
    """As after an upgrade of the source's collations, or when a function in an index was replaced."""
    source, target = cluster_factory(), cluster_factory()
    run(
        source,
        "CREATE TABLE twice (a text); INSERT INTO twice VALUES ('x'), ('x')",
        "CREATE INDEX twice_a ON twice (a); COMMENT ON INDEX twice_a IS 'gone with it'",
        "CREATE TABLE keyed (a text CONSTRAINT keyed_key PRIMARY KEY); INSERT INTO keyed VALUES ('x')",
        "COMMENT ON CONSTRAINT keyed_key ON keyed IS 'gone with it'; CREATE TABLE of_keyed (a text REFERENCES keyed)",
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'; CREATE TABLE t (n int)",
        "INSERT INTO t VALUES (0); CREATE INDEX by_f ON t (f(n))",
        "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1 / $1'",
    )
    with superuser(source) as connection:
        alter = "UPDATE pg_index SET {} WHERE indexrelid = '{}'::regclass"
        connection.execute(alter.format("indisunique = true", "twice_a"))
        connection.execute(alter.format("indisready = false", "keyed_key"))
        connection.execute("INSERT INTO keyed VALUES ('x')")
        connection.execute(alter.format("indisready = true", "keyed_key"))
    if locks == "few":
        few_locks(target)
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    assert sorted(problem.name for problem in loaded(saved, target)) == [
        "constraint keyed keyed_key in schema public",
        "fk constraint of_keyed of_keyed_a_fkey in schema public",
        "index by_f in schema public",
        "index twice_a in schema public",
    ]
    assert [one.name for one in differences(saved, target)] == [
        "table public.keyed",
        "table public.keyed: constraint keyed_key",
        "table public.of_keyed: constraint of_keyed_a_fkey",
        "index public.by_f",
        "index public.keyed_key",
        "index public.twice_a",
        "comment on constraint keyed_key on table public.keyed",
        "comment on index public.twice_a",
    ]


@pytest.mark.parametrize("locks", ["many", "few"])
def test_no_foreign_server_is_asked_for_anything(cluster_factory: ClusterFactory, tmp_path: Path, locks: str) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(
        source,
        "CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (port '1')",
        "CREATE TABLE parted (n int) PARTITION BY LIST (n)",
        "CREATE FOREIGN TABLE parted_1 PARTITION OF parted FOR VALUES IN (1) SERVER away",
        "CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2); INSERT INTO parted VALUES (2)",
        "CREATE TABLE parent (n int); INSERT INTO parent VALUES (1); CREATE FOREIGN TABLE heir () INHERITS (parent) "
        "SERVER away",
    )
    if locks == "few":
        few_locks(target)
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    assert loaded(saved, target) == []
    assert differences(saved, target) == []


def test_an_event_trigger_that_the_target_refuses_is_a_problem(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(source, "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")
    with superuser(source) as connection:
        # Hosted projects let postgres do this.
        connection.execute("ALTER ROLE postgres SUPERUSER")
        run(source, "CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION watch()")
        connection.execute("ALTER ROLE postgres NOSUPERUSER")
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    with project_of(target, DEFAULT_MAJOR) as project:
        (step,) = steps_of(saved, project)
        problems = list(step.apply(lambda _: None))
    assert [problem.name for problem in problems] == ["event trigger watcher"]
    assert [one.name for one in differences(saved, target)] == ["event trigger watcher"]


def test_a_dump_says_what_it_holds_in_a_stable_order(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source = cluster_factory()
    run(source, "CREATE TABLE b (n int)", "CREATE TABLE a (n int); INSERT INTO a VALUES (1), (2)")
    with moment_of(source, DEFAULT_MAJOR) as moment:
        dumped = list(DatabasePart().dump(moment))
        assert [one.path for one in dumped if isinstance(one, Item)] == ["database.sql", "database.toc.json"]
        assert not [one for one in dumped if isinstance(one, Omission | Problem)]
    save(source, DEFAULT_MAJOR, tmp_path)
    said = json.loads((tmp_path / "database.toc.json").read_text())
    script = (tmp_path / "database.sql").read_bytes()
    assert sum(segment["length"] for segment in said["segments"]) == len(script)
    rows = {segment["table"]: segment for segment in said["segments"] if segment.get("schema") == "public"}
    assert list(rows) == ["a", "b"]
    start = rows["a"]["offset"] + rows["a"]["rows_start"]
    assert script[start : start + rows["a"]["rows_length"]] == b"1\n2\n"
    assert (rows["a"]["rows"], rows["a"]["columns"]) == (2, ["n"])


def test_the_rows_of_every_table_are_told_as_they_come_in(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source, target = cluster_factory(), cluster_factory()
    few_locks(target)
    tables = "".join(f"CREATE TABLE public.t{n} AS SELECT generate_series(1, {n}) AS id;" for n in range(1, 110))
    large = "CREATE TABLE public.large AS SELECT repeat('x', 999) AS x FROM generate_series(1, 9000)"
    run(source, tables, "CREATE TABLE public.empty (id int)", large)
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    heard: list[Event] = []
    with project_of(target, DEFAULT_MAJOR) as project:
        steps = steps_of(saved, project, DatabasePart(jobs=2, listener=heard.append))
        assert len(steps) == 4
        for step in steps:
            assert list(step.apply(lambda _: None)) == []
    (total,) = (event.total for event in heard if isinstance(event, Expected))
    moved = [event for event in heard if isinstance(event, TableMoved)]
    assert sum(event.done for event in moved) == total
    assert len([event for event in moved if event.table == "public.large"]) > 1
    counted = {event.table: event.rows for event in heard if isinstance(event, TableEnded)}
    assert counted == {f"public.t{n}": n for n in range(1, 110)} | {"public.large": 9000, "public.empty": 0}
    assert {event.stage for event in moved} == {steps[1].title}


def test_what_moves_rows_of_a_foreign_table_reaches_out(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source, target = cluster_factory(), cluster_factory()
    with owner(source) as connection:
        connection.execute(
            """
            CREATE EXTENSION postgres_fdw SCHEMA extensions;
            CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'example.invalid');
            CREATE SCHEMA far; CREATE TABLE public.orders (id int);
            CREATE FOREIGN TABLE far.sent (id int) SERVER away; CREATE FOREIGN TABLE far.orders (id int) SERVER away;
            CREATE TABLE public.t (id int); CREATE TABLE public.sent_too (id int);
            CREATE RULE copied AS ON INSERT TO public.t DO ALSO INSERT INTO far.orders VALUES (NEW.id);
            CREATE RULE kept AS ON UPDATE TO public.t DO ALSO INSERT INTO public.orders VALUES (NEW.id);
            """
        )
        for name, statement in {
            "writes": "INSERT INTO far.sent VALUES (NEW.id)",
            "writes_short": "UPDATE\n  sent SET id = 1",
            "reads": 'PERFORM 1 FROM "far" . orders',
            "reads_here": "PERFORM 1 FROM orders JOIN public.orders o USING (id)",
            "writes_here": "INSERT INTO sent_too VALUES (1)",
        }.items():
            connection.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN {statement}; RETURN NEW; END $$; "
                f"CREATE TRIGGER {name} AFTER DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION {name}()".encode()
            )
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    done = psql(target, DEFAULT_MAJOR, saved.script)
    assert (done.returncode, done.stderr) == (0, "")
    with superuser(target) as connection:
        asleep = connection.execute("SELECT name FROM _supapy.quiesced").fetchall()
    assert {name for (name,) in asleep} == {
        "rule copied on public.t",
        "trigger writes on public.t",
        "trigger writes_short on public.t",
        "trigger reads on public.t",
    }
