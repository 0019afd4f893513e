"""Whoever a restrictive policy kept out stays out, also where the policy itself can't come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fidelity.saved import loaded, psql, save
from tests.projects import DEFAULT_MAJOR, ClusterFactory, owner, superuser

from supapy.parts.database.part import DatabasePart
from supapy.project.patterns import Patterns

SOURCE = '''
CREATE TABLE members (id int PRIMARY KEY, allowed boolean); INSERT INTO members VALUES (1, false);
CREATE TABLE papers (id int); INSERT INTO papers VALUES (1), (2);
ALTER TABLE papers ENABLE ROW LEVEL SECURITY;
CREATE POLICY "all may" ON papers USING (true);
CREATE POLICY "not ""all""" ON papers AS RESTRICTIVE FOR SELECT TO anon
    USING (EXISTS (SELECT FROM members WHERE allowed));
'''
SOME = {
    "of a part": (Patterns(tables=("papers",)), Patterns()),
    "to a part": (Patterns(), Patterns(tables=("papers",))),
    "to all but one": (Patterns(), Patterns(excluded=("members",))),
}


@pytest.mark.parametrize("saved_of, brought_back", SOME.values(), ids=SOME)
def test_rows_that_a_policy_hid_stay_hidden_without_it(
    cluster_factory: ClusterFactory, tmp_path: Path, saved_of: Patterns, brought_back: Patterns
) -> None:
    source, target = cluster_factory(), cluster_factory()
    with owner(source) as connection:
        connection.execute(SOURCE.encode())
    saved = save(source, DEFAULT_MAJOR, tmp_path, DatabasePart(patterns=saved_of))
    said = [one.name for one in saved.omissions]
    if brought_back.is_everything:
        done = psql(target, DEFAULT_MAJOR, saved.script)
        assert (done.returncode, done.stderr) == (0, "")
    else:
        said += [one.name for one in loaded(saved, target, part=DatabasePart(patterns=brought_back))]
    assert any('not "all"' in name for name in said)
    with superuser(target) as connection:
        assert connection.execute("SELECT count(*) FROM papers").fetchone() == (2,)
        connection.execute("SET ROLE anon")
        assert connection.execute("SELECT count(*) FROM papers").fetchone() == (0,)
