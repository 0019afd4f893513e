"""A database with everything that a dump is known to lose or bend, saved and brought back as postgres, two ways:
by psql alone, and by the part itself. Whether it's equal is asked of the part, and of PostgreSQL's own programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from tests.fidelity import oracle
from tests.fidelity.saved import Saved, differences, moment_of, project_of, psql, save, steps_of
from tests.projects import ClusterFactory, few_locks, superuser

from supapy.model import Difference, Problem, Proof
from supapy.parts.database.inventory.contents import Contents
from supapy.parts.database.part import DatabasePart
from supapy.project.mark import Mark, under_way
from supapy.sandbox.cluster import Cluster

HERE = Path(__file__).parent
ANY_RESTORE = Mark("backup_20261122_071500", "source", "digest", {})
PAIRS = ((15, 15), (17, 17), (15, 17))

# How many tables the sources make, and how many things with names of their own; 17 knows kinds that 15 doesn't.
MADE = {15: (67, 120), 17: (69, 123)}
# What stands in no archive, since a parent, a range or a view brings it along.
PIECES_COMMENTED = 7
# What can't be brought back, each named at the backup.
OMITTED = {
    "table mine in schema auth",
    "function my_claim() in schema auth",
    "view on_lost in schema public",
    "view on_on_lost in schema public",
    "owner supabase_admin of table old_owner in schema public",
    "trigger users disabled_one in schema auth",
    "operator family family in schema app",
    "function in_c() in schema app",
    "setting app.custom of role app_login",
    # Of the time when postgres was a superuser.
    'cast CAST (bigint AS "point")',  # In the words of pg_dump, to which postgres quotes all names.
    "text search template tmpl in schema app",
    "function leaky(integer) in schema app",
    "attribute SUPERUSER of role app_super",
    "membership of supabase_auth_admin in app_reader",
    "membership of app_reader in pg_read_server_files",
    "membership of app_login in supabase_storage_admin",
    "SET on parameter log_statement to app_reader",
    "policy custom_oauth_providers not_listed in schema auth",
    "INSERT to app_reader on TABLE auth.users",
    "INSERT (id) to authenticated on TABLE auth.identities",
    # Of the time when it could alter the platform's tables; and what stands on that.
    "column nickname of table auth.users",
    "constraint nickname_short of table auth.users",
    "index users_by_nickname of table auth.users",
    "statistics of_users of table auth.users",
    "rule quiet of table auth.sessions",
    "index objects_by_owner of table storage.objects",
    "view nicknames in schema app",
    "policy users own_nickname in schema auth",
    "index app.orders_by_total, which is invalid",
    "function as_auth() in schema app",
    "view of_auth in schema app",
    "policy orders closed in schema app",
    "policy objects closed in schema storage",
    "owner supabase_auth_admin of function harmless() in schema app",
}
# The same, as a dump of the source has it and one of the target hasn't, or has otherwise.
CHANGED_ENTRIES = {
    ("TABLE", "auth", "mine"),
    ("CONSTRAINT", "auth", "mine mine_pkey"),
    ("FUNCTION", "auth", "my_claim()"),
    ("VIEW", "public", "on_lost"),
    ("VIEW", "public", "on_on_lost"),
    ("TABLE", "public", "old_owner"),
    ("TRIGGER", "auth", "users disabled_one"),
    ("COMMENT", "auth", "TRIGGER disabled_one ON users"),
    ("OPERATOR FAMILY", "app", "family"),
    ("FUNCTION", "app", "in_c()"),
    ("CAST", "", "CAST (bigint AS point)"),
    ("TEXT SEARCH TEMPLATE", "app", "tmpl"),
    ("FUNCTION", "app", "leaky(integer)"),
    ("POLICY", "auth", "custom_oauth_providers not_listed"),
    ("TABLE", "auth", "users"),
    ("INDEX", "auth", "users_by_nickname"),
    ("STATISTICS", "app", "of_users"),
    ("RULE", "auth", "sessions quiet"),
    ("INDEX", "storage", "objects_by_owner"),
    ("VIEW", "app", "nicknames"),
    ("POLICY", "auth", "users own_nickname"),
    ("FUNCTION", "app", "as_auth()"),
    ("VIEW", "app", "of_auth"),
    ("POLICY", "app", "orders closed"),
    ("POLICY", "storage", "objects closed"),
    ("FUNCTION", "app", "harmless()"),
    # Its rows pointed to nothing already.
    ("FK CONSTRAINT", "vals", "owned_by owned_by_id_fkey"),
    # The secret of the source, and nothing else: see below.
    ("DATABASE PROPERTIES", "", "postgres"),
}
CHANGED_OBJECTS = {
    "table auth.mine",
    "function auth.my_claim()",
    "view public.on_lost",
    "view public.on_on_lost",
    "table public.old_owner",
    "function app.in_c()",
    "function app.leaky(integer)",
    "view app.nicknames",
    "function app.as_auth()",
    "view app.of_auth",
    "type app.of_auth",
    "function app.harmless()",
    "type app.nicknames",
    "type auth.mine",
    "type public.old_owner",
    "type public.on_lost",
    "type public.on_on_lost",
}
# What the platform's roles had granted: postgres grants it where it may, and the rest is named.
REGRANTED = {
    "table auth.users": {
        "supabase_auth_admin app_reader SELECT false",
        "postgres app_reader SELECT false",
        "supabase_auth_admin app_reader INSERT false",
    },
    "column id of table auth.identities": {
        "supabase_auth_admin authenticated SELECT false",
        "postgres authenticated SELECT false",
        "supabase_auth_admin authenticated INSERT false",
    },
}
# Statements of a dump of roles that are of the source or of the target only, each named at the backup.
CHANGED_ROLES = {
    "ALTER ROLE app_login SET \"app.custom\" TO 'a=b, ''c''';",
    "ALTER ROLE app_super WITH SUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS;",
    "ALTER ROLE app_super WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS;",
    "GRANT SET ON PARAMETER log_statement TO app_reader;",
}
CHANGED_GRANTS = (
    "GRANT app_reader TO supabase_auth_admin",
    "GRANT pg_read_server_files TO app_reader",
    "GRANT supabase_storage_admin TO app_login",
    # Who makes a role becomes its member, from 16 on.
    "GRANT app_super TO postgres",
)
LOST_VALUES = 'column nickname of "auth"."users"'
ORPHANS = "fk constraint owned_by owned_by_id_fkey in schema vals"
ORPHANS_DIFFERENCE = "table vals.owned_by: constraint owned_by_id_fkey"
# 17 builds an index and fills a view without the usual search path; functions that need it worked on 15 only.
NOT_ON_17 = ["index rated_by in schema vals", "materialized view rated_count in schema vals"]
NOT_ON_17_DIFFERENCES = ["index vals.rated_by", "materialized view vals.rated_count"]


@dataclass
class Trip:
    """A source, what was saved of it, and three targets: one filled by psql, one by the part at once, one by the part
    in many transactions, several at a time."""

    source: Cluster
    source_major: int
    saved: Saved
    by_psql: Cluster
    by_part: Cluster
    in_pieces: Cluster
    target_major: int
    problems: list[Problem]
    problems_in_pieces: list[Problem]
    warnings: str

    @property
    def upgrades(self) -> bool:
        return self.source_major < 17 <= self.target_major


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]}to{pair[1]}")
def trip(
    request: pytest.FixtureRequest, server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trip]:
    source_major, target_major = request.param
    with ExitStack() as cleanup:
        clusters = ClusterFactory(server_folder, cleanup)
        source = clusters(source_major)
        by_psql, by_part, in_pieces = (clusters(target_major) for _ in range(3))
        few_locks(in_pieces)
        for name in ("people", "rows", "objects", "platform"):
            done = psql(source, source_major, HERE / f"{name}.sql", admin=name == "platform")
            assert done.returncode == 0, done.stderr
        if source_major != target_major:
            with superuser(source) as connection:
                # Not every build of a server has the libraries for them.
                connection.execute('DROP EXTENSION IF EXISTS "uuid-ossp"; DROP COLLATION IF EXISTS app.ignoring')
        saved = save(source, source_major, tmp_path_factory.mktemp("saved"))
        done = psql(by_psql, target_major, saved.script)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        problems = {}
        for name, target in (("part", by_part), ("pieces", in_pieces)):
            assert psql(target, target_major, HERE / "people.sql").returncode == 0
            with project_of(target, target_major) as project, under_way(project, ANY_RESTORE):
                steps = steps_of(saved, project, DatabasePart(jobs=3))
                assert len(steps) == (1 if name == "part" else 4)
                problems[name] = [one for step in steps for one in step.apply(lambda _: None)]
        yield Trip(
            *(source, source_major, saved, by_psql, by_part, in_pieces, target_major),
            *(problems["part"], problems["pieces"], done.stderr),
        )


@pytest.fixture(params=["by_psql", "by_part", "in_pieces"])
def target(request: pytest.FixtureRequest, trip: Trip) -> Cluster:
    found: Cluster = getattr(trip, request.param)
    return found


def test_what_cannot_come_back_is_named_once_at_the_backup(trip: Trip) -> None:
    assert sorted(omission.name for omission in trip.saved.omissions) == sorted(OMITTED)
    assert trip.saved.problems == []


def test_only_what_the_target_refuses_is_a_problem_of_the_restore(trip: Trip) -> None:
    expected = sorted([ORPHANS, *(NOT_ON_17 if trip.upgrades else [])])
    assert sorted(problem.name for problem in trip.problems) == expected
    assert sorted(problem.name for problem in trip.problems_in_pieces) == expected
    # The rows of users are in the script as well.
    assert trip.warnings.count("WARNING") == len(expected) + 1
    assert all(name in trip.warnings for name in [*expected, LOST_VALUES])


def test_the_part_finds_the_restored_database_equal(trip: Trip, target: Cluster) -> None:
    with moment_of(target, trip.target_major) as moment:
        findings = list(DatabasePart().compare(trip.saved, moment))
    assert [one.name for one in findings if isinstance(one, Difference)] == [
        ORPHANS_DIFFERENCE,
        *(NOT_ON_17_DIFFERENCES if trip.upgrades else []),
    ]
    proofs = {one.sort: one.count for one in findings if isinstance(one, Proof)}
    assert proofs["tables"] == MADE[trip.source_major][0]
    assert proofs["policies"] == 8
    assert proofs["grants"] > 500
    assert proofs["rows"] > 150


def test_the_part_finds_the_source_itself_equal(trip: Trip) -> None:
    assert differences(trip.saved, trip.source, trip.source_major) == []


def test_pg_dump_finds_the_schemas_equal(trip: Trip, target: Cluster, tmp_path: Path) -> None:
    major = max(trip.source_major, trip.target_major)
    before, after = oracle.schema(trip.source, major, tmp_path), oracle.schema(target, major, tmp_path)
    if trip.source_major != trip.target_major:
        before, after = oracle.without_qualifiers(before), oracle.without_qualifiers(after)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if trip.source_major != trip.target_major:
        changed = {key for key in changed if "uuid-ossp" not in key[2]} - {("INDEX", "vals", "rated_by")}
    assert {key: (before.get(key), after.get(key)) for key in changed - CHANGED_ENTRIES} == {}
    settings, restored = (
        set(state["DATABASE PROPERTIES", "", "postgres"][1].splitlines()) for state in (before, after)
    )
    assert settings ^ restored == {"ALTER DATABASE postgres SET \"app.settings.jwt_secret\" TO 'the source''s';"}


def test_every_comment_is_what_it_was(trip: Trip, target: Cluster) -> None:
    before, after = oracle.comments(trip.source), oracle.comments(target)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed == {"trigger disabled_one on table auth.users"}
    assert len([text for text in after.values() if text == "of a piece"]) == PIECES_COMMENTED


def test_every_privilege_is_what_it_was(trip: Trip, target: Cluster) -> None:
    before, after = oracle.privileges(trip.source), oracle.privileges(target)
    if trip.upgrades:
        # The owner's right to maintain is new: nobody else may have it.
        for key, privileges in after.items():
            maintaining = {privilege for privilege in privileges if " MAINTAIN " in privilege}
            privileges -= maintaining
            if not any(where in key for where in ("auth.", "storage.", "realtime.", "extensions.", "of supabase_")):
                assert all(len(set(privilege.split(" ")[:2])) == 1 for privilege in maintaining), key
    common = before.keys() & after.keys()
    changed = {key: before[key] ^ after[key] for key in common if before[key] != after[key]}
    assert {key: value for key, value in changed.items() if key not in CHANGED_OBJECTS} == REGRANTED
    if trip.source_major == trip.target_major:
        assert before.keys() - after.keys() <= CHANGED_OBJECTS
        assert after.keys() <= before.keys()


def test_whom_a_policy_kept_out_that_cannot_come_back_stays_out(trip: Trip, target: Cluster) -> None:
    query = """SELECT tablename, permissive, cmd, roles::text[], qual, with_check FROM pg_policies
        WHERE policyname = 'closed' ORDER BY 1"""
    with superuser(target) as connection:
        assert connection.execute(query).fetchall() == [
            ("objects", "RESTRICTIVE", "INSERT", ["public"], None, "false"),
            ("orders", "RESTRICTIVE", "SELECT", ["app_reader", "authenticated"], "false", None),
        ]


def test_roles_memberships_settings_and_passwords_are_what_they_were(trip: Trip, target: Cluster) -> None:
    major = max(trip.source_major, trip.target_major)
    before, after = oracle.roles(trip.source, major), oracle.roles(target, major)
    if trip.source_major != trip.target_major:
        # Who makes a role becomes its member from 16 on, and grants name more options.
        membership = re.compile("GRANT (?!SET ON PARAMETER)")
        before, after = ({line for line in lines if not membership.match(line)} for lines in (before, after))
    users = ("app_", "Odd Role", "nested_group", " anon ", " authenticated ")
    before, after = ({line for line in lines if any(name in line for name in users)} for lines in (before, after))
    assert {line for line in before ^ after if not line.startswith(CHANGED_GRANTS)} == CHANGED_ROLES


def test_every_row_object_and_sequence_is_what_it_was(trip: Trip, target: Cluster) -> None:
    before, after = oracle.rows(trip.source), oracle.rows(target)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    # Which leaf a row of an enum's hash lies in hangs on oids; the rows of the whole are compared as well.
    leaves = {("vals", f"hashed_{n}") for n in range(3)}
    bookkeeping = {("auth", "schema_migrations"), ("storage", "migrations"), ("realtime", "schema_migrations")}
    unfilled = {("vals", "rated_count")} if trip.upgrades else set()
    assert changed - leaves - bookkeeping - unfilled == {("auth", "mine"), ("auth", "users")}
    assert len(before) > 50


def test_nobody_is_a_member_of_more_roles_after_a_restore(trip: Trip, target: Cluster) -> None:
    query = """
        SELECT m.roleid::regrole::text, m.member::regrole::text FROM pg_auth_members m
        WHERE NOT (m.admin_option AND m.member = 'postgres'::regrole) AND m.roleid::regrole::text !~ '^pg_'"""
    with superuser(trip.source) as before, superuser(target) as after:
        assert set(after.execute(query).fetchall()) <= set(before.execute(query).fetchall())


def test_the_script_refuses_a_project_that_holds_something(trip: Trip) -> None:
    done = psql(trip.by_psql, trip.target_major, trip.saved.script)
    assert done.returncode == 3
    assert "this project is not empty" in done.stderr


def test_the_part_names_what_stands_in_the_way(trip: Trip) -> None:
    made = MADE[trip.source_major][1]
    with moment_of(trip.by_psql, trip.target_major) as moment:
        obstacles = list(DatabasePart().obstacles(trip.saved, moment))
    assert [(one.final, one.text.partition(" (")[0]) for one in obstacles] == [
        (False, f"{made} tables, functions and other objects"),
        (True, f"{made} objects of the backup exist there already"),
        (True, "rows in supabase_migrations.schema_migrations"),
    ]


def test_every_statement_of_the_schema_is_found_by_the_table_of_contents(trip: Trip) -> None:
    contents, script = Contents.of(trip.saved), trip.saved.script.read_bytes()
    texts = {one.id: script[one.offset : one.offset + one.length].decode() for one in contents.statements}
    assert len(texts) == len(contents.statements) > 200
    for one in contents.statements:
        assert texts[one.id].startswith(f"\n-- {' '.join(f'{one.kind.lower()} {one.name}'.split())}")
        assert texts[one.id].rstrip().endswith(";")
        assert set(one.needs) <= texts.keys()
    # Between them stand only headings and settings.
    ends = sorted((one.offset, one.offset + one.length) for one in contents.statements)
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))
    tables = {(one.kind, one.schema, one.name): one.table for one in contents.statements}
    assert tables["TRIGGER", "auth", "users on_auth_user"] == ("auth", "users")
    for kind, name in (
        ("ROW SECURITY", "orders"),
        ("POLICY", "orders no_anon"),
        ("INDEX", "orders_lower"),
        ("COMMENT", "INDEX orders_lower"),
        ("FK CONSTRAINT", "orders orders_customer_fkey"),
        ("PUBLICATION TABLE", "supabase_realtime orders"),
    ):
        assert tables[kind, "app", name] == ("app", "orders")
    assert tables["SEQUENCE OWNED BY", "app", "theirs_id_seq"] == ("app", "theirs")
    assert tables["TABLE", "app", "orders"] is None


def test_passwords_stand_in_no_digest_or_difference(trip: Trip) -> None:
    contents = (trip.saved.folder / "database.toc.json").read_text()
    assert "p='q" not in contents
    assert "SCRAM" not in contents
