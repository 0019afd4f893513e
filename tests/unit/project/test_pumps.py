"""Pumps: whatever is ready first, the output is in order, of one snapshot, bounded, and no child is left."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from tests.fidelity.saved import moment_of
from tests.processes import children
from tests.projects import DEFAULT_MAJOR, ClusterFactory, owner, superuser, tools
from tests.waiting import until

from supapy.errors import AccessDenied, SqlError, Unreachable
from supapy.project.moment import Moment
from supapy.project.pumps import MOST_WAITING_BYTES, PIECE_BYTES, Pumps
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret

# So often in a row a server is seen waiting for its reader before it is believed to be held up.
SEEN_WAITING_TIMES = 20
# More than may wait in memory.
MANY_ROWS = 3 * MOST_WAITING_BYTES // 1000
MANY = f"COPY (SELECT repeat('x', 999) FROM generate_series(1, {MANY_ROWS})) TO STDOUT"

REFUSED = "COPY (SELECT pg_read_file('PG_VERSION')) TO STDOUT"


@pytest.fixture(scope="module")
def server(module_clusters: ClusterFactory) -> Cluster:
    server = module_clusters()
    with owner(server) as connection:
        connection.execute("CREATE TABLE public.early ()")
    return server


@pytest.fixture
def moment(server: Cluster) -> Iterator[Moment]:
    with moment_of(server, DEFAULT_MAJOR) as moment:
        yield moment


def wheres(watcher: psycopg.Connection) -> list[str | None]:
    """What the server's processes that serve a pump are waiting for."""
    asked = "SELECT wait_event FROM pg_stat_activity WHERE application_name IN ('psql', 'supapy') AND state = 'active'"
    return [event for (event,) in watcher.execute(asked.encode()).fetchall()]


def until_gone(server: Cluster) -> None:
    """Wait until the owner has no connection any more."""
    with superuser(server) as watcher:
        until(lambda: not watcher.execute("SELECT FROM pg_stat_activity WHERE usename = 'postgres'").fetchall())


def until_held_up_by_its_reader(watcher: psycopg.Connection) -> None:
    """Wait until the server waits for whoever reads, each time it is looked at."""
    seen = 0

    def held_up() -> bool:
        nonlocal seen
        seen = seen + 1 if "ClientWrite" in wheres(watcher) else 0
        return seen == SEEN_WAITING_TIMES

    until(held_up)


@contextmanager
def first_held_up(server: Cluster) -> Iterator[tuple[str, psycopg.Connection]]:
    """A statement that ends only when the lock is let go of, by closing the connection."""
    with superuser(server) as holder:
        holder.execute("SELECT pg_advisory_lock(7)")
        yield "COPY (SELECT 'first' FROM pg_advisory_lock_shared(7)) TO STDOUT", holder


def test_outputs_come_in_the_order_of_the_statements_whichever_is_ready_first(server: Cluster, moment: Moment) -> None:
    with first_held_up(server) as (first, holder), superuser(server) as watcher:
        others = [f"COPY (SELECT {number}) TO STDOUT" for number in range(20)]
        outputs = moment.pumped([[first, others[0]], [], others[1:]], jobs=3)
        held_up = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND wait_event = 'advisory'"
        until(lambda: watcher.execute(held_up).fetchone() != (0,))
        holder.close()
        assert [b"".join(output) for output in outputs] == [
            b"first\n0\n",
            b"",
            b"".join(b"%d\n" % number for number in range(1, 20)),
        ]


def test_every_pump_reads_in_the_moments_snapshot_and_with_its_settings(server: Cluster, moment: Moment) -> None:
    with owner(server) as connection:
        connection.execute("CREATE TABLE public.later AS SELECT 1")
    seen = (
        "COPY (SELECT count(*), 0.1::float8 + 0.2::float8, 'public.early'::regclass, timestamptz 'epoch', "
        "pg_sleep(0), current_setting('statement_timeout'), current_setting('row_security') "
        "FROM pg_catalog.pg_class WHERE relname = 'later') TO STDOUT"
    )
    outputs = moment.pumped([[seen]] * 8, jobs=4)
    expected = b"0\t0.30000000000000004\tpublic.early\t1970-01-01 00:00:00+00\t\t0\toff\n"
    assert [b"".join(output) for output in outputs] == [expected] * 8
    assert b"".join(moment.copy_out(seen)) == expected


def test_without_pumps_the_moments_own_connection_reads_the_same(server: Cluster, moment: Moment) -> None:
    names = [f"COPY (SELECT 'of {number}', pg_backend_pid()) TO STDOUT" for number in range(3)]
    long = "COPY (SELECT repeat('x', 999) FROM generate_series(1, 2000)) TO STDOUT"
    own = moment.value("SELECT pg_backend_pid()")
    outputs = moment.pumped([[names[0], long], [], [names[1]], [names[2]]], jobs=0)
    # All was read before, and nothing stands in the way of other questions.
    assert moment.value("SELECT pg_backend_pid()") == own
    assert [b"".join(output) for output in outputs] == [
        f"of 0\t{own}\n".encode() + (b"x" * 999 + b"\n") * 2000,
        b"",
        f"of 1\t{own}\n".encode(),
        f"of 2\t{own}\n".encode(),
    ]
    assert list(moment.pumped([], jobs=0)) == []
    with pytest.raises(SqlError, match="read-only transaction"):
        moment.pumped([["COPY (SELECT lo_create(0)) TO STDOUT"]], jobs=0)


def test_a_role_with_a_time_for_transactions_is_read_to_the_end(server: Cluster) -> None:
    with superuser(server) as admin:
        admin.execute("ALTER ROLE postgres SET transaction_timeout = '1s'")
        try:
            with moment_of(server, DEFAULT_MAJOR) as moment:
                slow = "COPY (SELECT pg_sleep(0.6)) TO STDOUT"
                assert [b"".join(output) for output in moment.pumped([[slow], [slow]], jobs=1)] == [b"\n", b"\n"]
                assert moment.value("SELECT 1") == 1
        finally:
            admin.execute("ALTER ROLE postgres RESET transaction_timeout")


def upper(piece: memoryview) -> bytes:
    return bytes(piece).upper()


def test_each_piece_is_prepared_where_it_was_read(moment: Moment) -> None:
    outputs = moment.pumped([["COPY (SELECT 1) TO STDOUT", "COPY (SELECT 2) TO STDOUT"]], jobs=2, prepare=upper)
    assert list(next(outputs)) == [b"1\n", b"2\n"]
    outputs = moment.pumped([["COPY (SELECT 'a') TO STDOUT"], ["COPY (SELECT 'b') TO STDOUT"]], 2, upper)
    assert [list(output) for output in outputs] == [[b"A\n"], [b"B\n"]]


def test_a_pump_can_change_nothing(moment: Moment) -> None:
    outputs = moment.pumped([["COPY (SELECT lo_create(0)) TO STDOUT"]], jobs=1)
    with pytest.raises(SqlError, match="read-only transaction"):
        list(next(outputs))


def test_what_is_ahead_of_its_turn_waits_in_bounded_memory(server: Cluster, moment: Moment) -> None:
    tracemalloc.start()
    try:
        with first_held_up(server) as (first, holder), superuser(server) as watcher:
            outputs = moment.pumped([[first], [MANY]], jobs=2)
            until_held_up_by_its_reader(watcher)
            holder.close()
            sizes = [sum(map(len, output)) for output in outputs]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sizes == [len("first\n"), MANY_ROWS * 1000]
    assert peak < MOST_WAITING_BYTES * 1.25


def test_a_slow_reader_holds_the_pump_up_instead_of_filling_memory(server: Cluster, moment: Moment) -> None:
    tracemalloc.start()
    try:
        with superuser(server) as watcher:
            output = next(moment.pumped([[MANY]], jobs=1))
            next(output)
            until_held_up_by_its_reader(watcher)
        assert tracemalloc.get_traced_memory()[1] < MOST_WAITING_BYTES * 1.25
    finally:
        tracemalloc.stop()


def test_the_error_of_one_pump_is_raised_and_none_is_left(server: Cluster) -> None:
    before = children().keys()
    with moment_of(server, DEFAULT_MAJOR) as moment, pytest.raises(SqlError, match="division by zero"):
        for output in moment.pumped([["COPY (SELECT 1) TO STDOUT"], ["COPY (SELECT 1/0) TO STDOUT"], [MANY]], jobs=2):
            for _ in output:
                pass
    assert children().keys() == before
    until_gone(server)


@pytest.mark.parametrize("large_rows", [False, True])
def test_a_right_that_is_missing_is_told_as_such(moment: Moment, large_rows: bool) -> None:
    with pytest.raises(AccessDenied, match="permission denied for function pg_read_file"):
        list(next(moment.pumped([[REFUSED]], jobs=1, large_rows=large_rows)))


def test_a_pump_that_gets_no_connection_says_why_without_the_password(server: Cluster, moment: Moment) -> None:
    wrong = Secret(server.dsn.reveal().replace("postgres:", "postgres:wrong-word"))
    found = tools(DEFAULT_MAJOR)
    pumps = Pumps(found, wrong, moment.snapshot, [["COPY (SELECT 1) TO STDOUT"]], major=DEFAULT_MAJOR, jobs=1)
    with closing(pumps), pytest.raises(Unreachable, match="password authentication failed") as caught:
        list(next(pumps.outputs()))
    assert "wrong-word" not in str(caught.value)


@contextmanager
def connections_limited(server: Cluster, number: int) -> Iterator[None]:
    """The owner gets so many connections and no more."""
    with superuser(server) as connection:
        connection.execute(f"ALTER ROLE postgres CONNECTION LIMIT {number}".encode())
        try:
            yield
        finally:
            connection.execute("ALTER ROLE postgres CONNECTION LIMIT -1")


@pytest.mark.parametrize("large_rows", [False, True])
def test_a_server_that_spares_few_connections_is_read_by_these(server: Cluster, large_rows: bool) -> None:
    until_gone(server)
    with connections_limited(server, 2), moment_of(server, DEFAULT_MAJOR) as moment:
        outputs = moment.pumped(
            [[f"COPY (SELECT {number}) TO STDOUT"] for number in range(9)], jobs=5, large_rows=large_rows
        )
        assert [b"".join(output) for output in outputs] == [b"%d\n" % number for number in range(9)]


@pytest.mark.parametrize("large_rows", [False, True])
def test_a_server_that_spares_none_is_an_error(server: Cluster, large_rows: bool) -> None:
    until_gone(server)
    with connections_limited(server, 1), moment_of(server, DEFAULT_MAJOR) as moment:
        outputs = moment.pumped([["COPY (SELECT 1) TO STDOUT"]] * 3, jobs=3, large_rows=large_rows)
        with pytest.raises(Unreachable, match=r"too many connections|no more connections"):
            list(next(outputs))


@pytest.mark.parametrize("large_rows", [False, True])
@pytest.mark.parametrize("pieces_read", [0, 1])
def test_pumps_end_with_the_moment_wherever_they_are(server: Cluster, pieces_read: int, large_rows: bool) -> None:
    before = children().keys()
    with first_held_up(server) as (first, _), superuser(server) as watcher:
        with pytest.raises(KeyboardInterrupt), moment_of(server, DEFAULT_MAJOR) as moment:
            # One is read, one is ahead and held up by its reader, one by the server, and one statement isn't begun.
            output = next(moment.pumped([[MANY], [MANY], [first], [MANY]], jobs=3, large_rows=large_rows))
            list(itertools.islice(output, pieces_read))
            until(lambda: len(wheres(watcher)) >= 3 and "advisory" in wheres(watcher))
            raise KeyboardInterrupt
        assert children().keys() == before
        until_gone(server)


def test_small_outputs_that_are_asked_for_together_are_told_apart(moment: Moment) -> None:
    """Empty ones, ones as long as a piece and around it, and ones that look like an end."""
    sizes = [0, 1, 33, 34, *range(PIECE_BYTES - 35, PIECE_BYTES + 36, 7), 3 * PIECE_BYTES]
    texts = [*(f"repeat('x', {max(0, size - 1)})" for size in sizes * 5), "'0123456789abcdef0123456789abcdef'"]
    groups = [[f"COPY (SELECT {text}) TO STDOUT"] for text in texts]
    found = [b"".join(output) for output in moment.pumped(groups, jobs=2)]
    assert [len(output) for output in found[:-1]] == [max(1, size) for size in sizes * 5]
    assert all(output == b"x" * (len(output) - 1) + b"\n" for output in found[:-1])
    assert found[-1] == b"0123456789abcdef0123456789abcdef\n"


def test_an_output_tells_how_many_of_its_statements_were_read(moment: Moment) -> None:
    (output,) = moment.pumped([[f"COPY (SELECT {number}) TO STDOUT" for number in range(3)]], jobs=2)
    seen = [(piece, output.read) for piece in output]
    assert (seen, output.read) == ([(b"0\n", 0), (b"1\n", 1), (b"2\n", 2)], 3)
