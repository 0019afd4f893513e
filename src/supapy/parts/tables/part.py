"""The tables once more, as JSON: one file a table, for people and programs that don't speak SQL.

Rows come back through database.sql; who asks for it has them from these files instead, into tables that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from supapy.events import Expected, Listener, ignore
from supapy.journal import Journal
from supapy.model import Dump, Finding, Item, Step
from supapy.names import plain_name, table_files
from supapy.parts.base import Obstacle, Source
from supapy.parts.tables import load
from supapy.project.moment import Moment
from supapy.project.moving import Moving
from supapy.project.patterns import ALL_TABLES, Patterns
from supapy.project.project import Project
from supapy.project.pumps import usual_jobs
from supapy.project.rows import as_array, rows_statement
from supapy.project.schema import Table, looked_into_tables, user_tables
from supapy.project.stretches import Stretches, stretches

FOLDER = "tables_json"


class TablesPart:
    """tables_json/: every user table's rows, read in the same moment as database.sql; or those of the tables that it
    `takes`, which is asked once the part's turn has come. A restore brings back those that the `patterns` name. The
    `listener` hears of each table's rows."""

    name = "tables"
    side_by_side = False

    def __init__(
        self,
        jobs: int | None = None,
        takes: Callable[[Table], bool] = lambda table: True,
        *,
        patterns: Patterns = ALL_TABLES,
        listener: Listener = ignore,
    ) -> None:
        self._patterns = patterns
        self._listener = listener
        self._jobs = usual_jobs() if jobs is None else jobs
        self._takes = takes

    def dump(self, moment: Moment) -> Dump:
        """One item a table, to be opened in their order, each read to its end before the next; rows are read by `jobs`
        connections at once. Tables this role may not read are the database part's to report."""
        tables = [table for table in user_tables(moment) if table.readable and self._takes(table)]
        files = table_files((table.schema, table.name) for table in tables)
        found = stretches(moment, tables)
        outputs = moment.pumped(_statements(moment, tables, found), self._jobs)
        self._listener(Expected(self.name, sum(each.size for each in found.values())))
        for table, file, output in zip(tables, files, outputs, strict=True):
            rows = Moving(output, table, found[table.oid], self.name, self._listener)
            name = plain_name(table.schema, table.name)
            yield Item(self.name, name, f"{FOLDER}/{file}", partial(as_array, rows))

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """Tables or columns that the target lacks, and rows that would be replaced."""
        return load.obstacles(backup, moment, self._patterns)

    def load(self, backup: Source, project: Project, journal: Journal) -> Iterator[Step]:
        """One step: all tables in one transaction."""
        return load.steps(backup, project, self._patterns)

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """The rows of each table against those of its file."""
        return load.compare(backup, moment, self._patterns)


def _statements(moment: Moment, tables: list[Table], found: Mapping[int, Stretches]) -> list[list[str]]:
    """For each table what gives its rows. Where planning looks into functions they find the usual search path."""
    looked_into = looked_into_tables(moment)
    return [
        [f"RESET search_path \\; {rows_statement(table)} \\; SET search_path = ''"]
        if table.oid in looked_into
        else [rows_statement(table, clause) for clause in found[table.oid].clauses]
        for table in tables
    ]
