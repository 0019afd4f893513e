"""Amounts of money where the database writes them as another country does: rows, defaults, checks and functions."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fidelity.saved import differences, loaded, psql, save
from tests.projects import MAJORS, run, tools

from supapy.sandbox.cluster import Cluster

SOURCE = """
CREATE TABLE paid (amount money);
INSERT INTO paid VALUES ('1.234,56 €'), ('-7');
CREATE TABLE asked (amount money DEFAULT '1.234,56 €', least money CHECK (least > '1,5 €'::money));
INSERT INTO asked (least) VALUES ('2,50 €');
CREATE FUNCTION more(amount money DEFAULT '9,99 €') RETURNS money
    BEGIN ATOMIC SELECT '1.003,50 €'::money + amount; END;
"""
VALUES = (
    "SELECT amount::numeric FROM paid ORDER BY 1",
    "SELECT amount::numeric, least::numeric FROM asked",
    "SELECT more()::numeric",
    "SELECT amount::text FROM paid ORDER BY amount",
)


@pytest.fixture
def german(server_folder: Path) -> Iterator[Callable[[int], Cluster]]:
    """Makes servers that know a German locale."""
    locales = Path(tempfile.mkdtemp(dir=server_folder))
    locales.chmod(0o755)
    program = shutil.which("localedef")
    if not program or subprocess.run([program, "-i", "de_DE", "-f", "UTF-8", locales / "de_DE.utf8"]).returncode:
        pytest.skip("this system makes no locales")

    with ExitStack() as cleanup:

        def make(major: int) -> Cluster:
            root = Path(tempfile.mkdtemp(dir=server_folder))
            root.chmod(0o755)
            found = tools(major)
            cluster = Cluster(root, replace(found, environment={**found.environment, "LOCPATH": str(locales)}))
            cluster.create()
            cleanup.callback(cluster.stop)
            cluster.start()
            return cluster

        yield make


@pytest.mark.parametrize("major", MAJORS)
def test_amounts_stay_what_they_are(german: Callable[[int], Cluster], tmp_path: Path, major: int) -> None:
    source, by_part, by_psql = (german(major) for _ in range(3))
    run(source, "ALTER DATABASE postgres SET lc_monetary = 'de_DE.utf8'")
    run(source, SOURCE)
    saved = save(source, major, tmp_path)
    assert (saved.problems, saved.omissions) == ([], [])
    assert loaded(saved, by_part, major) == []
    done = psql(by_psql, major, saved.script)
    assert (done.returncode, done.stderr) == (0, "")
    for target in (by_part, by_psql):
        assert differences(saved, target, major) == []
        assert [run(target, query) for query in VALUES] == [run(source, query) for query in VALUES]
    assert run(by_part, VALUES[-1]) == [("-7,00 €",), ("1.234,56 €",)]
