"""What the Storage server allows: names, sizes, types (F§1.2, F§1.3, F§1.6)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from supapy.sandbox.api import refusals

# What one object of the project may weigh: a paid project's usual setting, far above what a test moves.
PROJECT_LIMIT_BYTES = 50 * 1024**3
# F§1.3; the storage schema has a trigger of the same length.
LONGEST_BUCKET_NAME = 100
# A field of a form is cut there; metadata that are cut are no JSON any more, and so nothing.
FIELD_LIMIT_BYTES = 1024 * 1024

_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")
_BUCKET = re.compile(rf"[A-Za-z0-9_!.*'() &$=@;:+,?-]{{1,{LONGEST_BUCKET_NAME}}}")
_MIME = re.compile(r"[a-zA-Z0-9\-+.]+/[a-zA-Z0-9\-+.]+(;\s*charset=[a-zA-Z0-9\-]+)?|.*\*", re.DOTALL)
_CONTENT_TYPE = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+\s*(;.*)?")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(gb|mb|kb|b)", re.IGNORECASE)
_UNITS_BYTES = {"gb": 10**9, "mb": 10**6, "kb": 10**3, "b": 1}
_RESERVED_BUCKET_SUFFIX = "--table-s3"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def check_key(key: str) -> None:
    """Refuses a key with a letter outside the class of F§1.3."""
    if not _KEY.fullmatch(key):
        raise refusals.invalid_key(key)


def check_bucket(bucket: str) -> None:
    """Refuses a bucket id outside the class of F§1.3."""
    if not _BUCKET.fullmatch(bucket):
        raise refusals.invalid_bucket_name()


def check_new_bucket(name: str) -> None:
    """What a new bucket's name must be beyond `check_bucket`."""
    if name != name.strip() or name.endswith(_RESERVED_BUCKET_SUFFIX):
        raise refusals.invalid_bucket_name()
    check_bucket(name)


def is_placeholder(key: str) -> bool:
    """The file that dashboards put into an empty folder: it must be empty, and its type is not looked at."""
    return key.endswith(".emptyFolderPlaceholder")


def largest_body(key: str, bucket_limit: int | None) -> int:
    """Bytes that an upload to this key may have. A limit of 0 means that nothing may be uploaded."""
    if is_placeholder(key):
        return 0
    return PROJECT_LIMIT_BYTES if bucket_limit is None else min(bucket_limit, PROJECT_LIMIT_BYTES)


def check_content_type(header: str) -> None:
    """Refuses a header Content-Type that isn't of the form of one."""
    if not _CONTENT_TYPE.fullmatch(header):
        raise refusals.StorageRefusal(415, "invalid_mime_type", "Invalid Content-Type header", "InvalidMimeType")


def check_mime(mime: str, allowed: Sequence[str]) -> None:
    """Refuses a type that no entry of the bucket's list names, as itself or by `type/*`."""
    kind, slash, rest = mime.partition("/")
    subtype = rest.partition("/")[0]
    for entry in allowed if slash else ():
        entry_kind, _, entry_rest = entry.partition("/")
        if entry_kind == kind and entry_rest.partition("/")[0] in ("*", subtype):
            return
    raise refusals.mime_refused(mime)


def check_mime_list(mimes: Sequence[str]) -> None:
    """Refuses a bucket's list that holds something that isn't a type or a wildcard."""
    for mime in mimes:
        if not _MIME.fullmatch(mime):
            raise refusals.mime_refused(mime)


def size_limit_bytes(value: int | float | str) -> int:
    """A bucket's limit in bytes. Given as text it is cut to three significant digits (F§1.2)."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if not match:
            hint = "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B"
            raise refusals.invalid_request(hint)
        value = float(f"{float(match[1]):.3g}") * _UNITS_BYTES[match[2].lower()]
    if value > PROJECT_LIMIT_BYTES:
        raise refusals.too_large()
    return int(value)


def byte_range(header: str, size: int) -> tuple[int, int]:
    """First byte and length of a Range header's one range; an object of 0 bytes has none (F§1.5)."""
    match = _RANGE.fullmatch(header)
    if not match or size <= 0 or not (match[1] or match[2]):
        raise refusals.invalid_range()
    if not match[1]:
        length = int(match[2])
        if length == 0:
            raise refusals.invalid_range()
        first, last = max(size - length, 0), size - 1
    else:
        first, last = int(match[1]), int(match[2] or size - 1)
        if last < first or first >= size:
            raise refusals.invalid_range()
    return first, min(last, size - 1) - first + 1
