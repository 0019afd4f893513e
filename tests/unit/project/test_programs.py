"""Children: their failures told plainly, their secrets out of sight, and none left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.processes import children
from tests.projects import DEFAULT_MAJOR, owner, tools

from supapy.errors import AccessDenied, SqlError, Unreachable
from supapy.project.programs import psql, run
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret

TOOLS = tools(DEFAULT_MAJOR)


def test_a_script_is_run_in_order_and_its_warnings_are_given(cluster: Cluster) -> None:
    script = [b"CREATE TABLE public.t (a int);\nINSERT INTO ", b"public.t VALUES (1);\n"]
    script.append(b"DO $$ BEGIN RAISE WARNING E'two\\nlines'; RAISE NOTICE 'n'; END $$;\n")
    said = psql(TOOLS, cluster.dsn, script)
    assert [(one.level, one.text) for one in said] == [("WARNING", "two\nlines"), ("NOTICE", "n")]
    with owner(cluster) as connection:
        assert connection.execute("SELECT a FROM public.t").fetchall() == [(1,)]


def test_the_first_error_ends_the_script_and_is_told_without_rows(cluster: Cluster) -> None:
    script = [
        b"CREATE TABLE public.t (a text PRIMARY KEY);\nCOPY public.t FROM stdin;\nrow-secret\nrow-secret\n\\.\n",
        b"CREATE TABLE public.later ();\n",
    ]
    with pytest.raises(SqlError, match="duplicate key value violates unique constraint") as caught:
        psql(TOOLS, cluster.dsn, script)
    assert "row-secret" not in str(caught.value)
    with owner(cluster) as connection:
        assert connection.execute("SELECT to_regclass('public.later')").fetchone() == (None,)


def test_a_missing_right_is_told_as_such(cluster: Cluster) -> None:
    with pytest.raises(AccessDenied, match="permission denied for schema auth"):
        psql(TOOLS, cluster.dsn, [b"CREATE TABLE auth.t ();\n"])


def test_a_wrong_password_is_unreachable_and_not_shown(cluster: Cluster) -> None:
    wrong = Secret(cluster.dsn.reveal().replace("postgres:", "postgres:wrong-word"))
    with pytest.raises(Unreachable, match="password authentication failed") as caught:
        run(TOOLS, "pg_dump", ["--schema-only", "--file=/dev/null"], wrong)
    assert "wrong-word" not in str(caught.value)


def test_an_interruption_leaves_no_child_and_no_half_of_a_table(cluster: Cluster) -> None:
    with owner(cluster) as connection:
        connection.execute("CREATE TABLE public.t (a int)")

    def rows_then_interruption() -> Iterator[bytes]:
        yield b"COPY public.t FROM stdin;\n"
        yield b"1\n" * 100_000
        assert children().keys() > before
        raise KeyboardInterrupt

    before = children().keys()
    with pytest.raises(KeyboardInterrupt):
        psql(TOOLS, cluster.dsn, rows_then_interruption())
    assert children().keys() == before
    with owner(cluster) as connection:
        assert connection.execute("SELECT count(*) FROM public.t").fetchone() == (0,)


def test_a_statement_under_way_is_cancelled_in_the_server(cluster: Cluster) -> None:
    running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND state = 'active'"

    def long_statement_then_interruption() -> Iterator[bytes]:
        yield b"SELECT pg_sleep(600);\n"
        with owner(cluster) as connection:
            while connection.execute(running).fetchone() == (0,):
                pass
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        psql(TOOLS, cluster.dsn, long_statement_then_interruption())
    with owner(cluster) as connection:
        while connection.execute(running).fetchone() != (0,):
            pass


def test_no_secret_stands_in_the_arguments_of_a_child(cluster: Cluster) -> None:
    seen: list[str] = []

    def look() -> Iterator[bytes]:
        seen.extend(arguments for pid, arguments in children().items() if pid not in before)
        yield b"SELECT 1;\n"

    before = children().keys()
    psql(TOOLS, cluster.dsn, look())
    password = cluster.dsn.reveal().split(":")[2].split("@")[0]
    assert len(seen) == 1
    assert password not in seen[0]


def test_one_transaction_is_all_or_nothing(cluster: Cluster) -> None:
    with pytest.raises(SqlError):
        psql(TOOLS, cluster.dsn, [b"CREATE TABLE public.t ();\nSELECT 1/0;\n"], one_transaction=True)
    with owner(cluster) as connection:
        assert connection.execute("SELECT to_regclass('public.t')").fetchone() == (None,)
