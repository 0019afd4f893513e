"""A committed backup knows whether it still is what was saved, and trusts nothing that it reads."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.backups import FILES, forge, item, make, manifest_line
from tests.stores import Watched

from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.errors import IntegrityError, SupapyError, UnknownFormat
from supapy.model import Difference, Entry, Omission, Problem
from supapy.store.base import checked
from supapy.store.local import LocalStore
from supapy.store.memory import MemoryStore
from supapy.verify import check_files

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LABEL = "backup_20261122_071500"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=[False, True], ids=["plain", "zstd"])
def backup(store: MemoryStore, request: pytest.FixtureRequest) -> Backup:
    return make(Catalog(store), compress=request.param)


def place(backup: Backup, name: str) -> str:
    """Where the file of that name lies in the store."""
    found = [entry.stored_path for entry in backup.manifest[0] if entry.path == name]
    return f"{backup.label}/{(found or [name])[0]}"


def content(store: MemoryStore, path: str) -> bytes:
    return b"".join(store.get(path))


def is_found_damaged(store: MemoryStore, label: str) -> bool:
    try:
        return any(isinstance(found, Difference) for found in Catalog(store).open(label).damage())
    except IntegrityError:
        return True


def test_a_backup_says_what_was_saved_what_was_not_and_what_never_is(backup: Backup) -> None:
    entries, problems, omissions = backup.manifest
    assert [(entry.path, entry.size, entry.sha256) for entry in entries] == [
        (path, len(content), hashlib.sha256(content).hexdigest()) for path, content in FILES.items()
    ]
    assert problems == [Problem("storage", "b/gone", "it is gone")]
    assert omissions == [Omission("database", "roles", "Set them anew.")]
    assert [entry.path for entry in backup.entries("storage")] == ["storage/b/c", "storage/b/d"]
    assert (backup.has("storage/b/c"), backup.has("storage/b/gone")) == (True, False)


@pytest.mark.parametrize(("start", "end"), [(0, None), (0, 10), (3, 7), (99, None), (50, 1000)])
def test_a_file_is_read_whole_or_in_part(backup: Backup, start: int, end: int | None) -> None:
    assert b"".join(backup.read("storage/b/d", start, end)) == FILES["storage/b/d"][start:end]


def test_a_file_that_the_manifest_does_not_know_is_not_read(backup: Backup) -> None:
    for path in ("gone", "metadata.json", "../x"):
        with pytest.raises(IntegrityError):
            b"".join(backup.read(path))
        with pytest.raises(IntegrityError):
            backup.size(path)


def test_a_sound_backup_shows_every_file_as_it_was_saved(backup: Backup) -> None:
    assert list(backup.damage()) == backup.manifest[0]
    assert check_files(backup) == len(FILES)


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["metadata.json", "manifest.jsonl", *FILES])
def test_every_flipped_bit_of_every_file_is_found(backup: Backup, store: MemoryStore, name: str) -> None:
    path = place(backup, name)
    sound = content(store, path)
    choose = random.Random(2)
    for at in range(len(sound)):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << choose.randrange(8)
        store.put(path, [bytes(damaged)])
        assert is_found_damaged(store, backup.label), f"byte {at}"
    store.put(path, [sound])
    assert not is_found_damaged(store, backup.label)


@pytest.mark.parametrize("name", ["metadata.json", "manifest.jsonl", *FILES])
def test_a_file_of_any_other_length_is_found(backup: Backup, store: MemoryStore, name: str) -> None:
    path = place(backup, name)
    sound = content(store, path)
    for damaged in [*(sound[:length] for length in range(len(sound))), sound + b"\n", sound + b" ", sound + b"\0"]:
        store.put(path, [damaged])
        assert is_found_damaged(store, backup.label), len(damaged)


@pytest.mark.parametrize("name", ["manifest.jsonl", *FILES])
def test_a_missing_file_is_found_and_named(backup: Backup, store: MemoryStore, name: str) -> None:
    store.delete(place(backup, name))
    with pytest.raises(IntegrityError, match=name) as caught:
        check_files(Catalog(store).open(backup.label))
    assert caught.value.exit_code == 50


def test_two_files_of_one_size_that_changed_places_are_found(store: MemoryStore) -> None:
    backup = make(Catalog(store), [item("storage/a", b"one"), item("storage/b", b"two")])
    one, other = f"{backup.label}/storage/a", f"{backup.label}/storage/b"
    first, second = content(store, one), content(store, other)
    store.put(one, [second])
    store.put(other, [first])
    assert [type(found) for found in backup.damage()] == [Difference, Difference]


def test_a_manifest_of_another_backup_is_found(store: MemoryStore) -> None:
    catalog = Catalog(store)
    one, other = make(catalog), make(catalog, [item("storage/a", b"x")])
    store.put(f"{one.label}/manifest.jsonl", [content(store, f"{other.label}/manifest.jsonl")])
    with pytest.raises(IntegrityError, match=r"manifest\.jsonl"):
        _ = catalog.open(one.label).manifest


@pytest.mark.parametrize("path", ["storage/b/stray", "stray", ".draft"])
def test_a_file_that_does_not_belong_is_found(backup: Backup, store: MemoryStore, path: str) -> None:
    store.put(f"{backup.label}/{path}", [b""])
    strays = [found for found in backup.damage() if isinstance(found, Difference)]
    assert strays == [Difference("backup", path, "extra", "not in the manifest")]


def test_the_error_names_the_first_damaged_files_and_counts_the_rest(store: MemoryStore) -> None:
    backup = make(Catalog(store), [item(f"storage/{n}", b"x") for n in range(6)])
    for n in range(5):
        store.put(f"{backup.label}/storage/{n}", [b"y"])
    with pytest.raises(IntegrityError, match=r"storage/0 .*storage/1 .*storage/2 .* and 2 more"):
        check_files(backup)


def test_damage_that_is_met_while_reading_is_an_error_not_a_shorter_file(backup: Backup, store: MemoryStore) -> None:
    sound = content(store, place(backup, "storage/b/d"))
    store.put(place(backup, "storage/b/d"), [sound[:-1]])
    with pytest.raises(IntegrityError):
        b"".join(backup.read("storage/b/d"))


def test_a_damaged_compressed_file_is_named_whatever_of_it_is_read(store: MemoryStore) -> None:
    rows = b"".join(b"%d\n" % n for n in range(500_000))
    backup = make(Catalog(store), [item("database.sql", rows)], compress=True)
    sound = content(store, place(backup, "database.sql"))
    assert b"".join(backup.read("database.sql", 10, len(rows) + 5)) == rows[10:]
    assert b"".join(backup.read("database.sql", len(rows), len(rows) + 5)) == b""
    for damaged in (
        *(sound[:size] for size in (0, 5, 1000, len(sound) - 1)),
        bytes(1000) + sound[1000:],
        b"not zstd",
        zstd.compress(bytes(len(rows) + 1)),
        zstd.compress(rows),
    ):
        store.put(place(backup, "database.sql"), [damaged])
        for start, end in ((0, None), (10, 20)):
            with pytest.raises(IntegrityError, match=r"database\.sql\.zst"):
                b"".join(Catalog(store).open(backup.label).read("database.sql", start, end))


def test_a_bomb_is_read_no_further_than_the_manifest_says(store: MemoryStore) -> None:
    bomb = zstd.compress(bytes(64 * 1024 * 1024))
    digest = hashlib.sha256(bomb).hexdigest()
    more = {"encodings": ["zstd"], "stored_size": len(bomb), "stored_sha256": digest}
    forge(store, LABEL, manifest_line(size=1000, **more))
    store.put(f"{LABEL}/x.zst", [bomb])
    read = 0
    with pytest.raises(IntegrityError):
        for piece in Catalog(store).open(LABEL).read("x"):
            read += len(piece)
    assert read <= 1000


# --- hostile ---------------------------------------------------------------------------------------------------------

DEEP = b'{"kind":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
HOSTILE_LINES = [
    *(
        manifest_line(path=path)
        for path in ("../x", "/etc/passwd", "a/../../x", "", "a//b", "a\\b", "a\0b", "\ud800", "x/")
    ),
    *(manifest_line(path=path) for path in (7, None, ["a"], {"a": 1}, True)),
    *(manifest_line(size=size) for size in (-1, "1", 1.5, None, True, [1])),
    *(manifest_line(**{name: 7}) for name in ("part", "name", "sha256", "fingerprint", "kind")),
    *(manifest_line(sha256=digest) for digest in ("", "a", "g" * 64, "A" * 64, "0" * 63, "0" * 64 + "\n")),
    *(manifest_line(encodings=odd, stored_size=0, stored_sha256="0" * 64) for odd in (None, "zstd", [], ["age"], [[]])),
    *(manifest_line(encodings=["zstd"], stored_size=odd, stored_sha256="0" * 64) for odd in (None, "1", -1, True)),
    *(manifest_line(encodings=["zstd"], stored_size=0, stored_sha256=odd) for odd in (None, 7, "", "0" * 63)),
    *(manifest_line(encodings=["zstd"]), manifest_line(stored_size=0), manifest_line(stored_sha256="0" * 64)),
    *(manifest_line(more="x"), manifest_line(kind="folder"), manifest_line(kind=None)),
    *(b"\n", b"null\n", b"[]\n", b"{}\n", b'"x"\n', b"{\n", b'{"kind":"entry"}\n', b'{"kind":"problem","part":"x"}\n'),
    *(b'{"kind":"entry","part":"a","name":"a","path":"a","sha256":"a"}\n', b"\xff\xfe\n", b"\0\n", DEEP),
    manifest_line(size=0).replace(b'"size": 0', b'"size": ' + b"1" * 10_000),
]


@pytest.mark.parametrize("line", HOSTILE_LINES, ids=range(len(HOSTILE_LINES)))
def test_a_hostile_manifest_is_refused_before_anything_else_is_opened(line: bytes) -> None:
    opened: list[str] = []
    inner = MemoryStore()
    forge(inner, LABEL, manifest_line() + line)
    store = Watched(lambda act, path: opened.append(path), inner)
    with pytest.raises(IntegrityError):
        list(Catalog(store).open(LABEL).damage())
    assert set(opened) <= {f"{LABEL}/metadata.json", f"{LABEL}/manifest.jsonl"}


ABOUT_ODDITIES: list[dict[str, Any]] = [
    *({"source": odd} for odd in (None, 7, "x", [], True)),
    *({"manifest": odd} for odd in (None, 7, "x", [], {"sha256": 7}, {"size": "x"}, {})),
    *({"parts": odd} for odd in (None, 7, [])),
    *({"timestamp": odd} for odd in (None, 7)),
    *({"format": odd} for odd in (0, 2, "1", None, [1])),
    *({"bytes": "x"}, {"problems": None}),
]


@pytest.mark.parametrize("about", ABOUT_ODDITIES, ids=str)
def test_metadata_of_another_shape_is_refused(store: MemoryStore, about: dict[str, Any]) -> None:
    forge(store, LABEL, b"", **about)
    with pytest.raises(IntegrityError):
        _ = Catalog(store).open(LABEL).manifest


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"format":1}',
        b"[" * 100_000,
        b'{"format":' + b"1" * 10_000 + b"}",
        b" " * (17 << 20),
    ],
    ids=["empty", "cut", "list", "null", "no text", "bare", "deep", "digits", "large"],
)
def test_metadata_that_is_none_is_refused(store: MemoryStore, raw: bytes) -> None:
    store.put(f"{LABEL}/metadata.json", [raw])
    with pytest.raises(IntegrityError):
        Catalog(store).open(LABEL)


def test_a_count_of_an_odd_shape_counts_nothing(store: MemoryStore) -> None:
    forge(store, LABEL, b"", parts={"auth": {"counts": {"users": "many"}}, "storage": 7})
    backup = Catalog(store).open(LABEL)
    assert [backup.count("auth", "users"), backup.count("storage", "objects"), backup.count("x", "y")] == [0, 0, 0]


def test_a_newer_format_is_told_as_such_and_not_as_damage(store: MemoryStore) -> None:
    store.put(f"{LABEL}/metadata.json", [json.dumps({"format": 2, "another": "shape"}).encode()])
    with pytest.raises(UnknownFormat) as caught:
        Catalog(store).open(LABEL)
    assert caught.value.exit_code == 51


def test_ten_thousand_mutated_manifests_raise_nothing_but_our_errors() -> None:
    choose = random.Random(4)
    sound = (
        b"".join(manifest_line(path=f"a/{n}") for n in range(3))
        + b'{"kind":"problem","part":"a","name":"b","reason":"c"}\n'
    )
    for _ in range(10_000):
        damaged = bytearray(sound)
        for _ in range(choose.randrange(1, 4)):
            at = choose.randrange(len(damaged))
            damaged[at : at + choose.randrange(3)] = choose.choice(
                [b"", b'"', b"{", b"..", b"/", b"\\u0000", b"9", b"\xff", b"\n"]
            )
        store = MemoryStore()
        forge(store, LABEL, bytes(damaged))
        try:
            entries = Catalog(store).open(LABEL).manifest[0]
        except SupapyError:
            continue
        assert all(checked(entry.path) and entry.size >= 0 for entry in entries)


def test_a_link_in_a_backups_place_or_inside_it_is_damage_and_is_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(FILES["database.sql"])
    catalog = Catalog(LocalStore(tmp_path / "backups"))
    backup = make(catalog)
    saved = tmp_path / "backups" / backup.label / "database.sql"
    saved.unlink()
    saved.symlink_to(outside)
    assert [found.name for found in backup.damage() if not isinstance(found, Entry)] == ["database.sql"]
