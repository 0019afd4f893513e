"""What every store promises, asked of each one there is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supapy.errors import AlreadyExists, NotFound, UnsafePath
from supapy.model import Stat
from supapy.store.base import PIECE_BYTES, Store
from supapy.store.local import LocalStore
from supapy.store.memory import MemoryStore

MAKERS: dict[str, Callable[[Path], Store]] = {
    "local": lambda folder: LocalStore(folder / "backups"),
    "memory": lambda folder: MemoryStore(),
}
UNSAFE = [
    "",
    "/",
    "/etc/passwd",
    "a//b",
    "a/",
    "..",
    "../a",
    "a/../b",
    "a/..",
    ".",
    "./a",
    "a/./b",
    "a\\b",
    "a\0b",
    "\ud800",
]


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MAKERS[request.param](tmp_path)


def read(store: Store, path: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(store.get(path, start, end))


def broken_after(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces
    raise ZeroDivisionError


def test_what_was_put_is_read_again_and_its_size_is_told(store: Store) -> None:
    assert store.put("a/b.txt", [b"one ", b"", b"two"]) == 7
    assert read(store, "a/b.txt") == b"one two"
    assert store.stat("a/b.txt") == Stat("a/b.txt", 7)


def test_an_empty_file_is_a_file(store: Store) -> None:
    assert store.put("a/empty", []) == 0
    assert read(store, "a/empty") == b""
    assert store.stat("a/empty").size == 0


def test_a_big_file_comes_back_in_pieces_that_are_bounded(store: Store) -> None:
    content = bytes(range(256)) * 4096 * 3
    store.put("big", [content])
    pieces = list(store.get("big"))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= PIECE_BYTES


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
@pytest.mark.parametrize(("start", "end"), [(0, None), (0, 0), (1, 2), (5, 5), (0, 10**9), (10**9, None), (100, None)])
def test_a_range_is_what_slicing_gives(store: Store, size: int, start: int, end: int | None) -> None:
    content = bytes(at % 251 for at in range(size))
    store.put("file", [content])
    assert read(store, "file", start, end) == content[start:end]


@pytest.mark.parametrize("if_absent", [False, True])
def test_a_put_that_fails_halfway_leaves_nothing(store: Store, if_absent: bool) -> None:
    with pytest.raises(ZeroDivisionError):
        store.put("a/b/new", broken_after(b"x" * 1000), if_absent=if_absent)
    assert list(store.list()) == []
    with pytest.raises(NotFound):
        store.get("a/b/new")


def test_a_put_that_fails_halfway_leaves_what_was_there(store: Store) -> None:
    store.put("file", [b"before"])
    with pytest.raises(ZeroDivisionError):
        store.put("file", broken_after(b"after"))
    assert read(store, "file") == b"before"


def test_a_file_that_is_being_put_is_not_there_yet(store: Store) -> None:
    seen: list[list[Stat]] = []

    def pieces() -> Iterator[bytes]:
        yield b"half"
        seen.append(list(store.list()))
        yield b"whole"

    store.put("label/file", pieces())
    assert seen == [[]]


def test_a_second_put_replaces_the_first(store: Store) -> None:
    store.put("file", [b"a longer first one"])
    store.put("file", [b"second"])
    assert read(store, "file") == b"second"


def test_if_absent_refuses_to_replace(store: Store) -> None:
    store.put("file", [b"first"], if_absent=True)
    with pytest.raises(AlreadyExists):
        store.put("file", [b"second"], if_absent=True)
    assert [read(store, "file"), list(store.list())] == [b"first", [Stat("file", 5)]]


def test_of_many_that_put_if_absent_at_once_exactly_one_succeeds(store: Store) -> None:
    for turn in range(20):
        barrier = threading.Barrier(8)

        def claim(me: int, path: str = f"label{turn}/claim", barrier: threading.Barrier = barrier) -> int | None:
            barrier.wait()
            try:
                store.put(path, [bytes([me])], if_absent=True)
            except AlreadyExists:
                return None
            return me

        with ThreadPoolExecutor(8) as pool:
            winners = [me for me in pool.map(claim, range(8)) if me is not None]
        assert [bytes([me]) for me in winners] == [read(store, f"label{turn}/claim")]


def test_many_threads_put_different_files_below_one_new_folder(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(f"a/b/c/{name}", [b"x" * name]), range(100)))
    assert sorted(stat.size for stat in store.list()) == list(range(100))


def test_what_is_not_there_is_not_found(store: Store) -> None:
    store.put("there/file", [b""])
    for path in ("gone", "there/gone", "gone/gone"):
        with pytest.raises(NotFound):
            store.get(path)
        with pytest.raises(NotFound):
            store.stat(path)


def test_a_folder_is_no_file(store: Store) -> None:
    store.put("a/b/c", [b"x"])
    with pytest.raises(NotFound):
        store.stat("a/b")
    with pytest.raises(NotFound):
        store.get("a/b")


def test_a_list_is_sorted_by_path_and_keeps_to_its_prefix(store: Store) -> None:
    for path in ("b", "a/z", "a/b/c", "a-b", "ab/x", "a/b-c"):
        store.put(path, [path.encode()])
    assert [stat.path for stat in store.list()] == ["a-b", "a/b-c", "a/b/c", "a/z", "ab/x", "b"]
    assert [stat.path for stat in store.list("a/")] == ["a/b-c", "a/b/c", "a/z"]
    assert [stat.path for stat in store.list("a/b")] == ["a/b-c", "a/b/c"]
    assert list(store.list("nothing/")) == []


def test_the_folders_are_those_below_the_root(store: Store) -> None:
    assert list(store.folders()) == []
    for path in ("b/1", "a/2/3", "file"):
        store.put(path, [b""])
    assert list(store.folders()) == ["a", "b"]


def test_a_deleted_file_is_gone_and_its_empty_folders_with_it(store: Store) -> None:
    store.put("a/b/c", [b"x"])
    store.put("a/d", [b"x"])
    store.delete("a/b/c")
    assert list(store.list()) == [Stat("a/d", 1)]
    store.delete("a/d")
    assert list(store.folders()) == []


def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    store.delete("gone")
    store.delete("gone/gone")


@pytest.mark.parametrize("path", UNSAFE)
def test_an_unsafe_path_is_refused_before_anything_is_read_or_made(store: Store, path: str, tmp_path: Path) -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    with pytest.raises(UnsafePath):
        store.put(path, never())
    with pytest.raises(UnsafePath):
        store.get(path)
    with pytest.raises(UnsafePath):
        store.stat(path)
    with pytest.raises(UnsafePath):
        store.delete(path)
    assert list(tmp_path.iterdir()) == []


@given(
    operations=st.lists(
        st.tuples(
            st.sampled_from(["put", "new", "fail", "delete"]),
            st.sampled_from(["a", "b/c", "b/d", "e/f/g"]),
            st.binary(),
        ),
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", MAKERS)
def test_any_series_of_acts_ends_as_it_would_in_a_dict(
    kind: str, tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, str, bytes]]
) -> None:
    store = MAKERS[kind](tmp_path_factory.mktemp("store"))
    model: dict[str, bytes] = {}
    for act, path, content in operations:
        if act == "put":
            store.put(path, [content])
            model[path] = content
        elif act == "delete":
            store.delete(path)
            model.pop(path, None)
        elif act == "fail":
            with pytest.raises(ZeroDivisionError):
                store.put(path, broken_after(content))
        elif path in model:
            with pytest.raises(AlreadyExists):
                store.put(path, [content], if_absent=True)
        else:
            store.put(path, [content], if_absent=True)
            model[path] = content
    assert {stat.path: read(store, stat.path) for stat in store.list()} == model
