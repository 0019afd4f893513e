"""What a server prints otherwise once it has read it back: equal to what was saved, and no blind eye to what isn't."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fidelity.saved import moment_of, psql, save
from tests.projects import ClusterFactory, owner, superuser

from supapy.model import Difference
from supapy.parts.database.part import DatabasePart

# Of a table: id int, n int, s varchar, t text, l varchar[], c character(3).
CONDITIONS = (
    "s IN ('a', 'b')",
    "s NOT IN ('a', 'it''s (ARRAY[''b''])')",
    "s <> ALL (ARRAY['a', 'b']::varchar[])",
    "c IN ('a', 'b') AND t IN ('a', s)",
    "id BETWEEN 1 AND 3 AND s IS NOT NULL",
    "(id BETWEEN 1 AND 3 AND n > 1) OR (id BETWEEN SYMMETRIC 5 AND 4 OR n IS NULL)",
    "CASE WHEN s IN ('a', 'b') THEN id > 1 ELSE id BETWEEN 2 AND 3 AND t = 'x' END",
    "coalesce(s, 'y') IN ('a', 'b') AND NOT (n NOT BETWEEN 1 AND 2 AND n <> 7)",
    "l && ARRAY['a', s]::varchar[]",
)
QUERIES = (
    "EXISTS (SELECT 'x' FROM app.t z WHERE z.id = t.id AND z.s IN ('a', 'b'))",
    "id IN (SELECT z.id FROM app.t z WHERE z.id BETWEEN 1 AND 2 AND z.n = 1)",
    "s = (SELECT 'a')",
)
SOURCE = """
CREATE SCHEMA app; SET search_path = app;
CREATE TABLE t (id int, n int, s varchar(10), t text, l varchar[], c character(3));
CREATE DOMAIN word AS varchar CHECK (value IN ('x', 'y'));
CREATE TABLE parted (s varchar, g boolean GENERATED ALWAYS AS (s IN ('a', 'b')) STORED)
    PARTITION BY RANGE ((s IN ('a', 'b')));
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER sometimes BEFORE UPDATE ON t FOR EACH ROW WHEN (new.s IN ('a', 'c')) EXECUTE FUNCTION nothing();
CREATE RULE also AS ON INSERT TO t WHERE new.s IN ('a', 'b') DO ALSO NOTHING;
CREATE STATISTICS of_t ON (s IN ('a', 'b')), id FROM t;
CREATE PUBLICATION some_of_t FOR TABLE t WHERE (id BETWEEN 1 AND 3 AND n > 0);
CREATE FUNCTION found() RETURNS SETOF int BEGIN ATOMIC
    SELECT id FROM t WHERE s IN ('a', 'b') AND id BETWEEN 1 AND 2 AND n > 0; END;
CREATE VIEW listed AS TABLE t INTERSECT (VALUES (1, 2, 'a', 'b', '{}'::varchar[], 'c'))
    UNION SELECT *, 'x' FROM (VALUES (1, 2, 'a', 'b', '{}'::varchar[])) v;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM t WHERE s NOT IN ('a', 'b');
"""


def statements() -> str:
    made = [SOURCE]
    for n, condition in enumerate(CONDITIONS):
        made.append(
            f"ALTER TABLE t ADD CONSTRAINT check_{n} CHECK ({condition}); CREATE INDEX index_{n} ON t (id) "
            f"WHERE {condition};"
        )
    for n, condition in enumerate(CONDITIONS + QUERIES):
        made.append(f"CREATE POLICY policy_{n} ON t USING ({condition}) WITH CHECK ({condition});")
        made.append(f"CREATE VIEW view_{n} AS SELECT {condition} AS x, id FROM t WHERE {condition};")
    return "\n".join(made)


@pytest.mark.parametrize(("before", "after"), [(15, 15), (17, 17), (15, 17)])
def test_what_is_printed_otherwise_once_it_was_read_back_is_equal(
    cluster_factory: ClusterFactory, tmp_path: Path, before: int, after: int
) -> None:
    source, target = cluster_factory(before), cluster_factory(after)
    (tmp_path / "source.sql").write_text(statements())
    done = psql(source, before, tmp_path / "source.sql")
    assert done.returncode == 0, done.stderr
    saved = save(source, before, tmp_path)
    assert psql(target, after, saved.script).returncode == 0
    printed = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'check_0'"
    with superuser(source) as first, superuser(target) as second:
        assert first.execute(printed).fetchone() != second.execute(printed).fetchone()

    def different() -> list[str]:
        with moment_of(target, after) as moment:
            return [one.name for one in DatabasePart().compare(saved, moment) if isinstance(one, Difference)]

    assert different() == []
    with owner(target) as connection:
        connection.execute("ALTER POLICY policy_0 ON app.t USING (s IN ('a', 'b', 'c'))")
        connection.execute("ALTER POLICY policy_4 ON app.t USING (id BETWEEN 1 AND 3 OR s IS NOT NULL)")
        connection.execute("ALTER PUBLICATION some_of_t SET TABLE app.t WHERE (id BETWEEN 1 AND 3)")
    assert different() == ["policy policy_0 on app.t", "policy policy_4 on app.t", "publication some_of_t"]
