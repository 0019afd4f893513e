"""The tables once more, as JSON: one file a table, for people and programs that don't speak SQL.

Nothing is loaded from them and nothing compared with them here: rows come back, and are proved, through database.sql.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from supapy.model import Dump, Finding, Item, Step
from supapy.names import table_files
from supapy.parts.base import Obstacle, Source
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.rows import as_array, rows_out
from supapy.project.schema import Table, looked_into_tables, user_tables

FOLDER = "tables_json"


class TablesPart:
    """tables_json/: every user table's rows, read in the same moment as database.sql."""

    name = "tables"
    side_by_side = False

    def dump(self, moment: Moment) -> Dump:
        """One item a table. Tables this role may not read are the database part's to report."""
        tables = [table for table in user_tables(moment) if table.readable]
        files = table_files((table.schema, table.name) for table in tables)
        looked_into = looked_into_tables(moment)
        for table, file in zip(tables, files, strict=True):
            rows = partial(_rows, moment, table, usual_path=table.oid in looked_into)
            yield Item(self.name, f"{table.schema}.{table.name}", f"{FOLDER}/{file}", rows)

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        return iter(())

    def load(self, backup: Source, project: Project) -> Iterator[Step]:
        return iter(())

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        return iter(())


def _rows(moment: Moment, table: Table, *, usual_path: bool) -> Iterator[bytes]:
    if usual_path:
        moment.session.execute("RESET search_path")
    yield from as_array(rows_out(moment, table))
    if usual_path:
        moment.session.execute("SET search_path = ''")
