"""Subscriptions to publications elsewhere: none calls its publisher before it is woken, and then it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.doors.commands import Commands, settings_of
from tests.projects import ClusterFactory, ProjectFactory, asked, owner, superuser
from tests.waiting import until

from supapy.sandbox.cluster import Cluster
from supapy.sandbox.project import SandboxProject

# With all that a connection's text and an SQL literal write in their own ways.
PASSWORD = "p'ass\\w=rd https://x.example/"
PUBLISHER = """
CREATE TABLE public.news (id int PRIMARY KEY, title text);
CREATE PUBLICATION "All News" FOR TABLE public.news;
INSERT INTO public.news VALUES (1, 'first');
GRANT SELECT ON public.news TO feeder;
"""
SHOWN = """
SELECT subname, subenabled, subslotname, subpublications, obj_description(oid, 'pg_subscription') FROM pg_subscription
"""
LISTED = "SELECT name, statement FROM _supapy.quiesced WHERE sort = 'subscription'"


def connection_to(publisher: Cluster, password: str = PASSWORD) -> str:
    """The connection as an SQL literal."""
    port = urlsplit(publisher.dsn.reveal()).port
    plain = password.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + f"host=127.0.0.1 port={port} dbname=postgres user=feeder password='{plain}'".replace("'", "''") + "'"


@pytest.fixture(scope="module")
def publisher(module_clusters: ClusterFactory) -> Cluster:
    cluster = module_clusters(17)
    with superuser(cluster) as connection:
        password = PASSWORD.replace("'", "''")
        connection.execute(f"CREATE ROLE feeder LOGIN REPLICATION PASSWORD '{password}'".encode())
    with owner(cluster) as connection:
        connection.execute(PUBLISHER)
    return cluster


@pytest.fixture(scope="module")
def source(publisher: Cluster, server_folder: Path) -> Iterator[SandboxProject]:
    """A project that has received what was published."""
    with ExitStack() as cleanup:
        project = ProjectFactory(server_folder, cleanup)("source")
        with owner(project.database) as connection:
            connection.execute("CREATE TABLE public.news (id int PRIMARY KEY, title text)")
            made = f'CREATE SUBSCRIPTION "From afar" CONNECTION {connection_to(publisher)} PUBLICATION "All News"'
            connection.execute(f"{made} WITH (slot_name = 'afar', binary = true, streaming = parallel)".encode())
            connection.execute("COMMENT ON SUBSCRIPTION \"From afar\" IS 'it''s news'")
        until(lambda: asked(project.database, "SELECT FROM pg_subscription_rel WHERE srsubstate = 'r'"))
        yield project
        with owner(project.database) as connection:
            connection.execute('ALTER SUBSCRIPTION "From afar" DISABLE')
            connection.execute('ALTER SUBSCRIPTION "From afar" SET (slot_name = NONE)')
            connection.execute('DROP SUBSCRIPTION "From afar"')


@pytest.fixture(scope="module")
def saved(source: SandboxProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    commands = Commands(folder, settings_of(source))
    ran = commands("backup")
    assert ran.code == 0, ran.err
    assert "subscription" not in ran.out
    backup = folder / "backups" / commands.labels[0]
    assert PASSWORD not in (backup / "database.toc.json").read_text()
    return backup


def test_it_sleeps_after_a_restore_and_goes_on_where_its_slot_stands(
    publisher: Cluster, source: SandboxProject, saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    commands = Commands(tmp_path, settings_of(target))
    ran = commands("--json", "restore", saved, "--yes")
    assert (ran.code, ran.result["differences"]) == (0, []), ran.out
    assert {"asleep", "subscriptions"} <= {one["sort"] for one in ran.result["cut_over"]}
    assert asked(target.database, SHOWN) == []
    shown = commands("activate")
    assert 'asleep: subscription "From afar"' in shown.out
    assert f"calls postgresql://127.0.0.1:{urlsplit(publisher.dsn.reveal()).port}/postgres" in shown.out
    with owner(source.database) as connection:
        connection.execute('ALTER SUBSCRIPTION "From afar" DISABLE')
    until(lambda: not asked(publisher, "SELECT FROM pg_replication_slots WHERE active"))
    woken = commands("--json", "activate", "From afar")
    assert woken.code == 0, woken.out
    assert "p'ass" not in shown.out + ran.out + woken.out + woken.err
    assert "x.example" not in shown.out + ran.out + woken.out
    assert asked(target.database, SHOWN) == [("From afar", True, "afar", ["All News"], "it's news")]
    assert commands("verify", saved).code == 0
    with owner(publisher) as connection:
        connection.execute("INSERT INTO news VALUES (2, 'second')")
    until(lambda: asked(target.database, "SELECT title FROM news ORDER BY 1") == [("first",), ("second",)])
    with owner(target.database) as connection:
        connection.execute('ALTER SUBSCRIPTION "From afar" DISABLE')


def test_its_list_wakes_it_by_psql_too_and_a_backup_of_it_asleep_has_it(
    publisher: Cluster, source: SandboxProject, saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    first, second = project_factory("first"), project_factory("second")
    assert Commands(tmp_path, settings_of(first))("restore", saved, "--yes").code == 0
    commands = Commands(tmp_path, settings_of(first))
    assert commands("backup").code == 0
    again = tmp_path / "backups" / commands.labels[0]
    assert Commands(tmp_path, settings_of(second))("restore", again, "--yes", "--no-auth", "--no-storage").code == 0
    ((name, statement),) = asked(second.database, LISTED)
    assert name == 'subscription "From afar"'
    assert asked(first.database, LISTED) == [(name, statement)]
    with owner(source.database) as connection:
        connection.execute('ALTER SUBSCRIPTION "From afar" DISABLE')
    with owner(second.database) as connection:
        connection.execute(statement.encode())
        assert asked(second.database, SHOWN) == [("From afar", True, "afar", ["All News"], "it's news")]
        connection.execute('ALTER SUBSCRIPTION "From afar" SET PUBLICATION "All News", more WITH (refresh = false)')
        verified = Commands(tmp_path, settings_of(second))("verify", saved)
        assert verified.code == 3
        assert 'subscription "From afar": not the same: secret' in verified.out
        assert "p'ass" not in verified.out
        connection.execute('ALTER SUBSCRIPTION "From afar" DISABLE')


def test_told_to_run_at_once_one_whose_publisher_does_not_answer_sleeps_and_is_a_problem(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    lonely, target = project_factory("lonely"), project_factory("target")
    with owner(lonely.database) as connection:
        connection.execute(
            "CREATE SUBSCRIPTION lonely CONNECTION 'host=127.0.0.1 port=9 user=u password=secret-word dbname=x' "
            "PUBLICATION a WITH (connect = false, slot_name = NONE)"
        )
        connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO anon")
        connection.execute("ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO anon")
    commands = Commands(tmp_path, settings_of(lonely))
    assert commands("backup").code == 0
    backup = tmp_path / "backups" / commands.labels[0]
    ran = Commands(tmp_path, settings_of(target))("--json", "restore", backup, "--yes", "--no-quiesce")
    assert ran.code == 3
    assert [one["name"] for one in ran.result["problems"]] == ["subscription lonely"]
    assert "sleeps until supapy activate" in ran.result["problems"][0]["reason"]
    assert ran.result["differences"] == []
    assert "secret-word" not in ran.out + ran.err
    assert [name for name, _ in asked(target.database, LISTED)] == ["subscription lonely"]
    reads = (
        "has_schema_privilege('anon', '_supapy', 'USAGE'), has_table_privilege('anon', '_supapy.quiesced', 'SELECT')"
    )
    assert asked(target.database, f"SELECT {reads}") == [(False, False)]
    woken = Commands(tmp_path, settings_of(target))("--json", "activate", "--all")
    assert woken.code == 3
    assert woken.result["problems"][0]["reason"].startswith("the database refused: could not connect to the publisher")


def test_where_only_a_superuser_makes_one_that_is_said_at_the_backup_and_on_waking(
    publisher: Cluster, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    source, target = project_factory("source15", 15), project_factory("target15", 15)
    with superuser(source.database) as connection:
        connection.execute(
            f'CREATE SUBSCRIPTION old CONNECTION {connection_to(publisher)} PUBLICATION "All News" '
            "WITH (connect = false, slot_name = NONE)".encode()
        )
    commands = Commands(tmp_path, settings_of(source))
    ran = commands("--json", "backup")
    assert ran.code == 0
    (omission,) = [one for one in ran.result["omissions"] if "subscription" in one["name"]]
    assert omission["name"] == "waking of subscription old"
    assert "superuser" in omission["remedy"]
    backup = tmp_path / "backups" / commands.labels[0]
    commands = Commands(tmp_path, settings_of(target))
    assert commands("restore", backup, "--yes").code == 0
    woken = commands("--json", "activate", "--all")
    assert woken.code == 3
    assert "superuser" in woken.result["problems"][0]["reason"]
    assert [one["name"] for one in woken.result["asleep"]] == ["subscription old"]
