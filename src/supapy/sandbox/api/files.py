"""Where the bytes of the objects lie: one file per version, in a folder that knows nothing of names.

Keys are hostile, and `a`, `a/b` and `A` may stand in one bucket (F§1.3), so a file's name is a digest of bucket, key
and version. What a download is served with (type, cache control, eTag) is written beside the bytes when they come in
and not read from the row, as on the real backends (F§1.10): a row that SQL has changed shows in lists, info and HEAD,
but not in a GET.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Self

# A page of zeros to compare pieces with: what compares equal becomes a hole, so that a test of 5 GiB needs no disk.
_ZEROS = bytes(1024 * 1024)
# Descriptions of files that are kept in mind; each is a few hundred bytes.
REMEMBERED = 10_000
# Bytes of one part of a resumable upload: its eTag is made of the digests of such parts (F§1.9).
TUS_PART_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of an object's bytes since they came in. `etag` has its quotes, `modified` is ISO with ms."""

    size: int
    etag: str
    mimetype: str
    cache_control: str
    modified: str

    def metadata(self) -> dict[str, Any]:
        """The column `metadata` that the Storage server writes (F§1.9)."""
        return {
            "eTag": self.etag,
            "size": self.size,
            "mimetype": self.mimetype,
            "cacheControl": self.cache_control,
            "lastModified": self.modified,
            "contentLength": self.size,
            "httpStatusCode": 200,
        }


def now_text() -> str:
    """The time as the Storage server writes it: UTC, milliseconds, Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Files:
    """The folder of bytes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, bucket: str, key: str, version: str | None) -> Path:
        """Where these bytes are, or would be."""
        name = hashlib.sha256("\0".join((bucket, key, version or "")).encode("utf-8", "surrogatepass")).hexdigest()
        return self._root / name[:2] / name[2:]

    def describe(self, path: Path, stored: Stored) -> None:
        """Writes down what the bytes at `path` are served with."""
        _beside(path, ".json").write_text(json.dumps(asdict(stored)))

    def described(self, path: Path) -> Stored:
        """What `describe` wrote. Raises FileNotFoundError when the bytes never came in whole, or are gone."""
        path.stat()
        return _described(path)

    def copy(self, source: Path, target: Path) -> None:
        """The same bytes under another name. Files never change once they are described, so a link will do."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except PermissionError:
            shutil.copyfile(source, target)

    def remove(self, path: Path) -> None:
        """Forgets the bytes, and everything that stands beside them."""
        for file in (path, _beside(path, ".json"), _beside(path, ".tus")):
            file.unlink(missing_ok=True)

    def upload(self, path: Path) -> dict[str, Any]:
        """The state of a resumable upload. Raises FileNotFoundError when there is none."""
        state: dict[str, Any] = json.loads(_beside(path, ".tus").read_text())
        return state

    def keep_upload(self, path: Path, state: dict[str, Any]) -> None:
        """Writes that state down, so that it outlives the server."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _beside(path, ".tus").write_text(json.dumps(state))


class Writer:
    """Takes an upload's bytes, from `offset` on, and leaves holes where they are zero. Counts and digests them."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "wb")
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.position = offset
        self._file.seek(offset)

    def write(self, data: bytes) -> None:
        """Appends a piece of at most a megabyte."""
        self._md5.update(data)
        self.position += len(data)
        if _ZEROS.startswith(data):
            self._file.seek(self.position)
        else:
            self._file.write(data)

    def digest(self) -> str:
        """MD5 of what was written, in hex."""
        return self._md5.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.truncate(self.position)
        self._file.close()


@lru_cache(maxsize=REMEMBERED)
def _described(path: Path) -> Stored:
    """It never changes: another version is another file."""
    return Stored(**json.loads(_beside(path, ".json").read_text()))


def multipart_etag(path: Path) -> str:
    """The eTag of a file that came in parts: the digest of the parts' digests, and their number (F§1.9)."""
    digests = [hashlib.md5(part, usedforsecurity=False).digest() for part in _parts(path)]
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return f'"{whole}-{max(len(digests), 1)}"'


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(TUS_PART_BYTES):
            yield part


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
