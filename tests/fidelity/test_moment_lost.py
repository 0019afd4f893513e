"""A backup whose connections break off is begun anew at another moment; what two moments gave never comes together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.doors.commands import Commands, fill, settings_of
from tests.fidelity.whole import differences, once
from tests.projects import ProjectFactory, owner, superuser
from tests.proxy import Line, line_to

from supapy.back_up import WAITS_FOR_ANOTHER_MOMENT_S, back_up
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.errors import ConnectionLost
from supapy.events import BegunAnew, Event, Started, TableMoved
from supapy.project.project import Project
from supapy.sandbox.project import SandboxProject
from supapy.secret import Secret
from supapy.store.local import LocalStore
from supapy.verify import check_files

# More than is read ahead, so that a backup is amid its rows when it is cut; and enough to be cut by the byte.
MANY_ROWS, FEW_ROWS = 60_000, 12_000
ROWS = "SELECT i AS id, repeat(md5(i::text), 30) AS note FROM generate_series(1, {}) i"


def filled(server_folder: Path, count: int) -> Iterator[SandboxProject]:
    with ExitStack() as cleanup:
        project = ProjectFactory(server_folder, cleanup)("source")
        fill(project)
        with owner(project.database) as connection:
            connection.execute(f"CREATE TABLE public.large AS {ROWS.format(count)}".encode())
        yield project


@pytest.fixture(scope="module")
def source(server_folder: Path) -> Iterator[SandboxProject]:
    yield from filled(server_folder, MANY_ROWS)


@pytest.fixture(scope="module")
def small_source(server_folder: Path) -> Iterator[SandboxProject]:
    yield from filled(server_folder, FEW_ROWS)


def over(line: Line, sandbox: SandboxProject) -> Secret:
    return Secret(sandbox.db_url.reveal().replace(f":{sandbox.database.port}/", f":{line.port}/"))


@contextmanager
def opened(sandbox: SandboxProject, db_url: Secret) -> Iterator[Project]:
    with Project(sandbox.url, sandbox.service_key, db_url) as project:
        yield project


@pytest.mark.parametrize("whose", ["supapy", "psql"])
def test_a_connection_that_the_server_ends_among_the_rows_means_another_moment(
    source: SandboxProject, tmp_path: Path, whose: str
) -> None:
    heard: list[Event] = []
    waits: list[float] = []

    def end() -> None:
        with superuser(source.database) as connection:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            assert connection.execute(ended, (whose,)).fetchall()

    first = once(end)

    def listen(event: Event) -> None:
        heard.append(event)
        if isinstance(event, TableMoved) and event.table == "public.large":
            first()

    catalog = Catalog(LocalStore(tmp_path))
    with opened(source, source.db_url) as project:
        backup = back_up(project, catalog, Choice(), listen, sleep=waits.append)
    assert [event for event in heard if isinstance(event, BegunAnew)]
    assert waits == [WAITS_FOR_ANOTHER_MOMENT_S[0]]
    assert [event.stage for event in heard if isinstance(event, Started)].count("database") == 2
    assert catalog.labels() == [backup.label]
    assert check_files(backup)
    assert differences(backup, source, Choice()) == []


def test_a_table_that_is_emptied_as_the_backup_begins_means_another_moment(
    source: SandboxProject, tmp_path: Path
) -> None:
    heard: list[Event] = []

    def empty() -> None:
        with owner(source.database) as connection:
            connection.execute("TRUNCATE public.large")
            connection.execute(f"INSERT INTO public.large {ROWS.format(MANY_ROWS)}".encode())

    first = once(empty)

    def listen(event: Event) -> None:
        heard.append(event)
        # The snapshot is taken, nothing is held yet.
        if isinstance(event, Started) and event.stage == "database":
            first()

    catalog = Catalog(LocalStore(tmp_path))
    with opened(source, source.db_url) as project:
        backup = back_up(project, catalog, Choice(), listen, sleep=lambda _: None)
    assert [event.reason for event in heard if isinstance(event, BegunAnew)] == [
        "table public.large was emptied or rewritten just when the backup began"
    ]
    assert catalog.labels() == [backup.label]
    assert differences(backup, source, Choice()) == []


# Among the first answers, among the catalogs, among the rows, among those as JSON.
PLACES = [2_000, 200_000, 6_000_000, 15_000_000]


@pytest.mark.parametrize("place", PLACES)
def test_a_line_that_breaks_anywhere_twice_costs_nothing_but_time(
    small_source: SandboxProject, tmp_path: Path, place: int
) -> None:
    heard: list[Event] = []
    catalog = Catalog(LocalStore(tmp_path))
    with (
        line_to(small_source.database.port, [place, place]) as line,
        opened(small_source, over(line, small_source)) as project,
    ):
        backup = back_up(project, catalog, Choice(), heard.append, sleep=lambda _: None)
        assert line.cuts == []
    # Connections that were being made at the first cut may meet the second one before the backup has begun anew.
    assert len([event for event in heard if isinstance(event, BegunAnew)]) in (1, 2)
    assert catalog.labels() == [backup.label]
    assert differences(backup, small_source, Choice()) == []


def test_a_line_that_breaks_a_third_time_ends_the_backup(small_source: SandboxProject, tmp_path: Path) -> None:
    heard: list[Event] = []
    catalog = Catalog(LocalStore(tmp_path))
    with (
        # More than three: several connections of one moment may break.
        line_to(small_source.database.port, [200_000] * 12) as line,
        opened(small_source, over(line, small_source)) as project,
        pytest.raises(ConnectionLost),
    ):
        back_up(project, catalog, Choice(), heard.append, sleep=lambda _: None)
    assert len([event for event in heard if isinstance(event, BegunAnew)]) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_that_it_begins_anew(small_source: SandboxProject, tmp_path: Path) -> None:
    with line_to(small_source.database.port, [200_000]) as line:
        supapy = Commands(tmp_path, settings_of(small_source) | {"SUPABASE_DB_URL": over(line, small_source).reveal()})
        ran = supapy("backup")
    assert (ran.code, ran.err) == (0, "")
    (said,) = [one for one in ran.out.splitlines() if "another moment" in one]
    assert "the connection to the database was lost" in said or "lost the database" in said
    assert len(supapy.labels) == 1
