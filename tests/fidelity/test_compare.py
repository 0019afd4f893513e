"""The comparison sees every kind of change: one is made to the source itself, compared, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fidelity.saved import Saved, project_of, psql, save
from tests.projects import DEFAULT_MAJOR, ClusterFactory, superuser

from supapy.model import Difference
from supapy.parts.database.part import DatabasePart
from supapy.project.moment import Moment
from supapy.project.postgres import connect
from supapy.sandbox.cluster import Cluster

HERE = Path(__file__).parent

CHANGES: dict[str, tuple[str, ...]] = {
    "DROP TABLE vals.no_key": (
        "table vals.no_key",
        "table vals.no_key: column a",
        "table vals.no_key: column b",
        "grants on TABLE vals.no_key",
    ),
    "ALTER TABLE app.logbook ALTER what SET NOT NULL": ("table app.logbook: column what",),
    "ALTER TABLE app.logbook ADD extra int": ("table app.logbook: column extra",),
    "ALTER TABLE app.logbook ALTER at SET DEFAULT '2000-01-01'": ("table app.logbook: column at",),
    "ALTER TABLE app.customers ALTER email SET STATISTICS 7": ("table app.customers: column email",),
    "ALTER TABLE app.orders RESET (fillfactor)": ("table app.orders",),
    "ALTER TABLE app.customers DISABLE ROW LEVEL SECURITY": ("table app.customers",),
    "ALTER TABLE vals.ranged DETACH PARTITION vals.ranged_old": (
        "table vals.ranged_old",
        *(f"table vals.ranged_old: column {name}" for name in ("at", "id", "payload")),
        "index vals.ranged_old_at_id_idx",
        # The partition's own copy of its parent's trigger goes with it.
        "comment on trigger t_partition on table vals.ranged_old",
    ),
    "ALTER TABLE app.orders DROP CONSTRAINT orders_total_check": (
        "table app.orders: constraint orders_total_check",
        "comment on constraint orders_total_check on table app.orders",
    ),
    "ALTER TABLE vals.lax DROP CONSTRAINT lax_points": ("table vals.lax: constraint lax_points",),
    "DROP INDEX app.orders_by_total": ("index app.orders_by_total",),
    "CREATE INDEX added ON app.logbook (what)": ("index app.added",),
    "CREATE OR REPLACE FUNCTION app.added(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE RETURN a - b": (
        "function app.added(integer,integer)",
    ),
    "ALTER FUNCTION app.crlf() SECURITY DEFINER": ("function app.crlf()",),
    "ALTER TABLE app.orders DISABLE TRIGGER t_row": ("trigger t_row on app.orders",),
    "DROP TRIGGER on_auth_user ON auth.users": ("trigger on_auth_user on auth.users",),
    "ALTER POLICY own_rows ON app.customers TO authenticated": ("policy own_rows on app.customers",),
    "ALTER POLICY own_rows ON app.customers USING (true)": ("policy own_rows on app.customers",),
    "DROP POLICY topic_read ON realtime.messages": ("policy topic_read on realtime.messages",),
    "CREATE OR REPLACE VIEW app.with_default AS SELECT * FROM app.orders WHERE id > 0": ("view app.with_default",),
    "ALTER VIEW app.plain_view SET (security_invoker = false)": ("view app.plain_view",),
    "REFRESH MATERIALIZED VIEW app.mat WITH NO DATA": ("materialized view app.mat",),
    "DROP RULE note_delete ON app.orders": (
        "rule note_delete on app.orders",
        "comment on rule note_delete on table app.orders",
    ),
    "COMMENT ON CONSTRAINT has_at ON DOMAIN app.email IS NULL": ("comment on constraint has_at of type app.email",),
    "ALTER ROLE authenticated SET statement_timeout = '8s'": ("setting statement_timeout of role authenticated",),
    "ALTER SEQUENCE vals.used INCREMENT 2": ("sequence vals.used",),
    "GRANT SELECT ON app.orders TO anon": ("grants on TABLE app.orders",),
    "GRANT INSERT (what) ON app.logbook TO anon": ("grants on TABLE app.logbook",),
    "GRANT EXECUTE ON FUNCTION app.body_keeper TO anon": ("grants on ROUTINE app.body_keeper(integer,text,text[])",),
    "REVOKE GRANT OPTION FOR SELECT ON app.theirs FROM app_reader CASCADE": ("grants on TABLE app.theirs",),
    "GRANT USAGE ON SCHEMA app TO anon": ("grants on SCHEMA app",),
    "REVOKE SELECT ON LARGE OBJECT 70001 FROM app_reader": ("grants on LARGE OBJECT 70001",),
    "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT SELECT ON TABLES TO anon": (
        "default privileges of postgres in schema public on tables",
    ),
    "ALTER TABLE app.for_service OWNER TO app_reader": ("table app.for_service", "grants on TABLE app.for_service"),
    "ALTER TYPE app.shade ADD VALUE 'medium' BEFORE 'dark'": ("type app.shade",),
    "ALTER DOMAIN app.email DROP CONSTRAINT has_at": (
        "type app.email: constraint has_at",
        "comment on constraint has_at of type app.email",
    ),
    "ALTER PUBLICATION changes DROP TABLE app.customers": ("publication changes",),
    "ALTER PUBLICATION supabase_realtime SET (publish = 'insert')": ("publication supabase_realtime",),
    "DROP EXTENSION unaccent": ("extension unaccent",),
    "ALTER SERVER \"far away\" OPTIONS (SET host 'elsewhere.invalid')": ('server "far away"',),
    "ALTER USER MAPPING FOR postgres SERVER \"far away\" OPTIONS (SET password 'x')": ('server "far away"',),
    "DROP CAST (app.money_pair AS app.shade)": (
        "cast from app.money_pair to app.shade",
        "comment on cast from app.money_pair to app.shade",
    ),
    "ALTER TEXT SEARCH DICTIONARY app.plain_dict (stopwords)": ("text search dictionary app.plain_dict",),
    "ALTER STATISTICS app.order_stats SET STATISTICS 9": ("statistics app.order_stats",),
    "ALTER ROLE app_login CONNECTION LIMIT 3": ("role app_login",),
    "ALTER ROLE app_login PASSWORD 'other'": ("role app_login",),
    "GRANT app_owner TO app_login": ("membership of app_login in app_owner",),
    "ALTER ROLE anon SET statement_timeout = '9s'": ("setting statement_timeout of role anon",),
    "COMMENT ON DATABASE postgres IS 'other'": ("the database",),
    "COMMENT ON COLUMN app.orders.total IS 'other'": ("comment on column total of table app.orders",),
    "SELECT lo_put(70001, 0, '\\x99')": ("large object 70001",),
    "UPDATE vals.no_key SET a = 2": ('rows of "vals"."no_key"',),
    "DELETE FROM vals.generated WHERE id = 5": ('rows of "vals"."generated"',),
    "INSERT INTO vals.zero DEFAULT VALUES": ('rows of "vals"."zero"',),
    "UPDATE vals.hashed SET id = 100 WHERE id = 1 AND m = 'meh'": ('rows of "vals"."hashed"',),
    "UPDATE vals.every_type SET f = 'NaN' WHERE f = '-0'": ('rows of "vals"."every_type"',),
    "UPDATE supabase_migrations.schema_migrations SET name = 'x'": (
        'rows of "supabase_migrations"."schema_migrations"',
    ),
}
# What belongs to the platform or to nobody.
NO_CHANGES = (
    "CREATE TABLE auth.newer (a int)",
    "GRANT CREATE ON DATABASE postgres TO supabase_etl_admin",
    "ALTER ROLE supabase_admin SET work_mem = '5MB'",
    "CREATE TEMPORARY TABLE passing (a int)",
    "UPDATE auth.users SET email = 'x@example.com'",
    "ANALYZE app.orders",
)


@pytest.fixture(scope="module")
def source(server_folder: Path) -> Iterator[Cluster]:
    with ExitStack() as cleanup:
        cluster = ClusterFactory(server_folder, cleanup)(DEFAULT_MAJOR)
        for name in ("people", "rows", "objects"):
            done = psql(cluster, DEFAULT_MAJOR, HERE / f"{name}.sql")
            assert done.returncode == 0, done.stderr
        with superuser(cluster) as connection:
            # What is published can't be updated without a key.
            connection.execute("DROP PUBLICATION everything, whole_schema")
        yield cluster


@pytest.fixture(scope="module")
def saved(source: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save(source, DEFAULT_MAJOR, tmp_path_factory.mktemp("saved"))


@contextmanager
def changed(source: Cluster, statement: str) -> Iterator[Moment]:
    """A moment in which the statement was carried out, by the superuser; it ends without a trace."""
    with project_of(source, DEFAULT_MAJOR) as project, connect(source.admin_dsn) as session:
        session.execute("BEGIN")
        session.execute(statement)
        yield Moment(project, session, None, datetime.now(UTC))


def differences(saved: Saved, moment: Moment) -> list[str]:
    return [one.name for one in DatabasePart().compare(saved, moment) if isinstance(one, Difference)]


@pytest.mark.parametrize("statement", CHANGES)
def test_a_change_is_found_and_nothing_else(source: Cluster, saved: Saved, statement: str) -> None:
    with changed(source, statement) as moment:
        assert sorted(differences(saved, moment)) == sorted(CHANGES[statement])


def test_a_sequence_that_moved_is_found(source: Cluster, saved: Saved) -> None:
    # Its state is part of no transaction, so this one is taken back by hand.
    try:
        with changed(source, "SELECT setval('vals.odd', -99, true)") as moment:
            assert differences(saved, moment) == ['sequence "vals"."odd": value']
    finally:
        with superuser(source) as connection:
            connection.execute("SELECT setval('vals.odd', -99, false)")


def test_what_the_target_has_besides_is_extra_with_its_grants(source: Cluster, saved: Saved) -> None:
    strange = (
        'CREATE TABLE public."Its Own" (a int)',
        "CREATE FUNCTION public.own(\"A b\" int, text[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA own_schema",
        "CREATE TYPE public.own_kind AS ENUM ('x')",
        "CREATE VIEW public.own_view AS SELECT 1 AS one",
    )
    with changed(source, f"SET LOCAL ROLE postgres; {'; '.join(strange)}; RESET ROLE") as moment:
        found = [one for one in DatabasePart().compare(saved, moment) if isinstance(one, Difference)]
    assert [one.name for one in found if one.kind != "extra"] == []
    assert {'grants on TABLE public."Its Own"', "grants on ROUTINE public.own(integer,text[])"} <= {
        one.name for one in found
    }


@pytest.mark.parametrize("statement", NO_CHANGES)
def test_what_is_not_the_users_makes_no_difference(source: Cluster, saved: Saved, statement: str) -> None:
    with changed(source, statement) as moment:
        assert differences(saved, moment) == []


def test_no_row_or_secret_is_quoted(source: Cluster, saved: Saved) -> None:
    secret = "UPDATE vals.no_key SET b = 'row-secret'; ALTER ROLE app_login PASSWORD 'pass-secret'"
    with changed(source, secret) as moment:
        told = str(list(DatabasePart().compare(saved, moment)))
    assert "row-secret" not in told
    assert "SCRAM" not in told
