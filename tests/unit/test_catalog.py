"""The backups in a store: which count, which is the newest, and the label of the next."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.backups import ABOUT, forge, make

from supapy.backup import Backup
from supapy.catalog import LONGEST_WAIT_FOR_LABEL, Catalog
from supapy.errors import ClockWentBack, IntegrityError, NoSuchBackup, UnknownFormat
from supapy.names import label_at
from supapy.store.local import LocalStore
from supapy.store.memory import MemoryStore

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Clock:
    """A clock that only moves when someone sleeps, or when it is set."""

    def __init__(self, now: datetime = NOON) -> None:
        self.time = now
        self.slept_s = 0.0

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(clock: Clock) -> Catalog:
    return Catalog(MemoryStore(), now=clock.now, sleep=clock.sleep)


def test_a_store_without_backups_has_no_labels_and_no_newest(catalog: Catalog) -> None:
    assert catalog.labels() == []
    assert list(catalog.backups()) == []
    with pytest.raises(NoSuchBackup, match="no backup in memory"):
        catalog.latest()


def test_backups_are_listed_newest_first(catalog: Catalog, clock: Clock) -> None:
    labels = []
    for _ in range(3):
        labels.append(make(catalog).label)
        clock.time += timedelta(days=1)
    assert catalog.labels() == labels[::-1]
    assert catalog.latest().label == labels[-1]


def test_a_label_is_the_time_of_its_beginning(catalog: Catalog) -> None:
    assert make(catalog).label == "backup_20261122_120000"


def test_a_second_backup_within_a_second_waits_for_a_label_of_its_own(catalog: Catalog, clock: Clock) -> None:
    labels = [make(catalog).label for _ in range(4)]
    assert labels == sorted(set(labels))
    assert clock.slept_s >= 3


def test_a_clock_that_went_back_a_little_is_waited_for(catalog: Catalog, clock: Clock) -> None:
    first = make(catalog).label
    clock.time -= LONGEST_WAIT_FOR_LABEL - timedelta(seconds=1)
    assert make(catalog).label > first


@pytest.mark.parametrize("back", [timedelta(minutes=1), timedelta(hours=1), timedelta(days=365)])
def test_a_clock_that_went_back_is_refused_at_once_and_leaves_nothing(
    catalog: Catalog, clock: Clock, back: timedelta
) -> None:
    first = make(catalog).label
    clock.time -= back
    with pytest.raises(ClockWentBack) as caught:
        make(catalog)
    assert first in caught.value.message
    assert clock.slept_s == 0
    assert list(catalog.store.folders()) == [first]


def test_a_label_that_is_claimed_is_not_given_again_even_before_its_commit(catalog: Catalog, clock: Clock) -> None:
    with catalog.draft() as first, catalog.draft() as second:
        assert first.label < second.label
        assert catalog.labels() == []
        second.commit(ABOUT)
        first.commit(ABOUT)
    assert catalog.labels() == [second.label, first.label]


def test_many_drafts_at_once_get_a_folder_each(tmp_path: Path, clock: Clock) -> None:
    def one(_: int) -> str:
        return make(Catalog(LocalStore(tmp_path / "backups"), now=clock.now, sleep=clock.sleep)).label

    with ThreadPoolExecutor(8) as pool:
        labels = list(pool.map(one, range(8)))
    assert len(set(labels)) == 8
    catalog = Catalog(LocalStore(tmp_path / "backups"))
    assert catalog.labels() == sorted(labels, reverse=True)
    assert all(isinstance(found, Backup) for found in catalog.backups())


def test_the_label_does_not_hang_on_the_time_zone(clock: Clock) -> None:
    store = MemoryStore()
    east = Catalog(store, now=lambda: clock.time.astimezone(), sleep=clock.sleep)
    assert make(east).label == label_at(NOON)


# --- what isn't a backup ---------------------------------------------------------------------------------------------


def test_a_draft_is_listed_nowhere(catalog: Catalog) -> None:
    with catalog.draft() as draft:
        assert catalog.labels() == []
        with pytest.raises(IntegrityError, match="isn't a backup"):
            catalog.open(draft.label)


def test_other_folders_are_no_backups_and_harm_nothing(tmp_path: Path) -> None:
    root = tmp_path / "backups"
    catalog = Catalog(LocalStore(root))
    label = make(catalog).label
    for name in ("back\\slash", "empty", "notes", "backup_٢٠٢٦١١٢٢_٠٧١٥٠٠", "backup_20991322_000000"):
        (root / name).mkdir()
    (root / "notes/metadata.txt").write_text("{}")
    (root / "a file").write_text("{}")
    (root / "link").symlink_to(root / label)
    os.mkfifo(root / "pipe")
    (root / "odd").mkdir()
    (root / "odd/metadata.json").mkdir()
    assert catalog.labels() == [label]
    assert make(catalog).label > label


def test_a_backup_under_another_name_is_listed_but_is_never_the_newest(catalog: Catalog, clock: Clock) -> None:
    older = make(catalog)
    for stat in list(catalog.store.list(f"{older.label}/")):
        catalog.store.put(f"zz before the move/{stat.path.partition('/')[2]}", catalog.store.get(stat.path))
    clock.time += timedelta(days=1)
    newer = make(catalog)
    assert catalog.labels() == [newer.label, older.label, "zz before the move"]
    assert catalog.latest().label == newer.label
    assert catalog.open("zz before the move").manifest == older.manifest


def test_a_name_that_nothing_bears_is_told(catalog: Catalog) -> None:
    with pytest.raises(NoSuchBackup) as caught:
        catalog.open("backup_20200101_000000")
    assert caught.value.exit_code == 41


def test_a_backup_that_can_not_be_opened_does_not_hide_the_others(catalog: Catalog, clock: Clock) -> None:
    good = make(catalog).label
    catalog.store.put("backup_20261123_000000/metadata.json", [b"{"])
    forge(catalog.store, "backup_20261124_000000", b"", format=99)
    found = list(catalog.backups())
    assert [type(one) for one in found] == [UnknownFormat, IntegrityError, Backup]
    assert isinstance(found[2], Backup)
    assert found[2].label == good
