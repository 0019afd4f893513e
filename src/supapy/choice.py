"""Which parts a verb is about, and in which order: the one list of all parts there are."""

from __future__ import annotations

from dataclasses import dataclass

from supapy.errors import UsageError
from supapy.events import Listener, ignore
from supapy.model import Json
from supapy.parts.auth import EVERYBODY, AuthPart, People
from supapy.parts.base import Part
from supapy.parts.database.part import DatabasePart
from supapy.parts.storage import EVERYTHING, Selection, StoragePart
from supapy.parts.tables import TablesPart
from supapy.project.moment import Moment
from supapy.project.patterns import ALL_TABLES, Patterns, match, user_relations
from supapy.project.postgres import no_database
from supapy.project.project import Project


@dataclass(frozen=True, slots=True)
class Choice:
    """The components a user names: database (with the JSON tables), storage, auth; of storage `only` some objects, of
    the database some `tables`, of auth some `people`. Raises UsageError for none."""

    database: bool = True
    storage: bool = True
    auth: bool = True
    only: Selection = EVERYTHING
    tables: Patterns = ALL_TABLES
    people: People = EVERYBODY

    def __post_init__(self) -> None:
        if not (self.database or self.storage or self.auth):
            raise UsageError("nothing is left to do", "Leave at least one of database, storage and auth.")

    def check(self, project: Project) -> None:
        """Raises UsageError when something is chosen that this project's settings don't suffice for."""
        needy = [name for name in ("database", "auth") if getattr(self, name)]
        if needy and not project.has_database:
            raise no_database(f"the {needy[0]} part")

    def check_in(self, moment: Moment) -> None:
        """Raises UsageError when a pattern fits nothing of what is there at that moment."""
        if self.database and not self.tables.is_everything:
            match(moment, self.tables, user_relations(moment))

    def within(self, metadata: Json) -> Choice:
        """The same, without what a backup doesn't have. Raises UsageError when nothing is left."""
        return Choice(
            self.database and bool(metadata.get("include_database")),
            self.storage and bool(metadata.get("include_storage")),
            self.auth and bool(metadata.get("include_auth")),
            self.only,
            self.tables,
            self.people,
        )


def to_save(
    choice: Choice, jobs: int | None = None, *, compress: bool = False, listener: Listener = ignore
) -> list[Part]:
    """The parts in the order they are saved: what reads the moment only, then what takes long. `jobs` is how many
    connections read the database's rows at once; one a core, at most 8, unless told otherwise. The `listener` hears of
    each table's rows."""
    parts: list[Part] = []
    if choice.database:
        also = {"auth": choice.auth, "storage": choice.storage, "compress": compress}
        database = DatabasePart(jobs=jobs, patterns=choice.tables, listener=listener, **also)
        parts += [database, TablesPart(jobs, database.has_rows_of, listener=listener)]
    if choice.auth:
        parts.append(AuthPart(jobs))
    if choice.storage:
        parts.append(StoragePart(only=choice.only))
    return parts


def to_restore(choice: Choice, *, check_bytes: bool = True, jobs: int | None = None) -> list[Part]:
    """The parts in the order they come back; the database by `jobs` connections, one a core and at most 8 unless told
    otherwise.

    Users and objects go first: the database's foreign keys to them are checked when they are made, and its triggers
    on their tables mustn't see them arrive. The JSON tables are for reading: their rows come back with the database.
    """
    parts: list[Part] = []
    if choice.auth:
        parts.append(AuthPart(people=choice.people))
    if choice.storage:
        parts.append(StoragePart(only=choice.only, check_bytes=check_bytes))
    if choice.database:
        parts.append(DatabasePart(auth=choice.auth, storage=choice.storage, jobs=jobs))
    return parts
