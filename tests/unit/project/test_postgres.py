"""A connection with the settings that every read and write needs, and its errors told plainly."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.projects import DEFAULT_MAJOR, ClusterFactory, superuser

from supapy.errors import AccessDenied, SqlError, SupapyError, Unreachable, UsageError, WrongConnection
from supapy.project.postgres import PIECE_BYTES, Session, _why_not, connect, environment, parse
from supapy.project.usual import settings
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret

# Rows whose connection is cut while they are sent, in a program that doesn't listen to what is logged.
CUT = """
import sys
from supapy.errors import ConnectionLost
from supapy.project.postgres import connect
from supapy.secret import Secret

def pieces(session):
    yield b"1\\n"
    session.abort()
    while True:
        yield b"1\\n" * 10_000

with connect(Secret(sys.stdin.read())) as session:
    session.execute("CREATE TEMPORARY TABLE t (n int)")
    try:
        session.copy_in("COPY t FROM STDIN", pieces(session))
    except ConnectionLost:
        print("lost")
"""


@pytest.fixture(scope="module")
def server(module_clusters: ClusterFactory) -> Cluster:
    return module_clusters()


@pytest.fixture
def session(server: Cluster) -> Iterator[Session]:
    with connect(server.dsn) as opened:
        yield opened


def test_every_setting_is_the_one_that_is_needed_whatever_the_role_has(server: Cluster) -> None:
    with superuser(server) as connection:
        connection.execute("ALTER ROLE postgres SET statement_timeout = '1s'")
        connection.execute("ALTER ROLE postgres SET extra_float_digits = 0")
        connection.execute("ALTER ROLE postgres SET transaction_timeout = '1min'")
        connection.execute("ALTER ROLE postgres SET idle_in_transaction_session_timeout = '1min'")
        connection.execute("ALTER ROLE postgres SET datestyle = 'German'")
    with connect(server.dsn) as session:
        said = {name: session.value(f"SHOW {name}") for name in settings(DEFAULT_MAJOR)}
        assert session.value("SELECT 0.1::float8 + 0.2::float8")
        assert session.value("SELECT (0.1::float8 + 0.2::float8)::text") == "0.30000000000000004"
    assert said["datestyle"].startswith("ISO")
    assert (said["transaction_timeout"], said["idle_in_transaction_session_timeout"]) == ("0", "0")
    assert (said["statement_timeout"], said["row_security"], said["timezone"], said["lock_timeout"]) == (
        "0",
        "off",
        "UTC",
        "2min",
    )


def test_rows_values_and_counts(session: Session) -> None:
    assert session.rows("SELECT g, g::text FROM generate_series(1, 2) g") == [(1, "1"), (2, "2")]
    assert session.value("SELECT 7 WHERE false") is None
    session.execute("CREATE TEMP TABLE t (a int)")
    assert session.execute("INSERT INTO t SELECT generate_series(1, 5)") == 5
    assert session.rows("SELECT %s::text, '100%%'", ("x%y",)) == [("x%y", "100%")]


def test_a_copy_comes_in_pieces_of_whole_lines_and_goes_back(session: Session) -> None:
    session.execute("CREATE TEMP TABLE t (a text)")
    session.execute("INSERT INTO t SELECT repeat('x', g % 3000) FROM generate_series(1, 2000) g")
    pieces = list(session.copy_out("COPY t TO STDOUT"))
    assert len(pieces) > 1
    assert all(piece.endswith(b"\n") and len(piece) < PIECE_BYTES + 4000 for piece in pieces)
    session.execute("CREATE TEMP TABLE u (a text)")
    assert session.copy_in("COPY u FROM STDIN", pieces) == 2000
    assert session.value("SELECT count(*) FROM (TABLE t EXCEPT ALL TABLE u) d") == 0


def test_several_queries_are_answered_in_order_and_an_error_is_told(session: Session) -> None:
    asked = [
        "SELECT %(a)s::int AS one, 2 AS two",
        "SELECT 3 AS three WHERE false",
        "SELECT g FROM generate_series(1, 2) g",
    ]
    assert list(session.several(asked, {"a": 1})) == [
        (["one", "two"], [(1, 2)]),
        (["three"], []),
        (["g"], [(1,), (2,)]),
    ]
    with pytest.raises(SqlError, match="division by zero"):
        list(session.several(["SELECT 1", "SELECT 1 / 0", "SELECT 2"]))
    assert session.value("SELECT 1") == 1


def test_several_copies_asked_for_at_once_come_one_after_another(session: Session) -> None:
    large = "COPY (SELECT repeat('x', 999) FROM generate_series(1, 2000)) TO STDOUT"
    asked = [
        "COPY (SELECT 'ü', NULL) TO STDOUT",
        "COPY (SELECT 1 WHERE false) TO STDOUT",
        large,
        "COPY (SELECT 2) TO STDOUT",
    ]
    found: list[list[bytes]] = [[] for _ in asked]
    session.copies(asked, lambda number, piece: found[number].append(piece))
    assert [found[0], found[1], found[3]] == [["ü\t\\N\n".encode()], [], [b"2\n"]]
    assert b"".join(found[2]) == (b"x" * 999 + b"\n") * 2000
    assert len(found[2]) > 1
    assert all(piece.endswith(b"\n") and len(piece) < PIECE_BYTES + 1000 for piece in found[2])
    assert session.value("SELECT 1") == 1


@pytest.mark.parametrize(
    "wrong", ["COPY no_such_table TO STDOUT", "COPY (SELECT 1 / (3 - g) FROM generate_series(1, 9) g) TO STDOUT"]
)
def test_one_of_several_copies_that_fails_is_told_and_the_others_end(session: Session, wrong: str) -> None:
    with pytest.raises(SqlError, match=r"no_such_table|division by zero"):
        session.copies(["COPY (SELECT 1) TO STDOUT", wrong, "COPY (SELECT 2) TO STDOUT"], lambda *_: None)
    assert session.value("SELECT 1") == 1


def test_a_transaction_is_all_or_nothing(session: Session) -> None:
    session.execute("CREATE TEMP TABLE t (a int)")
    with pytest.raises(ZeroDivisionError), session.transaction():
        session.execute("INSERT INTO t VALUES (1)")
        raise ZeroDivisionError
    assert session.value("SELECT count(*) FROM t") == 0


def test_a_copy_whose_source_fails_loads_nothing(session: Session) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"1\n"
        raise ZeroDivisionError

    session.execute("CREATE TEMP TABLE t (a int)")
    with pytest.raises(ZeroDivisionError):
        session.copy_in("COPY t FROM STDIN", pieces())
    assert session.value("SELECT count(*) FROM t") == 0


# --- errors ----------------------------------------------------------------------------------------------------------


def test_an_error_names_what_the_server_says_and_quotes_no_row(session: Session) -> None:
    session.execute("CREATE TEMP TABLE t (a text UNIQUE)")
    session.execute("INSERT INTO t VALUES ('sesame')")
    with pytest.raises(SqlError) as caught:
        session.execute("INSERT INTO t VALUES ('sesame')")
    assert caught.value.sqlstate == "23505"
    assert "sesame" not in f"{caught.value.message}{caught.value.hint}"


def test_too_little_right_is_access_denied(session: Session) -> None:
    with pytest.raises(AccessDenied, match="must be owner of table users"):
        session.execute("ALTER TABLE auth.users ADD COLUMN mine int")


def test_a_lost_connection_is_unreachable_and_worth_another_try(server: Cluster, session: Session) -> None:
    pid = session.value("SELECT pg_backend_pid()")
    with superuser(server) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    with pytest.raises(Unreachable) as caught:
        session.rows("SELECT 1")
    assert caught.value.retryable
    with pytest.raises(Unreachable):
        session.rows("SELECT 1")


def test_a_wrong_password_is_told_without_it(server: Cluster) -> None:
    wrong = Secret(server.dsn.reveal().replace("postgres:", "postgres:wrong", 1))
    with pytest.raises(AccessDenied, match="password of postgres") as caught, connect(wrong):
        pass
    password = parse(server.dsn)["password"]
    assert password not in f"{caught.value.message}{caught.value.hint}{caught.getrepr(showlocals=False)}"


@pytest.mark.parametrize(
    ("dsn", "error", "said"),
    [
        ("postgresql://u:p@no-such-host.invalid/x", Unreachable, r"no such host: no-such-host\.invalid"),
        ("postgresql://u:p@127.0.0.1:{free}/x", Unreachable, r"no connection to 127\.0\.0\.1 port \d+"),
        ("postgresql://u:p@127.0.0.1:6543/x", WrongConnection, "transaction pooler"),
        ("host=127.0.0.1 port=6543", WrongConnection, "transaction pooler"),
        ("dbname=x", UsageError, "names no host"),
        ("not a dsn", UsageError, "isn't a connection string"),
    ],
)
def test_a_connection_that_can_not_be_made_is_told_with_what_to_do(
    dsn: str, error: type[SupapyError], said: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    with pytest.raises(error, match=said) as caught, connect(Secret(dsn.format(free=free))):
        pass
    assert caught.value.hint


@pytest.mark.parametrize(
    ("said", "kind", "message", "hint"),
    [
        ("connection failed: Network is unreachable", Unreachable, "over IPv6 only", "Session pooler"),
        ("FATAL:  Tenant or user not found", AccessDenied, "no such project or user", "postgres.<ref>"),
        ("FATAL:  Address not in tenant allow_list: {1, 2}", AccessDenied, "network restrictions", "Allow it"),
        ("FATAL:  SSL connection is required", WrongConnection, "TLS", "sslmode"),
        ("FATAL:  Max client connections reached", Unreachable, "no more connections", "try again"),
    ],
)
def test_what_a_hosted_project_answers_is_told_with_what_to_do(
    said: str, kind: type[SupapyError], message: str, hint: str
) -> None:
    # The words of the poolers and of a machine without IPv6 (F§4.1), which no server here says.
    error = _why_not({"host": "127.0.0.1", "user": "postgres.abc"}, said)
    assert type(error) is kind
    assert message in error.message
    assert error.hint is not None
    assert hint in error.hint


def test_a_password_crosses_no_network_in_the_clear() -> None:
    assert environment(Secret("postgresql://u:p@db.example.com/x"))["PGSSLMODE"] == "require"
    assert environment(Secret("postgresql://u:p@db.example.com/x?sslmode=verify-full"))["PGSSLMODE"] == "verify-full"
    assert environment(Secret("postgresql://u:p@127.0.0.1.example.com/x"))["PGSSLMODE"] == "require"
    assert "PGSSLMODE" not in environment(Secret("postgresql://u:p@127.0.0.1/x"))


def test_children_get_the_connection_by_their_environment() -> None:
    said = environment(Secret("postgresql://u:p%40ss@127.0.0.1:5433/x?options=-csearch_path%3Dy"))
    assert {name: said[name] for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGOPTIONS")} == {
        "PGHOST": "127.0.0.1",
        "PGPORT": "5433",
        "PGUSER": "u",
        "PGPASSWORD": "p@ss",
        "PGDATABASE": "x",
        "PGOPTIONS": "-csearch_path=y",
    }


def test_what_is_told_by_an_error_is_not_printed_by_the_driver_as_well(server: Cluster) -> None:
    ran = subprocess.run([sys.executable, "-c", CUT], input=server.dsn.reveal(), capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("lost\n", "")
