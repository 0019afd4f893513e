"""The database: schema and rows as one script for psql, and a table of contents that says where everything is in it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from supapy.model import Dump, Item, Json
from supapy.parts.database import roles, specials
from supapy.parts.database.rules import read_facts, select
from supapy.parts.database.script import Script
from supapy.parts.database.toc import TocEntry, read_toc
from supapy.project.moment import Moment
from supapy.project.postgres import LOCK_TIMEOUT_S
from supapy.project.programs import run

FILE = "database.sql"
TOC_FILE = "database.toc.json"
TOC_FORMAT = 1


class DatabasePart:
    """Everything in PostgreSQL, as far as a project's own role can bring it back.

    `auth` and `storage` say whether the rows of those schemas are among the rows: at a backup they go into the script
    as segments of their own, at a restore those segments are loaded.
    """

    name = "database"
    streams = 1

    def __init__(self, auth: bool = True, storage: bool = True) -> None:
        self._auth = auth
        self._storage = storage

    def dump(self, moment: Moment) -> Dump:
        """The script, then its table of contents, which can be opened once the script was read to its end."""
        facts = read_facts(moment)
        selection = select(_archive_entries(moment), facts)
        yield from selection.omissions
        yield from roles.password_omissions(moment)
        yield from specials.omissions(moment)
        script = Script(moment, selection, facts, auth=self._auth, storage=self._storage)
        yield Item(self.name, FILE, FILE, script.pieces)

        def contents() -> Iterator[bytes]:
            said: Json = {
                "format": TOC_FORMAT,
                "server_version": moment.session.server_version,
                "segments": [segment.to_json() for segment in script.segments.written],
            }
            yield json.dumps(said, ensure_ascii=False, indent=1).encode() + b"\n"

        yield Item(self.name, TOC_FILE, TOC_FILE, contents)


def _archive_entries(moment: Moment) -> list[TocEntry]:
    """What pg_dump says of the schema, in the moment's snapshot."""
    tools = moment.project.tools(moment.major)
    with tempfile.TemporaryDirectory(prefix="supapy-") as folder:
        archive = Path(folder) / "schema.archive"
        arguments = [
            *("--format=custom", "--compress=0", "--schema-only", "--no-subscriptions", "--no-tablespaces"),
            *(f"--snapshot={moment.snapshot}", f"--lock-wait-timeout={LOCK_TIMEOUT_S}s", f"--file={archive}"),
        ]
        run(tools, "pg_dump", arguments, moment.project.db_url)
        return read_toc(archive.read_bytes())
