"""Backing up: everything of one moment, in one draft, committed at the end or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC
from functools import partial
from typing import Any

from supapy import __version__
from supapy.backup import FORMAT, Backup
from supapy.catalog import Catalog
from supapy.choice import Choice, to_save
from supapy.draft import Draft
from supapy.errors import ConnectionLost, Overtaken, Unreachable
from supapy.events import BegunAnew, Finished, Listener, Started, ignore
from supapy.known import Known
from supapy.model import Json
from supapy.names import label_time
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.schema import tables_of

# A connection that was cut can be made again at once; a server that is restarted needs a while.
WAITS_FOR_ANOTHER_MOMENT_S = (1.0, 10.0)


def back_up(
    project: Project,
    catalog: Catalog,
    choice: Choice | None = None,
    listener: Listener = ignore,
    *,
    jobs: int | None = None,
    full: bool = False,
    resume: bool = False,
    compress: bool = False,
    sleep: Callable[[float], object] = time.sleep,
) -> Backup:
    """A new backup of the project as it is now. What could not be saved stands in its manifest as problems.

    Files that an earlier backup has already aren't fetched again, nor those that a run has fetched which was
    cut short, unless it is to be a `full` one; with `resume` there must be such a run, and nothing of it is fetched
    again even so. `jobs` is how many connections read the database's rows at once: one a
    core, at most 8, unless told otherwise. With `compress` everything but the files of Storage lies in it as `.zst`.

    When a connection to the database is lost, or a table was altered as the backup began, all is read anew at another
    moment, after a wait (`sleep` waits), twice at most: what two moments gave never comes together. Raises
    ConnectionLost or Overtaken when it happens once more.
    """
    choice = choice or Choice()
    choice.check(project)
    attempt = partial(_at_one_moment, project, catalog, choice, listener, jobs=jobs, full=full, compress=compress)
    for number, wait_s in enumerate((*WAITS_FOR_ANOTHER_MOMENT_S, None)):
        try:
            return attempt(resume=resume and not number)
        except (Unreachable, Overtaken) as error:
            # A server that is being restarted first cuts its connections, then takes none.
            if wait_s is None or not (number or isinstance(error, ConnectionLost | Overtaken)):
                raise
            listener(BegunAnew(error.message))
        sleep(wait_s)
    raise AssertionError("the last round returns or raises")


def _at_one_moment(
    project: Project,
    catalog: Catalog,
    choice: Choice,
    listener: Listener,
    *,
    jobs: int | None,
    full: bool,
    resume: bool,
    compress: bool,
) -> Backup:
    about = {"format": FORMAT, "ref": project.ref} | _included(choice)
    with ExitStack() as stack:
        known = Known() if full or not choice.storage else catalog.known(project.ref)
        left = known if resume or not full else Known()
        stack.enter_context(catalog.taken_up(about, left, needed=resume))
        moment = stack.enter_context(project.moment())
        choice.check_in(moment)
        begun = catalog.draft(listener, project.loop, about=about, known=known, compress=compress)
        draft = stack.enter_context(begun)
        for part in to_save(choice, jobs, compress=compress, listener=listener):
            listener(Started(part.name, unit="bytes"))
            with closing(part.dump(moment)) as dumped:
                draft.take_all(dumped, project.at_once if part.side_by_side else None)
            listener(Finished(part.name))
        draft.commit(_metadata(draft, moment, choice))
    return catalog.open(draft.label)


def _metadata(draft: Draft, moment: Moment, choice: Choice) -> Json:
    begun = label_time(draft.label)
    assert begun is not None
    return {
        "format": FORMAT,
        "label": draft.label,
        "timestamp": begun.isoformat().replace("+00:00", "Z"),
        "supapy": __version__,
        "source": {
            "ref": moment.project.ref,
            "host": moment.project.host,
            **(_versions(moment) if moment.project.has_database else {}),
        },
        "moment": {"snapshot": moment.snapshot, "taken_at": moment.taken_at.astimezone(UTC).isoformat()},
        **_included(choice),
    }


def _versions(moment: Moment) -> Json:
    return {
        "server_version": moment.value("SHOW server_version"),
        "auth_version": _newest(moment, "auth", "schema_migrations", "version"),
        "storage_version": _newest(moment, "storage", "migrations", "id"),
    }


def _newest(moment: Moment, schema: str, table: str, column: str) -> Any:
    """A server's newest migration; None where this connection may not read them, as on older projects."""
    readable = any(one.name == table and one.readable for one in tables_of(moment, schema))
    return moment.value(f"SELECT max({column}) FROM {schema}.{table}") if readable else None


def _included(choice: Choice) -> Json:
    some: Json = {} if choice.only.is_everything else {"storage_only": choice.only.to_json()}
    if not choice.tables.is_everything:
        some["database_only"] = choice.tables.to_json()
    if choice.database and choice.vault_plaintext:
        some["vault_plaintext"] = True
    components = {"database": choice.database, "storage": choice.storage, "auth": choice.auth}
    return {f"include_{name}": chosen for name, chosen in components.items()} | some
