"""The power goes at any point of a backup: what is listed afterwards is whole, and what was finished is listed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.backups import ABOUT, FILES, item
from tests.crashes import Recorder

from supapy.catalog import Catalog
from supapy.known import Known
from supapy.model import Entry
from supapy.store.base import Store

SAMPLES = 60
FIRST, SECOND = "backup_20261122_071501", "backup_20261122_071502"

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells the path of a handle by /proc")


def back_up(store: Store, label: str, changed: bytes) -> None:
    """A backup of a few files, one of which is another each time; the others are linked when they are known."""
    second = int(label[-2:])
    catalog = Catalog(store, now=lambda: datetime(2026, 11, 22, 7, 15, second, tzinfo=UTC))
    known = Known()
    for one in catalog.labels():
        known.add(one, catalog.open(one).manifest[0])
    files = FILES | {"storage/b/changed": changed}
    with catalog.draft(known=known) as draft:
        draft.take_all(
            item(path, content, fingerprint=f"{path} {content!r}" if path.startswith("storage/b/") else None)
            for path, content in files.items()
        )
        draft.commit(ABOUT)


def recorded(root: Path, *, all_at_once: bool, deaf: frozenset[str] = frozenset()) -> Iterator[tuple[set[str], Store]]:
    """Two backups, the second with links to the first: what has been finished by each point, and the disks that may be
    found after a cut there."""
    root.mkdir()
    chance = random.Random(1)
    with Recorder(root, deaf=deaf) as disk:
        store = disk.store(all_at_once=all_at_once)
        ends = []
        for label in (FIRST, SECOND):
            back_up(store, label, label.encode())
            disk.note()
            ends.append((len(disk.points) - 1, label))
        for number, point in enumerate(disk.points):
            finished = {label for end, label in ends if number >= end}
            for state in disk.states(point, SAMPLES, chance):
                yield finished, state


def broken(finished: set[str], store: Store) -> str:
    """What is wrong with such a disk; nothing if nothing is."""
    catalog = Catalog(store)
    listed = catalog.labels()
    if not finished <= set(listed):
        return "lost"
    for label in listed:
        try:
            if not all(isinstance(found, Entry) for found in catalog.open(label).damage()):
                return "damaged"
        except Exception as error:
            return type(error).__name__
    return ""


@pytest.mark.parametrize("all_at_once", [True, False])
def test_whatever_is_lost_a_listed_backup_is_whole_and_a_finished_one_is_listed(
    tmp_path: Path, all_at_once: bool
) -> None:
    states = [broken(*state) for state in recorded(tmp_path / "backups", all_at_once=all_at_once)]
    assert len(states) > 1000
    assert set(states) == {""}


@pytest.mark.parametrize(
    ("all_at_once", "deaf"),
    [(True, {"all"}), (True, {"file"}), (True, {"folder"}), (False, {"file"}), (False, {"folder"})],
)
def test_every_kind_of_sync_is_needed(tmp_path: Path, all_at_once: bool, deaf: set[str]) -> None:
    """On a disk that only says it did one kind, the same look finds backups that are lost or not whole."""
    disks = recorded(tmp_path / "backups", all_at_once=all_at_once, deaf=frozenset(deaf))
    assert any(broken(*state) for state in disks)
