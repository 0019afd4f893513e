"""The database: schema and rows as one script for psql, and a table of contents that says where everything is in it."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Container, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from supapy.events import Listener, ignore
from supapy.journal import Journal
from supapy.model import Dump, Finding, Item, Omission, Problem, Step
from supapy.names import qualified
from supapy.parts.base import Obstacle, Source
from supapy.parts.database.alive import refreshing, subscriptions
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.parts.database.chosen import load as load_chosen
from supapy.parts.database.chosen.choosing import choose
from supapy.parts.database.chosen.picking import pick
from supapy.parts.database.chosen.side import SideSchema
from supapy.parts.database.inventory import compare, extensions
from supapy.parts.database.inventory.contents import FILE, TOC_FILE, Contents
from supapy.parts.database.inventory.inventory import read_things, take_inventory, vault_inventory
from supapy.parts.database.load import load
from supapy.parts.database.platform import additions, queues, vault
from supapy.parts.database.rows import inherited
from supapy.parts.database.rows.holding import hold, refuse_hidden
from supapy.parts.database.rows.reading import Reading
from supapy.parts.database.rows.tables import (
    Rows,
    UnreadableTable,
    auth_rows,
    database_rows,
    storage_rows,
    unreadable_tables,
)
from supapy.parts.database.rules import naming
from supapy.parts.database.rules.comments import COMMENTS, with_forgotten
from supapy.parts.database.rules.facts import Facts, read_facts
from supapy.parts.database.rules.rules import Judgement, judge
from supapy.parts.database.script import grants, roles, specials
from supapy.parts.database.script.script import FILLED, Script
from supapy.parts.database.sql.archive import TocEntry, read_toc
from supapy.project.mark import unfinished
from supapy.project.moment import Moment
from supapy.project.patterns import ALL_TABLES, Patterns
from supapy.project.programs import beside
from supapy.project.project import Project
from supapy.project.pumps import usual_jobs
from supapy.project.schema import Table
from supapy.project.usual import LOCK_TIMEOUT_S


class DatabasePart:
    """Everything in PostgreSQL, as far as a project's own role can bring it back.

    `auth` and `storage` say whether the rows of those schemas go into the script, so that it also restores a project
    by itself. A restore by supapy leaves them aside: the parts of these names bring them back first. Rows are read by
    `jobs` connections at once, or fewer, which also compress them where the backup is to be compressed; of the tables
    only those that the `patterns` name, of which a restore makes plain copies `into_schema` if it is given one. The
    `listener` hears of each table's rows. With `vault_plaintext` the values of the vault stand in the script;
    `vault_root_key` says that the target is given the source's root key; `quiesce` says what sleeps after a restore.
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
        into_schema: str | None = None,
        listener: Listener = ignore,
        vault_plaintext: bool = False,
        vault_root_key: bool = False,
        quiesce: Quiesce = Quiesce.ALL,
    ) -> None:
        self._side = None if into_schema is None else SideSchema(into_schema, patterns)
        self._listener = listener
        self._vault_plaintext = vault_plaintext
        self._vault_root_key = vault_root_key
        self._quiesce = quiesce
        self._patterns = patterns
        self._rowless: set[int] = set()
        self._auth = auth
        self._storage = storage
        self._jobs = usual_jobs() if jobs is None else jobs
        self._compress = compress

    def dump(self, moment: Moment) -> Dump:
        """The script, then its table of contents, which can be opened once the script was read to its end."""
        unreadable = unreadable_tables(moment)
        with _archive(moment, unreadable) as entries:
            meant = self._tables(moment)
            saved = [rows for rows in meant if rows.table.readable]
            hold(moment, [rows.table for rows in saved])
            reading = Reading(moment, saved, self._jobs, compress=self._compress, listener=self._listener)
            if self._patterns.is_everything:
                refuse_hidden(moment, [rows.table for rows in saved])
                # From here on rows are read ahead; of some tables only once it is known which.
                reading.begin()
            with _uncollected():
                facts = read_facts(moment)
                things, granted = read_things(moment, facts), grants.read_grants(moment, facts)
                names = naming.naming_columns(moment, [rows.table for rows in saved])
                _ask_ahead(moment)
                archived = [*with_forgotten(moment, entries())]
                judgement = choose(moment, self._patterns, judge(archived, facts), facts)
        self._rowless = judgement.rowless
        if not self._patterns.is_everything:
            refuse_hidden(moment, [rows.table for rows in saved if self.has_rows_of(rows.table)])
        yield from _problems(moment, [rows.table for rows in meant], unreadable, judgement, facts.managed)
        yield from naming.problems(moment, names, judgement, facts.managed)
        yield from _omissions(moment, facts, judgement, granted)
        secrets = [] if judgement.is_part else (yield from self._secrets(moment))
        script = Script(moment, judgement, facts, reading, granted, secrets)
        yield Item(self.name, FILE, FILE, script.pieces)

        @_uncollected()
        def contents() -> Iterator[bytes]:
            inventory, made, left_out = take_inventory(moment, facts, judgement, things, script.sequences, granted)
            if self._vault_plaintext and secrets:
                inventory |= vault_inventory(secrets)
            version = moment.session.server_version
            where = script.segments.written, script.statements
            return Contents(version, *where, inventory, left_out, judgement.is_part, made).to_bytes()

        written = Contents(0, script.segments.written, [], {}, []).row_segments
        counts = {"tables": len(written), "rows": sum(segment.table["rows"] for segment in written)}
        yield Item(self.name, TOC_FILE, TOC_FILE, contents, counts=counts)

    def has_rows_of(self, table: Table) -> bool:
        """Whether the rows of a table were chosen to be saved, which is known once `dump` has begun."""
        return table.oid not in self._rowless

    def _tables(self, moment: Moment) -> list[Rows]:
        """The tables whose rows go into the script, unless they turn out to have no place there, in its order."""
        auth = auth_rows(moment) if self._auth else []
        storage = storage_rows(moment) if self._storage else []
        return [*auth, *storage, *database_rows(moment, set())]

    def _secrets(self, moment: Moment) -> Generator[Omission | Problem, None, list[vault.VaultSecret]]:
        """The secrets of the vault: readable where that is asked for, else sealed, with a word on that. The one place
        that decides which."""
        if self._vault_plaintext:
            secrets, problems = vault.read_values(moment)
            yield from problems
        else:
            secrets = vault.read_sealed(moment)
            yield from vault.left_out(moment, secrets)
        return secrets

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """What the target holds in the user's schemas, and what it can't take. Reads only."""
        if self._side:
            return self._side.obstacles(backup, moment)
        if self._patterns.is_everything:
            return load.obstacles(backup, moment)
        return load_chosen.obstacles(backup, moment, self._patterns)

    def load(self, backup: Source, project: Project, journal: Journal) -> Iterator[Step | Omission]:
        """One step or a few; first, which extensions will be of another version. The rows of auth and storage are left
        to the parts of these names."""
        if self._side:
            return self._side.steps(backup, project)
        if self._patterns.is_everything:
            gets_key = self._vault_root_key
            return load.steps(backup, project, self._jobs, self._quiesce, self._listener, gets_root_key=gets_key)
        return load_chosen.steps(backup, project, self._patterns, self._quiesce)

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """Catalogs and rows, without the rows of auth and storage. Reads only."""
        if self._side:
            return self._side.compare(backup, moment)
        if self._patterns.is_everything:
            return compare.compare(backup, moment, Contents.of(backup), self._listener)
        return compare.compare(backup, moment, pick(backup, self._patterns, moment).contents, self._listener)


def _problems(
    moment: Moment, meant: list[Table], unreadable: list[UnreadableTable], judgement: Judgement, managed: Container[str]
) -> Iterator[Problem]:
    if begun := unfinished(moment):
        yield Problem("database", "the database as it should be", f"it is half restored: {begun} is on its way in")
    oids = {table.oid for table in meant}
    for schema, name, oid in unreadable:
        if (schema not in managed or oid in oids) and oid not in judgement.rowless:
            yield Problem("database", f"table {qualified(schema, name)}", "this connection may not read it")


def _omissions(
    moment: Moment, facts: Facts, judgement: Judgement, granted: list[grants.Grant]
) -> Iterator[Omission | Problem]:
    """All that can't come back, each by its name."""
    yield from judgement.omissions
    yield from roles.omissions(moment, judgement.roles)
    yield from inherited.findings(moment, facts.managed, judgement.kept_objects)
    if not judgement.is_part:
        yield from extensions.omissions(facts)
        yield from vault.keys_left_out(moment)
        yield from additions.omissions(facts.additions)
        yield from grants.omissions(granted)
        yield from specials.omissions(moment)
        yield from subscriptions.omissions(moment)
        yield from refreshing.omissions(moment, facts.reaching)
        yield from queues.omissions(moment)


def _ask_ahead(moment: Moment) -> None:
    """Ask what stands in the script beside the archive and the rows, while pg_dump is still at work: the moment keeps
    the answers."""
    for asked in (roles, specials, queues, subscriptions):
        list(asked.omissions(moment))
    for sql in (specials.SEQUENCES, COMMENTS, FILLED):
        moment.once(sql)
    roles.roles_sql(moment)
    specials.realtime_publication_sql(moment)
    specials.user_mappings_sql(moment)
    grants.read_default_privileges(moment)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Nobody looks for garbage in cycles while the block runs: it makes many thousands of objects that stay, and going
    through all of them time and again takes as long as making them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # They are old at once, as if they had been gone through and kept.
        gc.freeze()
        gc.unfreeze()
        if was_on:
            gc.enable()


@contextmanager
def _archive(moment: Moment, unreadable: list[UnreadableTable]) -> Iterator[Callable[[], list[TocEntry]]]:
    """What pg_dump says of the schema, in the moment's snapshot: it runs beside the block, and is waited for when what
    this gives is called."""
    tools = moment.project.tools(moment.major)
    if moment.rows(_MONEY_OF_ITS_OWN):
        # pg_dump sets all but this, by which amounts stand in defaults, checks and functions.
        tools = replace(tools, environment={**tools.environment, "PGOPTIONS": "-c lc_monetary=C"})
    excluded = [f"--exclude-table={qualified(schema, name)}" for schema, name, _ in unreadable]
    with tempfile.TemporaryDirectory(prefix="supapy-") as folder:
        archive = Path(folder) / "schema.archive"
        arguments = [
            *excluded,
            # Privileges are read apart; nobody needs the archive once it was read.
            *("--format=custom", "--compress=0", "--no-sync", "--schema-only", "--no-privileges"),
            *("--no-subscriptions", "--no-tablespaces"),
            # Mostly there are none, and to look for them takes it as long as a hundred tables do.
            *([] if moment.rows(_LABELS) else ["--no-security-labels"]),
            *(f"--snapshot={moment.snapshot}", f"--lock-wait-timeout={LOCK_TIMEOUT_S}s", f"--file={archive}"),
        ]
        with beside(tools, "pg_dump", arguments, moment.project.db_url) as ended:

            def entries() -> list[TocEntry]:
                ended()
                return read_toc(archive.read_bytes())

            yield entries


# By the database's or the role's setting, not this connection's. In English amounts are what the script's C takes.
_MONEY_OF_ITS_OWN = r"""
SELECT FROM pg_catalog.pg_settings WHERE name = 'lc_monetary' AND reset_val !~* '^(C|POSIX)(\.|$)|^en_US'
"""
_LABELS = "SELECT FROM pg_catalog.pg_seclabel LIMIT 1"
