"""What only the sandbox's server has: its gateway's keys, faults on order, its life, and bodies of any size."""

from __future__ import annotations

import hashlib
import http.client
import resource
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from tests.contract.client import Target
from tests.contract.test_storage_resumable import create, patch, place, tus
from tests.projects import ClusterFactory
from tests.waiting import until

from supapy.sandbox.account import Account
from supapy.sandbox.api import ApiServer, Fault, Seen
from supapy.sandbox.api.tokens import sign
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret

SECRET = Secret("a-secret-of-these-tests-and-of-nothing-else")
MIB_BYTES = 1024 * 1024


@dataclass
class Local:
    """A server of our own, its database and a client."""

    cluster: Cluster
    api: ApiServer
    client: Target


@pytest.fixture(scope="module")
def running(module_clusters: ClusterFactory) -> Iterator[Local]:
    with ExitStack() as cleanup:
        cluster = module_clusters()
        root = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="supapy-bytes-")))
        api = ApiServer(0, cluster.admin_dsn, root, SECRET, "ours", Account(root))
        cleanup.callback(api.stop)
        keys = [sign({"role": role}, SECRET) for role in ("service_role", "anon")]
        yield Local(cluster, api, Target(f"http://127.0.0.1:{api.start()}", *keys, cluster.dsn.reveal()))


@pytest.fixture
def local(running: Local) -> Iterator[Local]:
    yield running
    running.api.faults.clear()
    running.client.clean()


class TestGateway:
    def test_the_new_keys_act_as_their_roles_however_they_are_sent(self, local: Local) -> None:
        bucket = local.client.bucket()
        secret, public = local.api.secret_key.reveal(), local.api.publishable_key.reveal()
        for headers in ({"apikey": secret}, {"apikey": secret, "Authorization": f"Bearer {secret}"}):
            listed = local.client.storage("GET", "bucket", key=None, headers=headers).json()
            assert [found["id"] for found in listed] == [bucket]
            assert local.client.auth("GET", "admin/users", key=None, headers=headers).status == 200
        assert local.client.storage("GET", "bucket", key=None, headers={"apikey": public}).json() == []

    def test_a_users_token_counts_before_the_key(self, local: Local) -> None:
        local.client.bucket()
        headers = {"apikey": local.api.secret_key.reveal(), "Authorization": f"Bearer {local.client.anon_key}"}
        assert local.client.storage("GET", "bucket", key=None, headers=headers).json() == []

    @pytest.mark.parametrize("key", ["sb_secret_wrong", "rubbish", sign({"role": "anon"}, Secret("another"))])
    def test_a_key_of_another_project_is_refused(self, local: Local, key: str) -> None:
        reply = local.client.storage("GET", "bucket", key=None, headers={"apikey": key})
        assert (reply.status, reply.json()["message"]) == (401, "Invalid API key")

    def test_a_secret_key_is_not_for_browsers(self, local: Local) -> None:
        headers = {"apikey": local.api.secret_key.reveal(), "User-Agent": "Mozilla/5.0"}
        assert local.client.storage("GET", "bucket", key=None, headers=headers).status == 401

    def test_auth_asks_for_a_key_and_storage_says_what_is_missing(self, local: Local) -> None:
        assert local.client.auth("GET", "health", key=None).status == 401
        assert local.client.storage("GET", "bucket", key=None).status == 400

    def test_a_token_that_has_expired_is_refused(self, local: Local) -> None:
        old = sign({"role": "service_role", "exp": 1}, SECRET)
        headers = {"Authorization": f"Bearer {old}"}
        reply = local.client.storage("GET", "bucket", key=None, headers=headers)
        assert (reply.json()["statusCode"], reply.json()["message"]) == ("403", '"exp" claim timestamp check failed')

    def test_what_it_does_not_know_it_does_not_answer(self, local: Local) -> None:
        assert [local.client.send("GET", path).status for path in ("/", "/rest/v1/", "/storage/v1/x")] == [404] * 3


class TestFaults:
    def test_requests_are_remembered_as_they_came(self, local: Local) -> None:
        local.client.storage("GET", "object/authenticated/no%20bucket//x?y=%20")
        assert local.api.requests[-1] == Seen("GET", "/storage/v1/object/authenticated/no%20bucket//x?y=%20")

    def test_a_status_on_order_is_given_so_many_times_and_nothing_is_done(self, local: Local) -> None:
        bucket = local.client.bucket()
        fault = Fault("POST", f"/object/{bucket}/", times=2, status=429, headers={"Retry-After": "3"}, body=b"slow")
        local.api.faults.append(fault)
        for _ in range(2):
            reply = local.client.upload(bucket, "x")
            assert (reply.status, reply.headers["retry-after"], reply.body) == (429, "3", b"slow")
            assert local.client.list_flat(bucket) == []
        assert local.client.upload(bucket, "x").status == 200

    @pytest.mark.parametrize("reset", [False, True])
    @pytest.mark.parametrize("size", [1000, 3 * MIB_BYTES])
    def test_a_download_can_be_cut(self, local: Local, size: int, reset: bool) -> None:
        bucket = local.client.bucket()
        data = bytes(range(256)) * (size // 256 + 1)
        local.client.put(bucket, "x", data[:size])
        local.api.faults.append(Fault("GET", "/object/", cut_after_bytes=600, reset=reset))
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            local.client.get(bucket, "x")
        assert local.client.get(bucket, "x").body == data[:size]

    def test_a_cut_download_may_look_whole(self, local: Local) -> None:
        bucket = local.client.bucket()
        local.client.put(bucket, "x", b"0123456789")
        local.api.faults.append(Fault("GET", "/object/", cut_after_bytes=4, unsized=True))
        reply = local.client.get(bucket, "x")
        assert (reply.status, reply.body) == (200, b"0123")

    def test_an_answer_can_be_lost_after_the_deed(self, local: Local) -> None:
        bucket = local.client.bucket()
        local.api.faults.append(Fault("POST", f"/object/{bucket}/", cut_after_bytes=0))
        with pytest.raises(http.client.IncompleteRead):
            local.client.upload(bucket, "x")
        assert [found["name"] for found in local.client.list_flat(bucket)] == ["x"]

    def test_a_download_can_stall_until_the_client_gives_up(self, local: Local) -> None:
        bucket = local.client.bucket()
        local.client.put(bucket, "x", b"0123456789")
        local.api.faults.append(Fault("GET", "/object/", cut_after_bytes=4, stall=True))
        connection = http.client.HTTPConnection("127.0.0.1", local.api.port)
        headers = {"Authorization": f"Bearer {local.client.key}"}
        connection.request("GET", f"/storage/v1/object/authenticated/{bucket}/x", headers=headers)
        answer = connection.getresponse()
        assert answer.read(4) == b"0123"
        assert connection.sock is not None
        connection.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            answer.read(1)
        connection.close()
        assert local.client.get(bucket, "x").body == b"0123456789"

    def test_a_connection_can_break_while_a_piece_is_on_its_way_and_what_came_is_kept(self, local: Local) -> None:
        bucket = local.client.bucket()
        where = place(create(local.client, bucket, "big", 10))
        local.api.faults.append(Fault("PATCH", "/resumable/", read_bytes=4))
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            patch(local.client, where, 0, b"0123456789")
        assert tus(local.client, "HEAD", where).headers["upload-offset"] == "4"
        assert patch(local.client, where, 4, b"456789").headers["tus-complete"] == "1"
        assert local.client.get(bucket, "big").body == b"0123456789"

    def test_a_broken_upload_leaves_nothing(self, local: Local) -> None:
        bucket = local.client.bucket()
        local.api.faults.append(Fault("POST", f"/object/{bucket}/", read_bytes=4))
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            local.client.upload(bucket, "x", b"0123456789")
        assert local.client.list_flat(bucket) == []


class TestLife:
    def test_starting_and_stopping_twice_is_as_once_and_what_was_begun_goes_on(
        self, module_clusters: ClusterFactory, tmp_path: Path
    ) -> None:
        cluster = module_clusters()
        api = ApiServer(0, cluster.admin_dsn, tmp_path / "bytes", SECRET, "ours", Account(tmp_path))
        try:
            port = api.start()
            assert api.start() == port
            client = Target(f"http://127.0.0.1:{port}", sign({"role": "service_role"}, SECRET), "", "")
            bucket = client.bucket()
            where = place(create(client, bucket, "big", 6, b"one"))
            client.put(bucket, "x", b"bytes")
            threads = threading.active_count()
            api.stop()
            api.stop()
            assert threading.active_count() < threads
            # PostgreSQL notices a moment later that a connection is closed.
            until(lambda: not _sessions(cluster), "sessions of a server that was stopped")
            assert api.start() == port
            assert client.get(bucket, "x").body == b"bytes"
            assert patch(client, where, 3, b"two").headers["tus-complete"] == "1"
            assert client.get(bucket, "big").body == b"onetwo"
        finally:
            api.stop()

    def test_a_port_that_is_taken_is_said_to_be(self, local: Local, tmp_path: Path) -> None:
        second = ApiServer(local.api.port, local.cluster.admin_dsn, tmp_path, SECRET, "ours", Account(tmp_path))
        with pytest.raises(OSError, match="in use"):
            second.start()
        second.stop()

    def test_stopping_does_not_wait_for_a_stalled_answer(self, local: Local, tmp_path: Path) -> None:
        api = ApiServer(0, local.cluster.admin_dsn, tmp_path / "bytes", SECRET, "ours", Account(tmp_path))
        api.faults.append(Fault(cut_after_bytes=0, stall=True))
        with socket.create_connection(("127.0.0.1", api.start())) as connection:
            connection.sendall(b"GET /storage/v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(9) == b"HTTP/1.1 "
            api.stop()

    def test_a_database_that_is_away_is_an_error_and_not_the_end(
        self, cluster_factory: ClusterFactory, tmp_path: Path
    ) -> None:
        cluster = cluster_factory()
        api = ApiServer(0, cluster.admin_dsn, tmp_path / "bytes", SECRET, "ours", Account(tmp_path))
        try:
            client = Target(f"http://127.0.0.1:{api.start()}", sign({"role": "service_role"}, SECRET), "", "")
            assert client.storage("GET", "bucket").json() == []
            port = cluster.port
            cluster.stop()
            assert client.storage("GET", "bucket").status == 500
            cluster.start(port)
            assert client.storage("GET", "bucket").json() == []
        finally:
            api.stop()


class TestBodies:
    def test_a_body_of_unknown_length_is_taken(self, local: Local) -> None:
        bucket = local.client.bucket()
        reply = local.client.storage("POST", f"object/{bucket}/x", iter([b"one", b"two"]))
        assert reply.status == 200
        assert local.client.get(bucket, "x").body == b"onetwo"

    def test_a_client_that_asks_first_is_answered_before_it_sends(self, local: Local) -> None:
        bucket = local.client.bucket()
        for name, answer in (("fine", b"HTTP/1.1 100 Continue"), ("not%23fine", b"HTTP/1.1 400 Bad Request")):
            with socket.create_connection(("127.0.0.1", local.api.port)) as connection:
                connection.sendall(
                    f"POST /storage/v1/object/{bucket}/{name} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    f"Authorization: Bearer {local.client.key}\r\nContent-Length: 5\r\n\r\n".encode()
                )
                assert connection.recv(1000).startswith(answer)

    def test_a_compressed_body_is_kept_as_it_is(self, local: Local) -> None:
        bucket = local.client.bucket()
        local.client.put(bucket, "x", b"not really gzip", Content_Encoding="gzip")
        assert local.client.get(bucket, "x").body == b"not really gzip"

    def test_a_large_object_takes_little_memory_and_little_disk(self, local: Local) -> None:
        bucket = local.client.bucket()
        count, zeros = 256, bytes(MIB_BYTES)
        before = _peak_kib()
        reply = local.client.storage("POST", f"object/{bucket}/big", (zeros for _ in range(count)))
        assert reply.status == 200
        url = f"{local.client.url}/storage/v1/object/authenticated/{bucket}/big"
        script = (
            "import hashlib, sys, urllib.request as u\n"
            "answer = u.urlopen(u.Request(sys.argv[1], headers={'Authorization': 'Bearer ' + sys.stdin.read()}))\n"
            "digest = hashlib.md5()\n"
            "while piece := answer.read(1 << 20): digest.update(piece)\n"
            "print(digest.hexdigest())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, url], input=local.client.key, capture_output=True, text=True, check=True
        )
        digest = hashlib.md5()
        for _ in range(count):
            digest.update(zeros)
        assert done.stdout.strip() == digest.hexdigest()
        assert _peak_kib() - before < 100 * 1024
        path = local.api.files.path(bucket, "big", local.client.row(bucket, "big")["version"])
        assert path.stat().st_size == count * MIB_BYTES
        assert path.stat().st_blocks * 512 < MIB_BYTES


def _sessions(cluster: Cluster) -> int:
    """Sessions of the API on the database, which also ends ours."""
    with psycopg.connect(cluster.admin_dsn.reveal()) as connection:
        query = (
            "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
