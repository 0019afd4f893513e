"""All backups in one store: which there are, opening one, and beginning a new one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from supapy.backup import Backup, read_line
from supapy.draft import CLAIM, JOURNAL, METADATA, Draft, encode
from supapy.errors import (
    AlreadyExists,
    CatalogError,
    ClockWentBack,
    IntegrityError,
    NoSuchBackup,
    NotFound,
    StoreError,
    UnsafePath,
)
from supapy.events import Listener, ignore
from supapy.known import Known, completed, recall
from supapy.loop import Loop
from supapy.model import Entry, Json
from supapy.names import label_at, label_time
from supapy.store.base import Store
from supapy.store.local import LocalStore
from supapy.stream import lines

# Labels have whole seconds: a second backup within one waits. A clock that is further behind is wrong.
LONGEST_WAIT_FOR_LABEL = timedelta(seconds=5)


def _now() -> datetime:
    return datetime.now(UTC)


class Catalog:
    """The backups in a store. A folder without metadata.json is none. `now` and `sleep` are its clock."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime] = _now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.store = store
        self._now = now
        self._sleep = sleep

    def labels(self) -> list[str]:
        """The labels of all backups, newest first; folders that were given another name come last."""
        found = [folder for folder in self.store.folders() if self._is_backup(folder)]
        return sorted(found, key=lambda folder: (label_time(folder) is not None, folder), reverse=True)

    def backups(self) -> Iterator[Backup | IntegrityError]:
        """All backups, newest first; one whose metadata can't be read comes as the error that says so."""
        for label in self.labels():
            try:
                yield self.open(label)
            except IntegrityError as error:
                yield error

    def open(self, label: str) -> Backup:
        """One backup. Raises NoSuchBackup when there is no such folder, IntegrityError when it isn't a whole one."""
        try:
            return Backup(self.store, label)
        except NotFound:
            if label in self.store.folders():
                raise IntegrityError(
                    f"{label} has no {METADATA}, so it isn't a backup",
                    "It is what a run left behind that didn't come to its end; nothing was applied. "
                    "Choose one that `supapy list` shows.",
                ) from None
            raise NoSuchBackup(
                f"no backup {label} in {self.store.place}", "`supapy list` shows the backups there are."
            ) from None

    def latest(self) -> Backup:
        """The newest backup. Raises NoSuchBackup when there is none."""
        labels = self.labels()
        if not labels:
            raise NoSuchBackup(f"no backup in {self.store.place}", "Make one with `supapy backup`.")
        return self.open(labels[0])

    def known(self, ref: str) -> Known:
        """What the next backup of that project needn't fetch: the things of its newest backup with files, and what was
        restored into it and found equal. Backups of a part of its files are gone through until one of all."""
        known = Known()
        for label, remembered in groupby(recall(self.store, ref), key=itemgetter(0)):
            with suppress(CatalogError, IntegrityError):
                backup = self.open(label)
                found = ((path, entry) for _, path, entry in remembered)
                known.add(label, completed(found, backup.manifest[0]))
        for one in self.backups():
            if isinstance(one, Backup) and one.holds_files_of(ref):
                with suppress(IntegrityError):
                    known.add(one.label, one.entries_of_manifest())
                    if "storage_only" not in one.metadata:
                        break
        return known

    @contextmanager
    def taken_up(self, about: Json, known: Known, *, needed: bool) -> Iterator[None]:
        """What runs that were to be the same, and didn't come to their end, have left: `known` gets their files, and
        once the block has ended well the rest of them is removed.

        If it is `needed`, raises NoSuchBackup when there is nothing left of any run, CatalogError when what is left
        was to be something else, or is still being written.
        """
        left = [folder for folder in self.store.folders() if label_time(folder) and not self._is_backup(folder)]
        if needed and not left:
            raise NoSuchBackup(f"no run in {self.store.place} was cut short", "Leave --resume out.")
        with ExitStack() as held:
            mine = [label for label in reversed(left) if self._is_free(label, held) and self._said(label) == about]
            if needed and not mine:
                raise CatalogError(
                    f"what was begun in {left[-1]} is another run's, or was for another project or other components",
                    "Leave --resume out, or say what was said then.",
                )
            for label in mine:
                known.add(label, self._journal(label), sure=False)
            yield
            for label in mine:
                self.discard(label)

    def _is_free(self, label: str, held: ExitStack) -> bool:
        with suppress(NotFound):
            return held.enter_context(self.store.hold(f"{label}/{CLAIM}"))
        return False

    def _said(self, label: str) -> Json | None:
        with suppress(NotFound, ValueError, RecursionError):
            said = json.loads(b"".join(self.store.get(f"{label}/{CLAIM}")))
            return said if isinstance(said, dict) else None
        return None

    def _journal(self, label: str) -> Iterator[Entry]:
        with suppress(NotFound):
            for line in lines(self.store.get(f"{label}/{JOURNAL}")):
                # The last one may be torn.
                with suppress(IntegrityError):
                    if isinstance(entry := read_line(line, label), Entry):
                        yield entry

    @contextmanager
    def draft(
        self,
        listener: Listener = ignore,
        loop: Loop | None = None,
        *,
        about: Json | None = None,
        known: Known | None = None,
        compress: bool = False,
    ) -> Iterator[Draft]:
        """A new draft under a label of its own. Whatever ends the block before `commit` leaves nothing behind but what
        was fetched and can be taken up; and where the store is what fails, not even that.

        `about` is what a later run must want as well to take up what this one has begun. `known` and `compress` are
        the draft's.
        """
        label = self._claim(about or {})
        own_loop, stays = Loop(), False
        try:
            with (
                self.store.hold(f"{label}/{CLAIM}"),
                self.store.batch() as batch,
                closing(Draft(self.store, batch, label, listener, loop or own_loop, known, compress=compress)) as draft,
            ):
                try:
                    yield draft
                except StoreError:
                    raise
                except BaseException:
                    stays = draft.leave()
                    raise
        except BaseException:
            if not stays:
                self.discard(label)
            raise
        finally:
            own_loop.close()

    def discard(self, label: str) -> None:
        """Remove a folder with all that is in it; first of all what makes it a backup."""
        self.store.delete(f"{label}/{METADATA}")
        self.store.delete_folder(label)

    def _is_backup(self, folder: str) -> bool:
        with suppress(NotFound, UnsafePath):
            self.store.stat(f"{folder}/{METADATA}")
            return True
        return False

    def _claim(self, about: Json) -> str:
        """A label later than every other one, taken before anything is written under it."""
        while True:
            label = label_at(self._now())
            newest = max((folder for folder in self.store.folders() if label_time(folder)), default="")
            if label > newest:
                with suppress(AlreadyExists):
                    self.store.put(f"{label}/{CLAIM}", [encode(about)], if_absent=True)
                    return label
            newest_time = label_time(newest)
            if newest_time and newest_time - self._now() > LONGEST_WAIT_FOR_LABEL:
                raise ClockWentBack(
                    f"the clock says {label_at(self._now())}, but {newest} is there already",
                    "Set the clock right; backups are told apart and sorted by it.",
                )
            self._sleep(0.2)


def open_path(path: str | Path) -> Backup:
    """The backup in a folder. Raises NoSuchBackup or IntegrityError."""
    folder = Path(path).expanduser().absolute()
    return Catalog(LocalStore(folder.parent)).open(folder.name)
