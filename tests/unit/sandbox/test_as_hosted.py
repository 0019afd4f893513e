"""What `postgres` may and may not do, and what its statements leave behind: as on a hosted project (F§4, F§6)."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from tests.projects import MAJORS, ClusterFactory, owner, superuser, tools

from supapy.sandbox.cluster import Cluster


@pytest.fixture(scope="module", params=MAJORS)
def shared(request: pytest.FixtureRequest, module_clusters: ClusterFactory) -> Cluster:
    return module_clusters(request.param)


@pytest.fixture
def db(shared: Cluster) -> Iterator[psycopg.Connection]:
    """A connection as postgres whose changes are undone after the test."""
    with psycopg.connect(shared.dsn.reveal()) as connection:
        yield connection
        connection.rollback()


def one(db: psycopg.Connection, query: str) -> Any:
    row = db.execute(query).fetchone()
    assert row is not None
    return row[0]


def assert_refused(db: psycopg.Connection, statement: str, message: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match=message), db.transaction():
        db.execute(statement)


BUCKET = "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')"
OBJECT = "INSERT INTO storage.objects (bucket_id, name, updated_at) VALUES ('b', 'a/b.txt', '2020-01-01Z')"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("INSERT INTO auth.schema_migrations VALUES ('9')", "permission denied for table schema_migrations"),
        ("INSERT INTO storage.migrations VALUES (99, 'x', 'y')", "permission denied for table migrations"),
        ("INSERT INTO storage.buckets_vectors (id) VALUES ('v')", "permission denied for table buckets_vectors"),
        ("ALTER TABLE auth.users ADD custom int", "must be owner of table users"),
        ("ALTER TABLE storage.objects DISABLE ROW LEVEL SECURITY", "must be owner of table objects"),
        ("ALTER TABLE auth.users DISABLE TRIGGER ALL", "must be owner of table users|permission denied"),
        ("CREATE INDEX ON storage.objects (owner)", "must be owner of table objects"),
        ("CREATE TABLE auth.mine ()", "permission denied for schema auth"),
        ("CREATE FUNCTION storage.mine() RETURNS int LANGUAGE sql RETURN 1", "permission denied for schema storage"),
        ("CREATE TABLE realtime.mine ()", "permission denied for schema realtime"),
        ("CREATE TABLE vault.mine ()", "permission denied for schema vault"),
        ("TRUNCATE auth.refresh_tokens RESTART IDENTITY", "must be owner of sequence refresh_tokens_id_seq"),
        ("COMMENT ON TABLE auth.users IS 'x'", "must be owner of table users"),
        ("COMMENT ON FUNCTION auth.uid() IS 'x'", "must be owner of function"),
        ("COMMENT ON SCHEMA storage IS 'x'", "must be owner of schema storage"),
        ("COMMENT ON INDEX storage.bname IS 'comment on policy'", "must be owner of table buckets"),
        ("COMMENT ON TYPE auth.aal_level IS 'comment on policy'", "must be owner of type"),
        ("COMMENT ON CONSTRAINT users_pkey ON auth.users IS 'comment on policy'", "must be owner of table users"),
        ("COMMENT ON TRIGGER protect_objects_delete ON storage.objects IS 'x'", "must be owner of relation objects"),
        ("ALTER TRIGGER protect_objects_delete ON storage.objects RENAME TO x", "must be owner of table objects"),
        ("CREATE POLICY p ON storage.migrations USING (true)", "must be owner of table migrations"),
        ("CREATE POLICY p ON storage.vector_indexes USING (true)", "must be owner of table vector_indexes"),
        ("SET ROLE supabase_storage_admin", "permission denied to set role"),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin REVOKE ALL ON TABLES FROM anon", "permission|member"),
        ("CREATE EXTENSION file_fdw", "permission denied to create extension"),
        ("ALTER ROLE postgres SUPERUSER", "permission denied|must be superuser"),
        ("SELECT pg_read_file('/etc/passwd')", "permission denied for function pg_read_file"),
    ],
)
def test_postgres_is_refused(db: psycopg.Connection, statement: str, message: str) -> None:
    assert_refused(db, statement, message)


def test_rows_of_storage_are_not_deleted_by_accident(db: psycopg.Connection) -> None:
    db.execute(BUCKET)
    db.execute(OBJECT)
    for table in ("objects", "buckets"):
        assert_refused(db, f"DELETE FROM storage.{table}", "Direct deletion from storage tables is not allowed")
    db.execute("SET LOCAL storage.allow_delete_query = 'true'")
    assert db.execute("DELETE FROM storage.objects").rowcount == 1
    db.execute("RESET storage.allow_delete_query")
    db.execute("SET LOCAL session_replication_role = replica")
    assert db.execute("DELETE FROM storage.buckets").rowcount == 1


def test_an_update_of_an_object_overwrites_its_time_except_in_replica_mode(db: psycopg.Connection) -> None:
    db.execute(BUCKET)
    db.execute(OBJECT)
    overwritten = "SELECT updated_at = now() FROM storage.objects"
    assert not one(db, overwritten)
    db.execute("SET LOCAL session_replication_role = replica")
    db.execute("UPDATE storage.objects SET version = '1'")
    assert not one(db, overwritten)
    db.execute("SET LOCAL session_replication_role = origin")
    db.execute("UPDATE storage.objects SET version = '2'")
    assert one(db, overwritten)


def test_an_object_knows_the_steps_of_its_path(db: psycopg.Connection) -> None:
    db.execute(BUCKET)
    db.execute(OBJECT)
    assert one(db, "SELECT path_tokens FROM storage.objects") == ["a", "b.txt"]
    functions = (
        "SELECT storage.foldername('x/y/z.tar.gz'), storage.filename('x/y/z.tar.gz'), storage.extension('x/y/z.tar.gz')"
    )
    assert db.execute(functions).fetchone() == (["x", "y"], "z.tar.gz", "gz")


def test_a_bucket_name_of_more_than_100_letters_is_refused(db: psycopg.Connection) -> None:
    with pytest.raises(errors.RaiseException, match="too long"):
        db.execute("INSERT INTO storage.buckets (id, name) VALUES ('b', repeat('x', 101))")


def test_floats_are_rounded_unless_a_reader_asks_for_more(db: psycopg.Connection) -> None:
    def copied() -> bytes:
        with db.cursor().copy("COPY (SELECT 0.1::float8 + 0.2::float8) TO STDOUT") as copy:
            return b"".join(bytes(piece) for piece in copy)

    assert copied() == b"0.3\n"
    db.execute("SET LOCAL extra_float_digits = 3")
    assert copied() == b"0.30000000000000004\n"


def test_a_statement_may_take_two_minutes_and_the_schema_named_as_the_user_is_not_looked_in(
    db: psycopg.Connection,
) -> None:
    assert one(db, "SHOW statement_timeout") == "2min"
    assert one(db, "SHOW search_path") == '"\\$user", public, extensions'
    assert one(db, "SHOW wal_level") == "logical"


def test_postgres_may_set_for_roles_what_the_platform_lets_it(db: psycopg.Connection) -> None:
    db.execute("ALTER ROLE authenticator SET pgrst.db_schemas = 'public, api'")
    db.execute("ALTER ROLE postgres SET log_min_duration_statement = '1s'")
    assert_refused(db, "ALTER ROLE authenticator SET app.anything = 'x'", "permission denied to set parameter")


def test_what_postgres_makes_in_public_is_everybodys_at_once(db: psycopg.Connection) -> None:
    db.execute("CREATE TABLE public.t (); CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1")
    for role in ("anon", "authenticated", "service_role"):
        assert one(db, f"SELECT has_table_privilege('{role}', 'public.t', 'SELECT, DELETE')")
        assert one(db, f"SELECT has_function_privilege('{role}', 'public.f()', 'EXECUTE')")


def test_replica_mode_lets_in_rows_that_refer_to_nobody(db: psycopg.Connection) -> None:
    db.execute("SET LOCAL session_replication_role = replica")
    db.execute("INSERT INTO auth.sessions (id, user_id) VALUES (gen_random_uuid(), gen_random_uuid())")
    assert one(db, "SELECT count(*) FROM auth.sessions") == 1


def test_only_newer_servers_let_postgres_make_roles_that_bypass_row_security(
    db: psycopg.Connection, shared: Cluster
) -> None:
    if one(db, "SELECT current_setting('server_version_num')::int") >= 160000:
        db.execute("CREATE ROLE r BYPASSRLS")
    else:
        assert_refused(db, "CREATE ROLE r BYPASSRLS", "must be superuser")


@pytest.mark.parametrize("mode", ["origin", "replica"])
def test_postgres_makes_changes_and_drops_policies_on_managed_tables(db: psycopg.Connection, mode: str) -> None:
    db.execute(f"SET LOCAL session_replication_role = {mode}")
    for table in ("storage.objects", "storage.buckets", "auth.users", "realtime.messages"):
        db.execute(f"CREATE POLICY p ON {table} FOR SELECT TO anon USING (true)")
        db.execute(f"ALTER POLICY p ON {table} RENAME TO q")
        db.execute(f"COMMENT ON POLICY q ON {table} IS 'mine'")
        db.execute(f"DROP POLICY q ON {table}")


def test_postgres_makes_and_drops_triggers_on_managed_tables(db: psycopg.Connection) -> None:
    db.execute("CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'")
    for table in ("auth.users", "storage.objects"):
        db.execute(f"CREATE TRIGGER t AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.f()")
        db.execute(f"DROP TRIGGER t ON {table}")


def test_postgres_publishes_any_table_and_all_tables(db: psycopg.Connection) -> None:
    db.execute("CREATE TABLE public.t (id int PRIMARY KEY)")
    db.execute("ALTER PUBLICATION supabase_realtime ADD TABLE public.t")
    db.execute("CREATE PUBLICATION users FOR TABLE auth.users")
    db.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    assert one(db, "SELECT count(*) FROM pg_publication WHERE pubowner = 'postgres'::regrole") == 3


def test_postgres_creates_extensions_that_plain_servers_leave_to_superusers(db: psycopg.Connection) -> None:
    db.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw WITH SCHEMA extensions")
    db.execute("CREATE EXTENSION hstore")
    db.execute("CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw")
    assert not one(db, "SELECT rolsuper FROM pg_roles WHERE rolname = 'postgres'")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE POLICY p ON storage.objects USING (true)",
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "CREATE EXTENSION postgres_fdw",
        "COMMENT ON SCHEMA extensions IS 'x'",
        "CREATE POLICY p ON storage.objects USING (no_such_column)",
        "CREATE EXTENSION postgres_fdw SCHEMA no_such_schema",
    ],
)
def test_what_a_statement_was_lent_is_gone_when_it_ends(shared: Cluster, statement: str) -> None:
    state = (
        "SELECT rolsuper, pg_has_role(oid, 'supabase_storage_admin', 'MEMBER') FROM pg_roles WHERE rolname = 'postgres'"
    )
    with psycopg.connect(shared.dsn.reveal()) as db:
        db.execute("SELECT 1")  # so that the statement stands in a transaction block that goes on after it
        with contextlib.suppress(psycopg.Error), db.transaction():
            db.execute(statement)
        assert db.execute(state).fetchone() == (False, False)
        assert_refused(db, "ALTER TABLE storage.objects ADD x int", "must be owner")
        db.rollback()
    with psycopg.connect(shared.dsn.reveal(), autocommit=True) as db:
        assert db.execute(state).fetchone() == (False, False)


def test_sessions_that_need_a_loan_at_the_same_time_all_get_it(cluster: Cluster) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with owner(cluster) as connection:
                for turn in range(10):
                    connection.execute(f"CREATE POLICY p{number}_{turn} ON storage.objects USING (true)")
                    connection.execute(f"CREATE PUBLICATION p{number}_{turn} FOR TABLE auth.users")
        except psycopg.Error as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    with owner(cluster) as connection:
        assert (
            one(connection, "SELECT count(*) FROM pg_policy")
            == one(connection, "SELECT count(*) - 1 FROM pg_publication")
            == 40
        )


def test_a_role_that_postgres_becomes_is_lent_nothing(db: psycopg.Connection) -> None:
    db.execute("SET LOCAL ROLE authenticated")
    assert_refused(db, "CREATE POLICY p ON storage.objects USING (true)", "must be owner of table objects")


def test_row_security_hides_buckets_from_the_api_roles_but_not_from_the_service(db: psycopg.Connection) -> None:
    db.execute(BUCKET)
    seen = {}
    for role in ("anon", "authenticated", "service_role"):
        db.execute(f"SET LOCAL ROLE {role}")
        seen[role] = one(db, "SELECT count(*) FROM storage.buckets")
        db.execute("RESET ROLE")
    assert seen == {"anon": 0, "authenticated": 0, "service_role": 1}


def test_the_roles_are_those_of_a_hosted_project(db: psycopg.Connection) -> None:
    rows = db.execute(
        "SELECT rolname, rolsuper, rolcanlogin, rolinherit, rolcreaterole, rolbypassrls FROM pg_roles"
        " WHERE rolname IN ('postgres', 'anon', 'service_role', 'authenticator', 'supabase_auth_admin')"
    ).fetchall()
    assert {row[0]: row[1:] for row in rows} == {
        "postgres": (False, True, True, True, True),
        "anon": (False, False, True, False, False),
        "service_role": (False, False, True, False, True),
        "authenticator": (False, True, False, False, False),
        "supabase_auth_admin": (False, True, False, False, False),
    }


def test_managed_tables_belong_to_their_servers(db: psycopg.Connection) -> None:
    owners = db.execute(
        "SELECT relnamespace::regnamespace::text, array_agg(DISTINCT relowner::regrole::text) FROM pg_class"
        " WHERE relnamespace::regnamespace::text IN ('auth', 'storage') GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert owners == [("auth", ["supabase_auth_admin"]), ("storage", ["supabase_storage_admin"])]


def test_a_user_with_the_claims_of_a_request_is_known_to_policies(db: psycopg.Connection) -> None:
    claims = '{"sub": "6ff4b9cb-6a3d-4a9e-8f2c-6a1d2b3c4d5e", "role": "authenticated", "email": "a@b.c"}'
    db.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
    assert db.execute("SELECT auth.uid()::text, auth.role(), auth.email(), auth.jwt() ->> 'sub'").fetchone() == (
        "6ff4b9cb-6a3d-4a9e-8f2c-6a1d2b3c4d5e",
        "authenticated",
        "a@b.c",
        "6ff4b9cb-6a3d-4a9e-8f2c-6a1d2b3c4d5e",
    )


def test_the_functions_of_uuid_ossp_answer_as_everywhere(db: psycopg.Connection) -> None:
    name = "http://ü.example/x"
    row = db.execute(
        "SELECT extensions.uuid_generate_v3(extensions.uuid_ns_url(), %s),"
        " extensions.uuid_generate_v5(extensions.uuid_ns_dns(), %s),"
        " extensions.uuid_generate_v1(), extensions.uuid_generate_v1mc(), extensions.uuid_generate_v4()",
        [name, name],
    ).fetchone()
    assert row is not None
    assert row[:2] == (uuid.uuid3(uuid.NAMESPACE_URL, name), uuid.uuid5(uuid.NAMESPACE_DNS, name))
    assert [(made.version, made.variant) for made in row[2:]] == [(1, uuid.RFC_4122)] * 2 + [(4, uuid.RFC_4122)]
    assert row[2].time <= row[3].time <= uuid.uuid1().time


def test_postgres_can_dump_the_whole_project_and_sees_nothing_of_the_stand_in(shared: Cluster) -> None:
    parts = conninfo_to_dict(shared.dsn.reveal())
    with owner(shared) as connection:
        major = one(connection, "SELECT current_setting('server_version_num')::int / 10000")
    pg = tools(major)
    dump = subprocess.run(
        [pg.path("pg_dump"), "-h", "127.0.0.1", "-p", str(parts["port"]), "-U", "postgres", "postgres"],
        capture_output=True,
        text=True,
        env={**pg.environment, "PGPASSWORD": str(parts["password"])},
    )
    assert dump.returncode == 0, dump.stderr
    assert "CREATE TABLE auth.users" in dump.stdout
    assert "FUNCTION pg_catalog.sandbox" not in dump.stdout.replace("EXECUTE FUNCTION", "")


def test_the_superuser_is_not_hindered_by_the_stand_in(shared: Cluster) -> None:
    with superuser(shared) as connection, connection.transaction(force_rollback=True):
        connection.execute("CREATE POLICY p ON storage.migrations USING (true)")
        connection.execute("COMMENT ON TABLE storage.objects IS 'x'")
