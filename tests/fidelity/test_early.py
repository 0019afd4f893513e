"""What stands on a primary key, and is needed by what comes before the rows: pg_dump has it after them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fidelity.saved import differences, loaded, moment_of, project_of, psql, save, steps_of
from tests.projects import MAJORS, ClusterFactory, few_locks, owner, superuser

from supapy.parts.database.part import DatabasePart
from supapy.project.mark import Mark, under_way
from supapy.project.patterns import Patterns

ANY_RESTORE = Mark("backup_20261122_071500", "source", "digest", {})
SOURCE = """
CREATE TABLE keyed (id int PRIMARY KEY, n int);
INSERT INTO keyed VALUES (1, 2), (2, 3);
COMMENT ON CONSTRAINT keyed_pkey ON keyed IS 'early';
CREATE TABLE parted (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9);
INSERT INTO parted VALUES (5, 6);
CREATE MATERIALIZED VIEW grouped AS SELECT id, n FROM keyed GROUP BY id;
CREATE MATERIALIZED VIEW of_parted AS SELECT id, n FROM parted GROUP BY id;
CREATE MATERIALIZED VIEW above AS SELECT id, n + 1 AS more FROM grouped;
CREATE UNIQUE INDEX above_id ON above (id);
CREATE VIEW plain AS SELECT id, n FROM keyed GROUP BY id;
CREATE FUNCTION late() RETURNS int BEGIN ATOMIC SELECT max(n) FROM (SELECT n FROM keyed GROUP BY id) AS x; END;
CREATE FUNCTION all_grouped() RETURNS SETOF grouped LANGUAGE sql STABLE AS 'SELECT * FROM public.grouped';
CREATE FUNCTION all_above() RETURNS SETOF above LANGUAGE sql STABLE AS 'SELECT * FROM public.above';
CREATE FUNCTION all_plain() RETURNS SETOF plain LANGUAGE sql STABLE AS 'SELECT * FROM public.plain';
CREATE FUNCTION title_of(one of_parted) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT one.n::text';
CREATE FUNCTION is_fine(n int, of grouped DEFAULT NULL) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT n > 0';
REVOKE EXECUTE ON FUNCTION all_grouped() FROM PUBLIC, anon;
CREATE VIEW over AS SELECT *, late() FROM all_grouped();
CREATE DOMAIN grouped_one AS grouped CHECK ((VALUE).id > 0);
CREATE TABLE uses (whole grouped_one, many grouped[], n int DEFAULT late() CHECK (is_fine(n)));
INSERT INTO uses VALUES ((1, 2), '{"(1,2)"}', 7);
CREATE TABLE other (n int);
CREATE AGGREGATE "Odd (all)"(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
CREATE VIEW counted AS SELECT "Odd (all)"(*) FROM keyed;
"""
# So many that few locks don't do for one transaction.
MORE = "DO $$ BEGIN FOR i IN 1..110 LOOP EXECUTE 'CREATE TABLE more_' || i || ' ()'; END LOOP; END $$"


@pytest.mark.parametrize("major", MAJORS)
def test_it_comes_before_the_rows_as_well(cluster_factory: ClusterFactory, tmp_path: Path, major: int) -> None:
    source, by_psql, in_pieces, some = (cluster_factory(major) for _ in range(4))
    with owner(source) as connection:
        connection.execute(SOURCE)
        connection.execute(MORE)
    saved = save(source, major, tmp_path)
    assert (saved.problems, saved.omissions) == ([], [])
    done = psql(by_psql, major, saved.script)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    few_locks(in_pieces)
    with project_of(in_pieces, major) as project, under_way(project, ANY_RESTORE):
        steps = steps_of(saved, project, DatabasePart(jobs=3))
        assert len(steps) == 4
        assert [problem for step in steps for problem in step.apply(lambda _: None)] == []
    with moment_of(some, major) as moment:
        needed = [f"materialized view public.grouped, which public.{one} needs" for one in ("grouped_one", "uses")]
        obstacles = DatabasePart(patterns=Patterns(tables=("uses",))).obstacles(saved, moment)
        assert [one.text for one in obstacles] == [f"it lacks {', '.join(needed)}"]
    chosen = DatabasePart(patterns=Patterns(tables=("uses", "keyed", "grouped", "counted")))
    assert loaded(saved, some, major, chosen) == []
    for target, part in ((by_psql, DatabasePart()), (in_pieces, DatabasePart()), (some, chosen)):
        assert differences(saved, target, major, part) == []
        with superuser(target) as connection:
            assert connection.execute("SELECT n, whole::text, to_regclass('other') FROM uses").fetchall() == [
                (7, "(1,2)", None if part is chosen else "other")
            ]
