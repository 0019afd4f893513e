"""What can't come back as it was is named at the backup, and then it is no difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fidelity.alive import extended
from tests.fidelity.saved import Saved, differences, loaded, moment_of, project_of, psql, save
from tests.projects import DEFAULT_MAJOR, MAJORS, ClusterFactory, owner, run, superuser

from supapy.errors import SqlError
from supapy.journal import Journal
from supapy.model import Omission
from supapy.parts.database.part import DatabasePart
from supapy.project.patterns import Patterns
from supapy.sandbox.cluster import Cluster
from supapy.store.memory import MemoryStore


def planned(saved: Saved, target: Cluster, part: DatabasePart) -> list[Omission]:
    with project_of(target, DEFAULT_MAJOR) as project:
        loaded = list(part.load(saved, project, Journal(MemoryStore(), project.ref)))
    return [one for one in loaded if isinstance(one, Omission)]


def comes_back_but_for_these_rows(saved: Saved, target: Cluster, major: int) -> None:
    """A restore ends at the rows of table `named`; without them it brings back all else."""
    with pytest.raises(SqlError, match="psql stopped: relation"):
        loaded(saved, target, major)
    assert loaded(saved, target, major, DatabasePart(patterns=Patterns(without_rows=("named",)))) == []


def test_an_older_version_of_an_extension_is_told_at_the_backup_and_in_the_plan(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target, ready = cluster_factory(), cluster_factory(), cluster_factory()
    with superuser(source) as connection:
        connection.execute(
            "CREATE EXTENSION hstore SCHEMA extensions VERSION '1.7'; CREATE TABLE t (h extensions.hstore)"
        )
        connection.execute("ALTER TABLE t OWNER TO postgres")
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    name = "version 1.7 of extension hstore"
    assert [one.name for one in saved.omissions] == [name]
    for part in (DatabasePart(), DatabasePart(patterns=Patterns(tables=("t",)))):
        (told,) = planned(saved, target, part)
        assert (told.name, "that is 1.8 there" in told.remedy) == (name, True)
    assert psql(target, DEFAULT_MAJOR, saved.script).returncode == 0
    assert differences(saved, target) == []
    with superuser(ready) as connection:
        connection.execute("CREATE EXTENSION hstore SCHEMA extensions VERSION '1.7'")
    assert planned(saved, ready, DatabasePart()) == []
    # As versions before this one wrote it.
    toc = tmp_path / "database.toc.json"
    said = json.loads(toc.read_text())
    del said["inventory"]["extensions"]["extension hstore"]["version"]
    toc.write_text(json.dumps(said))
    assert (planned(saved, target, DatabasePart()), differences(saved, target)) == ([], [])


def test_the_order_of_an_heirs_columns_is_told_at_the_backup_and_no_difference_after(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(
        source,
        "CREATE TABLE elder (a int, b int); CREATE TABLE heir (own int, b int, a int)",
        "ALTER TABLE heir INHERIT elder; INSERT INTO heir (own, a, b) VALUES (1, 2, 3)",
        'CREATE TABLE "Grand heir" (last int) INHERITS (heir); ALTER TABLE elder ADD late int',
        "CREATE TABLE plain (more int) INHERITS (elder)",
        "CREATE TABLE gone (x int, y int); CREATE TABLE of_gone (y int, z int, x int)",
        "ALTER TABLE of_gone INHERIT gone; ALTER TABLE gone DROP y",
        "CREATE TABLE parted (n int, m int) PARTITION BY LIST (n); CREATE TABLE part (m int, n int)",
        "ALTER TABLE parted ATTACH PARTITION part FOR VALUES IN (1)",
    )
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    assert [one.name for one in saved.omissions] == [
        'order of the columns of table public."Grand heir"',
        "order of the columns of table public.heir",
        "order of the columns of table public.of_gone",
    ]
    assert psql(target, DEFAULT_MAJOR, saved.script).returncode == 0
    assert differences(saved, target) == []
    assert differences(saved, source) == []
    with superuser(target) as connection:
        assert connection.execute("SELECT * FROM heir").fetchall() == [(2, 3, None, 1)]
    run(target, "ALTER TABLE plain DROP more; ALTER TABLE plain ADD first int; ALTER TABLE plain ADD more int")
    assert [one.name for one in differences(saved, target)] == [
        "table public.plain: column first",
        "table public.plain: column more",
    ]


def test_columns_that_hold_rows_of_such_an_heir_are_problems(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source = cluster_factory()
    run(
        source,
        "CREATE TABLE elder (a int, b int); CREATE TABLE heir (own int, b int, a int); ALTER TABLE heir INHERIT elder",
        "CREATE TABLE straight () INHERITS (elder); CREATE DOMAIN whole AS heir",
        "CREATE TABLE holder (one heir, many heir[], named whole, fine straight, number int)",
        "INSERT INTO holder (one) VALUES ((1, 2, 3))",
    )
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    assert [one.name for one in saved.problems] == [
        "column many of table public.holder",
        "column named of table public.holder",
        "column one of table public.holder",
    ]


@pytest.mark.parametrize("major", MAJORS)
def test_rows_that_name_what_is_made_after_them_are_told_with_a_way_around(
    cluster_factory: ClusterFactory, tmp_path: Path, major: int
) -> None:
    source, target = cluster_factory(major), cluster_factory(major)
    run(
        source,
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
        "CREATE TABLE kept (a regclass, b regproc, c regtype, d oid, e regclass[], g regrole)",
        "CREATE MATERIALIZED VIEW mat AS SELECT 1 AS n",
        "INSERT INTO kept VALUES ('kept', 'f', 'kept', 1, '{mat,kept}', 'anon'), (0, 0, 0, 0, NULL, 0)",
        "INSERT INTO kept (a) VALUES (4000000000), (NULL)",
        'CREATE TABLE named (a regclass, b regproc, c regtype, d regprocedure, e regclass[], "F" regclass)',
        'CREATE TABLE keyed (id int PRIMARY KEY, n int); CREATE INDEX "by\\\nn" ON keyed (n)',
        # They stand on the key, and so come after the rows.
        "CREATE MATERIALIZED VIEW grouped AS SELECT id, n FROM keyed GROUP BY id",
        "CREATE FUNCTION late() RETURNS int BEGIN ATOMIC SELECT n FROM keyed GROUP BY id; END",
        "INSERT INTO named VALUES ('\"by\\\nn\"', 'pg_catalog.now', 'grouped', 'late()', "
        "'{{keyed,keyed_pkey},{grouped,NULL}}', 'keyed')",
    )
    if major < 17:
        # Planning a query on it looks into a function that only the usual search path finds.
        run(
            source,
            "CREATE FUNCTION calling(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT f($1)'",
            "CREATE INDEX ON named (calling(1))",
        )
    with superuser(source) as connection:
        connection.execute("UPDATE named SET b = (SELECT min(oid) FROM pg_proc WHERE proname = 'count')")
    saved = save(source, major, tmp_path)
    assert {one.name for one in saved.problems} == {'rows of "public"."named"'}
    assert [one.reason.partition(" names ")[0] for one in saved.problems] == [f'column "{name}"' for name in "abcde"]
    shown = [one.reason.partition("(")[2].partition(")")[0] for one in saved.problems]
    assert shown == [
        'public."by\\ n"',
        "pg_catalog.count",
        "public.grouped",
        "public.late(",
        "public.grouped, public.keyed_pkey",
    ]
    comes_back_but_for_these_rows(saved, target, major)
    with superuser(target) as connection:
        assert connection.execute("SELECT count(*), count(e) FROM kept").fetchone() == (4, 1)
        assert connection.execute("SELECT count(*) FROM named").fetchone() == (0,)


@pytest.mark.parametrize("major", MAJORS)
def test_such_names_are_found_within_domains_composites_and_arrays(
    cluster_factory: ClusterFactory, tmp_path: Path, major: int
) -> None:
    source, target = cluster_factory(major), cluster_factory(major)
    run(
        source,
        "CREATE DOMAIN place AS regclass; CREATE DOMAIN places AS place[] CHECK (cardinality(VALUE) > 0)",
        'CREATE TYPE pair AS (n int, "What" place, calls regprocedure[]); CREATE DOMAIN pairs AS pair[]',
        "CREATE TYPE outer_pair AS (note text, inside pair, many pairs, at regtype)",
        "CREATE TABLE fine (a place, b places, c pair, d pairs, e outer_pair)",
        "CREATE FUNCTION f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        """INSERT INTO fine VALUES ('fine', '{fine,fine}', (1, 'fine', '{"f(int,text)",NULL}'), '[3:3]={"(,fine,)"}',
            ('a, "b" (c)', (2, NULL, '{"f(int,text)"}'), ARRAY[(3, 'fine', '{"f(int,text)"}')::pair], 'fine')),
            (0, NULL, NULL, NULL, NULL)""",
        'CREATE TABLE keyed (id int PRIMARY KEY); CREATE INDEX "by ""id"", \\ of {(all)}" ON keyed (id)',
        "CREATE TABLE named (LIKE fine); INSERT INTO named TABLE fine",
        "INSERT INTO named (a, b) VALUES ('keyed_pkey', ARRAY['fine', 'keyed_pkey'])",
    )
    with owner(source) as connection:
        # As their types' own text has it, whatever it must be quoted with.
        odd = ('by "id", \\ of {(all)}',)
        place = "(SELECT oid::regclass::place FROM pg_class WHERE relname = %s)"
        connection.execute(f"INSERT INTO named (c) VALUES ((1, {place}, '{{}}'))", odd)
        connection.execute(f"INSERT INTO named (d) VALUES (ARRAY[(1, {place}, NULL)::pair]::pairs)", odd)
        connection.execute(f"INSERT INTO named (e) VALUES ((NULL, NULL, ARRAY[(1, {place}, NULL)::pair], 0))", odd)
    saved = save(source, major, tmp_path)
    assert [(one.name, one.reason.partition(" names ")[0]) for one in saved.problems] == [
        ('rows of "public"."named"', f'column "{name}"') for name in "abcde"
    ]
    shown = [one.reason.partition(" of its name (")[2].partition("): a restore")[0] for one in saved.problems]
    assert shown == ["public.keyed_pkey"] * 2 + ['public."by ""id"", \\ of {(all)}"'] * 3
    comes_back_but_for_these_rows(saved, target, major)
    with superuser(target) as connection:
        assert connection.execute("SELECT count(*), count(e) FROM fine").fetchone() == (2, 1)


def test_security_labels_are_named_and_end_no_restore(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(
        source,
        "CREATE TABLE labelled (id int, secret text); CREATE ROLE labelled_role; CREATE SCHEMA labelled_schema",
        "SELECT lo_create(77)",
    )
    with superuser(source) as connection:
        # No server here has a provider, which alone may make them; those of old hosted projects have pgsodium.
        connection.execute("SET allow_system_table_mods = on")
        for catalog, thing, column in (
            ("pg_class", "'labelled'::regclass", 0),
            ("pg_class", "'labelled'::regclass", 2),
            ("pg_class", "'auth.users'::regclass", 0),
            ("pg_namespace", "'labelled_schema'::regnamespace", 0),
            ("pg_namespace", "'public'::regnamespace", 0),
            ("pg_largeobject", "77", 0),
        ):
            connection.execute(
                f"INSERT INTO pg_seclabel VALUES ({thing}, '{catalog}'::regclass, {column}, 'pgsodium', 'KEY')".encode()
            )
        for catalog, thing in (
            ("pg_authid", "'labelled_role'::regrole"),
            ("pg_database", "(SELECT oid FROM pg_database WHERE datname = current_database())"),
        ):
            connection.execute(
                f"INSERT INTO pg_shseclabel VALUES ({thing}, '{catalog}'::regclass, 'pgsodium', 'KEY')".encode()
            )
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    assert sorted(one.name for one in saved.omissions) == [
        "security label SCHEMA labelled_schema",
        "security label SCHEMA public",
        "security label TABLE labelled in schema public",
        "security label of large object 77",
        "security label of role labelled_role",
        "security label of the database",
    ]
    done = psql(target, DEFAULT_MAJOR, saved.script)
    assert (done.returncode, done.stderr) == (0, "")
    assert differences(saved, target) == []


def test_what_stands_on_an_extension_of_new_projects_is_told_to_a_target_that_has_it_no_more(
    server_folder: Path, cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    target, (one, other) = cluster_factory(), (tmp_path / "one", tmp_path / "other")
    one.mkdir()
    other.mkdir()
    with extended(server_folder, [DEFAULT_MAJOR]) as (source,):
        with superuser(source) as connection:
            connection.execute("DROP EXTENSION pg_net CASCADE; CREATE EXTENSION pg_graphql; CREATE SCHEMA pgsodium")
            connection.execute("CREATE EXTENSION pgsodium; GRANT USAGE ON SCHEMA pgsodium TO postgres")
            connection.execute("GRANT SELECT, INSERT ON pgsodium.key TO postgres")
        run(source, """COMMENT ON SCHEMA public IS '@graphql({"inflect_names": true})'""", "CREATE TABLE t (id int)")
        without = save(source, DEFAULT_MAJOR, one)
        run(
            source,
            "CREATE TABLE sealed (key uuid DEFAULT (pgsodium.create_key()).id)",
            "INSERT INTO sealed DEFAULT VALUES",
        )
        run(source, "CREATE VIEW asks AS SELECT graphql.resolve('x')")
        saved = save(source, DEFAULT_MAJOR, other)
    assert without.omissions == []
    assert [omission.name for omission in saved.omissions] == ["keys of extension pgsodium"]
    with moment_of(target, DEFAULT_MAJOR) as moment:
        assert list(DatabasePart().obstacles(without, moment)) == []
        assert [(found.final, found.text) for found in DatabasePart().obstacles(saved, moment)] == [
            (True, "it has no extension pg_graphql, which is needed by public.asks"),
            (True, "it has no extension pgsodium, which is needed by public.sealed"),
        ]
    assert [one.name for one in planned(without, target, DatabasePart())] == [
        f"extension {name}" for name in ("pg_graphql", "pgsodium", "supabase_vault")
    ]
    done = psql(target, DEFAULT_MAJOR, without.script)
    assert (done.returncode, done.stderr.count("this project has none of that name")) == (0, 3)
    assert "WARNING" not in done.stderr
    assert differences(without, target) == []
