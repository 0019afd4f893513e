"""Large tables are read in stretches by several connections: every row of the moment once, and in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.backups import ABOUT
from tests.fidelity.saved import moment_of, save
from tests.processes import children
from tests.projects import DEFAULT_MAJOR, MAJORS, ClusterFactory, owner, superuser
from tests.unit.project.test_pumps import until_gone

from supapy.catalog import Catalog
from supapy.model import Item
from supapy.parts.database.inventory.contents import Contents
from supapy.parts.database.part import DatabasePart
from supapy.parts.database.rows.reading import Reading
from supapy.parts.database.rows.tables import Rows
from supapy.parts.tables import TablesPart
from supapy.project.moment import Moment
from supapy.project.rows import as_array, rows_out
from supapy.project.schema import user_tables
from supapy.project.stretches import STRETCH_BYTES
from supapy.sandbox.cluster import Cluster
from supapy.store.memory import MemoryStore
from supapy.verify import check_files

# Rows in the table itself and out of line; gaps, moved rows, a dropped and a generated column, a child table.
LARGE = """
CREATE TABLE large (
    gone int DEFAULT 1, id int, note text, wide text, twice int GENERATED ALWAYS AS (id * 2) STORED
);
ALTER TABLE large DROP COLUMN gone;
ALTER TABLE large ALTER wide SET STORAGE EXTERNAL;
INSERT INTO large SELECT i, repeat('é\t', 40), CASE WHEN i % 50 = 0 THEN repeat(chr(65 + i % 26), 20000) END
    FROM generate_series(1, 60000) i;
DELETE FROM large WHERE id % 7 = 0 OR id BETWEEN 20000 AND 30000;
UPDATE large SET note = 'moved' WHERE id % 11 = 0;
CREATE TABLE child () INHERITS (large);
INSERT INTO child VALUES (-1, 'of the child');
CREATE TABLE small AS SELECT 1 AS a;
CREATE TABLE nothing (a int);
"""
CHANGES = """
UPDATE large SET note = 'later' WHERE id % 3 = 0;
DELETE FROM large WHERE id % 5 = 0;
INSERT INTO large SELECT i, repeat('later', 20) FROM generate_series(100000, 140000) i;
"""


@pytest.fixture
def source(cluster: Cluster) -> Cluster:
    with owner(cluster) as connection:
        connection.execute(LARGE.encode())
    return cluster


def rows_of(moment: Moment) -> list[Rows]:
    return [Rows("database", table) for table in user_tables(moment)]


@pytest.mark.parametrize("pg_major", MAJORS)
@pytest.mark.parametrize("jobs", [1, 5])
def test_stretches_hold_what_one_read_of_the_whole_does_whatever_is_written_meanwhile(
    source: Cluster, pg_major: int, jobs: int
) -> None:
    with moment_of(source, pg_major) as moment:
        names = [rows.table.name for rows in rows_of(moment)]
        whole = {name: b"".join(moment.copy_out(f"COPY public.{name} TO STDOUT")) for name in names}
        assert len(whole["large"]) > 2 * STRETCH_BYTES
        with owner(source) as connection:
            connection.execute(CHANGES.encode())
            connection.commit()
            connection.execute("VACUUM large")
        outputs = Reading(moment, rows_of(moment), jobs).outputs()
        assert {rows.table.name: b"".join(moving) for rows, moving in outputs} == whole


@pytest.mark.parametrize("pg_major", MAJORS)
def test_a_stretch_is_found_without_reading_the_rest(source: Cluster, pg_major: int) -> None:
    read = b"SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'large'"
    # A connection tells what it has read when it ends, and those of the tests before may still be ending.
    until_gone(source)
    with superuser(source) as watcher:
        ((before,),) = watcher.execute(read).fetchall()
        with moment_of(source, pg_major) as moment:
            large = [rows for rows in rows_of(moment) if rows.table.name == "large"]
            ((_, moving),) = Reading(moment, large, 2).outputs()
            rows = sum(piece.count(b"\n") for piece in moving)
        until_gone(source)
        assert watcher.execute(read).fetchall() == [(before + rows,)]


def test_each_tables_rows_are_read_alone_out_of_a_compressed_script(source: Cluster, pg_major: int) -> None:
    catalog = Catalog(MemoryStore())
    with moment_of(source, pg_major) as moment, catalog.draft(compress=True) as draft:
        draft.take_all(DatabasePart(jobs=3, compress=True).dump(moment))
        draft.commit(ABOUT)
        names = [rows.table.name for rows in rows_of(moment)]
        whole = {name: b"".join(moment.copy_out(f"COPY public.{name} TO STDOUT")) for name in names}
    backup = catalog.open(draft.label)
    for segment in Contents.of(backup).row_segments:
        start = segment.offset + segment.table["rows_start"]
        read = b"".join(backup.read("database.sql", start, start + segment.table["rows_length"]))
        assert read == whole[segment.table["table"]]
    assert check_files(backup) == 2


def test_the_rows_as_json_are_read_in_stretches_too(source: Cluster, pg_major: int) -> None:
    with moment_of(source, pg_major) as moment:
        files = {item.path: b"".join(item.open()) for item in TablesPart(jobs=3).dump(moment) if isinstance(item, Item)}
        whole = {rows.table.name: b"".join(as_array(rows_out(moment, rows.table))) for rows in rows_of(moment)}
    assert files == {f"tables_json/{name}.json": array for name, array in whole.items()}
    assert len(json.loads(files["tables_json/large.json"])) > 40_000


@pytest.mark.parametrize("pg_major", [15])
def test_a_table_whose_index_calls_a_function_of_the_users_is_read_at_once(
    cluster: Cluster, pg_major: int, tmp_path: Path
) -> None:
    with owner(cluster) as connection:
        connection.execute("CREATE TABLE words (id int, word text)")
        connection.execute(
            "CREATE TABLE marks (mark text); CREATE FUNCTION known(text) RETURNS bool IMMUTABLE LANGUAGE plpgsql "
            "AS 'BEGIN RETURN EXISTS (SELECT FROM marks WHERE mark = $1); END'"
        )
        connection.execute("CREATE INDEX ON words (known(word)) WHERE known('a')")
        connection.execute("INSERT INTO words SELECT i, repeat('w', 100) FROM generate_series(1, 90000) i")
    save(cluster, pg_major, tmp_path, DatabasePart(jobs=3))
    segments = json.loads((tmp_path / "database.toc.json").read_text())["segments"]
    assert [one["rows"] for one in segments if one.get("table") == "words"] == [90000]
    with moment_of(cluster, pg_major) as moment:
        files = {item.path: b"".join(item.open()) for item in TablesPart(jobs=1).dump(moment) if isinstance(item, Item)}
    assert len(json.loads(files["tables_json/words.json"])) == 90000


def test_a_dump_interrupted_among_the_rows_leaves_no_child(cluster_factory: ClusterFactory) -> None:
    cluster = cluster_factory()
    with owner(cluster) as connection:
        # More than is read ahead.
        connection.execute("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 150000)")
    before = children().keys()
    with pytest.raises(KeyboardInterrupt), moment_of(cluster, DEFAULT_MAJOR) as moment:
        script = next(one for one in DatabasePart(jobs=4).dump(moment) if isinstance(one, Item))
        pieces = script.open()
        assert not isinstance(pieces, list)
        next(piece for piece in pieces if b"x" * 1000 in piece)  # type: ignore[union-attr]
        assert children().keys() > before
        raise KeyboardInterrupt
    assert children().keys() == before
    until_gone(cluster)
