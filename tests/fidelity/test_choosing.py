"""Some tables of a database saved, and some tables of a backup brought back: by the part, and by psql alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.fidelity import oracle
from tests.fidelity.saved import Saved, differences, loaded, moment_of, project_of, psql, save, steps_of
from tests.projects import MAJORS, ClusterFactory, asked, run, tools

from supapy.errors import SupapyError, UsageError
from supapy.model import Proof
from supapy.parts.base import Obstacle
from supapy.parts.database.inventory.contents import Contents
from supapy.parts.database.part import DatabasePart
from supapy.parts.database.sql.archive import read_toc
from supapy.project.patterns import Patterns, match, user_relations
from supapy.project.postgres import environment
from supapy.sandbox.cluster import Cluster

HERE = Path(__file__).parent
RELATIONS = {"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "SEQUENCE"}
ORDERS = Patterns(tables=("shop.orders",))


@dataclass
class Shop:
    """The source, a backup of all of it, and what makes targets."""

    source: Cluster
    major: int
    whole: Saved
    clusters: ClusterFactory


@pytest.fixture(scope="module", params=MAJORS)
def shop(
    request: pytest.FixtureRequest, server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    with ExitStack() as cleanup:
        clusters = ClusterFactory(server_folder, cleanup)
        source = clusters(request.param)
        done = psql(source, request.param, HERE / "choosing.sql")
        assert done.returncode == 0, done.stderr
        whole = save(source, request.param, tmp_path_factory.mktemp("whole"))
        yield Shop(source, request.param, whole, clusters)


def obstacles(part: DatabasePart, saved: Saved, cluster: Cluster, major: int) -> list[Obstacle]:
    with moment_of(cluster, major) as moment:
        return [one for one in part.obstacles(saved, moment) if one.final]


@pytest.mark.parametrize(
    "pattern",
    [
        *("shop.orders", "SHOP.Orders", "shop.*", "sho?.o*", "*.orders", '"My Schema".*', '"My Schema".orders'),
        *("notes", "note?", '"Mixed Case"', "mixed*", "shop.(orders|customers)", "shop.[c-o]*", 'shop."[c-o]*"'),
        *("orders", "shop.numbers", "shop.open", "shop.totals", "shop.x[]", "log.e*|log.c*", "shop.n$"),
    ],
)
def test_patterns_mean_what_they_mean_to_pg_dump(shop: Shop, pattern: str, tmp_path: Path) -> None:
    found, archive = tools(shop.major), tmp_path / "archive"
    done = subprocess.run(
        [found.path("pg_dump"), "-Fc", "-s", "--strict-names", "-t", pattern, "-f", archive],
        env={**found.environment, **environment(shop.source.dsn)},
        capture_output=True,
    )
    with moment_of(shop.source, shop.major) as moment:
        relations = user_relations(moment)
        if done.returncode:
            with pytest.raises(UsageError, match=r"no table of that name|too many dots"):
                match(moment, Patterns(tables=(pattern,)), relations)
            return
        keys = match(moment, Patterns(tables=(pattern,)), relations).tables
    # pg_dump takes the sequences of a table along when it dumps it; here that is no matter of patterns.
    theirs = {(e.schema, e.name) for e in read_toc(archive.read_bytes()) if e.kind in RELATIONS}
    ours = {(one.schema, one.name) for one in relations if one.key in keys}
    assert {name for name in theirs ^ ours if "_seq" not in name[1]} == set()


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        (Patterns(tables=("shop.order",)), "--table shop.order"),
        (Patterns(schemas=("sho",)), "--schema sho"),
        (Patterns(excluded=("shop.(",)), r"--exclude-table shop\.\("),
        (Patterns(without_rows=("a.b.c",)), "--exclude-table-data a.b.c: too many dots"),
        (Patterns(tables=("auth.users",)), "--table auth.users"),
    ],
)
def test_a_pattern_that_fits_nothing_is_named(shop: Shop, patterns: Patterns, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        save(shop.source, shop.major, tmp_path, DatabasePart(patterns=patterns))
    with pytest.raises(UsageError, match=said):
        obstacles(DatabasePart(patterns=patterns), shop.whole, shop.source, shop.major)
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_saved_with_what_it_needs_and_its_script_runs_by_itself(shop: Shop, tmp_path: Path) -> None:
    part, target = DatabasePart(patterns=ORDERS), shop.clusters(shop.major)
    before = run(target, "SELECT defaclrole::regrole::text, defaclacl::text FROM pg_default_acl ORDER BY 1, 2")
    saved = save(shop.source, shop.major, tmp_path, part)
    assert [one.name for one in saved.omissions] == [
        "all of the database but --table shop.orders and what that needs: schema shop, type state in schema shop, "
        "function double(integer) in schema shop and 2 more",
        "what functions called by checks and generated columns of table orders in schema shop may read",
        "fk constraint orders orders_customer_fkey in schema shop",
        "policy orders own in schema shop",
    ]
    done = psql(target, shop.major, saved.script)
    assert (done.returncode, done.stderr) == (0, "")
    assert differences(saved, target, shop.major) == []
    assert differences(saved, shop.source, shop.major) == []
    made = {key[1:] for key in oracle.schema(target, shop.major, tmp_path) if key[1] == "shop" or "shop" in key[2]}
    assert {("shop", "orders"), ("shop", "numbers"), ("shop", "state"), ("shop", "orders stamps")} <= made
    assert ("shop", "orders clerks") in made
    assert not any("customers" in name or "own" in name.split() for _, name in made)
    after, source = oracle.privileges(target), oracle.privileges(shop.source)
    for thing in ("table shop.orders", "column id of table shop.orders", "sequence shop.numbers", "schema shop"):
        assert after[thing] == source[thing]
    # What the target grants by itself on new tables is its own matter.
    again = run(target, "SELECT defaclrole::regrole::text, defaclacl::text FROM pg_default_acl ORDER BY 1, 2")
    assert again == before
    roles = {name for (name,) in run(target, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'app%%'")}
    assert roles == {"app_clerk", "app_reader"}
    assert run(target, "SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]


def test_a_schema_is_saved_with_what_it_needs(shop: Shop, tmp_path: Path) -> None:
    part, target = DatabasePart(patterns=Patterns(schemas=("shop",))), shop.clusters(shop.major)
    saved = save(shop.source, shop.major, tmp_path, part)
    done = psql(target, shop.major, saved.script)
    assert (done.returncode, done.stderr) == (0, "")
    assert differences(saved, target, shop.major) == []
    before, after = oracle.rows(shop.source), oracle.rows(target)
    tables = {key for key in after if key[0] in ("shop", "log", "public", "My Schema")}
    assert tables == {key for key in before if key[0] == "shop"}
    assert {key: after[key] for key in tables} == {key: before[key] for key in tables}
    assert {one.table["table"] for one in Contents.of(saved).row_segments} >= {"prices_old", "prices_new", "orders"}


def test_a_schema_without_tables_is_one_as_well(shop: Shop, tmp_path: Path) -> None:
    part = DatabasePart(patterns=Patterns(schemas=("tool?",)))
    by_script, picked = shop.clusters(shop.major), shop.clusters(shop.major)
    saved = save(shop.source, shop.major, tmp_path, part)
    assert psql(by_script, shop.major, saved.script).returncode == 0
    with project_of(picked, shop.major) as project:
        (step,) = steps_of(shop.whole, project, part)
        assert "function tools.half(integer)" in step.title
        assert list(step.apply(lambda _: None)) == []
    for target in (by_script, picked):
        assert run(target, "SELECT tools.half(8), 1 OPERATOR(tools.===) 1") == [(4, True)]
    assert differences(shop.whole, picked, shop.major, part) == []


def test_what_indexes_and_views_need_comes_along(shop: Shop) -> None:
    part, target = DatabasePart(patterns=Patterns(tables=("log.words", "log.same"))), shop.clusters(shop.major)
    run(target, "CREATE ROLE app_reader")
    assert loaded(shop.whole, target, shop.major, part) == []
    assert differences(shop.whole, target, shop.major, part) == []
    assert run(target, "SELECT same FROM log.same") == [(True,)]


def test_what_is_excluded_takes_along_what_stands_on_it(shop: Shop, tmp_path: Path) -> None:
    patterns = Patterns(excluded=("log.events", "shop.prices"), without_rows=("public.notes",))
    part, target = DatabasePart(patterns=patterns), shop.clusters(shop.major)
    saved = save(shop.source, shop.major, tmp_path, part)
    assert [one.name for one in saved.omissions] == [
        "log.events, shop.prices, shop.prices_new and 1 more (--exclude-table log.events --exclude-table shop.prices)",
        "rows of public.notes (--exclude-table-data public.notes)",
        "what functions called by checks and generated columns of table orders in schema shop may read",
        "view seen in schema log",
    ]
    done = psql(target, shop.major, saved.script)
    assert (done.returncode, done.stderr) == (0, "")
    assert differences(saved, target, shop.major) == []
    assert differences(saved, shop.source, shop.major) == []
    before, after = oracle.rows(shop.source), oracle.rows(target)
    assert after["public", "notes"][0] == 0
    gone = {("log", "events"), ("shop", "prices"), ("shop", "prices_old"), ("shop", "prices_new")}
    assert gone & after.keys() == set()
    assert after["shop", "totals"] == before["shop", "totals"]


def test_some_tables_of_a_whole_backup_come_back_with_their_pieces(shop: Shop, tmp_path: Path) -> None:
    part, target = DatabasePart(patterns=ORDERS), shop.clusters(shop.major)
    asked(target, "CREATE ROLE app_clerk", "CREATE ROLE app_reader", "GRANT app_clerk TO postgres WITH ADMIN OPTION")
    assert obstacles(part, shop.whole, target, shop.major) == []
    problems = loaded(shop.whole, target, shop.major, part)
    assert sorted(problem.name for problem in problems) == [
        "fk constraint shop.orders orders_customer_fkey",
        "policy shop.orders own",
    ]
    assert [one.name for one in differences(shop.whole, target, shop.major, part)] == [
        "table shop.orders: constraint orders_customer_fkey",
        "policy own on shop.orders",
    ]
    before, after = oracle.rows(shop.source), oracle.rows(target)
    assert after["shop", "orders"] == before["shop", "orders"]
    assert {key for key in after if key[0] in ("shop", "log", "public", "My Schema")} == {("shop", "orders")}
    source, privileges = oracle.privileges(shop.source), oracle.privileges(target)
    for thing in ("table shop.orders", "column id of table shop.orders"):
        assert privileges[thing] == source[thing]
    # Once it is there it stands in the way.
    assert "exist there already" in obstacles(part, shop.whole, target, shop.major)[0].text


def test_a_table_that_was_dropped_comes_back_where_it_was(shop: Shop, tmp_path: Path) -> None:
    target = shop.clusters(shop.major)
    assert psql(target, shop.major, shop.whole.script).returncode == 0
    before, schema = oracle.rows(target), oracle.schema(target, shop.major, tmp_path)
    run(target, 'ALTER TABLE "My Schema".orders DROP CONSTRAINT orders_of_fkey')
    run(target, "DROP VIEW shop.open", "DROP MATERIALIZED VIEW shop.totals", "DROP TABLE shop.orders")
    part = DatabasePart(patterns=Patterns(tables=("shop.orders", "shop.open", "shop.totals")))
    assert obstacles(part, shop.whole, target, shop.major) == []
    assert loaded(shop.whole, target, shop.major, part) == []
    assert differences(shop.whole, target, shop.major, part) == []
    assert oracle.rows(target) == before
    again = oracle.schema(target, shop.major, tmp_path)
    assert {key for key in schema.keys() | again.keys() if schema.get(key) != again.get(key)} == {
        ("FK CONSTRAINT", "My Schema", "orders orders_of_fkey")
    }


def test_a_view_whose_table_is_not_there_is_refused(shop: Shop) -> None:
    found = obstacles(DatabasePart(patterns=Patterns(tables=("shop.open",))), shop.whole, shop.clusters(shop.major), 17)
    assert [one.text for one in found] == ["it lacks table shop.orders, which shop.open needs"]


def test_all_but_some_of_a_whole_backup_comes_back(shop: Shop) -> None:
    patterns = Patterns(excluded=("shop.prices", "log.events"), without_rows=("public.notes",))
    part, target = DatabasePart(patterns=patterns), shop.clusters(shop.major)
    problems = loaded(shop.whole, target, shop.major, part)
    assert [problem.name for problem in problems] == ["view log.seen"]
    assert differences(shop.whole, target, shop.major, part) == []
    after = oracle.rows(target)
    assert ("shop", "prices_old") not in after
    assert after["public", "notes"][0] == 0
    assert after["large object", 4711] == oracle.rows(shop.source)["large object", 4711]


def test_copies_beside_hold_the_saved_rows_and_are_nobody_elses(shop: Shop) -> None:
    patterns = Patterns(schemas=("shop",))
    part, source = DatabasePart(patterns=patterns, into_schema="look"), shop.source
    before = oracle.rows(source)
    try:
        assert obstacles(part, shop.whole, source, shop.major) == []
        assert loaded(shop.whole, source, shop.major, part) == []
        assert differences(shop.whole, source, shop.major, part) == []
        with moment_of(source, shop.major) as moment:
            proofs = {one.sort: one.count for one in part.compare(shop.whole, moment) if isinstance(one, Proof)}
        assert proofs == {"tables": 5, "rows": 7}
        after = oracle.rows(source)
        assert after["look", "customers"] == before["shop", "customers"]
        assert run(source, "SELECT count(*) FROM look.prices") == [(3,)]
        assert run(
            source, "SELECT attname FROM pg_attribute WHERE attrelid = 'look.orders'::regclass AND attnum > 0"
        ) == [(name,) for name in ("id", "customer", "state", "changed", "owner")]
        grants = """SELECT relname FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) x
            WHERE relnamespace = 'look'::regnamespace AND x.grantee <> relowner"""
        assert run(source, grants) == []
        assert {key: row for key, row in after.items() if key[0] != "look"} == before
        assert "has a schema look already" in obstacles(part, shop.whole, source, shop.major)[0].text
        run(source, "UPDATE look.customers SET mail = 'other'  WHERE id = 1")
        assert [one.name for one in differences(shop.whole, source, shop.major, part)] == ['rows of "look"."customers"']
    finally:
        run(source, "DROP SCHEMA IF EXISTS look CASCADE")


def test_copies_that_would_meet_or_lack_a_type_are_refused(shop: Shop) -> None:
    twice = DatabasePart(patterns=Patterns(tables=("*.orders",)), into_schema="look")
    assert "tables of one name would meet" in obstacles(twice, shop.whole, shop.source, shop.major)[0].text
    orders = DatabasePart(patterns=ORDERS, into_schema="look")
    found = obstacles(orders, shop.whole, shop.clusters(shop.major), shop.major)
    assert [one.text for one in found] == ["it lacks types of the columns: shop.state"]
    with pytest.raises(UsageError, match="that schema is taken"):
        DatabasePart(into_schema="auth")


def test_a_backup_without_the_index_of_statements_says_so_where_it_is_needed(shop: Shop, tmp_path: Path) -> None:
    for file in shop.whole.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    toc = tmp_path / "database.toc.json"
    toc.write_text(toc.read_text().replace('"statements": [', '"other": [', 1))
    old = Saved(tmp_path)
    assert obstacles(DatabasePart(), old, shop.clusters(shop.major), shop.major) == []
    with pytest.raises(SupapyError, match="doesn't say where each statement") as raised:
        obstacles(DatabasePart(patterns=ORDERS), old, shop.source, shop.major)
    assert raised.value.exit_code == 50
