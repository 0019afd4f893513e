"""Further connections that see a moment: what it sees and nothing later, as many as there may be."""

from __future__ import annotations

import pytest
from tests.fidelity.saved import moment_of
from tests.projects import DEFAULT_MAJOR, ClusterFactory, owner
from tests.unit.project.test_pumps import connections_limited, until_gone

from supapy.errors import SqlError, Unreachable
from supapy.sandbox.cluster import Cluster


@pytest.fixture(scope="module")
def server(module_clusters: ClusterFactory) -> Cluster:
    server = module_clusters()
    with owner(server) as connection:
        connection.execute("CREATE TABLE public.early (n int)")
    return server


def test_readers_see_what_the_moment_sees_and_write_nothing(server: Cluster) -> None:
    with moment_of(server, DEFAULT_MAJOR) as moment, owner(server) as connection:
        connection.execute("INSERT INTO public.early VALUES (1)")
        with moment.readers(2) as readers:
            assert [reader.value("SELECT count(*) FROM public.early") for reader in readers] == [0, 0]
            with pytest.raises(SqlError, match="read-only"):
                readers[0].execute("DELETE FROM public.early")


def test_a_server_that_spares_few_connections_is_read_by_these_and_one_that_spares_none_is_an_error(
    server: Cluster,
) -> None:
    until_gone(server)
    with connections_limited(server, 2), moment_of(server, DEFAULT_MAJOR) as moment, moment.readers(5) as readers:
        assert [reader.value("SELECT 1") for reader in readers] == [1]
    until_gone(server)
    with (
        connections_limited(server, 1),
        moment_of(server, DEFAULT_MAJOR) as moment,
        pytest.raises(Unreachable, match="no more connections"),
        moment.readers(5),
    ):
        pass
