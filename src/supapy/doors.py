"""The two classes of the original interface: the verbs, for those who know supapy as a library of three files.

Each takes a project's URL, service key and database connection; what isn't given comes from the environment or from
`.env`. Whatever fails raises a `SupapyError`, which carries a hint.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from supapy.back_up import back_up
from supapy.backup import Backup
from supapy.catalog import Catalog, open_path
from supapy.choice import Choice
from supapy.events import Listener, ignore
from supapy.model import Difference, Problem
from supapy.parts.auth import EVERYBODY, People
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.project.patterns import ALL_TABLES, Patterns
from supapy.project.project import Project
from supapy.restore import restore
from supapy.settings import load
from supapy.store.local import LocalStore
from supapy.verify import check_files, hold_against

# Patterns of tables, or of schemas and what to leave out as well.
Tables = Sequence[str] | Patterns


class IncompleteWarning(UserWarning):
    """A backup was made, but something that should be in it isn't; the warning names it."""


class _Door:
    def __init__(self, url: str | None, key: str | None, db_url: str | None) -> None:
        given = {"SUPABASE_URL": url, "SUPABASE_KEY": key, "SUPABASE_DB_URL": db_url}
        found = load()
        values = {**found.values, **{name: value for name, value in given.items() if value is not None}}
        self._settings = replace(found, values=values)

    def _project(self) -> Project:
        return Project.of(self._settings)


class SupabaseBackup(_Door):
    """Backs a project up into folders below `backup_dir`, if so wanted with all but the files of Storage compressed
    (`compress`), and with the values of the vault, readable (`vault_plaintext`)."""

    def __init__(
        self,
        supabase_url: str | None = None,
        supabase_key: str | None = None,
        db_url: str | None = None,
        backup_dir: str = "./backups",
        *,
        listener: Listener = ignore,
        compress: bool = False,
        vault_plaintext: bool = False,
    ) -> None:
        super().__init__(supabase_url, supabase_key, db_url)
        self._catalog = Catalog(LocalStore(Path(backup_dir).expanduser()))
        self._listener = listener
        self._compress = compress
        self._vault_plaintext = vault_plaintext

    def create_backup(
        self, include_storage: bool = True, include_auth: bool = True, *, tables: Tables = ALL_TABLES
    ) -> str:
        """Back up the database and, unless told otherwise, files and users. Gives the path of the backup's folder.

        `tables` are patterns of tables, as for --table, or `Patterns` for all that one can choose by. Warns with
        `IncompleteWarning` for each thing that could not be saved.
        """
        return self._back_up(Choice(storage=include_storage, auth=include_auth, tables=_patterns(tables)))

    def backup_database(self) -> str:
        """Back up the database alone. Gives the path of the backup's folder."""
        return self._back_up(Choice(storage=False, auth=False))

    def backup_storage(self) -> str:
        """Back up the files alone. Gives the path of the backup's folder."""
        return self._back_up(Choice(database=False, auth=False))

    def backup_auth_users(self) -> str:
        """Back up the users alone. Gives the path of the backup's folder."""
        return self._back_up(Choice(database=False, storage=False))

    def list_backups(self) -> list[dict[str, Any]]:
        """All backups, newest first: timestamp, path, what they include, their size in bytes and their problems."""
        return [_summary(backup) for backup in self._catalog.backups() if isinstance(backup, Backup)]

    def _back_up(self, choice: Choice) -> str:
        choice = replace(choice, vault_plaintext=self._vault_plaintext)
        with self._project() as project:
            backup = back_up(project, self._catalog, choice, self._listener, compress=self._compress)
        for problem in backup.manifest[1]:
            warnings.warn(f"not saved: {problem.name}: {problem.reason}", IncompleteWarning, stacklevel=3)
        return backup.path


class SupabaseRestore(_Door):
    """Restores backups into a project, and holds them against it."""

    def __init__(
        self,
        supabase_url: str | None = None,
        supabase_key: str | None = None,
        db_url: str | None = None,
        *,
        listener: Listener = ignore,
    ) -> None:
        super().__init__(supabase_url, supabase_key, db_url)
        self._listener = listener

    def restore_backup(
        self,
        backup_path: str,
        restore_database: bool = True,
        restore_storage: bool = True,
        restore_auth: bool = True,
        confirm: bool = False,
        *,
        into: str | None = None,
        jobs: int | None = None,
        people: People = EVERYBODY,
        tables: Tables = ALL_TABLES,
        into_schema: str | None = None,
        from_json: bool = False,
        vault_root_key: bool = False,
        quiesce: Quiesce | None = None,
    ) -> dict[str, Any]:
        """Bring a backup into the project and compare the two; gives what `verify_restore` gives.

        `confirm=True` says that this project is meant: without it nothing is written and RestoreRefused tells the
        plan. A target that isn't empty must be named by its ref with `into` as well. The database comes back by
        `jobs` connections at once; `people` says which users, and what becomes of those who are there already. What was
        cut short is finished by the same call. `tables` (patterns) are all that comes back then; `into_schema` makes
        plain copies in a new schema; `from_json` fills tables that are there. `vault_root_key` gives the
        target the root key of the source's vault, by SUPABASE_ACCESS_TOKEN. `quiesce` says what sleeps afterwards:
        all that acts by itself, and in the backup's own project what slept there.
        """
        choice = Choice(
            *(restore_database, restore_storage, restore_auth),
            people=people,
            tables=_patterns(tables),
            into_schema=into_schema,
            from_json=from_json,
            vault_root_key=vault_root_key,
            quiesce=quiesce,
        )
        with self._project() as project:
            outcome = restore(
                open_path(backup_path),
                project,
                choice,
                into=into,
                confirm=lambda plan: confirm,
                jobs=jobs,
                listener=self._listener,
            )
        return _verdict(outcome.plan.choice, outcome.problems, outcome.differences)

    def restore_database(self, backup_path: str, confirm: bool = False) -> dict[str, Any]:
        """Restore the database alone."""
        return self.restore_backup(backup_path, True, False, False, confirm)

    def restore_storage(self, backup_path: str, confirm: bool = False) -> dict[str, Any]:
        """Restore the files alone."""
        return self.restore_backup(backup_path, False, True, False, confirm)

    def restore_auth_users(
        self, backup_path: str, confirm: bool = False, *, into: str | None = None, people: People = EVERYBODY
    ) -> dict[str, Any]:
        """Restore the users alone: all, or those that `people` means."""
        return self.restore_backup(backup_path, False, False, True, confirm, into=into, people=people)

    def verify_restore(self, backup_path: str) -> dict[str, Any]:
        """Hold a backup against the project: `database`, `storage` and `auth` say whether each is equal (and saved),
        `details` names every difference."""
        backup = open_path(backup_path)
        check_files(backup, self._listener)
        choice = Choice().within(backup.metadata)
        with self._project() as project:
            found = list(hold_against(backup, project, choice, listener=self._listener))
        return _verdict(choice, [], [one for one in found if isinstance(one, Difference)])


def _patterns(tables: Tables) -> Patterns:
    return tables if isinstance(tables, Patterns) else Patterns(tables=tuple(tables))


def _summary(backup: Backup) -> dict[str, Any]:
    said = backup.metadata
    return {
        "label": backup.label,
        "timestamp": said.get("timestamp"),
        "path": backup.path,
        "source": backup.source_ref,
        "include_database": bool(said.get("include_database")),
        "include_storage": bool(said.get("include_storage")),
        "include_auth": bool(said.get("include_auth")),
        "size": said.get("bytes"),
        "problems": said.get("problems"),
    }


def _verdict(choice: Choice, problems: list[Problem], differences: list[Difference]) -> dict[str, Any]:
    failed = {one.part for one in problems} | {one.part for one in differences}
    return {
        "database": choice.database and not failed & {"database", "tables"},
        "storage": choice.storage and "storage" not in failed,
        "auth": choice.auth and "auth" not in failed,
        "details": [f"{one.name}: {one.reason}" for one in problems]
        + [f"{one.name}: {one.kind} {one.detail}".rstrip() for one in differences],
    }
