"""A folder as a store: private, durable, deaf to links, plain about a full disk."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supapy.errors import AlreadyExists, NotFound, StoreError, StoreFull, SupapyError, UnsafePath
from supapy.store.base import PIECE_BYTES
from supapy.store.local import LocalStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(folder.rglob("*"))
    }


def test_folders_and_files_are_for_their_owner_alone_whatever_the_umask(root: Path, umask: int) -> None:
    LocalStore(root).put("label/storage/a", [b"x"])
    LocalStore(root).put("label/claim", [b"x"], if_absent=True)
    assert [mode(root), mode(root / "label"), mode(root / "label/storage")] == [0o700] * 3
    assert [mode(root / "label/storage/a"), mode(root / "label/claim")] == [0o600] * 2


def test_a_root_that_was_there_keeps_its_mode(root: Path) -> None:
    root.mkdir(mode=0o755)
    LocalStore(root).put("file", [b"x"])
    assert mode(root) == 0o755


def test_reading_a_store_that_was_never_written_makes_nothing(root: Path) -> None:
    store = LocalStore(root)
    assert [list(store.list()), list(store.list("a/")), list(store.folders())] == [[], [], []]
    with pytest.raises(NotFound):
        store.get("a")
    store.delete("a")
    assert not root.exists()


# --- links and other traps -------------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "backups-of-others"
    (folder / "inner").mkdir(parents=True)
    (folder / "secret").write_bytes(b"secret")
    return folder


TOUCHES: dict[str, Callable[[LocalStore, str], object]] = {
    "put": lambda store, path: store.put(path, [b"new"]),
    "put if absent": lambda store, path: store.put(path, [b"new"], if_absent=True),
    "get": lambda store, path: b"".join(store.get(path)),
    "stat": lambda store, path: store.stat(path),
    "delete": lambda store, path: store.delete(path),
}


@pytest.mark.parametrize("touch", TOUCHES)
@pytest.mark.parametrize("depth", ["root child", "parent"])
def test_a_link_to_a_folder_is_not_walked_through(root: Path, outside: Path, touch: str, depth: str) -> None:
    link, path = (root / "label", "label/secret") if depth == "root child" else (root / "label/in", "label/in/secret")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    before = everything(outside)
    with pytest.raises(UnsafePath):
        TOUCHES[touch](LocalStore(root), path)
    assert everything(outside) == before


@pytest.mark.parametrize("touch", ["get", "stat"])
def test_a_link_in_a_files_place_is_not_read(root: Path, outside: Path, touch: str) -> None:
    root.mkdir()
    (root / "file").symlink_to(outside / "secret")
    with pytest.raises(SupapyError):
        TOUCHES[touch](LocalStore(root), "file")


def test_a_link_in_a_files_place_is_replaced_not_written_through(root: Path, outside: Path) -> None:
    root.mkdir()
    (root / "file").symlink_to(outside / "secret")
    with pytest.raises(AlreadyExists):
        LocalStore(root).put("file", [b"new"], if_absent=True)
    LocalStore(root).put("file", [b"new"])
    assert not (root / "file").is_symlink()
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_deleted_link_takes_nothing_with_it(root: Path, outside: Path) -> None:
    (root / "label").mkdir(parents=True)
    (root / "label/file").symlink_to(outside / "secret")
    LocalStore(root).delete("label/file")
    assert (outside / "secret").exists()
    assert not (root / "label").exists()


def test_a_list_shows_neither_links_nor_what_lies_behind_them(root: Path, outside: Path) -> None:
    LocalStore(root).put("label/file", [b"x"])
    (root / "label/to-file").symlink_to(outside / "secret")
    (root / "label/to-folder").symlink_to(outside)
    (root / "linked").symlink_to(outside)
    os.mkfifo(root / "label/pipe")
    store = LocalStore(root)
    assert [found.path for found in store.list()] == ["label/file"]
    assert [found.path for found in store.list("label/")] == ["label/file"]
    assert list(store.folders()) == ["label"]
    with pytest.raises(UnsafePath):
        store.list("linked/")


def test_a_named_pipe_holds_nobody_up(root: Path) -> None:
    root.mkdir()
    os.mkfifo(root / "pipe")
    with pytest.raises(NotFound):
        LocalStore(root).get("pipe")


def test_what_takes_a_files_place_while_it_is_read_is_not_read(root: Path, outside: Path) -> None:
    LocalStore(root).put("file", [b"x"])
    pieces = LocalStore(root).get("file")
    (root / "file").unlink()
    (root / "file").symlink_to(outside / "secret")
    assert b"".join(pieces) == b"x"


def test_a_file_that_nobody_reads_on_is_closed(root: Path) -> None:
    LocalStore(root).put("file", [b"x" * 3 * PIECE_BYTES])
    for _ in range(20):
        next(LocalStore(root).get("file"))
        LocalStore(root).get("file")
    open_files = [path.readlink() for path in Path("/proc/self/fd").glob("*") if path.is_symlink()]
    assert root / "file" not in open_files


def test_a_root_that_is_a_link_chosen_by_the_user_is_his_choice(root: Path, outside: Path) -> None:
    root.symlink_to(outside)
    LocalStore(root).put("label/file", [b"x"])
    assert (outside / "label/file").read_bytes() == b"x"


@pytest.mark.parametrize("touch", ["put", "get", "stat"])
def test_a_file_where_the_root_belongs_is_told_plainly(root: Path, touch: str) -> None:
    root.write_bytes(b"")
    with pytest.raises(StoreError):
        TOUCHES[touch](LocalStore(root), "a/b")
    with pytest.raises(StoreError):
        LocalStore(root).folders()


# --- what is left, and in what order it becomes durable --------------------------------------------------------------


def test_temporary_files_are_not_listed_and_do_not_stay(root: Path) -> None:
    seen: list[list[str]] = []

    def pieces() -> Iterator[bytes]:
        yield b"half"
        seen.append([path.name for path in (root / "label").iterdir()])

    store = LocalStore(root)
    store.put("label/file", pieces())
    assert len(seen[0]) == 1
    assert seen[0][0].startswith(".supapy-")
    (root / "label" / seen[0][0]).write_bytes(b"left by one that was killed")
    assert [found.path for found in store.list()] == ["label/file"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_will_do(root: Path, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    store = LocalStore(root, link=refuse)
    store.put("label/file", [b"first"], if_absent=True)
    with pytest.raises(AlreadyExists):
        store.put("label/file", [b"second"], if_absent=True)
    assert everything(root) == {"label": None, "label/file": b"first"}


def test_a_new_file_leaves_no_second_name(root: Path) -> None:
    LocalStore(root).put("file", [b"x"], if_absent=True)
    assert everything(root) == {"file": b"x"}


class Disk:
    """Remembers what is synced and how the folder looked then."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[tuple[str, list[str]]] = []

    def fsync(self, handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        name = "file" if path.is_file() else str(path.relative_to(self.root.parent))
        seen = sorted(str(one.relative_to(self.root)) for one in self.root.rglob("*") if not one.name.startswith("."))
        self.log.append((name, seen))
        os.fsync(handle)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells the path of a handle by /proc")
@pytest.mark.parametrize("if_absent", [False, True])
def test_bytes_are_synced_before_the_name_and_every_new_name_after(root: Path, if_absent: bool) -> None:
    disk = Disk(root)
    LocalStore(root, fsync=disk.fsync).put("label/storage/a", [b"x"], if_absent=if_absent)
    assert disk.log == [
        (".", []),
        ("backups", ["label"]),
        ("backups/label", ["label", "label/storage"]),
        ("file", ["label", "label/storage"]),
        ("backups/label/storage", ["label", "label/storage", "label/storage/a"]),
    ]


def test_a_deleted_name_is_synced_too(root: Path) -> None:
    disk = Disk(root)
    store = LocalStore(root, fsync=disk.fsync)
    store.put("label/a", [b"x"])
    store.put("label/b", [b"x"])
    disk.log.clear()
    store.delete("label/a")
    assert disk.log == [("backups/label", ["label", "label/b"])]


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("if_absent", [False, True])
def test_no_space_is_told_and_leaves_nothing(root: Path, number: int, if_absent: bool) -> None:
    def full(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))

    with pytest.raises(StoreFull, match="no space left") as caught:
        LocalStore(root, fsync=full).put("label/file", [b"x"], if_absent=if_absent)
    assert caught.value.hint
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_another_failure_of_the_disk_is_a_store_error_without_a_trace(root: Path) -> None:
    def broken(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(StoreError, match="Input/output error"):
        LocalStore(root, fsync=broken).put("label/file", [b"x"])
    assert list(LocalStore(root).list()) == []


def test_a_file_that_outgrows_the_systems_limit_leaves_what_was_there(root: Path) -> None:
    LocalStore(root).put("file", [b"before"])
    program = """
import resource, signal, sys
from pathlib import Path
from supapy.errors import StoreFull
from supapy.store.local import LocalStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    LocalStore(Path(sys.argv[1])).put("file", [b"x" * 60_000] * 3)
except StoreFull:
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", program, str(root)], timeout=60).returncode == 7
    assert everything(root) == {"file": b"before"}


def test_an_error_of_whoever_reads_the_pieces_stays_that_error(root: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise NotFound("something else entirely")

    with pytest.raises(NotFound, match="something else entirely"):
        LocalStore(root).put("file", pieces())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told(root: Path) -> None:
    LocalStore(root).put("label/in/file", [b"x"])
    (root / "label/in").chmod(0)
    try:
        with pytest.raises(StoreError):
            list(LocalStore(root).list("label/"))
    finally:
        (root / "label/in").chmod(0o700)
