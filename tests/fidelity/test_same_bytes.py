"""What hasn't changed is saved as the same bytes, as pg_dump does."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fidelity.saved import psql, save
from tests.projects import DEFAULT_MAJOR, ClusterFactory, superuser

HERE = Path(__file__).parent
# Each catalog with a column of it. Those that are left out aren't read in order, or can't be written.
_CATALOGS = """
SELECT c.oid::regclass::text, quote_ident(a.attname)
FROM pg_class c JOIN LATERAL (SELECT attname FROM pg_attribute
    WHERE attrelid = c.oid AND attnum > 0 AND attname <> 'oid' ORDER BY attnum LIMIT 1) a ON true
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'
    AND c.relname NOT IN ('pg_statistic', 'pg_database', 'pg_tablespace', 'pg_largeobject')
"""
# A random one keeps psql from obeying commands among the rows; pg_dump makes one of its own too.
_KEY = re.compile(rb"(?<=restrict )[0-9a-f]+(?=\n)")


def test_a_database_is_saved_as_the_same_bytes_however_its_catalogs_lie(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source = cluster_factory()
    for name in ("people", "rows", "objects"):
        assert psql(source, DEFAULT_MAJOR, HERE / f"{name}.sql").returncode == 0
    scripts = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        scripts.append(_KEY.sub(b"", save(source, DEFAULT_MAJOR, folder).script.read_bytes()))
        with superuser(source) as connection:
            connection.execute("SET allow_system_table_mods = on")
            # Every other row moves to the end of its catalog, or into a gap.
            for catalog, column in connection.execute(_CATALOGS).fetchall():
                connection.execute(
                    f"UPDATE {catalog} SET {column} = {column} WHERE hashtext(ctid::text) % 2 = 0".encode()
                )
    assert scripts[0] == scripts[1]
