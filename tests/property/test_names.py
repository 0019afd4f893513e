"""Whatever names strangers choose, their paths stay inside, stay apart, and are always the same."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.hostile import NAMES, names

from supapy.names import LONGEST_COMPONENT_BYTES, LONGEST_PATH_BYTES, folder_names, object_paths, table_files
from supapy.store.base import checked
from supapy.store.local import LocalStore

# SUPAPY_NAME_SETS=20000 for the nightly run.
MANY = settings(max_examples=int(os.environ.get("SUPAPY_NAME_SETS", "2000")), deadline=None)
SOME = settings(max_examples=400, deadline=None)
DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
key_sets = st.lists(names, max_size=12, unique=True)


def forms(path: str) -> set[str]:
    """What file systems that fold case or Unicode forms may make of a path."""
    decomposed = unicodedata.normalize("NFD", path)
    return {
        unicodedata.normalize("NFC", path).casefold(),
        unicodedata.normalize("NFD", decomposed.casefold()),
        unicodedata.normalize("NFC", path.casefold()),
    }


def assert_good(paths: list[str]) -> None:
    for path in paths:
        checked(path)
        pieces = path.split("/")
        assert all(len(piece.encode()) <= LONGEST_COMPONENT_BYTES + len(".json") for piece in pieces)
        assert len(path.encode()) <= LONGEST_PATH_BYTES + len(".json")
        assert not any(re.search(r'[\x00-\x1f\x7f\\:*?"<>|]|[. ]$|^ ', piece) for piece in pieces)
        assert not any(re.fullmatch(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", piece) for piece in pieces)
    assert_apart(paths)


def assert_apart(paths: Iterable[str]) -> None:
    """No two paths are one, and none is another's folder, however they are folded."""
    files: dict[str, str] = {}
    for path in paths:
        for form in forms(path):
            assert files.setdefault(form, path) == path, "two names, one path"
    for path in files.values():
        pieces = path.split("/")
        for length in range(1, len(pieces)):
            for form in forms("/".join(pieces[:length])):
                assert form not in files, "a file stands where a folder belongs"


@MANY
@given(key_sets)
@example(NAMES)
def test_objects_get_paths_that_stay_inside_and_apart(keys: list[str]) -> None:
    assert_good(list(object_paths(keys)))


@SOME
@given(key_sets)
@example(NAMES)
def test_buckets_get_one_folder_each(ids: list[str]) -> None:
    folders = list(folder_names(ids))
    assert_good(folders)
    assert all("/" not in folder or folder.startswith("%") for folder in folders)


@SOME
@given(st.lists(st.tuples(st.sampled_from(["public", "a", "A", "a.b", ".."]) | names, names), max_size=10, unique=True))
@example([("public", name) for name in NAMES])
@example([("a", "b"), ("public", "a.b"), ("public", "A.B"), ("a.b", "c"), ("a", "b.c")])
def test_tables_get_files_that_stay_inside_and_apart(tables: list[tuple[str, str]]) -> None:
    files = list(table_files(tables))
    assert all(file.endswith(".json") for file in files)
    assert_good(files)


@settings(max_examples=100, deadline=None)
@given(key_sets)
def test_paths_hang_on_the_names_and_their_order_alone(keys: list[str]) -> None:
    assert list(object_paths(iter(keys))) == list(object_paths(keys))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.from_regex(r"\A[a-z0-9_-]{1,20}(/[a-z0-9_() -]{0,5}[a-z0-9_-]\.[a-z]{3}){0,3}\Z"), unique=True, max_size=6
    )
)
def test_an_ordinary_name_is_its_own_path(keys: list[str]) -> None:
    """But for those that a file system can't hold beside the others, or at all."""
    for key, path in zip(keys, object_paths(keys), strict=True):
        beside_its_folder = any(other.startswith(f"{key}/") for other in keys)
        awkward = any(piece.startswith(" ") or DEVICE.match(piece) for piece in key.split("/"))
        assert path == key or beside_its_folder or awkward


@pytest.mark.parametrize(
    "name", ["photo.jpg", "Große Liste.txt", "日本語", "a b (1).txt", "x'y&z$@=;+,!", ".env", "a.b.c"]
)
def test_a_name_that_any_file_system_can_hold_is_kept(name: str) -> None:
    assert list(object_paths([f"folder/{name}"])) == [f"folder/{name}"]
    assert list(folder_names([name])) == [name]
    assert list(table_files([("public", name)])) == [f"{name}.json"]


def test_a_table_outside_public_carries_its_schema() -> None:
    assert list(table_files([("shop", "orders"), ("public", "orders")])) == ["shop.orders.json", "orders.json"]


def test_every_hostile_key_can_be_kept_in_a_folder_and_nothing_leaves_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root" / "backups")
    (tmp_path / "root" / "backups-evil").mkdir(parents=True)
    paths = list(object_paths(NAMES))
    for number, path in enumerate(paths):
        store.put(f"label/{path}", [str(number).encode()], if_absent=True)
    assert [b"".join(store.get(f"label/{path}")) for path in paths] == [str(n).encode() for n in range(len(paths))]
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == ["backups", "backups-evil"]
    assert list((tmp_path / "root" / "backups-evil").iterdir()) == []
