"""The archive's table of contents, against what pg_restore reads from the same archive."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.projects import MAJORS, owner, tools

from supapy.errors import ToolMissing
from supapy.parts.database.sql.archive import Section, read_toc
from supapy.project.postgres import environment
from supapy.sandbox.cluster import Cluster

SCHEMA = '''
CREATE SCHEMA "My Schema";
CREATE TABLE "My Schema"."a b ""ü""" (id int PRIMARY KEY, other int REFERENCES "My Schema"."a b ""ü""");
COMMENT ON TABLE "My Schema"."a b ""ü""" IS E'two\\nlines';
CREATE FUNCTION public.f(a int, b text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE VIEW public.v AS SELECT id FROM "My Schema"."a b ""ü""";
'''


@pytest.fixture
def archive(cluster: Cluster, pg_major: int, tmp_path: Path) -> Path:
    with owner(cluster) as connection:
        connection.execute(SCHEMA)
    path = tmp_path / "archive"
    _run(cluster, pg_major, "pg_dump", "-Fc", "-Z0", "--schema-only", "-f", str(path))
    return path


def _run(cluster: Cluster, major: int, program: str, *arguments: str) -> str:
    found = tools(major)
    env = {**found.environment, **environment(cluster.dsn)}
    done = subprocess.run([found.path(program), *arguments], env=env, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("pg_major", MAJORS)
def test_the_entries_are_those_that_pg_restore_lists(cluster: Cluster, pg_major: int, archive: Path) -> None:
    listed = _run(cluster, pg_major, "pg_restore", "-l", str(archive))
    expected = [line.split(" ", 3) for line in listed.splitlines() if line and not line.startswith(";")]
    ours = {entry.id: entry for entry in read_toc(archive.read_bytes())}
    assert len(expected) > 100
    for number, catalog, oid, rest in expected:
        entry = ours[int(number.rstrip(";"))]
        assert (entry.catalog, entry.oid) == (int(catalog), int(oid))
        assert rest == " ".join([entry.kind, entry.schema or "-", entry.name, entry.owner])


@pytest.mark.parametrize("pg_major", MAJORS)
def test_names_sql_and_what_an_entry_needs_are_exact(archive: Path, pg_major: int) -> None:
    entries = {(entry.kind, entry.schema, entry.name): entry for entry in read_toc(archive.read_bytes())}
    table = entries["TABLE", "My Schema", 'a b "ü"']
    assert (table.section, table.owner, table.access_method) == (Section.PRE_DATA, "postgres", "heap")
    assert table.drop_sql == 'DROP TABLE "My Schema"."a b ""ü""";\n'
    assert 'CREATE TABLE "My Schema"."a b ""ü""" (\n    id integer NOT NULL' in table.sql
    comment = entries["COMMENT", "My Schema", 'TABLE "a b ""ü"""']
    assert comment.needs == (table.id,)
    assert "IS 'two\nlines'" in comment.sql
    key = entries["FK CONSTRAINT", "My Schema", 'a b "ü" a b "ü"_other_fkey']
    assert key.section is Section.POST_DATA
    assert table.id in key.needs
    assert table.id in entries["VIEW", "public", "v"].needs
    assert ("FUNCTION", "public", "f(integer, text)") in entries


def test_an_unknown_format_is_refused_by_its_number(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[6] = 99
    with pytest.raises(ToolMissing, match=r"unknown format 1\.99"):
        read_toc(bytes(data))


@pytest.mark.parametrize("length", [0, 3, 11, 40, 500, 3000])
def test_an_archive_that_is_cut_short_is_refused(archive: Path, length: int) -> None:
    with pytest.raises(ToolMissing):
        read_toc(archive.read_bytes()[:length])
