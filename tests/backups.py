"""Small backups made without a project: what a draft takes is what the test gives it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from supapy.backup import FORMAT, Backup
from supapy.catalog import Catalog
from supapy.draft import MANIFEST, METADATA, sealed
from supapy.model import Dumped, Item, Omission, Problem
from supapy.store.base import Store

ABOUT: dict[str, Any] = {
    "format": FORMAT,
    "timestamp": "2026-11-22T07:15:00Z",
    "source": {"ref": "abcdefghijklmnopqrst"},
    "include_database": True,
    "include_storage": True,
    "include_auth": True,
}
FILES = {"database.sql": b"SELECT 1;\n", "tables_json/a.json": b"[\n]\n", "storage/b/c": b"", "storage/b/d": b"x" * 100}


def item(path: str, content: bytes = b"", **more: Any) -> Item:
    return Item(path.split("/")[0], path, path, lambda: [content], **more)


def make(catalog: Catalog, dumped: Iterable[Dumped] | None = None, *, compress: bool = False) -> Backup:
    """A committed backup, of `FILES` with a problem and an omission unless told otherwise."""
    if dumped is None:
        dumped = [*(item(path, content) for path, content in FILES.items())]
        dumped += [Problem("storage", "b/gone", "it is gone"), Omission("database", "roles", "Set them anew.")]
    with catalog.draft(compress=compress) as draft:
        draft.take_all(dumped)
        draft.commit(ABOUT)
    return catalog.open(draft.label)


def forge(store: Store, label: str, manifest: bytes, /, **about: Any) -> None:
    """A backup folder as someone hostile would write it: every digest is right, what it says is not."""
    digest = {"lines": manifest.count(b"\n"), "size": len(manifest), "sha256": hashlib.sha256(manifest).hexdigest()}
    said = ABOUT | {"parts": {}, "problems": 0, "omissions": 0, "bytes": 0, "manifest": digest} | about
    store.put(f"{label}/{MANIFEST}", [manifest])
    store.put(f"{label}/{METADATA}", [sealed(said)])


def manifest_line(**said: Any) -> bytes:
    entry = {
        "kind": "entry",
        "part": "storage",
        "name": "x",
        "path": "x",
        "size": 0,
        "sha256": hashlib.sha256().hexdigest(),
    }
    return json.dumps(entry | said).encode() + b"\n"
