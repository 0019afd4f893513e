"""Rows of every type out of tables_json/ into tables that are there: the very same rows, or an error and no change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.fidelity import oracle
from tests.fidelity.saved import Saved, moment_of, project_of, psql
from tests.projects import MAJORS, ClusterFactory, run

from supapy.errors import IntegrityError, SqlError, SupapyError
from supapy.journal import Journal
from supapy.model import Difference, Entry, Item, Problem, Proof
from supapy.parts.tables import TablesPart
from supapy.project.patterns import Patterns
from supapy.sandbox.cluster import Cluster
from supapy.store.memory import MemoryStore

HERE = Path(__file__).parent
NO_KEY = "tables_json/vals.no_key.json"
# Its rows break a check that isn't valid for them.
BUT_LAX = Patterns(excluded=("vals.lax",))


@dataclass
class Files(Saved):
    """The JSON of a cluster's tables in a folder: a Source."""

    saved: list[Entry] = field(default_factory=list)

    def entries(self, part: str) -> list[Entry]:
        return [one for one in self.saved if one.part == part]


def save(cluster: Cluster, major: int, folder: Path) -> Files:
    files = Files(folder)
    (folder / "tables_json").mkdir()
    with moment_of(cluster, major) as moment:
        for one in TablesPart().dump(moment):
            assert isinstance(one, Item)
            content = b"".join(one.open())  # type: ignore[arg-type]
            (folder / one.path).write_bytes(content)
            files.saved.append(Entry(one.part, one.name, one.path, len(content), ""))
    return files


def loaded(files: Files, cluster: Cluster, major: int, patterns: Patterns) -> list[Problem]:
    with project_of(cluster, major) as project:
        (step,) = TablesPart(patterns=patterns).load(files, project, Journal(MemoryStore(), project.ref))
        return list(step.apply(lambda _: None))


@dataclass
class Place:
    """A database with rows of every type, their JSON, and what its rows were."""

    cluster: Cluster
    major: int
    files: Files
    before: oracle.State


@pytest.fixture(scope="module", params=MAJORS)
def place(
    request: pytest.FixtureRequest, server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    with ExitStack() as cleanup:
        cluster = ClusterFactory(server_folder, cleanup)(request.param)
        done = psql(cluster, request.param, HERE / "rows.sql")
        assert done.returncode == 0, done.stderr
        files = save(cluster, request.param, tmp_path_factory.mktemp("json"))
        yield Place(cluster, request.param, files, oracle.rows(cluster))


def test_rows_of_every_type_are_what_they_were(place: Place) -> None:
    tables = ("every_type", "generated", "ranged_mid", "hashed", "child", "case_", "zero")
    run(place.cluster, *(f"DELETE FROM vals.{name}" for name in ("every_type", "no_key", "ranged", "hashed", "parent")))
    assert oracle.rows(place.cluster) != place.before
    problems = loaded(place.files, place.cluster, place.major, BUT_LAX)
    # That one pointed to nothing before.
    assert [one.name for one in problems] == ["foreign key owned_by_id_fkey of vals.owned_by"]
    after = oracle.rows(place.cluster)
    assert {key for key in after if after[key] != place.before[key]} == set()
    assert all(after["vals", name][0] for name in tables)
    with moment_of(place.cluster, place.major) as moment:
        found = list(TablesPart().compare(place.files, moment))
    assert [one for one in found if isinstance(one, Difference)] == []
    assert next(one.count for one in found if isinstance(one, Proof)) > 150


def test_the_next_rows_do_not_meet_those_that_came(place: Place) -> None:
    run(place.cluster, "ALTER SEQUENCE vals.every_type_n_seq RESTART", "ALTER TABLE vals.generated ALTER id RESTART")
    try:
        loaded(place.files, place.cluster, place.major, Patterns(tables=("vals.every_type", "vals.generated")))
        assert run(place.cluster, "SELECT nextval('vals.every_type_n_seq') > max(n) FROM vals.every_type") == [(True,)]
        assert run(place.cluster, "INSERT INTO vals.generated (base) VALUES (1) RETURNING id > 128") == [(True,)]
    finally:
        loaded(place.files, place.cluster, place.major, Patterns(tables=("vals.generated",)))


def test_another_order_of_columns_is_no_other_row(place: Place) -> None:
    run(
        place.cluster,
        "ALTER TABLE vals.no_key RENAME TO put_by",
        "SET ROLE postgres",
        "CREATE TABLE vals.no_key (b text, a int)",
    )
    try:
        assert loaded(place.files, place.cluster, place.major, Patterns(tables=("vals.no_key",))) == []
        assert run(place.cluster, "SELECT DISTINCT a, b FROM vals.no_key") == [(1, "same")]
        with moment_of(place.cluster, place.major) as moment:
            found = list(TablesPart(patterns=Patterns(tables=("vals.no_key",))).compare(place.files, moment))
        assert found == [Proof("tables", "rows", 3)]
    finally:
        run(place.cluster, "DROP TABLE vals.no_key", "ALTER TABLE vals.put_by RENAME TO no_key")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(b'{"a":1', b'{"a":1,"a":2', 1), "line 2: a column stands there twice"),
        (lambda text: text.replace(b'"b":"same"}\n]', b'"c":"same"}\n]'), "line 4: the table has no column c"),
        (lambda text: text.replace(b',"b":"same"}\n]', b"}\n]"), "line 4: not the columns of line 2: b"),
        (lambda text: text.replace(b'{"a":1', b"{a:1", 1), "line 2: "),
        (lambda text: text[:-12], "line 4: "),
        (lambda text: text.replace(b'{"a":1,"b":"same"},\n', b"[1],\n", 1), "line 2: a row is a JSON object"),
        (lambda text: text.replace(b'"a":1', b'"a":"x"', 1), "invalid input syntax for type integer"),
        (lambda text: text.replace(b'"same"', b'"\xff"', 1), "line 2: "),
    ],
)
def test_bad_rows_are_named_and_nothing_is_written(
    place: Place, tmp_path: Path, change: Callable[[bytes], bytes], said: str
) -> None:
    (tmp_path / "tables_json").mkdir()
    for one in place.files.saved:
        content = (place.files.folder / one.path).read_bytes()
        (tmp_path / one.path).write_bytes(change(content) if one.path == NO_KEY else content)
    before = oracle.rows(place.cluster)
    bad = Files(tmp_path, saved=place.files.saved)
    with pytest.raises((IntegrityError, SqlError)) as raised:
        loaded(bad, place.cluster, place.major, Patterns(tables=("vals.no_key", "vals.same")))
    assert NO_KEY in raised.value.message
    assert said in raised.value.message
    assert raised.value.hint
    assert oracle.rows(place.cluster) == before


def test_no_trigger_fires_and_rows_that_point_to_nothing_are_named(place: Place) -> None:
    run(
        place.cluster,
        "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$",
        "CREATE TRIGGER no BEFORE INSERT OR DELETE ON vals.cycle_a FOR EACH ROW EXECUTE FUNCTION public.no()",
        "SET session_replication_role = replica; DELETE FROM vals.cycle_b",
    )
    try:
        problems = loaded(place.files, place.cluster, place.major, Patterns(tables=("vals.cycle_a",)))
        assert [(one.name, one.reason) for one in problems] == [
            ("foreign key cycle_a_b_fkey of vals.cycle_a", "1 row pointing to nothing in vals.cycle_b")
        ]
    finally:
        run(place.cluster, "DROP FUNCTION public.no CASCADE")
        assert loaded(place.files, place.cluster, place.major, Patterns(tables=("vals.cycle_b",))) == []


def test_a_large_table_comes_back_in_constant_memory(place: Place, tmp_path: Path) -> None:
    import tracemalloc

    line = b'{"a":1,"b":"' + b"x" * 10_000 + b'"}'
    (tmp_path / "tables_json").mkdir()
    with (tmp_path / NO_KEY).open("wb") as file:
        file.write(b"[\n" + b",\n".join([line] * 3000) + b"\n]\n")

    class Streamed(Files):
        def read(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
            with (self.folder / path).open("rb") as file:
                while piece := file.read(65536):
                    yield piece

    size = (tmp_path / NO_KEY).stat().st_size
    files = Streamed(tmp_path, saved=[Entry("tables", "vals.no_key", NO_KEY, size, "")])
    tracemalloc.start()
    try:
        assert loaded(files, place.cluster, place.major, Patterns()) == []
        assert tracemalloc.get_traced_memory()[1] < size / 4
    finally:
        tracemalloc.stop()
        loaded(place.files, place.cluster, place.major, Patterns(tables=("vals.no_key",)))


def test_a_check_that_old_rows_break_stops_it_before_anything_is_written(place: Place) -> None:
    before = oracle.rows(place.cluster)
    with pytest.raises(SupapyError, match=r"vals\.lax\.json: .*lax_positive"):
        loaded(place.files, place.cluster, place.major, Patterns(tables=("vals.lax", "vals.no_key")))
    assert oracle.rows(place.cluster) == before
