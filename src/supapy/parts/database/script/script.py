"""database.sql: one script that psql runs into a fresh project, written as a stream of segments (recipe §3).

Where each segment lies is noted while it is written, so that one can be read, checked or loaded alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from secrets import token_hex
from urllib.parse import urlsplit

from supapy.model import Json
from supapy.names import literal
from supapy.parts.database.alive import cron, quiesced, refreshing, subscriptions, webhooks
from supapy.parts.database.platform import queues, vault
from supapy.parts.database.rows.reading import Reading
from supapy.parts.database.rows.tables import Rows, head_and_tail
from supapy.parts.database.rules.facts import Facts
from supapy.parts.database.rules.rules import Judgement, title
from supapy.parts.database.script import grants, policies, roles, specials
from supapy.parts.database.script.entries import Written, entries_sql
from supapy.parts.database.script.segments import Segments, Statement, gathered
from supapy.parts.database.sql.archive import TocEntry
from supapy.parts.database.sql.statements import analyze_sql, comment, do_block, sql_file
from supapy.project.moment import Moment
from supapy.project.moving import Moving

PREAMBLE = """\
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SET timezone = 'UTC';
SET extra_float_digits = 3;
SET bytea_output = 'hex';
SET lc_monetary = 'C';
SET array_nulls = on;
SET transform_null_equals = off;
SET quote_all_identifiers = off;
SET xmloption = content;
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_min_messages = warning;
SET row_security = off;
SET check_function_bodies = false;
SET default_table_access_method = heap;
"""
# Servers before 17 don't know it; a role that has one would lose a restore in the middle.
PREAMBLE += do_block("""
BEGIN
    IF current_setting('server_version_num')::int >= 170000 THEN
        PERFORM set_config('transaction_timeout', '0', false);
    END IF;
END
""")
# Every name in the script is qualified, so that none can be taken for another.
NO_PATH = "SET search_path = '';\n"
USUAL_PATH = "RESET search_path;\n"
# Ordinary triggers and foreign keys rest, so that rows come in as they were, in any order.
REPLICA = "SET session_replication_role = replica;\n"
# Extensions need the platform's event triggers, which rest in replica mode.
ORIGIN = "SET session_replication_role = origin;\n"


class Script:
    """The script of one moment. Read `pieces` once, to the end.

    Then `segments` and `statements` say what is where, and `sequences` where each one stands in it.
    """

    def __init__(
        self,
        moment: Moment,
        judgement: Judgement,
        facts: Facts,
        reading: Reading,
        granted: Sequence[grants.Grant],
        secrets: Sequence[vault.VaultSecret] = (),
    ) -> None:
        self._moment = moment
        self._judgement = judgement
        self._facts = facts
        self._granted = [one for one in granted if not one.beyond_postgres]
        self._reading = reading
        self._secrets = secrets
        self._unmade = [] if judgement.is_part else list(webhooks.unmade(moment))
        self._jobs_of_cron = [] if judgement.is_part else cron.read_jobs(moment)
        # A part of a database is one of its own tables: queues come and go as a whole.
        queued = {table.oid for table in queues.queue_tables(moment)} if judgement.is_part else set()
        self._rowless = judgement.lost_relations | queued
        self._kept = {entry.id for entry in judgement.kept}
        self.segments = Segments()
        self.statements: list[Statement] = []
        self.sequences: list[specials.Sequence] = []

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the script."""
        return gathered(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        outputs = self._reading.outputs(self._rowless)
        others = [rows for rows in self._reading.saved if rows.part != "database"]
        # Between these two lines psql obeys no command of its own: a name or a function body can't smuggle one in.
        key = token_hex(16)
        yield from self._texts("begin", [f"\\restrict {key}\n", PREAMBLE, NO_PATH])
        for name, texts in self._before_data():
            yield from self._texts(name, texts)
        for rows, moving in islice(outputs, len(others)):
            yield from self._rows(rows, moving)
        # A check or a generated column may call a function that uses names only the usual search path finds.
        yield from self._texts("usual search path", [USUAL_PATH])
        for rows, moving in outputs:
            yield from self._rows(rows, moving)
        yield from self._texts("no search path", [NO_PATH])
        if any(rows.part == "auth" for rows in others):
            sequence = specials.sequences_sql(specials.auth_sequence(self._moment))
            yield from self._texts("auth sequence", [sequence], part="auth")
        for name, texts in self._after_data():
            yield from self._texts(name, texts)
        yield from self._texts("end", ["NOTIFY pgrst, 'reload schema';\n", f"\\unrestrict {key}\n"])

    def _before_data(self) -> Iterator[tuple[str, Iterable[str | Written]]]:
        judgement = self._judgement
        yield "guard", [self._guard()]
        yield "roles", [roles.roles_sql(self._moment, judgement.roles)]
        aside = [grants.put_aside_sql()] if judgement.is_part else []
        yield "default privileges away", [*aside, grants.neutralise_sql(public=judgement.uses_public)]
        yield "schemas and extensions", chain([ORIGIN], entries_sql(judgement.first, self._facts))
        yield "queues", [queues.queues_sql(self._moment) if not judgement.is_part else ""]
        if self._facts.webhooks or self._unmade or self._jobs_of_cron:
            yield "list of what sleeps", [quiesced.prepare_sql()]
        yield "pre-data", chain([REPLICA], entries_sql(judgement.pre_data, self._facts))
        yield "migration history", [specials.migrations_sql(self._moment, judgement.lost_relations)]

    def _after_data(self) -> Iterator[tuple[str, Iterable[str | Written]]]:
        moment, judgement = self._moment, self._judgement
        # Read once: sequences move on though the snapshot stands, and what is saved is what will be compared.
        self.sequences = specials.read_sequences(moment, self._facts.managed, judgement.lost_relations)
        yield "sequences", [specials.sequences_sql(self.sequences)]
        has_objects = specials.large_objects_readable(moment) and not judgement.is_part
        objects = specials.large_objects(moment) if has_objects else []
        yield "large objects", specials.large_objects_sql(moment, objects)
        publication = [] if judgement.is_part else [specials.realtime_publication_sql(moment)]
        yield "post-data", chain(publication, entries_sql(judgement.post_data, self._facts))
        yield policies.SEGMENT, policies.closed_sql(moment, judgement, self._facts)
        yield queues.RULES_SEGMENT, [queues.rules_sql(moment) if not judgement.is_part else ""]
        yield "webhooks that sleep", [webhooks.webhook_sql(hook) for hook in self._unmade]
        yield refreshing.SEGMENT, [USUAL_PATH, refreshing.fill_views(self._fillings()), NO_PATH]
        servers = judgement.servers if judgement.is_part else None
        yield "user mappings", [specials.user_mappings_sql(moment, servers)]
        yield "statistics", chain([USUAL_PATH], analyze_sql(self._analyzed()), [NO_PATH])
        yield vault.SEGMENT, [vault.vault_sql(self._secrets)]
        granted = grants.of_kept(self._granted, judgement)
        defaults = [] if judgement.is_part else grants.read_default_privileges(moment)
        masters = {job.username for job in self._jobs_of_cron}
        yield "memberships borrowed", [ORIGIN, grants.borrow_sql(judgement, granted, defaults, masters)]
        yield "owners", [grants.owners_sql(judgement, [(one.oid, one.owner) for one in objects])]
        yield "grants", [grants.grants_sql(granted, moment.major)]
        back = grants.put_back_sql() if judgement.is_part else grants.default_privileges_sql(defaults)
        yield "default privileges", [back]
        yield subscriptions.SEGMENT, [subscriptions.subscriptions_sql(moment) if not judgement.is_part else ""]
        yield "cron", [cron.cron_sql(self._jobs_of_cron, moment), quiesced.finish_sql()]
        yield "event triggers", entries_sql(self._event_triggers(), self._facts)
        yield "memberships given back", [grants.give_back_sql()]

    def _guard(self) -> str:
        names = ", ".join(literal(name) for name in sorted(self._facts.managed))
        return do_block(sql_file("guard").replace(":managed", f"ARRAY[{names}]"))

    def _event_triggers(self) -> list[TocEntry]:
        """Those that are to sleep first: putting them on the list is nothing that an event trigger should hear of."""
        hooks = self._facts.webhooks

        def turn(entry: TocEntry) -> tuple[bool, bool]:
            hook = hooks.get((entry.catalog, entry.oid))
            return hook is None, hook is not None and not hook.waiting

        return sorted(self._judgement.event_triggers, key=turn)

    def _fillings(self) -> Iterator[refreshing.Filling]:
        """In the archive's order, in which a view stands after what it reads; those that were never filled stay so."""
        filled = {oid for (oid,) in self._moment.once(FILLED)}
        asleep, source = refreshing.asleep(self._moment), urlsplit(self._moment.project.url).netloc
        for entry in self._judgement.pre_data + self._judgement.post_data:
            if entry.kind != "MATERIALIZED VIEW":
                continue
            relation = refreshing.relation_of(entry)
            if entry.oid in filled or relation in asleep:
                statement, reaches = refreshing.refresh_sql(entry), entry.oid in self._facts.reaching_views
                waits = relation in asleep and entry.oid not in filled
                yield refreshing.Filling(title(entry), relation, statement, reaches, waits, source)

    def _analyzed(self) -> Iterator[tuple[str, str]]:
        for rows in self._reading.without(self._rowless):
            if rows.part == "database" and not rows.where:
                yield rows.table.schema, rows.table.name

    def _rows(self, rows: Rows, moving: Moving) -> Iterator[bytes]:
        name = f"rows of {rows.table.schema}.{rows.table.name}"
        table: Json = {
            "schema": rows.table.schema,
            "table": rows.table.name,
            "columns": rows.columns,
            "load_into": list(rows.table.load_into),
            "where": rows.where,
        }
        return self.segments.write(name, "data", self._copied(rows, moving, name, table), part=rows.part, table=table)

    def _copied(self, rows: Rows, moving: Moving, name: str, table: Json) -> Iterator[bytes]:
        """A table's statement with its rows, which `table` tells of."""
        head, tail = (text.encode() for text in head_and_tail(rows))
        head = comment(name).encode() + head
        yield head
        yield from moving
        table.update(rows=moving.rows, rows_start=len(head), rows_length=moving.bytes)
        yield tail

    def _texts(self, name: str, texts: Iterable[str | Written], *, part: str = "database") -> Iterator[bytes]:
        pieces = gathered(self._noted(chain([comment(name)], texts, ["\n"])))
        return self.segments.write(name, "sql", pieces, part=part)

    def _noted(self, texts: Iterable[str | Written]) -> Iterator[bytes]:
        """The bytes of a segment's texts; of those that make a thing it is noted where they lie."""
        at = self.segments.end
        for text in texts:
            piece = (text.sql if isinstance(text, Written) else text).encode()
            if isinstance(text, Written):
                self.statements.append(self._statement(text.entry, at, len(piece)))
            at += len(piece)
            yield piece

    def _statement(self, entry: TocEntry, offset: int, length: int) -> Statement:
        needs = tuple([needed for needed in dict.fromkeys(entry.needs) if needed in self._kept])
        table = self._judgement.tables.get(entry.id)
        return Statement(entry.id, entry.kind, entry.schema, entry.name, table, needs, offset, length)


FILLED = "SELECT oid::bigint FROM pg_catalog.pg_class WHERE relkind = 'm' AND relispopulated"
