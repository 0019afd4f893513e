"""Bringing the database back: what stands in the way, and the script fed to psql."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from supapy.errors import SqlError
from supapy.events import Listener
from supapy.model import Omission, Problem, Progress, Step
from supapy.names import few, many, unquoted
from supapy.parts.base import Obstacle, Source
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.parts.database.inventory.collations import lacking
from supapy.parts.database.inventory.contents import Contents
from supapy.parts.database.inventory.extensions import other_versions, without
from supapy.parts.database.inventory.inventory import Inventory, is_preinstalled, live_inventory
from supapy.parts.database.inventory.sealed import locked, saved_ids, sealed_in
from supapy.parts.database.inventory.stood_on import PLATFORM_COLUMNS
from supapy.parts.database.load.loader import Loader
from supapy.parts.database.platform.platform import MIGRATIONS_SCHEMA
from supapy.parts.database.platform.vault import read_names
from supapy.parts.database.rules.facts import read_facts
from supapy.parts.database.rules.rules import ATTRIBUTES
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.schema import tables_of

READ_ONLY = "setting default_transaction_read_only of "
# What can't stand twice: names of these sorts in both backup and target are collisions.
_COLLIDING_SORTS = ("tables", "views", "sequences", "functions", "types")


def obstacles(backup: Source, moment: Moment) -> Iterator[Obstacle]:
    """What a restore would meet in the target, from its catalogs and what its server can do.

    Raises IntegrityError when the script isn't what its table of contents says.
    """
    contents = Contents.of(backup)
    contents.check(backup)
    yield from unfit(contents, moment)
    yield from _missing_extensions(contents, moment)
    yield from lacking(contents, moment)
    yield from _missing_columns(contents, moment)
    live = live_inventory(moment, read_facts(moment), set())
    held = own_names(live)
    if held:
        yield Obstacle("database", f"{len(held)} tables, functions and other objects ({few(sorted(held))})", held=True)
    both = sorted(held & own_names(contents.inventory))
    if both:
        exist = "exists" if len(both) == 1 else "exist"
        text = f"{many(len(both), 'object')} of the backup {exist} there already ({few(both)})"
        yield Obstacle("database", text, final=True, held=True)
    queues = sorted(live.get("queues", {}).keys() & contents.inventory.get("queues", {}).keys())
    if queues:
        yield Obstacle("database", f"queues of the backup ({few(queues)})", final=True, held=True)
    if (own := len(read_names(moment))) and saved_ids(backup, contents):
        yield Obstacle("database", f"{many(own, 'secret')} in its vault", held=True)
    for table in tables_of(moment, MIGRATIONS_SCHEMA):
        if moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})"):
            yield Obstacle("database", f"rows in {MIGRATIONS_SCHEMA}.{table.name}", final=True, held=True)


def unfit(contents: Contents, moment: Moment) -> Iterator[Obstacle]:
    """Why no restore of the backup can be: the server takes no changes, or is older than the backup's."""
    if contents.major > moment.major:
        text = f"its PostgreSQL is {moment.major}, the backup's is {contents.major}"
        yield Obstacle("database", text, final=True)
    if moment.value("SELECT pg_catalog.pg_is_in_recovery()"):
        yield Obstacle("database", "its server is a read-only copy of another (a standby)", final=True)
    elif moment.value("SELECT pg_catalog.current_setting('default_transaction_read_only')") == "on":
        reason = "default_transaction_read_only, which the platform sets when a disk is full"
        text = f"its database is set to be read-only ({reason})"
        # A restore of a source that is so as well makes it so, and may have been cut short since.
        as_saved = any(name.startswith(READ_ONLY) for name in contents.inventory.get("settings", {}))
        yield Obstacle("database", text, final=True, held=as_saved)


def _missing_extensions(contents: Contents, moment: Moment) -> Iterator[Obstacle]:
    available = {
        name for (name,) in moment.rows("SELECT 'extension ' || quote_ident(name) FROM pg_available_extensions")
    }
    missing = sorted(contents.inventory.get("extensions", {}).keys() - available)
    if lacking := [name for name in missing if not is_preinstalled(name)]:
        yield Obstacle("database", f"it has no {', '.join(lacking)}", final=True)
    # Of those that new projects come with, more or fewer over the years, one is missed by what stands on it alone.
    statements = contents.index or []
    made = {unquoted(name.removeprefix("extension "))[0]: name for name in missing if is_preinstalled(name)}
    for extension in (one for one in statements if one.kind == "EXTENSION" and one.name in made):
        users = {one.full_name for one in statements if extension.id in one.needs and one.kind not in ATTRIBUTES}
        if users:
            text = f"it has no {made[extension.name]}, which is needed by {few(sorted(users))}"
            hint = "Restore the rest with --exclude-table, or choose a target that has it."
            yield Obstacle("database", text, final=True, hint=hint)


def _missing_columns(contents: Contents, moment: Moment) -> Iterator[Obstacle]:
    """The platform's tables differ between its versions, and users of old projects added columns of their own."""
    missing = [
        f"{use['table']}.{use['column']}"
        for use in contents.inventory.get(PLATFORM_COLUMNS, {}).values()
        if not moment.rows(_COLUMN, (use["table"], use["column"]))
    ]
    if missing:
        yield Obstacle("database", f"views or policies of the backup need columns it lacks: {few(missing)}", final=True)


def own_names(inventory: Inventory) -> set[str]:
    """The things whose names a restore would want, but for the migration history, which is made where it's missing."""
    names = {name for sort in _COLLIDING_SORTS for name in inventory.get(sort, {})}
    return {name for name in names if f" {MIGRATIONS_SCHEMA}." not in name}


def steps(
    backup: Source, project: Project, jobs: int, quiesce: Quiesce, listener: Listener, *, gets_root_key: bool
) -> Iterator[Step | Omission]:
    """One step where all of it may be one transaction; else several, of which the project's mark knows what is done.

    The rows that other parts bring back are left out. First comes what will be of another version, or
    won't be there; a project that `gets_root_key` will open every secret.
    """
    contents = Contents.of(backup)
    with project.session() as session:
        told = [*other_versions(contents, session), *without(contents, session)]
        if not gets_root_key:
            told += locked(sealed_in(backup, contents), session)
    yield from told
    loader = Loader(backup, contents, project, jobs, quiesce, listener)
    if loader.goes_at_once():
        yield Step(
            "database",
            f"the database: schema, {loader.counted}, grants",
            _advised(loader.all_at_once),
            loader.all_bytes,
            "bytes",
        )
        return
    before, rows_bytes, after = loader.step_bytes
    yield Step("database", "the database's schema", loader.schema, before, "bytes")
    yield Step("database", loader.rows_title, _advised(loader.rows), rows_bytes, "bytes")
    made = loader.made_over_rows
    yield Step("database", "its indexes, constraints, triggers and policies", loader.over_the_rows, made, "statements")
    yield Step("database", "its materialized views, owners and grants", loader.ending, after, "bytes")


def _advised(apply: Callable[[Progress], list[Problem]]) -> Callable[[Progress], list[Problem]]:
    """The same; where saved rows are refused, as after a function in a check was changed, it is said what to do."""

    def applied(progress: Progress) -> list[Problem]:
        try:
            return apply(progress)
        except SqlError as error:
            if any(text in error.message for text in _UNFIT):
                error.hint = _AS_COPIES
            raise

    return applied


_UNFIT = ("violates check constraint", "violates partition constraint")
_AS_COPIES = (
    "The source's own rows no longer fit, as when a function in a check was changed. Mend them there and take another "
    "backup; or restore all else into an empty project with --exclude-table, and these rows with --table and "
    "--into-schema."
)
_COLUMN = """
SELECT FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass(%s) AND attname = %s AND attnum > 0 AND NOT attisdropped
"""
