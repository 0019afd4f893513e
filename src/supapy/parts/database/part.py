"""The database: schema and rows as one script for psql, and a table of contents that says where everything is in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from supapy.journal import Journal
from supapy.model import Dump, Finding, Item, Omission, Problem, Step
from supapy.names import qualified
from supapy.parts.base import Obstacle, Source
from supapy.parts.database import additions, compare, grants, load, roles, specials
from supapy.parts.database.choosing import choose
from supapy.parts.database.contents import FILE, TOC_FILE, Contents
from supapy.parts.database.data import auth_rows, storage_rows, unreadable_tables
from supapy.parts.database.facts import Facts, read_facts
from supapy.parts.database.inventory import take_inventory
from supapy.parts.database.rules import Selection, select
from supapy.parts.database.script import Script
from supapy.parts.database.toc import TocEntry, read_toc
from supapy.project.journal import unfinished
from supapy.project.moment import Moment
from supapy.project.patterns import ALL_TABLES, Patterns
from supapy.project.postgres import LOCK_TIMEOUT_S
from supapy.project.programs import run
from supapy.project.project import Project
from supapy.project.pumps import usual_jobs
from supapy.project.schema import Table, user_tables


class DatabasePart:
    """Everything in PostgreSQL, as far as a project's own role can bring it back.

    `auth` and `storage` say whether the rows of those schemas go into the script, so that it also restores a project
    by itself. A restore by supapy leaves them aside: the parts of these names bring them back first. Rows are read by
    `jobs` connections at once, or fewer, which also compress them where the backup is to be compressed; of the tables
    only those that the `patterns` name.
    """

    name = "database"
    side_by_side = False

    def __init__(
        self,
        auth: bool = True,
        storage: bool = True,
        jobs: int | None = None,
        *,
        compress: bool = False,
        patterns: Patterns = ALL_TABLES,
    ) -> None:
        self._patterns = patterns
        self._rowless: set[int] = set()
        self._auth = auth
        self._storage = storage
        self._jobs = usual_jobs() if jobs is None else jobs
        self._compress = compress

    def dump(self, moment: Moment) -> Dump:
        """The script, then its table of contents, which can be opened once the script was read to its end."""
        if begun := unfinished(moment):
            yield Problem(self.name, "the database as it should be", f"it is half restored: {begun} is on its way in")
        self._hold_tables(moment)
        facts = read_facts(moment)
        selection = choose(moment, self._patterns, select(_archive_entries(moment), facts), facts)
        self._rowless = selection.lost_relations
        granted = grants.read_grants(moment, facts)
        yield from _unsaved(moment, facts, selection, granted)
        also = {"auth": self._auth, "storage": self._storage, "compress": self._compress}
        script = Script(moment, selection, facts, granted, jobs=self._jobs, **also)
        yield Item(self.name, FILE, FILE, script.pieces)

        def contents() -> Iterator[bytes]:
            inventory, left_out = take_inventory(moment, facts, selection, script.sequences, granted)
            version = moment.session.server_version
            where = script.segments.written, script.statements
            yield from Contents(version, *where, inventory, left_out, selection.is_part).to_bytes()

        tables = Contents(0, script.segments.written, [], {}, []).row_segments
        counts = {"tables": len(tables), "rows": sum(segment.table["rows"] for segment in tables)}
        yield Item(self.name, TOC_FILE, TOC_FILE, contents, counts=counts)

    def has_rows_of(self, table: Table) -> bool:
        """Whether the rows of a readable table are among those that `dump` saves, which is known once it has begun."""
        return table.oid not in self._rowless

    def _hold_tables(self, moment: Moment) -> None:
        """Keep the tables as they are until the moment ends: what pg_dump describes must be what COPY reads, in as many
        statements as it may be."""
        tables = user_tables(moment)
        if self._auth:
            tables += [rows.table for rows in auth_rows(moment)]
        if self._storage:
            tables += [rows.table for rows in storage_rows(moment)]
        names = [table.sql for table in tables if table.readable]
        if names:
            moment.session.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS SHARE MODE")

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """What the target holds in the user's schemas, and what it can't take. Reads only."""
        return load.obstacles(backup, moment)

    def load(self, backup: Source, project: Project, journal: Journal) -> Iterator[Step]:
        """One step or a few. The rows of auth and storage are left to the parts of these names."""
        return load.steps(backup, project, self._jobs)

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """Catalogs and rows, without the rows of auth and storage. Reads only."""
        return compare.compare(backup, moment)


def _unsaved(
    moment: Moment, facts: Facts, selection: Selection, granted: list[grants.Grant]
) -> Iterator[Omission | Problem]:
    """All that can't come back, or can't be read, each by its name."""
    yield from selection.omissions
    for schema, name, oid, is_users in unreadable_tables(moment):
        if is_users and oid not in selection.rowless:
            yield Problem("database", f"table {qualified(schema, name)}", "this connection may not read it")
    yield from roles.omissions(moment, selection.roles)
    if not selection.is_part:
        yield from additions.omissions(facts.additions)
        yield from grants.omissions(granted)
        yield from specials.omissions(moment)


def _archive_entries(moment: Moment) -> list[TocEntry]:
    """What pg_dump says of the schema, in the moment's snapshot."""
    tools = moment.project.tools(moment.major)
    excluded = [f"--exclude-table={qualified(schema, name)}" for schema, name, _, _ in unreadable_tables(moment)]
    with tempfile.TemporaryDirectory(prefix="supapy-") as folder:
        archive = Path(folder) / "schema.archive"
        arguments = [
            *excluded,
            *("--format=custom", "--compress=0", "--schema-only", "--no-subscriptions", "--no-tablespaces"),
            *(f"--snapshot={moment.snapshot}", f"--lock-wait-timeout={LOCK_TIMEOUT_S}s", f"--file={archive}"),
        ]
        run(tools, "pg_dump", arguments, moment.project.db_url)
        return read_toc(archive.read_bytes())
