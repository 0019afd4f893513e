"""Loading pumps: what is given is done, beside what lets it, in bounded memory, and none is left."""

from __future__ import annotations

import threading

import pytest
from tests.projects import ClusterFactory, owner, superuser
from tests.waiting import until

from supapy.errors import SqlError, Unreachable
from supapy.project.loading import LEAST_CHUNK_BYTES, MOST_WAITING_BYTES, Flow, LoadingPumps, Work
from supapy.project.postgres import Session
from supapy.sandbox.cluster import Cluster

PIECE = b"x" * 99 + b"\n"


@pytest.fixture(scope="module")
def server(module_clusters: ClusterFactory) -> Cluster:
    server = module_clusters()
    with owner(server) as connection:
        connection.execute("CREATE TABLE public.one (body text); CREATE TABLE public.other (body text)")
    return server


def statement(sql: str, **more: object) -> Work:
    return Work(lambda session: void(session.execute(sql)), **more)  # type: ignore[arg-type]


def void(_: object) -> None:
    """What a statement gives isn't wanted."""


def count(server: Cluster, sql: str) -> object:
    with superuser(server) as connection:
        row = connection.execute(sql.encode()).fetchone()
        assert row
        return row[0]


def test_all_that_is_given_is_done_by_so_many_connections(server: Cluster) -> None:
    seen: set[int] = set()
    with LoadingPumps(server.dsn, 3, []) as pumps:
        pumps.give(*(Work(lambda session: seen.add(session.value("SELECT pg_backend_pid()"))) for _ in range(100)))
        pumps.settle()
    assert 1 <= len(seen) <= 3
    until(lambda: count(server, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres'") == 0)


@pytest.mark.parametrize("jobs", [1, 2, 8, 40])
def test_pieces_of_work_are_large_and_get_smaller_towards_the_end(server: Cluster, jobs: int) -> None:
    pumps = LoadingPumps(server.dsn, jobs, [])
    sizes, left = [], 10 * MOST_WAITING_BYTES
    while left > 0:
        sizes.append(pumps.chunk_bytes(left))
        left -= sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    # As many as are under way have room to wait, unless that would make them too small to be worth it.
    assert sizes[0] * 2 * jobs <= MOST_WAITING_BYTES or sizes[0] == LEAST_CHUNK_BYTES
    assert sizes[-1] == LEAST_CHUNK_BYTES


def test_rows_flow_in_while_they_are_read_and_never_more_than_a_little_waits(server: Cluster) -> None:
    def take(session: Session) -> None:
        with session.transaction():
            session.execute("LOCK TABLE public.other")
            session.copy_in("COPY public.one FROM STDIN", flow)

    pieces = 2 * MOST_WAITING_BYTES // len(PIECE * 1000)
    with superuser(server) as holder, LoadingPumps(server.dsn, 2, []) as pumps:
        holder.execute("BEGIN; LOCK TABLE public.other")
        flow = Flow(pumps)
        pumps.give(Work(take))
        given = threading.Thread(target=lambda: [flow.put(PIECE * 1000) for _ in range(pieces)] and flow.end())
        given.start()
        until(lambda: pumps.waiting_bytes + 2 * len(PIECE * 1000) >= MOST_WAITING_BYTES)
        assert pumps.waiting_bytes <= MOST_WAITING_BYTES
        assert given.is_alive()
        holder.execute("ROLLBACK")
        given.join()
        pumps.settle()
        assert pumps.waiting_bytes == 0
    assert count(server, "SELECT count(*) FROM public.one") == pieces * 1000


def test_rows_that_do_not_come_to_their_end_are_not_kept(server: Cluster) -> None:
    before = count(server, "SELECT count(*) FROM public.one")
    with pytest.raises(KeyboardInterrupt), LoadingPumps(server.dsn, 2, []) as pumps:
        flow = Flow(pumps)
        pumps.give(Work(lambda session: void(session.copy_in("COPY public.one FROM STDIN", flow))))
        flow.put(PIECE)
        until(lambda: count(server, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY public.one%'") == 1)
        raise KeyboardInterrupt
    until(lambda: count(server, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres'") == 0)
    assert count(server, "SELECT count(*) FROM public.one") == before


def test_what_claims_the_same_waits_for_its_turn_and_the_rest_goes_on(server: Cluster) -> None:
    running: list[str] = []
    most: set[tuple[str, ...]] = set()
    lock = threading.Lock()

    def work(name: str) -> Work:
        def run(session: Session) -> None:
            with lock:
                running.append(name)
                most.add(tuple(sorted(running)))
            session.execute("SELECT pg_sleep(0.05)")
            with lock:
                running.remove(name)

        return Work(run, {name[0]: name[1] == "!"})

    with LoadingPumps(server.dsn, 4, []) as pumps:
        pumps.give(*map(work, ["a!", "a1", "a2", "a!", "b!", "b1"]))
        pumps.settle()
    for together in most:
        for table in ("a", "b"):
            names = [name for name in together if name[0] == table]
            assert f"{table}!" not in names or len(names) == 1
    assert any({name[0] for name in together} == {"a", "b"} for together in most)


def test_two_that_lock_each_other_out_are_both_done(server: Cluster) -> None:
    met = threading.Barrier(2)
    tries: list[str] = []

    def work(first: str, second: str) -> Work:
        def run(session: Session) -> None:
            tries.append(first)
            with session.transaction():
                session.execute(f"LOCK TABLE public.{first}")
                if len(tries) <= 2:
                    met.wait()
                session.execute(f"LOCK TABLE public.{second}")

        return Work(run, again=True)

    with LoadingPumps(server.dsn, 2, []) as pumps:
        pumps.give(work("one", "other"), work("other", "one"))
        pumps.settle()
    assert sorted(tries)[0] == "one"
    assert len(tries) == 3


def test_a_lock_that_is_not_to_be_had_is_an_error_that_says_what_to_do(server: Cluster) -> None:
    with superuser(server) as holder, LoadingPumps(server.dsn, 2, ["SET lock_timeout = '50ms'"]) as pumps:
        holder.execute("BEGIN; LOCK TABLE public.one")
        pumps.give(statement("DELETE FROM public.one", again=True))
        with pytest.raises(SqlError, match="lock timeout") as caught:
            pumps.settle()
    assert "Another session holds a lock" in str(caught.value.hint)


def test_the_error_of_one_ends_all_and_is_raised(server: Cluster) -> None:
    with pytest.raises(SqlError, match="division by zero"), LoadingPumps(server.dsn, 2, []) as pumps:
        pumps.give(statement("SELECT pg_sleep(60)"), statement("SELECT 1/0"))
        pumps.settle()
    until(lambda: count(server, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres'") == 0)


def test_a_server_that_spares_few_connections_is_loaded_by_these(server: Cluster) -> None:
    until(lambda: count(server, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres'") == 0)
    with superuser(server) as connection:
        connection.execute("ALTER ROLE postgres CONNECTION LIMIT 1")
        try:
            with LoadingPumps(server.dsn, 4, []) as pumps:
                pumps.give(*(statement("SELECT 1") for _ in range(10)))
                pumps.settle()
            until(lambda: count(server, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres'") == 0)
            connection.execute("ALTER ROLE postgres CONNECTION LIMIT 0")
            with pytest.raises(Unreachable), LoadingPumps(server.dsn, 4, []) as pumps:
                pumps.settle()
                pumps.give(statement("SELECT 1"))
                pumps.settle()
        finally:
            connection.execute("ALTER ROLE postgres CONNECTION LIMIT -1")
