"""The tables as JSON files: which there are, and that each can be read."""

from __future__ import annotations

import json

import pytest
from tests.projects import MAJORS, owner

from supapy.model import Item
from supapy.parts.tables import TablesPart
from supapy.project.project import Project
from supapy.sandbox.project import SandboxProject

SCHEMA = """
CREATE FUNCTION public.plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT pg_catalog.lower($1)';
CREATE FUNCTION public.folded(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT plain($1)';
CREATE TABLE public.words (word text, kind regclass);
INSERT INTO public.words VALUES ('Hello', 'pg_catalog.pg_class'), (NULL, NULL);
CREATE TABLE public.others (kind regclass);
INSERT INTO public.others VALUES ('public.words');
"""
# A server of 17 and later refuses to make such an index; older ones are full of them.
INDEX = "CREATE INDEX ON public.words (public.folded(word))"


@pytest.mark.parametrize("pg_major", MAJORS)
def test_tables_are_read_though_an_index_needs_the_usual_search_path(project: SandboxProject, pg_major: int) -> None:
    with owner(project.database) as connection:
        connection.execute(SCHEMA)
        if pg_major < 17:
            connection.execute(INDEX)
    with Project(project.url, project.service_key, project.db_url) as live, live.moment() as moment:
        saved = {
            item.path: json.loads(b"".join(item.open())) for item in TablesPart().dump(moment) if isinstance(item, Item)
        }
    assert saved == {
        "tables_json/others.json": [{"kind": "public.words"}],
        "tables_json/words.json": [{"word": "Hello", "kind": "pg_class"}, {"word": None, "kind": None}],
    }
