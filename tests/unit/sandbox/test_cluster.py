"""The sandbox's server: fresh, of its own, and gone when it is told to go."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import psycopg
import pytest
from tests.projects import MAJORS, ClusterFactory, owner, superuser, tools

from supapy.errors import ProjectError
from supapy.sandbox import process
from supapy.sandbox.cluster import Cluster


@pytest.mark.parametrize("pg_major", MAJORS)
def test_a_fresh_cluster_lets_in_postgres_who_is_no_superuser(cluster: Cluster, pg_major: int) -> None:
    with owner(cluster) as connection:
        version, name, rolsuper = connection.execute(
            "SELECT current_setting('server_version_num')::int / 10000, current_user, rolsuper"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone() or (0, "", True)
    assert (version, name, rolsuper) == (pg_major, "postgres", False)


def test_two_clusters_are_two_servers_with_passwords_of_their_own(cluster_factory: ClusterFactory) -> None:
    one, other = cluster_factory(), cluster_factory()
    assert one.pid != other.pid
    assert one.port != other.port
    assert len({one.dsn, one.admin_dsn, other.dsn, other.admin_dsn}) == 4
    crossed = one.dsn.reveal().replace(f":{one.port}/", f":{other.port}/")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(crossed)


def test_what_was_written_is_there_after_a_stop_and_a_start(cluster: Cluster) -> None:
    with owner(cluster) as connection:
        connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
    dsn = cluster.dsn
    cluster.stop()
    cluster.start(cluster.port)
    assert cluster.dsn == dsn
    with owner(cluster) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]


def test_a_stopped_cluster_leaves_no_process_and_no_open_port(cluster: Cluster) -> None:
    pid = cluster.pid
    assert pid is not None
    connection = owner(cluster)  # someone is still connected
    cluster.stop()
    connection.close()
    assert cluster.pid is None
    assert process.identity(pid) is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cluster.port))


def test_a_start_on_a_taken_port_fails_and_leaves_nothing_running(cluster: Cluster) -> None:
    cluster.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ProjectError, match="taken"):
            cluster.start(taken.getsockname()[1])
    assert cluster.pid is None
    assert not (cluster.root / "data" / "postmaster.pid").exists()


def test_a_damaged_server_says_why_it_does_not_start(cluster: Cluster) -> None:
    cluster.stop()
    (cluster.root / "data" / "postgresql.conf").write_text("nonsense_setting = 1\n")
    with pytest.raises(ProjectError, match="nonsense_setting"):
        cluster.start()
    assert cluster.pid is None


def test_passwords_stand_only_in_a_file_that_others_cannot_read(cluster: Cluster) -> None:
    file = cluster.root / "passwords.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    password = cluster.dsn.reveal().partition(":")[2].partition(":")[2].partition("@")[0]
    assert password in file.read_text()
    assert password not in (cluster.root / "server.log").read_text()


def test_the_server_never_runs_as_root(cluster: Cluster) -> None:
    assert (cluster.root / "data").stat().st_uid == (os.geteuid() or (cluster.root / "data").stat().st_uid) != 0


def test_the_strictest_umask_keeps_no_server_from_its_folder(server_folder: Path) -> None:
    before = os.umask(0o077)
    try:
        cluster = Cluster(server_folder / "strict" / "deeper", tools(17))
        cluster.create()
        cluster.start()
    finally:
        os.umask(before)
    cluster.stop()


def test_a_second_cluster_is_not_made_over_a_first(cluster: Cluster) -> None:
    with pytest.raises(ProjectError, match="already"):
        Cluster(cluster.root, tools(17)).create()


def test_the_server_is_reachable_from_this_machine_only(cluster: Cluster) -> None:
    with superuser(cluster) as connection:
        listens = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('unix_socket_directories')"
        )
        assert listens.fetchone() == ("127.0.0.1", "")
