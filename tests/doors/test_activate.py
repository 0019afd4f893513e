"""After a restore nothing fires by itself until its owner says so: `supapy activate`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

import psycopg
import pytest
from tests.doors.commands import Commands, env_file, settings_of
from tests.extensions import extended_tools, has_cron, preload_cron
from tests.fidelity.alive import fill, switch_on
from tests.projects import owner, superuser
from tests.waiting import until

from supapy.doors import SupabaseRestore
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.sandbox.project import SandboxProject

MAJOR = 15
OLD = "https://oldoldoldoldoldoldol.supabase.co"
NEW = "https://newnewnewnewnewnewne.supabase.co"
TRIGGERS = "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'orders'::regclass ORDER BY 1"


@contextmanager
def projects(folder: Path, *refs: str) -> Iterator[list[SandboxProject]]:
    with ExitStack() as cleanup:
        made = []
        for ref in refs:
            root = Path(mkdtemp(dir=folder))
            root.chmod(0o755)
            project = SandboxProject(root, ref, extended_tools(MAJOR))
            cleanup.callback(project.down)
            project.up()
            if has_cron(MAJOR):
                port = project.database.port
                project.database.stop()
                preload_cron(project.database)
                project.database.start(port)
            switch_on(project.database)
            made.append(project)
        yield made


@pytest.fixture(scope="module")
def source(server_folder: Path) -> Iterator[SandboxProject]:
    with projects(server_folder, "source") as (project,):
        fill(project.database, jobs=has_cron(MAJOR))
        yield project


@pytest.fixture(scope="module")
def saved(source: SandboxProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    commands = Commands(folder, settings_of(source))
    ran = commands("backup", "--vault-plaintext")
    assert ran.code == 0, ran.err
    return folder / "backups" / commands.labels[0]


@pytest.fixture
def supapy(saved: Path, server_folder: Path, tmp_path: Path) -> Iterator[tuple[Commands, SandboxProject]]:
    """The command, set up for a project that this backup was restored into."""
    with projects(server_folder, "target") as (target,):
        commands = Commands(tmp_path, settings_of(target))
        ran = commands("restore", saved, "--yes")
        assert ran.code == 0, ran.out + ran.err
        yield commands, target


Setup = tuple[Commands, SandboxProject]


def test_what_sleeps_is_shown_with_what_it_calls_and_no_key(supapy: Setup) -> None:
    commands, _ = supapy
    ran = commands("activate")
    assert ran.code == 0
    assert "asleep since a restore" in commands("doctor").out
    assert f"{OLD}/functions/v1/mail" in ran.out
    assert "https://example.com/hook" in ran.out
    assert "a secret key" in ran.out
    assert "calls host=elsewhere.example" in ran.out
    assert "oldkey" not in ran.out
    said = commands("--json", "activate").result
    names = {one["name"] for one in said["asleep"]}
    assert {'trigger "on order" on public.orders', "trigger welcome on auth.users"} <= names
    assert ("cron job nightly" in names) == has_cron(MAJOR)
    if has_cron(MAJOR):
        assert "runs  5 * * * *: VACUUM" in ran.out
        (nightly,) = [one["runs"] for one in said["asleep"] if one["name"] == "cron job nightly"]
        assert nightly == "0 3 * * *: SELECT net.http_post('…')"
    # Functions of one name are told apart by nothing in a text: all count.
    through = next(one for one in said["asleep"] if one["name"] == "trigger through on public.orders")
    assert through["functions"] == ["public.told(integer)"]


def test_all_of_it_wakes_and_is_as_at_the_source(supapy: Setup, source: SandboxProject, saved: Path) -> None:
    commands, target = supapy
    ran = commands("activate", "--all")
    assert ran.code == 0, ran.err
    assert "nothing sleeps any more" in ran.out
    verified = commands("verify", saved)
    assert verified.code == 0, verified.out
    assert "asleep" not in verified.out
    with superuser(source.database) as before, superuser(target.database) as after:
        assert after.execute(TRIGGERS).fetchall() == before.execute(TRIGGERS).fetchall()
        assert after.execute("SELECT to_regnamespace('_supapy')").fetchall() == [(None,)]
        if has_cron(MAJOR):
            jobs = "SELECT jobname, schedule, command, username, active FROM cron.job ORDER BY 1, 2"
            assert after.execute(jobs).fetchall() == before.execute(jobs).fetchall()
        members = "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = 'postgres'::regrole ORDER BY 1"
        assert after.execute(members).fetchall() == before.execute(members).fetchall()
        # What was filled has called.
        assert after.execute("SELECT url FROM net.http_request_queue").fetchall() == [("https://example.com/far",)]
        with owner(target.database) as connection:
            connection.execute("INSERT INTO orders VALUES (1, 1)")
        assert after.execute("SELECT count(*) FROM net.http_request_queue").fetchall() == [(2,)]
    assert "nothing sleeps" in commands("activate").out


def test_one_wakes_by_its_name_with_another_address_and_this_projects_key(supapy: Setup) -> None:
    commands, target = supapy
    ran = commands("activate", "on order", "--rewrite", f"{OLD}={NEW}", "--rewrite-keys")
    assert ran.code == 0, ran.err
    key = target.service_key.reveal()
    assert key not in ran.out + ran.err
    with superuser(target.database) as connection:
        ((definition, state, comment),) = connection.execute(
            "SELECT pg_get_triggerdef(oid), tgenabled, obj_description(oid, 'pg_trigger') "
            "FROM pg_trigger WHERE tgname = 'on order'"
        ).fetchall()
        assert f"{NEW}/functions/v1/mail" in definition
        assert key in definition
        assert OLD not in definition
        assert (state, comment) == ("O", "sends mails")
        assert connection.execute("SELECT tgenabled FROM pg_trigger WHERE tgname = 'teller'").fetchall() == [("D",)]


def test_what_is_on_the_platforms_table_is_made_with_the_new_address(supapy: Setup) -> None:
    commands, target = supapy
    assert commands("activate", "trigger welcome on auth.users", "--rewrite", f"{OLD}={NEW}").code == 0
    with superuser(target.database) as connection:
        found = connection.execute("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'welcome'").fetchone()
    assert found
    assert NEW in found[0]


def test_a_constraint_trigger_that_is_made_anew_keeps_its_state_and_its_comment(supapy: Setup) -> None:
    commands, target = supapy
    assert commands("activate", "always booked", "--rewrite", "https://example.com=https://b.example").code == 0
    with superuser(target.database) as connection:
        ((definition, state, comment),) = connection.execute(
            "SELECT pg_get_triggerdef(oid), tgenabled, obj_description(oid, 'pg_trigger') "
            "FROM pg_trigger WHERE tgname = 'always booked'"
        ).fetchall()
    assert "https://b.example/booked" in definition
    assert (state, comment) == ("A", "books always")


def test_what_is_not_there_yet_is_made_with_another_address_and_its_comment(supapy: Setup) -> None:
    commands, target = supapy
    assert (
        commands("activate", "on_total", "--rewrite", "https://example.com=https://b.example", "--in-functions").code
        == 0
    )
    with superuser(target.database) as connection:
        found = connection.execute("SELECT obj_description(oid) FROM pg_trigger WHERE tgname = 'on_total'").fetchall()
    assert found == [("""tells "far"; isn't there yet""",)]


def test_a_materialized_view_that_calls_out_stays_empty_until_it_is_filled(supapy: Setup) -> None:
    commands, target = supapy
    shown = {one["name"]: one for one in commands("--json", "activate").result["asleep"]}
    one = shown['materialized view public."Fetched"']
    assert (one["urls"], one["functions"]) == (["https://example.com/far"], ['public."Tell Far"(integer)'])
    filled = "SELECT relname::text FROM pg_class WHERE relkind = 'm' AND relispopulated ORDER BY 1"
    with superuser(target.database) as connection:
        assert connection.execute(filled).fetchall() == [("harmless",)]
        assert commands("activate", "materialized view public.a_count").code == 3, "it reads the other one"
        assert commands("activate", 'public."Fetched"', "public.a_count").code == 0
        assert connection.execute(filled).fetchall() == [("Fetched",), ("a_count",), ("harmless",)]


def test_some_tables_come_with_such_a_view_asleep_too(saved: Path, server_folder: Path, tmp_path: Path) -> None:
    with projects(server_folder, "target") as (target,):
        commands = Commands(tmp_path, settings_of(target))
        with owner(target.database) as connection:
            connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO anon")
            connection.execute("ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO anon")
        ran = commands("restore", saved, "--yes", "--table", '"Fetched"', "--table", "harmless")
        assert ran.code == 0, ran.out + ran.err
        names = [one["name"] for one in commands("--json", "activate").result["asleep"]]
        assert names == ['materialized view public."Fetched"']
        reads = (
            "SELECT has_schema_privilege('anon', '_supapy', 'USAGE'), has_table_privilege('anon', '_supapy.quiesced', "
        )
        with superuser(target.database) as connection:
            assert connection.execute("SELECT count(*) FROM net.http_request_queue").fetchall() == [(0,)]
            assert connection.execute("SELECT n FROM harmless").fetchall() == [(1,)]
            assert connection.execute(f"{reads}'SELECT')".encode()).fetchall() == [(False, False)], "it may have keys"


def test_a_rule_shows_what_it_calls_and_wakes_with_another_address(supapy: Setup) -> None:
    commands, target = supapy
    states = "SELECT rulename, ev_enabled FROM pg_rewrite WHERE ev_class = 'notes'::regclass ORDER BY 1"
    rule = "SELECT pg_get_ruledef(oid), obj_description(oid, 'pg_rewrite') FROM pg_rewrite WHERE rulename = 'tell all'"
    shown = {one["name"]: one["urls"] for one in commands("--json", "activate").result["asleep"]}
    assert shown['rule "tell all" on public.notes'] == [f"{OLD}/functions/v1/told"]
    assert shown["rule tell_far on public.notes"] == shown["rule far on public.totals"] == ["https://example.com/far"]
    with superuser(target.database) as connection:
        off = [("harmless", "O"), ("off_already", "D"), ("tell all", "D"), ("tell_far", "D")]
        assert connection.execute(states).fetchall() == off
        assert commands("activate", "tell all", "--rewrite", f"{OLD}={NEW}").code == 0
        ((definition, comment),) = connection.execute(rule).fetchall()
        assert f"{NEW}/functions/v1/told" in definition
        assert OLD not in definition
        assert comment == "tells all"
        assert commands("activate", "tell_far", "far").code == 0
        on = [("harmless", "O"), ("off_already", "D"), ("tell all", "O"), ("tell_far", "A")]
        assert connection.execute(states).fetchall() == on
        with owner(target.database) as client:
            client.execute("INSERT INTO notes VALUES (1)")
        sent = connection.execute("SELECT url FROM net.http_request_queue").fetchall()
        assert sent == [(f"{NEW}/functions/v1/told",)]


def test_a_namesake_on_another_table_takes_no_partition_along(supapy: Setup) -> None:
    commands, target = supapy
    assert commands("activate", "trigger on_parts on public.pieces").code == 0
    assert commands("activate", "trigger on_parts on public.parts").code == 0
    with superuser(target.database) as connection:
        states = connection.execute(
            "SELECT tgrelid::regclass::text, tgenabled FROM pg_trigger WHERE tgname = 'on_parts' ORDER BY 1"
        ).fetchall()
    assert states == [("parts", "O"), ("parts_1", "D"), ("pieces", "O"), ("pieces_1", "O")]


def test_a_trigger_on_a_view_sleeps_by_not_being_there_and_shows_what_it_calls_by_functions(supapy: Setup) -> None:
    commands, target = supapy
    (shown,) = [one for one in commands("--json", "activate").result["asleep"] if "on_total" in one["name"]]
    assert shown["urls"] == ["https://example.com/far"]
    made = "SELECT tgenabled FROM pg_trigger WHERE tgname = 'on_total'"
    with superuser(target.database) as connection:
        assert connection.execute(made).fetchall() == []
        assert commands("activate", "on_total").code == 0
        assert connection.execute(made).fetchall() == [("O",)]


def test_a_list_of_an_early_version_wakes_what_is_not_there_too(supapy: Setup) -> None:
    commands, target = supapy
    with owner(target.database) as connection:
        connection.execute("ALTER TABLE _supapy.quiesced DROP COLUMN definition, DROP COLUMN comment")
    assert commands("activate", "on_total").code == 0
    with superuser(target.database) as connection:
        made = connection.execute("SELECT tgenabled FROM pg_trigger WHERE tgname = 'on_total'").fetchall()
    assert made == [("O",)]


def test_a_job_of_another_role_wakes_with_what_is_rewritten(supapy: Setup) -> None:
    commands, target = supapy
    if not has_cron(MAJOR):
        pytest.skip("this server has no pg_cron")
    assert commands("activate", "books").code == 0
    assert commands("activate", "nightly", "--rewrite", f"{OLD}={NEW}").code == 0
    with superuser(target.database) as connection:
        jobs = connection.execute("SELECT jobname, active, username, command FROM cron.job ORDER BY 1").fetchall()
    assert [job[:3] for job in jobs if job[1]] == [("books", True, "the clerk"), ("nightly", True, "postgres")]
    assert NEW in next(job[3] for job in jobs if job[0] == "nightly")


def test_functions_are_rewritten_only_when_that_is_said(supapy: Setup) -> None:
    commands, target = supapy
    refused = commands("activate", "teller", "--rewrite", f"{OLD}={NEW}")
    assert refused.code == 2
    assert "only in public.tell()" in refused.err
    assert "--in-functions" in refused.err
    assert commands("activate", "teller", "--rewrite", f"{OLD}={NEW}", "--in-functions").code == 0
    with superuser(target.database) as connection:
        (body,) = connection.execute("SELECT prosrc FROM pg_proc WHERE proname = 'tell'").fetchone() or ("",)
    assert NEW in body
    assert OLD not in body


def test_what_is_gone_meanwhile_is_taken_off_the_list(supapy: Setup) -> None:
    commands, target = supapy
    with owner(target.database) as connection:
        connection.execute("DROP TRIGGER teller ON orders")
    assert "which is gone" in commands("activate").out
    assert commands("activate", "teller").code == 0
    assert "teller" not in commands("activate").out


def test_what_was_made_by_hand_meanwhile_is_taken_off_the_list(supapy: Setup) -> None:
    commands, target = supapy
    made = "CREATE TRIGGER on_total INSTEAD OF INSERT ON totals FOR EACH ROW EXECUTE FUNCTION tells_far()"
    with owner(target.database) as connection:
        connection.execute(made)
    assert "on_total on public.totals, which is gone or there already" in commands("activate").out
    assert commands("activate", "on_total").code == 0
    assert "on_total" not in commands("activate").out


def test_what_cannot_wake_sleeps_on_and_is_a_problem(supapy: Setup) -> None:
    commands, target = supapy
    with superuser(target.database) as connection:
        connection.execute("DROP FUNCTION supabase_functions.http_request CASCADE")
    ran = commands("--json", "activate", "--all")
    assert ran.code == 3
    assert [one["name"] for one in ran.result["problems"]] == ["trigger welcome on auth.users"]
    assert [one["name"] for one in ran.result["asleep"]] == ["trigger welcome on auth.users"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "nobody doesn't sleep here"),
        ([""], "what has no name doesn't sleep here"),
        (["teller", "--all"], "either names or --all"),
        (["--rewrite", "a=b"], "rewrite in what?"),
        (["--all", "--rewrite", "nothing"], "isn't OLD=NEW"),
        (["--all", "--rewrite", "https://a='; DROP TABLE x"], "isn't OLD=NEW"),
        (["--all", "--rewrite", "https://unheard.of=https://b"], "nowhere in what is to wake"),
        (["--all", "--rewrite", "sb_secret_oldkey=sb_secret_newkey"], "takes addresses, not keys"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    saved: Path, source: SandboxProject, tmp_path: Path, arguments: list[str], said: str, asleep: Commands
) -> None:
    ran = asleep("activate", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert "newkey" not in ran.err
    assert "hint:" in ran.err
    assert len(asleep("--json", "activate").result["asleep"]) >= 6


@pytest.fixture(scope="module")
def asleep(saved: Path, server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """The command for a project in which all sleeps, and that the tests leave so."""
    with projects(server_folder, "asleep") as (target,):
        commands = Commands(tmp_path_factory.mktemp("asleep"), settings_of(target))
        assert commands("restore", saved, "--yes").code == 0
        yield commands


def test_into_its_own_project_things_run_unless_they_slept(source: SandboxProject, saved: Path, tmp_path: Path) -> None:
    commands = Commands(tmp_path, settings_of(source))
    plan = commands("--json", "restore", saved)
    assert plan.code == 60
    assert commands("activate").out.strip() == "nothing sleeps in project source"


def test_where_nothing_was_restored_a_name_fits_nothing(source: SandboxProject, tmp_path: Path) -> None:
    commands = Commands(tmp_path, settings_of(source))
    ran = commands("activate", "nightly")
    assert (ran.code, ran.err.splitlines()) == (
        2,
        ["error: nightly doesn't sleep here", "hint: Nothing does: no restore has left anything asleep here."],
    )
    every = commands("activate", "--all")
    assert (every.code, every.out) == (0, "nothing sleeps in project source\n")


def test_an_interrupted_one_says_what_is_awake_and_the_same_command_wakes_the_rest(supapy: Setup) -> None:
    commands, target = supapy
    with superuser(target.database) as holder, superuser(target.database) as watcher:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE public.orders")
        with commands.started("activate", "--all") as child:
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            until(lambda: watcher.execute(waits).fetchone() != (0,))
            child.send_signal(signal.SIGINT)
            said, err = child.communicate()
    assert child.returncode == 130
    assert "woken: trigger booked on public.ledger" in said
    assert "hint: What was told as woken is awake" in err
    left = [one["name"] for one in commands("--json", "activate").result["asleep"]]
    assert "trigger booked on public.ledger" not in left
    assert "trigger teller on public.orders" in left
    again = commands("activate", "--all")
    assert again.code == 0
    assert "nothing sleeps any more" in again.out


def test_a_target_that_does_not_answer_is_told(asleep: Commands) -> None:
    nowhere = "postgresql://postgres:hidden@127.0.0.1:9/postgres"
    ran = asleep("activate", "--all", SUPABASE_DB_URL=nowhere)
    assert ran.code == 21
    assert "no connection to 127.0.0.1 port 9" in ran.err
    assert "hidden" not in ran.err
    ran = asleep("activate", SUPABASE_DB_URL="")
    assert ran.code == 2
    assert "SUPABASE_DB_URL" in ran.err


def test_nothing_wakes_in_a_project_that_is_half_restored(asleep: Commands) -> None:
    with psycopg.connect(asleep.settings["SUPABASE_DB_URL"], autocommit=True) as connection:
        connection.execute(
            "CREATE SCHEMA supapy_restore; CREATE TABLE supapy_restore.restore AS SELECT 'backup_1' AS label, "
            "'source' AS source, '' AS digest, '' AS choice, '[]' AS held"
        )
        ran = asleep("activate", "--all")
        connection.execute("DROP SCHEMA supapy_restore CASCADE")
    assert ran.code == 2
    assert "project asleep is half restored: backup_1 of project source is on its way in" in ran.err
    assert "Finish that restore first." in ran.err
    assert len(asleep("--json", "activate").result["asleep"]) >= 6


def test_the_librarys_door_lets_things_run_at_once_too(saved: Path, server_folder: Path) -> None:
    with projects(server_folder, "target") as (target,):
        key, db_url = target.service_key.reveal(), target.db_url.reveal()
        verdict = SupabaseRestore(target.url, key, db_url).restore_backup(
            str(saved), confirm=True, quiesce=Quiesce.NONE
        )
        assert verdict["database"], verdict
        with superuser(target.database) as connection:
            assert connection.execute("SELECT to_regnamespace('_supapy')").fetchall() == [(None,)]
            assert connection.execute("SELECT count(*) FROM vault.secrets").fetchall() == [(2,)]


def test_told_to_run_at_once_nothing_sleeps(saved: Path, server_folder: Path, tmp_path: Path) -> None:
    with projects(server_folder, "target") as (target,):
        commands = Commands(tmp_path, {})
        ran = commands("--env-file", env_file(target, tmp_path), "restore", saved, "--yes", "--no-quiesce")
        assert ran.code == 0, ran.out
        assert "nothing sleeps" in commands("--env-file", env_file(target, tmp_path), "activate").out
        with superuser(target.database) as connection:
            assert connection.execute("SELECT tgenabled FROM pg_trigger WHERE tgname = 'teller'").fetchall() == [("O",)]
