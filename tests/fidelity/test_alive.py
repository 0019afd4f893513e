"""What acts by itself comes back whole and asleep: jobs, webhooks, queues, secrets of the vault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.extensions import STANDINS, has_cron
from tests.fidelity.alive import ASLEEP_JOBS, ASLEEP_TRIGGERS, extended, fill
from tests.fidelity.saved import Saved, differences, loaded, moment_of, project_of, psql, save
from tests.projects import MAJORS, asked, owner, superuser

from supapy.activate import activate
from supapy.model import Difference, Proof
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.parts.database.part import DatabasePart
from supapy.parts.database.platform.vault import read_sealed, vault_sql
from supapy.parts.database.sql.statements import copied_rows
from supapy.sandbox.cluster import Cluster

pytestmark = pytest.mark.parametrize("source", MAJORS, indirect=True)
TRIGGERS = """
SELECT tgrelid::regclass::text, tgname, tgenabled, pg_get_triggerdef(oid), obj_description(oid, 'pg_trigger')
FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text !~ '^storage' ORDER BY 1, 2
"""
RULES = """
SELECT ev_class::regclass::text, rulename, ev_enabled, pg_get_ruledef(oid), obj_description(oid, 'pg_rewrite')
FROM pg_rewrite WHERE rulename <> '_RETURN' AND oid >= 16384 ORDER BY 1, 2
"""
VIEWS = "SELECT relname::text, relispopulated FROM pg_class WHERE relkind = 'm' ORDER BY relname COLLATE \"C\""
# As the dashboard sets up a queue that is reached over the API.
GUARDED = """
CREATE EXTENSION pgmq;
SELECT pgmq.create('mail'), pgmq.create('open');
SELECT pgmq.send('mail', '{"to": "ada"}');
ALTER TABLE pgmq.q_mail ENABLE ROW LEVEL SECURITY;
ALTER TABLE pgmq.a_mail ENABLE ROW LEVEL SECURITY;
ALTER TABLE pgmq.a_mail FORCE ROW LEVEL SECURITY;
CREATE POLICY "to its own" ON pgmq.q_mail AS RESTRICTIVE FOR SELECT TO authenticated, anon
    USING (message ->> 'to' = current_setting('request.jwt.sub', true));
CREATE POLICY everybody ON pgmq.q_mail USING (true) WITH CHECK (msg_id > 0);
GRANT USAGE ON SCHEMA pgmq TO authenticated;
GRANT SELECT ON pgmq.q_mail TO authenticated;
CREATE INDEX mine ON pgmq.q_mail (read_ct);
ALTER TABLE pgmq.q_mail ADD CONSTRAINT small CHECK (read_ct < 100);
CREATE FUNCTION public.ping() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER ping AFTER INSERT ON pgmq.q_mail FOR EACH ROW EXECUTE FUNCTION public.ping();
"""
GUARDS = (
    "SELECT relname, relrowsecurity, relforcerowsecurity, relacl::text FROM pg_class WHERE relname ~ '^[qa]_[mo]' "
    "ORDER BY 1",
    "SELECT tablename, policyname, permissive, roles, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'pgmq' ORDER BY 1",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'small'",
)
WATCHERS = """
CREATE TABLE public.heard (tag text);
CREATE FUNCTION public.hear() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.heard VALUES (tg_tag); END $$;
CREATE FUNCTION public.tell() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM net.http_post('https://example.com/watched'); END $$;
CREATE EVENT TRIGGER watch_here ON ddl_command_end WHEN TAG IN ('CREATE SCHEMA', 'CREATE TABLE')
    EXECUTE FUNCTION public.hear();
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION public.tell();
CREATE EVENT TRIGGER "Watch far" ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.tell();
CREATE EVENT TRIGGER watch_off ON sql_drop EXECUTE FUNCTION public.tell();
ALTER EVENT TRIGGER "Watch far" ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER watch IS 'watches';
ALTER EVENT TRIGGER watch_off DISABLE;
DELETE FROM public.heard;
DELETE FROM net.http_request_queue;
"""
JOBS = "SELECT jobname, schedule, command, database, username, active FROM cron.job ORDER BY jobname, schedule"


@dataclass
class Source:
    cluster: Cluster
    major: int
    saved: Saved
    with_secrets: Saved


@pytest.fixture(scope="module")
def source(
    request: pytest.FixtureRequest, server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Source]:
    """A project with an app that acts by itself, and two backups of it: without and with the values of the vault."""
    major = request.param
    with extended(server_folder, [major]) as (cluster,):
        fill(cluster, jobs=has_cron(major))
        saved = save(cluster, major, tmp_path_factory.mktemp("saved"))
        part = DatabasePart(vault_plaintext=True)
        yield Source(cluster, major, saved, save(cluster, major, tmp_path_factory.mktemp("secrets"), part))


@pytest.fixture
def target(source: Source, server_folder: Path) -> Iterator[Cluster]:
    with extended(server_folder, [source.major]) as (cluster,):
        yield cluster


def asleep(cluster: Cluster) -> set[str]:
    if not asked(cluster, "SELECT WHERE to_regclass('_supapy.quiesced') IS NOT NULL"):
        return set()
    return {name for (name,) in asked(cluster, "SELECT name FROM _supapy.quiesced")}


def expected(source: Source) -> set[str]:
    unnamed = {f"cron job {number}" for number in (2,)}
    return ASLEEP_TRIGGERS | (ASLEEP_JOBS | unnamed if has_cron(source.major) else set())


def test_after_psql_alone_nothing_fires_and_everything_is_on_the_list(source: Source, target: Cluster) -> None:
    done = psql(target, source.major, source.saved.script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert asleep(target) == expected(source)
    with owner(target) as connection:
        connection.execute("INSERT INTO orders VALUES (1, 1); UPDATE orders SET id = 2; DELETE FROM orders")
        connection.execute("INSERT INTO parts VALUES (1); INSERT INTO ledger VALUES (1)")
        connection.execute("INSERT INTO notes VALUES (1); UPDATE notes SET id = 2")
        connection.execute("INSERT INTO auth.users (id) VALUES (gen_random_uuid())")
    assert asked(target, "SELECT url FROM net.http_request_queue") == []
    assert asked(target, VIEWS) == [("Fetched", False), ("a_count", False), ("harmless", True), ("never_filled", False)]
    if has_cron(source.major):
        assert asked(target, "SELECT count(*) FROM cron.job WHERE active") == [(0,)]
        assert asked(target, "SELECT count(*) FROM cron.job") == [(4,)]


def test_what_sleeps_is_no_difference_but_is_counted(source: Source, target: Cluster) -> None:
    assert loaded(source.saved, target, source.major) == []
    with moment_of(target, source.major) as moment:
        found = list(DatabasePart().compare(source.saved, moment))
    assert [one for one in found if isinstance(one, Difference)] == []
    counts = {one.sort: one.count for one in found if isinstance(one, Proof)}
    assert counts["things asleep until `supapy activate`"] == len(expected(source)) - 1
    assert counts["queues"] == 2


def test_without_supapy_the_list_wakes_everything_by_its_own_statements(source: Source, target: Cluster) -> None:
    assert psql(target, source.major, source.saved.script).returncode == 0
    statements = asked(target, "SELECT statement FROM _supapy.quiesced ORDER BY number")
    with owner(target) as connection:
        connection.execute('GRANT "the clerk" TO postgres')
        for (statement,) in statements:
            connection.execute(statement.encode())
    for query in (TRIGGERS, RULES, *([JOBS] if has_cron(source.major) else [])):
        assert asked(target, query) == asked(source.cluster, query)


def test_told_to_run_at_once_everything_is_as_at_the_source(source: Source, target: Cluster) -> None:
    assert loaded(source.saved, target, source.major, DatabasePart(quiesce=Quiesce.NONE)) == []
    assert asked(target, "SELECT to_regnamespace('_supapy')") == [(None,)]
    for query in (TRIGGERS, RULES, *([JOBS] if has_cron(source.major) else [])):
        assert asked(target, query) == asked(source.cluster, query)
    assert differences(source.saved, target, source.major) == []


def test_a_backup_of_what_sleeps_keeps_it_asleep_even_in_its_own_project(
    source: Source, target: Cluster, server_folder: Path, tmp_path: Path
) -> None:
    assert loaded(source.saved, target, source.major) == []
    with owner(target) as connection:
        # One of them is wanted already.
        connection.execute("ALTER TABLE orders ENABLE TRIGGER teller")
    again = save(target, source.major, tmp_path)
    assert "_supapy" not in {
        segment["schema"] for segment in again.read_json("database.toc.json")["segments"] if "schema" in segment
    }
    assert again.omissions == []
    with extended(server_folder, [source.major]) as (third,):
        assert loaded(again, third, source.major, DatabasePart(quiesce=Quiesce.AS_SAVED)) == []
        # The partition's own trigger sleeps by its parent's doing.
        awake = {"trigger teller on public.orders", "trigger on_parts on public.parts_1"}
        assert asleep(third) == expected(source) - awake
        assert differences(again, third, source.major) == []
        assert differences(source.saved, third, source.major) == []


def test_what_is_evaluated_while_rows_come_back_and_reaches_out_is_named(
    source: Source, server_folder: Path, tmp_path: Path
) -> None:
    with extended(server_folder, [source.major]) as (cluster,):
        with owner(cluster) as connection:
            connection.execute(
                "CREATE FUNCTION asks(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM net.http_post('https://example.com/ask'); RETURN true; END $$;"
                "CREATE TABLE plain (id int DEFAULT 1, CHECK (id > 0));"
                "CREATE TABLE asked (id int CHECK (asks(id)), made bool GENERATED ALWAYS AS (asks(id)) STORED,"
                " usual bool DEFAULT asks(1)); CREATE INDEX by_asking ON asked (asks(id))"
            )
        saved = save(cluster, source.major, tmp_path)
    assert [one.name for one in saved.omissions if "reaches out" in one.name] == [
        f"{name}, which reaches out of the database"
        for name in (
            "constraint asked_id_check on table public.asked",
            "default value for column made of table public.asked",
            "index public.by_asking",
        )
    ]


def test_an_event_trigger_that_reaches_out_is_made_asleep_and_hears_nothing(
    source: Source, target: Cluster, server_folder: Path, tmp_path: Path
) -> None:
    states = "SELECT evtname, evtenabled FROM pg_event_trigger WHERE evtname ~ '^[Ww]atch' ORDER BY 1"
    with extended(server_folder, [source.major]) as (cluster,):
        with superuser(cluster) as connection:
            # Hosted projects let postgres make event triggers.
            connection.execute("ALTER ROLE postgres SUPERUSER")
        with owner(cluster) as connection:
            connection.execute(WATCHERS)
        with superuser(cluster) as connection:
            connection.execute("ALTER ROLE postgres NOSUPERUSER")
        saved = save(cluster, source.major, tmp_path)
        refused = {one.name for one in loaded(saved, target, source.major)}
        assert refused == {f"event trigger {name}" for name in ('"Watch far"', "watch", "watch_off", "watch_here")}
        assert asleep(target) == set()
        with superuser(target) as connection:
            connection.execute("ALTER ROLE postgres SUPERUSER")
        with owner(target) as connection:
            (segment,) = (
                one for one in saved.read_json("database.toc.json")["segments"] if one["name"] == "event triggers"
            )
            start = segment["offset"]
            connection.execute("SET search_path = ''")
            connection.execute(saved.script.read_bytes()[start : start + segment["length"]])
        assert asked(target, states) == [("Watch far", "D"), ("watch", "D"), ("watch_here", "O"), ("watch_off", "D")]
        assert asleep(target) == {'event trigger "Watch far"', "event trigger watch"}
        assert differences(saved, target, source.major) == []
        assert asked(target, "SELECT FROM public.heard") == []
        with project_of(target, source.major) as project:
            shown = {one.name: one.urls for one in activate(project, ["watch"]).asleep}
            assert shown == {'event trigger "Watch far"': ["https://example.com/watched"]}
            assert asked(target, "SELECT url FROM net.http_request_queue") == []
            assert activate(project, None).problems == []
        assert asked(target, states) == asked(cluster, states)
        assert asleep(target) == set()
        with owner(target) as connection:
            connection.execute("CREATE TABLE fresh (id int)")
        assert len(asked(target, "SELECT url FROM net.http_request_queue")) == 2


def test_a_project_without_database_webhooks_gets_them_when_they_wake(
    source: Source, server_folder: Path, target: Cluster, tmp_path: Path
) -> None:
    with superuser(target) as connection:
        connection.execute("DROP SCHEMA supabase_functions CASCADE; DROP OWNED BY supabase_functions_admin")
        connection.execute("DROP ROLE supabase_functions_admin")
    assert psql(target, source.major, source.saved.script).returncode == 0
    assert 'trigger "on order" on public.orders' in asleep(target)
    assert asked(target, "SELECT FROM pg_trigger WHERE tgname = 'on order'") == []
    assert differences(source.saved, target, source.major) == [], "nor is its comment lost"
    again = save(target, source.major, tmp_path)
    with extended(server_folder, [source.major]) as (third,):
        assert loaded(again, third, source.major, DatabasePart(quiesce=Quiesce.AS_SAVED)) == []
        assert differences(source.saved, third, source.major) == []
        assert asked(third, "SELECT tgenabled FROM pg_trigger WHERE tgname = 'always booked'") == [("D",)]
    with superuser(target) as connection:
        connection.execute((STANDINS / "webhooks.sql").read_bytes())
    with project_of(target, source.major) as project:
        assert activate(project, None).problems == []
    assert asked(target, TRIGGERS) == asked(source.cluster, TRIGGERS)


def test_told_to_run_at_once_a_webhook_that_cannot_be_made_is_a_problem(source: Source, target: Cluster) -> None:
    with superuser(target) as connection:
        connection.execute("DROP SCHEMA supabase_functions CASCADE")
    problems = loaded(source.saved, target, source.major, DatabasePart(quiesce=Quiesce.NONE))
    assert {one.name for one in problems} == {
        "trigger welcome on auth.users",
        'trigger "on order" on public.orders',
        'trigger "always booked" on public.ledger',
    }
    assert all("switch Database Webhooks on" in one.reason for one in problems)


def test_a_job_that_is_there_already_is_left_as_it_is_and_told(source: Source, target: Cluster) -> None:
    if not has_cron(source.major):
        pytest.skip("this server has no pg_cron")
    with owner(target) as connection:
        connection.execute("CREATE EXTENSION pg_cron")
        connection.execute("SELECT cron.schedule('nightly', '1 1 * * *', 'SELECT 99')")
        connection.execute("SELECT cron.schedule('5 * * * *', 'VACUUM')")
    problems = loaded(source.saved, target, source.major)
    assert [one.name for one in problems] == ["cron job nightly"]
    jobs = asked(target, "SELECT jobname, command, active FROM cron.job ORDER BY jobid")
    assert jobs[:2] == [("nightly", "SELECT 99", True), (None, "VACUUM", False)]
    assert [one.name for one in differences(source.saved, target, source.major)] == ["cron job nightly of postgres"]


def test_messages_archives_and_numbers_of_queues_come_back(source: Source, target: Cluster) -> None:
    assert loaded(source.saved, target, source.major) == []
    for query in (
        "SELECT * FROM pgmq.q_mail",
        "SELECT * FROM pgmq.a_mail",
        "SELECT * FROM pgmq.q_fast",
        "SELECT queue_name, is_partitioned, is_unlogged FROM pgmq.meta ORDER BY 1",
        "SELECT relname, relpersistence FROM pg_class WHERE relname ~ '^[qa]_(mail|fast)$' ORDER BY 1",
        "SELECT objid::regclass::text FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' "
        "AND classid = 'pg_class'::regclass AND objid::regclass::text ~ 'pgmq' ORDER BY 1",
    ):
        assert asked(target, query) == asked(source.cluster, query), query
    assert asked(target, "SELECT pgmq.send('mail', '{}')") == [(3,)]


@pytest.mark.parametrize("detached", [False, True], ids=["of the extension", "detached"])
def test_a_partitioned_queue_comes_back_as_a_plain_one_with_all_that_was_in_it(
    source: Source, target: Cluster, server_folder: Path, tmp_path: Path, detached: bool
) -> None:
    messages = "SELECT msg_id, read_ct, enqueued_at, vt, message FROM pgmq.{}_big ORDER BY 1"
    with extended(server_folder, [source.major]) as (cluster,):
        with owner(cluster) as connection:
            connection.execute("CREATE EXTENSION pgmq; SELECT pgmq.create_partitioned('Big', '3')")
            connection.execute("SELECT pgmq.send('Big', to_jsonb(n)) FROM generate_series(1, 9) n")
            connection.execute("SELECT pgmq.archive('Big', 2), pgmq.archive('Big', 5)")
        if detached:
            with superuser(cluster) as connection:
                connection.execute(
                    "ALTER EXTENSION pgmq DROP TABLE pgmq.q_big; ALTER EXTENSION pgmq DROP TABLE pgmq.a_big"
                )
        saved = save(cluster, source.major, tmp_path)
        assert saved.problems == []
        assert [one.name for one in saved.omissions if "queue" in one.name] == ["partitions of queue Big"]
        assert loaded(saved, target, source.major) == []
        for kind in "qa":
            assert asked(target, messages.format(kind)) == asked(cluster, messages.format(kind))
        assert differences(saved, target, source.major) == []
    assert asked(target, "SELECT pgmq.send('Big', '{}')") == [(10,)]
    assert asked(target, "SELECT relname FROM pg_class WHERE relname ~ '_big_(p0|default)$'") == []


@pytest.mark.parametrize("detached", [False, True], ids=["of the extension", "detached"])
def test_what_guards_a_queue_comes_back_with_it_or_its_grants_would_open_it(
    source: Source, target: Cluster, server_folder: Path, tmp_path: Path, detached: bool
) -> None:
    with extended(server_folder, [source.major]) as (cluster,):
        with owner(cluster) as connection:
            connection.execute(GUARDED)
        if detached:
            with superuser(cluster) as connection:
                connection.execute(
                    "ALTER EXTENSION pgmq DROP TABLE pgmq.q_mail; ALTER EXTENSION pgmq DROP TABLE pgmq.a_mail"
                )
        saved = save(cluster, source.major, tmp_path)
        told = [] if detached else ["trigger ping on pgmq.q_mail"]
        assert [one.name for one in saved.omissions if "queue" in one.name or "pgmq" in one.name] == told
        assert loaded(saved, target, source.major) == []
        for query in GUARDS:
            assert asked(target, query) == asked(cluster, query), query
        assert differences(saved, target, source.major) == []
    with superuser(target) as connection:
        connection.execute("SET ROLE authenticated")
        seen = connection.execute("SELECT msg_id FROM pgmq.q_mail").fetchall()
        assert seen == [], "he has the grant, and no row is his"
        connection.execute("RESET ROLE; ALTER TABLE pgmq.q_mail DISABLE ROW LEVEL SECURITY")
    assert [one.name for one in differences(saved, target, source.major)] == ["queue mail"]


def test_a_queue_that_is_there_already_is_told_before_anything_is_written(source: Source, target: Cluster) -> None:
    with owner(target) as connection:
        connection.execute("CREATE EXTENSION pgmq; SELECT pgmq.create('mail')")
    with moment_of(target, source.major) as moment:
        obstacles = list(DatabasePart().obstacles(source.saved, moment))
    assert [(one.final, one.text) for one in obstacles] == [(True, "queues of the backup (queue mail)")]


def test_values_of_the_vault_are_saved_only_when_that_is_asked_for(source: Source) -> None:
    (omission,) = [one for one in source.saved.omissions if "vault" in one.name]
    assert omission.name.startswith("values of 2 vault secrets (")
    assert "stripe" in omission.name
    assert "--vault-root-key" in omission.remedy
    for file in source.saved.folder.iterdir():
        for value in (b"s3cret-value", b"nameless-value", b"eulav-terc3s"):
            assert value not in file.read_bytes()
    assert not [one for one in source.with_secrets.omissions if "vault" in one.name]
    assert b"s3cret-value" in source.with_secrets.script.read_bytes()
    assert "s3cret-value" not in (source.with_secrets.folder / "database.toc.json").read_text()


def test_secrets_of_the_vault_come_back_with_names_and_descriptions(source: Source, target: Cluster) -> None:
    assert loaded(source.with_secrets, target, source.major) == []
    query = "SELECT name, description, decrypted_secret FROM vault.decrypted_secrets ORDER BY 3"
    assert asked(target, query) == asked(source.cluster, query)
    assert differences(source.with_secrets, target, source.major) == []


def test_sealed_secrets_are_worth_nothing_where_the_root_key_is_another(source: Source, target: Cluster) -> None:
    assert loaded(source.saved, target, source.major) == []
    assert asked(target, "SELECT count(*) FROM vault.secrets") == [(0,)]
    assert differences(source.saved, target, source.major) == []


def test_sealed_secrets_come_back_where_the_root_key_is_theirs(source: Source, target: Cluster) -> None:
    target.root_key_file.write_text(source.cluster.root_key_file.read_text())
    with superuser(target) as connection:
        connection.execute("SELECT vault.create_secret('mine', 'own')")
    assert loaded(source.saved, target, source.major) == []
    query = "SELECT name, description, decrypted_secret FROM vault.decrypted_secrets {} ORDER BY 3"
    assert asked(target, query.format("WHERE name IS DISTINCT FROM 'own'")) == asked(source.cluster, query.format(""))
    assert [(one.name, one.kind) for one in differences(source.saved, target, source.major)] == [
        ("vault secret own", "extra")
    ]
    with owner(target) as connection:
        connection.execute("SELECT vault.update_secret(id, 'other') FROM vault.secrets WHERE name = 'stripe'")
        connection.execute("DELETE FROM vault.secrets WHERE name IS NULL")
    found = {one.name: (one.kind, one.detail) for one in differences(source.saved, target, source.major)}
    assert found["vault secret stripe"] == ("changed", "not the same: secret"), "no digest of it either"
    assert found["vault secret without a name, 0"][0] == "missing"
    assert "other" not in str(found)


def test_sealed_secrets_that_are_there_still_are_not_made_twice(source: Source) -> None:
    with moment_of(source.cluster, source.major) as moment:
        sealed = read_sealed(moment)
    with owner(source.cluster) as connection:
        connection.execute(vault_sql(sealed).encode().split(b"COPY")[0])
        with connection.cursor().copy("COPY pg_temp.supapy_secrets FROM STDIN") as copy:
            for row in sealed:
                copy.write_row(row)
        connection.execute(vault_sql(sealed).partition("\\.\n")[2].encode())
    assert asked(source.cluster, "SELECT count(*) FROM vault.secrets") == [(2,)]


def test_one_secret_that_cannot_be_opened_does_not_lose_the_others(
    source: Source, server_folder: Path, tmp_path: Path
) -> None:
    with extended(server_folder, [source.major]) as (cluster,):
        with superuser(cluster) as connection:
            connection.execute("SELECT vault.create_secret('one', 'good'), vault.create_secret('two', 'broken')")
            connection.execute("UPDATE vault.secrets SET nonce = '\\x00' WHERE name = 'broken'")
        saved = save(cluster, source.major, tmp_path, DatabasePart(vault_plaintext=True))
    assert [(one.name, "invalid ciphertext" in one.reason) for one in saved.problems] == [("vault secret broken", True)]
    assert "one" in [row[3] for row in copied_rows(saved.script.read_text(), "supapy_secrets")]


def test_a_secret_that_is_there_already_is_not_overwritten(source: Source, target: Cluster) -> None:
    with owner(target) as connection:
        connection.execute("SELECT vault.create_secret('mine', 'stripe')")
    problems = loaded(source.with_secrets, target, source.major)
    assert [one.name for one in problems] == ["vault secret stripe"]
    assert asked(target, "SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'stripe'") == [("mine",)]
    (found,) = differences(source.with_secrets, target, source.major)
    assert found.name == "vault secret stripe"
    assert "mine" not in found.detail
    assert "s3cret" not in found.detail
