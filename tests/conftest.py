"""Fixtures that any test may use: see tests/projects.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.projects import DEFAULT_MAJOR, ClusterFactory, ProjectFactory, reachable_folder

from supapy.sandbox.cluster import Cluster
from supapy.sandbox.project import SandboxProject


@pytest.fixture
def pg_major() -> int:
    """The server's major. `@pytest.mark.parametrize("pg_major", MAJORS)` runs a test on each."""
    return DEFAULT_MAJOR


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Where this test process keeps its servers."""
    with reachable_folder() as folder:
        yield folder


@pytest.fixture
def cluster_factory(server_folder: Path) -> Iterator[ClusterFactory]:
    """Makes fresh running clusters; they end with the test."""
    with ExitStack() as cleanup:
        yield ClusterFactory(server_folder, cleanup)


@pytest.fixture
def cluster(cluster_factory: ClusterFactory, pg_major: int) -> Cluster:
    """A fresh, empty project database, running: `cluster.dsn` as postgres, `cluster.admin_dsn` as the superuser."""
    return cluster_factory(pg_major)


@pytest.fixture(scope="module")
def module_clusters(server_folder: Path) -> Iterator[ClusterFactory]:
    """Like `cluster_factory`, for databases that the tests of one module share."""
    with ExitStack() as cleanup:
        yield ClusterFactory(server_folder, cleanup)


@pytest.fixture
def project_factory(server_folder: Path) -> Iterator[ProjectFactory]:
    """Makes fresh running projects; they end with the test."""
    with ExitStack() as cleanup:
        yield ProjectFactory(server_folder, cleanup)


@pytest.fixture
def project(project_factory: ProjectFactory, pg_major: int) -> SandboxProject:
    """A fresh, empty project, running: `url`, `service_key`, `anon_key`, `db_url`; `database` and `api` beneath."""
    return project_factory(major=pg_major)
