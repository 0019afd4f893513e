"""What every store promises of files that are written together, linked, held and deleted as a whole."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from supapy.errors import AlreadyExists, NotFound, StoreError, StoreFull, UnsafePath
from supapy.store.base import PIECE_BYTES, Store
from supapy.store.local import LocalStore
from supapy.store.local_batch import MOST_OPEN_FOLDERS
from supapy.store.memory import MemoryStore


def no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["local", "local, synced one by one", "local, without links", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "local":
            return LocalStore(tmp_path / "backups")
        case "local, synced one by one":
            return LocalStore(tmp_path / "backups", can_sync_all=lambda folder: False)
        case "local, without links":
            return LocalStore(tmp_path / "backups", link=no_links)
        case _:
            return MemoryStore()


def read(store: Store, path: str) -> bytes:
    return b"".join(store.get(path))


def test_files_of_a_batch_are_there_once_they_are_kept(store: Store) -> None:
    with store.batch() as batch:
        for number in range(2 * MOST_OPEN_FOLDERS):
            incoming = batch.begin(f"label/{number}/file")
            incoming.write(b"one ")
            incoming.write(str(number).encode())
            incoming.keep()
        batch.sync()
    assert all(read(store, f"label/{n}/file") == b"one %d" % n for n in range(2 * MOST_OPEN_FOLDERS))


def test_a_file_that_is_dropped_leaves_nothing(store: Store) -> None:
    with store.batch() as batch:
        incoming = batch.begin("label/file")
        incoming.write(b"half")
        incoming.drop()
        batch.sync()
    assert list(store.list()) == []


def test_a_kept_file_can_be_forgotten_and_written_anew(store: Store) -> None:
    with store.batch() as batch:
        batch.forget("label/file")
        batch.begin("label/file").keep()
        batch.forget("label/file")
        batch.begin("label/file").keep()
    assert read(store, "label/file") == b""


def test_what_is_there_is_not_written_over(store: Store) -> None:
    store.put("label/file", [b"first"])
    store.put("label/other", [b"other"])
    with store.batch() as batch:
        with pytest.raises(AlreadyExists):
            batch.begin("label/file").keep()
        with pytest.raises(AlreadyExists):
            batch.link("label/other", "label/file")
    assert read(store, "label/file") == b"first"


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "", "a/.."])
def test_a_path_that_leads_out_is_refused(store: Store, path: str) -> None:
    store.put("label/file", [b"x"])
    with store.batch() as batch:
        with pytest.raises(UnsafePath):
            batch.begin(path)
        with pytest.raises(UnsafePath):
            batch.link("label/file", path)
        with pytest.raises(UnsafePath):
            batch.link(path, "label/new")


@pytest.mark.parametrize("content", [b"", b"x" * (2 * PIECE_BYTES + 1)])
def test_a_link_has_the_same_bytes_and_outlives_the_old_file(store: Store, content: bytes) -> None:
    store.put("old/deep/file", [content])
    with store.batch() as batch:
        assert batch.link("old/deep/file", "new/file") == len(content)
        batch.sync()
    store.delete_folder("old")
    assert read(store, "new/file") == content


def test_what_is_not_there_cannot_be_linked(store: Store) -> None:
    with store.batch() as batch, pytest.raises(NotFound):
        batch.link("old/file", "new/file")
    assert list(store.list()) == []


def test_a_folder_is_deleted_with_all_that_is_in_it_and_nothing_beside(store: Store) -> None:
    for path in ("a/b/c", "a/d", "ab/e", "f"):
        store.put(path, [b"x"])
    store.delete_folder("a")
    store.delete_folder("a")
    assert [stat.path for stat in store.list()] == ["ab/e", "f"]


def test_a_file_is_held_by_one_at_a_time(store: Store) -> None:
    store.put("claim", [b""])
    with store.hold("claim") as first:
        with store.hold("claim") as second:
            assert (first, second) == (True, False)
        with store.hold("claim") as third:
            assert not third
    with store.hold("claim") as later:
        assert later
    with pytest.raises(NotFound), store.hold("nothing"):
        pass


# --- the disk --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells the path of a handle by /proc")
@pytest.mark.parametrize("together", [True, False])
def test_all_is_synced_in_one_act_or_each_file_and_each_folder(tmp_path: Path, together: bool) -> None:
    log: list[str] = []

    def note(handle: int) -> None:
        log.append(str(Path(f"/proc/self/fd/{handle}").readlink().relative_to(tmp_path)))

    LocalStore(tmp_path / "root").put("old", [b"x"])
    store = LocalStore(tmp_path / "root", fsync=note, sync_all=note, can_sync_all=lambda folder: together)
    with store.batch() as batch:
        for name in ("a/1", "a/2", "b/3"):
            batch.begin(name).keep()
        batch.link("old", "c/4")
        before = len(log)
        batch.sync()
    if together:
        assert log == ["root"]
    else:
        assert [path for path in log[:before] if path[-1].isdigit()] == ["root/a/1", "root/a/2", "root/b/3"]
        assert log[before:] == ["root/a", "root/b", "root/c"]


def test_a_disk_that_refuses_is_told_by_the_sync(tmp_path: Path) -> None:
    def broken(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store = LocalStore(tmp_path / "root", sync_all=broken, can_sync_all=lambda folder: True)
    with store.batch() as batch, pytest.raises(StoreError, match="Input/output error"):
        batch.begin("a").keep()
        batch.sync()


def test_a_full_disk_is_told_while_a_file_is_written(tmp_path: Path) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    LocalStore(tmp_path / "root").put("there", [b""])
    store = LocalStore(tmp_path / "root", fsync=full, can_sync_all=lambda folder: False)
    with store.batch() as batch:
        incoming = batch.begin("a")
        with pytest.raises(StoreFull):
            incoming.keep()
        incoming.drop()
    assert [stat.path for stat in store.list()] == ["there"]


def test_a_link_planted_in_the_tree_is_neither_followed_nor_linked(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    with LocalStore(root).batch() as batch:
        for act in (
            lambda: batch.begin("folder/new"),
            lambda: batch.begin("file"),
            lambda: batch.link("folder/secret", "new"),
            lambda: batch.link("file", "new"),
        ):
            with pytest.raises((UnsafePath, AlreadyExists, NotFound)):
                act()
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert not (root / "new").exists()


def test_a_large_file_is_whole_and_its_pieces_may_lie_in_memory_that_is_used_again(store: Store) -> None:
    memory = bytearray(1_000_003)
    expected = hashlib.sha256()
    with store.batch() as batch:
        incoming = batch.begin("label/large")
        for at in range(20):
            memory[:] = bytes([at]) * len(memory)
            expected.update(memory)
            incoming.write(memoryview(memory))
        incoming.keep()
        batch.sync()
    found = hashlib.sha256()
    for piece in store.get("label/large"):
        found.update(piece)
    assert found.hexdigest() == expected.hexdigest()
