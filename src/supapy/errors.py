"""Everything supapy raises on purpose.

    SupapyError
    ├── UsageError 2           the call or a setting is wrong
    ├── ProjectError 20        the live project
    │   ├── Unreachable 21         no connection could be made, or it was lost
    │   │   └── ConnectionLost 21      one to the database that stood
    │   ├── AccessDenied 22        wrong password, wrong key, too little right
    │   ├── WrongConnection 23     a connection of a kind that can't hold a snapshot
    │   ├── WrongProject 24        key, URL and database are not of one project
    │   ├── ToolMissing 25         no PostgreSQL program of the needed version
    │   ├── ApiError 26            the Storage or Auth server refused a request
    │   └── SqlError 27            the database refused a statement
    │       └── Overtaken 27           a table was altered just as the snapshot was taken
    ├── StoreError 30          the place where backups are kept
    │   ├── StoreFull 31
    │   ├── NotFound 32
    │   ├── AlreadyExists 33
    │   └── UnsafePath 34
    ├── CatalogError 40        the backups in a store
    │   ├── NoSuchBackup 41
    │   └── ClockWentBack 42
    ├── IntegrityError 50      a backup isn't what its manifest says
    │   └── UnknownFormat 51
    ├── RestoreRefused 60      the target isn't one to restore into; nothing was written
    ├── Interrupted 130
    └── Unreadable 3           one thing of many: it becomes a problem, and ends nothing

Exit 3 is no error else: it says that a command finished and has problems or differences to show.
Messages are lower case without a full stop; the hint is a sentence that says what to do.
"""

from __future__ import annotations

from typing import ClassVar


class SupapyError(Exception):
    """An expected failure: a message for a person, a hint on what to do, an exit code for a machine."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SupapyError):
    """The call is wrong: an option, an argument or a setting is missing or can't be used."""

    exit_code = 2


class ProjectError(SupapyError):
    """The live project did not do what was asked."""

    exit_code = 20


class Unreachable(ProjectError):
    """No connection could be made, or one that stood was lost. Trying again later may help."""

    exit_code = 21
    retryable = True


class ConnectionLost(Unreachable):
    """A connection to the database broke off, and with it the snapshot that it held or read in."""


class AccessDenied(ProjectError):
    """The project refused the password or the key, or it gives too little right."""

    exit_code = 22


class WrongConnection(ProjectError):
    """The connection can't hold a session, so no snapshot can be kept open over it."""

    exit_code = 23


class WrongProject(ProjectError):
    """Key, URL and database connection don't belong to one project."""

    exit_code = 24


class ToolMissing(ProjectError):
    """No pg_dump, pg_restore or psql of a version that fits the server."""

    exit_code = 25


class ApiError(ProjectError):
    """The Storage or Auth server answered a request with an error (`status` is the true one, from the body)."""

    exit_code = 26

    def __init__(self, message: str, hint: str | None = None, *, status: int = 0, code: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.code = code


class SqlError(ProjectError):
    """The database refused a statement (`sqlstate` names why). The `detail` may quote rows, secrets too: it is never
    shown as it is."""

    exit_code = 27

    def __init__(self, message: str, hint: str | None = None, *, sqlstate: str = "", detail: str = "") -> None:
        super().__init__(message, hint)
        self.sqlstate = sqlstate
        self.detail = detail


class Overtaken(SqlError):
    """A table was altered or emptied just after the snapshot was taken, before it was held: another moment may do."""


class StoreError(SupapyError):
    """The place where backups are kept did not do what was asked."""

    exit_code = 30


class StoreFull(StoreError):
    """No space is left in the store."""

    exit_code = 31


class NotFound(StoreError):
    """The store has nothing at that path."""

    exit_code = 32


class AlreadyExists(StoreError):
    """The store has something at that path already."""

    exit_code = 33


class UnsafePath(StoreError):
    """The path would lead out of the store, or through a link."""

    exit_code = 34


class CatalogError(SupapyError):
    """The backups in a store can't be used as asked."""

    exit_code = 40


class NoSuchBackup(CatalogError):
    """No backup of that name."""

    exit_code = 41


class ClockWentBack(CatalogError):
    """The clock stands before the newest backup's label, so a new label would sort wrongly."""

    exit_code = 42


class IntegrityError(SupapyError):
    """A backup's files aren't what its metadata and manifest say. Nothing was applied."""

    exit_code = 50


class UnknownFormat(IntegrityError):
    """The backup was written in a format this version doesn't know."""

    exit_code = 51


class RestoreRefused(SupapyError):
    """The target isn't one to restore into. Nothing was written."""

    exit_code = 60


class Interrupted(SupapyError):
    """The user or the system asked to stop."""

    exit_code = 130


class Unreadable(SupapyError):
    """One thing of many can't be read though the project can: the draft records it as a problem and goes on."""

    exit_code = 3
