"""What every command begins with: the options before it, and the settings they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from supapy.errors import UsageError

if TYPE_CHECKING:
    from supapy.backup import Backup
    from supapy.catalog import Catalog
    from supapy.cli.screen import Screen
    from supapy.events import Listener
    from supapy.project.project import Project
    from supapy.settings import Settings

IN_ARGUMENTS = (
    "Arguments are visible to everyone in the list of processes. Put it into .env or the environment; "
    ".env.example shows how."
)


@dataclass
class Shell:
    """The options that stand before the command."""

    env_file: Path | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    @cached_property
    def settings(self) -> Settings:
        """What the user set. Raises UsageError when the file that was named can't be read."""
        from supapy.settings import load

        return load(self.env_file)

    @cached_property
    def screen(self) -> Screen:
        """Where results go."""
        from supapy.cli.screen import Screen

        return Screen(json=self.json, quiet=self.quiet, verbose=self.verbose)

    @contextmanager
    def project(self, at_once: int | None = None, listener: Listener | None = None) -> Iterator[Project]:
        """The project that the settings name, asked `at_once` times at the same time at most. The `listener` hears when
        it answers nothing for a while."""
        from supapy.events import ignore
        from supapy.project.http import MOST_AT_ONCE
        from supapy.project.project import Project

        with Project.of(self.settings, at_once=at_once or MOST_AT_ONCE, listener=listener or ignore) as project:
            yield project

    def catalog(self, folder: Path | None) -> Catalog:
        """The backups in the folder, or in the one that the settings name."""
        from supapy.catalog import Catalog
        from supapy.store.local import LocalStore

        return Catalog(LocalStore(folder.expanduser() if folder else self.settings.backup_dir))

    def backup(self, named: str | None, folder: Path | None) -> Backup:
        """The backup of that label, in that folder, or else the newest. Raises NoSuchBackup or IntegrityError."""
        from supapy.catalog import open_path

        if named is None:
            return self.catalog(folder).latest()
        if "://" in named:
            raise UsageError("a backup is a label or a folder, not an address", IN_ARGUMENTS)
        if "/" in named or Path(named).is_dir():
            return open_path(named)
        return self.catalog(folder).open(named)
