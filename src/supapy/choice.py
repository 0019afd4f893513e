"""Which parts a verb is about, and in which order: the one list of all parts there are."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from supapy.errors import UsageError
from supapy.events import Listener, ignore
from supapy.journal import Journal
from supapy.model import Json
from supapy.parts.auth import EVERYBODY, AuthPart, People
from supapy.parts.base import Part
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.parts.database.part import DatabasePart
from supapy.parts.database.root_key import RootKeyPart
from supapy.parts.storage import EVERYTHING, Selection, StoragePart
from supapy.parts.tables import TablesPart
from supapy.project.mark import Options
from supapy.project.moment import Moment
from supapy.project.patterns import ALL_TABLES, Patterns, match, user_relations, user_schemas
from supapy.project.postgres import no_database
from supapy.project.project import Project

COMPONENTS = ("database", "storage", "auth")


@dataclass(frozen=True, slots=True)
class Choice:
    """The components a user names: database (with the JSON tables), storage, auth; of storage `only` some objects, of
    the database some `tables`, which a restore may copy `into_schema` of their own or fill `from_json`, of auth some
    `people`. Raises UsageError for none.

    A backup has the values of the vault readably with `vault_plaintext`; a restore with `vault_root_key` brings the key
    along that opens the sealed ones. `quiesce` says what sleeps after a restore, None that the target decides.
    """

    database: bool = True
    storage: bool = True
    auth: bool = True
    only: Selection = EVERYTHING
    tables: Patterns = ALL_TABLES
    people: People = EVERYBODY
    vault_plaintext: bool = False
    vault_root_key: bool = False
    quiesce: Quiesce | None = None
    into_schema: str | None = None
    from_json: bool = False

    def __post_init__(self) -> None:
        if not (self.database or self.storage or self.auth):
            raise UsageError("nothing is left to do", "Leave at least one of database, storage and auth.")
        if self.from_json and (self.into_schema or not self.database):
            raise UsageError("--from-json fills tables of the project that are there", "Leave the other option out.")
        if self.vault_root_key and not self.whole_database:
            raise UsageError("--vault-root-key is for a restore of the database", "Leave the other option out.")
        in_database = self.names_tables or not self.tables.is_everything or self.vault_plaintext
        for what, is_chosen, there in (
            ("tables or secrets are", in_database, self.database),
            ("files are", not self.only.is_everything, self.storage),
            ("users are", bool(self.people.users), self.auth),
        ):
            if is_chosen and not there:
                raise UsageError(
                    f"{what} asked for that are left out",
                    "Leave one of the options out, or name a backup that has them.",
                )

    @property
    def names_tables(self) -> bool:
        """Whether it is some tables that a restore is about, which come as a whole or not at all."""
        return self.tables.takes_some or self.into_schema is not None or self.from_json

    @property
    def whole_database(self) -> bool:
        """Whether what is the database's as a whole is meant, as jobs and secrets are, and not some tables."""
        return self.database and not self.names_tables

    @property
    def brings_what_acts(self) -> bool:
        """Whether triggers and functions come along: rows and plain copies have none."""
        return self.database and not (self.into_schema or self.from_json)

    @property
    def takes_the_place(self) -> bool:
        """Whether the target can take the source's place afterwards: not by some tables, by files in another bucket, or
        by some users or files alone."""
        some_users_alone = self.people.users and not (self.database or self.storage)
        some_files_alone = not self.only.is_everything and not (self.database or self.auth)
        return not (self.names_tables or self.only.to_bucket or some_users_alone or some_files_alone)

    @property
    def options(self) -> Options:
        """What changes what a restore writes, by the options that say so. In whatever order they were given it is the
        same, and in a later version with more options too: what is usual isn't in it."""
        own: dict[str, bool | str | tuple[str, ...] | None] = {
            "--no-database": not self.database,
            "--no-storage": not self.storage,
            "--no-auth": not self.auth,
            "--into-schema": self.into_schema,
            "--from-json": self.from_json,
            "--vault-root-key": self.vault_root_key,
            "--quiesce": self.quiesce is Quiesce.ALL,
            "--no-quiesce": self.quiesce is Quiesce.NONE,
        }
        return {**_said(own), **self._within_parts}

    @property
    def components(self) -> list[str]:
        """The names of those that it is about."""
        return [name for name in COMPONENTS if getattr(self, name)]

    @property
    def narrowed_by(self) -> str:
        """The options that say what is meant within the components, as one types them; "" where all is."""
        return " ".join(map(typed, self._within_parts.items()))

    @property
    def _within_parts(self) -> Options:
        return _said({**self.only.options, **self.tables.options, **self.people.options})

    def check(self, project: Project) -> None:
        """Raises UsageError when something is chosen that this project's settings don't suffice for, and AccessDenied
        when its Storage server refuses the key: nobody should find that out after hours, or half-way into a target."""
        by_sql = {"database": self.database, "auth": self.auth and self.people.via == "sql"}
        needy = [name for name, chosen in by_sql.items() if chosen]
        if needy and not project.has_database:
            raise no_database(f"the {needy[0]} part")
        if self.storage:
            project.storage.buckets()

    def check_in(self, moment: Moment) -> None:
        """Raises UsageError when a pattern fits nothing of what is there at that moment."""
        if self.database and not self.tables.is_everything:
            match(moment, self.tables, user_relations(moment), user_schemas(moment))

    def within(self, metadata: Json) -> Choice:
        """The same, without what a backup doesn't have. Raises UsageError when nothing is left.

        Who names some tables wants these: users and files stay as they are, but for those that are named as well.
        """
        wants_files = not (self.names_tables and self.only.is_everything)
        wants_users = not (self.names_tables and self.people == EVERYBODY)
        return replace(
            self,
            database=self.database and bool(metadata.get("include_database")),
            storage=self.storage and bool(metadata.get("include_storage")) and wants_files,
            auth=self.auth and bool(metadata.get("include_auth")) and wants_users,
        )

    def having_met(self, parts: Iterable[Part]) -> Choice:
        """The same with what the parts found in the target before anything was written."""
        staying = next((part.staying for part in parts if isinstance(part, AuthPart)), ())
        return replace(self, people=replace(self.people, staying=staying))

    def into(self, *, same_project: bool) -> Choice:
        """The same for a target: nothing in another project acts by itself before it is woken, and in the backup's own
        project what slept sleeps on."""
        return replace(self, quiesce=self.quiesce or (Quiesce.AS_SAVED if same_project else Quiesce.ALL))


def _said(options: Mapping[str, bool | str | tuple[str, ...] | None]) -> Options:
    return {name: sorted({*one}) if isinstance(one, tuple) else one for name, one in options.items() if one}


def typed(option: tuple[str, bool | str | list[str]]) -> str:
    """An option as one types it."""
    name, value = option
    values = [] if value is True else [value] if isinstance(value, str) else value
    return " ".join(f"{name} {shlex.quote(str(one))}" for one in values) if values else name


def included(metadata: Json) -> list[str]:
    """The components a backup has."""
    return [name for name in COMPONENTS if metadata.get(f"include_{name}")]


def in_part(metadata: Json) -> list[str]:
    """The components of which a backup has only what was chosen."""
    return [name for name in included(metadata) if metadata.get(f"{name}_only")]


def to_save(
    choice: Choice, jobs: int | None = None, *, compress: bool = False, listener: Listener = ignore
) -> list[Part]:
    """The parts in the order they are saved: what reads the moment only, then what takes long. `jobs` is how many
    connections read the database's rows at once; one a core, at most 8, unless told otherwise. The `listener` hears of
    each table's rows."""
    parts: list[Part] = []
    if choice.database:
        database = DatabasePart(
            choice.auth,
            choice.storage,
            jobs,
            compress=compress,
            patterns=choice.tables,
            listener=listener,
            vault_plaintext=choice.vault_plaintext,
        )
        parts += [database, TablesPart(jobs, database.has_rows_of, listener=listener)]
    if choice.auth:
        parts.append(AuthPart(jobs))
    if choice.storage:
        parts.append(StoragePart(only=choice.only))
    return parts


def to_restore(
    choice: Choice,
    *,
    check_bytes: bool = True,
    jobs: int | None = None,
    listener: Listener = ignore,
    journal: Journal | None = None,
) -> list[Part]:
    """The parts in the order they come back; the database by `jobs` connections, one a core and at most 8 unless told
    otherwise. The `listener` hears of each table's rows; the `journal` says what runs before this one have done.

    Users and objects go first: the database's foreign keys to them are checked when they are made, and its triggers
    on their tables mustn't see them arrive. The JSON tables are for reading: their rows come back with the database.
    """
    parts: list[Part] = []
    if choice.vault_root_key and choice.database:
        # First, for what it needs may be missing, and its database may be started anew.
        parts.append(RootKeyPart())
    if choice.auth:
        parts.append(AuthPart(people=choice.people, journal=journal))
    if choice.storage:
        parts.append(StoragePart(only=choice.only, check_bytes=check_bytes))
    if choice.from_json:
        parts.append(TablesPart(patterns=choice.tables))
    elif choice.database:
        quiesce, some = choice.quiesce or Quiesce.ALL, choice.tables
        chosen = DatabasePart(
            jobs=jobs,
            patterns=some,
            into_schema=choice.into_schema,
            quiesce=quiesce,
            vault_root_key=choice.vault_root_key,
            listener=listener,
        )
        parts.append(chosen)
    return parts
