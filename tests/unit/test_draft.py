"""A backup that is being written: what it takes, when it becomes one, and that giving up leaves nothing."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.backups import ABOUT, FILES, item, make
from tests.stores import Watched

from supapy.catalog import Catalog
from supapy.errors import AlreadyExists, StoreFull, Unreadable
from supapy.events import Advanced, Event, Noted, Saved
from supapy.frames import decoded
from supapy.loop import CHUNK
from supapy.model import Dumped, Encoded, Entry, Item, Omission, Problem
from supapy.names import label_at
from supapy.store.local import LocalStore
from supapy.store.memory import MemoryStore


def test_what_was_taken_stands_in_the_manifest_in_order_whatever_the_number_of_streams() -> None:
    dumped = [item(f"storage/{n}", b"x" * n) for n in range(200)]
    manifests = []
    for streams in (1, 8):
        catalog = Catalog(MemoryStore())
        with catalog.draft() as draft:
            draft.take_all(dumped, streams)
            draft.commit(ABOUT)
        manifests.append(catalog.open(draft.label).manifest[0])
    assert manifests[0] == manifests[1]
    assert [entry.name for entry in manifests[0]] == [one.name for one in dumped]


def test_an_entry_tells_size_and_digest_of_the_bytes_as_they_are_kept() -> None:
    catalog = Catalog(MemoryStore())
    backup = make(catalog, [Item("auth", "users", "auth_users.json", lambda: [b"ab", b"c"], fingerprint="v1")])
    digest = hashlib.sha256(b"abc").hexdigest()
    assert backup.entries("auth") == [Entry("auth", "users", "auth_users.json", 3, digest, "v1")]
    assert b"".join(catalog.store.get(f"{backup.label}/auth_users.json")) == b"abc"


def test_the_totals_count_everything_also_what_many_streams_took() -> None:
    catalog = Catalog(MemoryStore())
    dumped: list[Dumped] = [item(f"storage/{n}", b"xy", counts={"rows": n, "files": 1}) for n in range(100)]
    dumped += [Problem("storage", "gone", "gone"), Omission("database", "roles", "…")]
    with catalog.draft() as draft:
        draft.take_all(dumped, 8)
        draft.commit(ABOUT)
    said = catalog.open(draft.label).metadata
    assert said["parts"]["storage"] == {
        "entries": 100,
        "bytes": 200,
        "stored_bytes": 200,
        "problems": 1,
        "omissions": 0,
        "counts": {"rows": 4950, "files": 100},
    }
    assert (said["problems"], said["omissions"], said["bytes"], said["manifest"]["lines"]) == (1, 1, 200, 102)


def test_bytes_that_are_not_what_the_source_said_are_a_problem_and_are_not_kept() -> None:
    def unreadable() -> Iterator[bytes]:
        yield b"half"
        raise Unreadable("the server gave up")

    catalog = Catalog(MemoryStore())
    dumped = [
        item("storage/short", b"ab", size=3),
        item("storage/long", b"abcd", size=3),
        item("storage/other", b"abd", size=3, md5=hashlib.md5(b"abc").hexdigest()),
        Item("storage", "storage/broken", "storage/broken", unreadable),
        item("storage/right", b"abc", size=3, md5=hashlib.md5(b"abc").hexdigest(), counts={"files": 1}),
    ]
    backup = make(catalog, dumped)
    assert [problem.name for problem in backup.manifest[1]] == [
        f"storage/{n}" for n in ("short", "long", "other", "broken")
    ]
    assert [entry.name for entry in backup.manifest[0]] == ["storage/right"]
    assert [stat.path for stat in catalog.store.list(f"{backup.label}/storage/")] == [f"{backup.label}/storage/right"]
    assert backup.count("storage", "files") == 1


def test_a_compressed_draft_keeps_both_sizes_and_digests_and_leaves_alone_what_is_to_stay_as_it_is() -> None:
    catalog, rows, photo = Catalog(MemoryStore()), b"1\tone\n" * 10_000, b"\xff\xd8" * 50
    dumped = [item("database.sql", rows), item("storage/b/photo", photo, as_it_is=True, fingerprint="v1")]
    backup = make(catalog, dumped, compress=True)
    rows_entry, photo_entry = backup.manifest[0]
    stored = b"".join(catalog.store.get(f"{backup.label}/database.sql.zst"))
    assert b"".join(decoded([stored])) == rows
    digest = hashlib.sha256(rows).hexdigest()
    encoded = Encoded(("zstd",), len(stored), hashlib.sha256(stored).hexdigest())
    assert rows_entry == Entry("database.sql", "database.sql", "database.sql", len(rows), digest, None, encoded)
    assert b"".join(catalog.store.get(f"{backup.label}/storage/b/photo")) == photo
    assert (photo_entry.encoded, photo_entry.stored_path, photo_entry.stored_size) == (None, "storage/b/photo", 100)
    said = backup.metadata
    assert (said["bytes"], said["stored_bytes"]) == (len(rows) + 100, len(stored) + 100)
    # A compressed backup's files are linked into the next one, compressed or not.
    for compress in (False, True):
        with catalog.draft(known=catalog.known("abcdefghijklmnopqrst"), compress=compress) as draft:
            draft.take_all([item("storage/b/photo", b"unasked", as_it_is=True, fingerprint="v1")])
            draft.commit(ABOUT)
        assert b"".join(catalog.open(draft.label).read("storage/b/photo")) == photo


def test_two_things_never_share_a_path() -> None:
    catalog = Catalog(MemoryStore())
    with pytest.raises(AlreadyExists):
        make(catalog, [item("a", b"first"), item("a", b"second")])
    assert list(catalog.store.list()) == []


def test_the_listener_hears_of_every_byte_every_file_and_every_problem() -> None:
    heard: list[Event] = []
    problem = Problem("storage", "gone", "gone")
    catalog = Catalog(MemoryStore())
    with catalog.draft(heard.append) as draft:
        draft.take_all([item("storage/a", b"abc"), problem])
        draft.commit(ABOUT)
    assert heard == [Advanced("storage", 3, "storage/a"), Saved(draft_entry(b"abc")), Noted(problem)]


def draft_entry(content: bytes) -> Entry:
    return Entry("storage", "storage/a", "storage/a", len(content), hashlib.sha256(content).hexdigest())


# --- commit and discard ----------------------------------------------------------------------------------------------


def test_what_makes_it_a_backup_is_written_last_and_the_claim_is_gone_before() -> None:
    acts: list[tuple[str, str]] = []
    make(Catalog(Watched(lambda act, path: acts.append((act, path.partition("/")[2])))))
    writes = [(act, path) for act, path in acts if act in ("put", "delete", "sync")]
    assert writes == [
        ("put", ".draft"),
        *(("put", path) for path in FILES),
        ("sync", ""),
        ("put", "manifest.jsonl"),
        ("delete", ".draft"),
        ("put", "metadata.json"),
    ]


def test_the_metadata_carries_the_digest_of_the_manifest_that_was_written() -> None:
    catalog = Catalog(MemoryStore())
    label = make(catalog).label
    manifest = b"".join(catalog.store.get(f"{label}/manifest.jsonl"))
    said = json.loads(b"".join(catalog.store.get(f"{label}/metadata.json")))
    digest = hashlib.sha256(manifest).hexdigest()
    assert said["manifest"] == {"lines": manifest.count(b"\n"), "size": len(manifest), "sha256": digest}


class Stop(BaseException):
    """Ends a draft as Ctrl-C does."""


class Countdown:
    """Lets so many acts through, then one fails."""

    def __init__(self, acts: int, error: BaseException) -> None:
        self.left = acts
        self.error = error

    def __call__(self, act: str, path: str) -> None:
        self.left -= 1
        if self.left == -1:
            raise self.error


@pytest.mark.parametrize("error", [Stop(), StoreFull("no space left")], ids=["stopped", "full"])
def test_a_draft_that_fails_at_any_act_leaves_nothing_and_harms_no_other(error: BaseException) -> None:
    for acts in itertools.count():
        inner = MemoryStore()
        older = make(Catalog(inner, now=lambda: clock(0)))
        with suppress(type(error)):
            make(Catalog(Watched(Countdown(acts, error), inner), now=lambda: clock(1)))
            break
        catalog = Catalog(inner)
        listed = catalog.labels()
        # An act after the commit, which reads the new backup, may fail as well: then there are two whole ones.
        assert listed in ([older.label], [label_at(clock(1)), older.label])
        assert set(inner.folders()) == set(listed)
        assert all(isinstance(found, Entry) for label in listed for found in catalog.open(label).damage())
    assert acts > 2 * len(FILES)


def clock(seconds: int) -> datetime:
    return datetime(2026, 11, 22, 7, 15, seconds, tzinfo=UTC)


def test_what_was_discarded_halfway_is_no_backup_however_far_it_came() -> None:
    """The metadata was written, then its folder could not be synced; and the one who cleans up is killed as well."""
    for acts in range(10):
        inner = MemoryStore()

        def after_the_metadata(act: str, path: str, inner: MemoryStore = inner, left: list[int] = [acts]) -> None:  # noqa: B006
            if (act, path.endswith("metadata.json")) == ("put", True):
                inner.put(path, [b"{}"])
                raise StoreFull("no space left")
            if act.startswith("delete") and not path.endswith(".draft"):
                left[0] -= 1
                if left[0] == -1:
                    raise Stop

        with pytest.raises((StoreFull, Stop)):
            make(Catalog(Watched(after_the_metadata, inner)))
        left = {stat.path.partition("/")[2] for stat in inner.list()}
        assert "metadata.json" not in left or left >= {*FILES, "manifest.jsonl"}


def test_a_draft_that_is_stopped_ends_what_its_items_wait_for_and_leaves_nothing(tmp_path: Path) -> None:
    waiting = threading.Semaphore(0)
    ended: list[str] = []

    async def wait() -> AsyncGenerator[bytes, None]:
        try:
            yield b"half"
            waiting.release()
            await asyncio.sleep(3600)
            yield b"whole"
        finally:
            ended.append("ended")

    def dumped() -> Iterator[Dumped]:
        for number in range(CHUNK):
            yield Item("storage", str(number), f"storage/{number}", wait)
        for _ in range(4):
            waiting.acquire()
        raise Stop

    catalog = Catalog(LocalStore(tmp_path / "backups"))
    with pytest.raises(Stop), catalog.draft() as draft:
        draft.take_all(dumped(), 4)
    assert len(ended) == 4
    assert list((tmp_path / "backups").iterdir()) == []
