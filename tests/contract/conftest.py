"""Which server the contract is held against.

The sandbox's by default. With SUPAPY_CONFORMANCE_URL, _KEY (service role), _ANON_KEY and _DB_URL (a role that may make
policies on storage.objects: postgres on hosted projects) set, the same tests run against that server, which is how the
sandbox is known to answer as the real ones do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.contract.client import Target, from_environment
from tests.projects import ClusterFactory

from supapy.sandbox.account import Account
from supapy.sandbox.api import ApiServer
from supapy.sandbox.api.tokens import sign
from supapy.secret import Secret


@pytest.fixture(scope="session")
def server(server_folder: Path) -> Iterator[Target]:
    """The server under test; one for the whole run."""
    if named := from_environment():
        yield named
        return
    secret = Secret("a-secret-of-the-contract-and-of-nothing-else")
    keys = [sign({"iss": "supabase", "ref": "contract", "role": role}, secret) for role in ("service_role", "anon")]
    with ExitStack() as cleanup:
        cluster = ClusterFactory(server_folder, cleanup)()
        root = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="supapy-bytes-")))
        api = ApiServer(0, cluster.admin_dsn, root, secret, "contract", Account(root))
        cleanup.callback(api.stop)
        yield Target(f"http://127.0.0.1:{api.start()}", *keys, cluster.dsn.reveal())


@pytest.fixture
def target(server: Target) -> Iterator[Target]:
    """The server under test, clean of this test's buckets afterwards."""
    yield server
    server.clean()


@pytest.fixture
def bucket(target: Target) -> str:
    """An empty private bucket."""
    return target.bucket()
