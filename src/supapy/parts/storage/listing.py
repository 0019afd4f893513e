"""Buckets and objects as the Storage server lists them, for projects whose database can't be asked (F§1.4, F§1.5).

    each bucket:   list v2, and once again with pages of another length   -> its objects
    each object:   info                                                   -> its version and its user metadata

There is no instant: things come and go meanwhile. The two lists are made one after the other, and what stands in
either is taken: an object that is moved while a list is made, from a place not yet read to one already read, is in the
second; what a list loses where a page ends isn't lost by both. What is gone by the time it is fetched has no bytes, and
that is a problem like every other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple

from supapy.errors import AccessDenied, ApiError
from supapy.loop import side_by_side
from supapy.model import Json, Omission, Problem
from supapy.parts.storage.cross_check import NO_SUCH_LIST
from supapy.parts.storage.files import PART, about_one_object, elsewhere
from supapy.parts.storage.selection import EVERYTHING, Scope
from supapy.project.answers import RETRYABLE
from supapy.project.exact import Deep, Number, compact, paired
from supapy.project.project import Project
from supapy.project.schema import Column
from supapy.project.storage_api import MOST_LISTED, Shown, StorageApi

# A prime, so that the pages of the two lists end at the same object only after 937,000.
OTHER_PAGE = 937
# Objects that are described before the first of them is handed on.
DESCRIBED_AT_ONCE = 1000
# Times that an object is looked at again because it was replaced between the list and the info.
MOST_LOOKS = 3
LARGEST_LIST_IN_MEMORY_BYTES = 8 * 1024 * 1024
# What a bucket is made of and what an upload brings: the rest is the server's own.
_OF_A_BUCKET = ("id", "name", "public", "type", "file_size_limit", "allowed_mime_types")
_OF_AN_OBJECT = ("bucket_id", "name", "metadata", "user_metadata", "path")
_OF_AN_UPLOAD = frozenset({"lastModified"})
_JSONB = (Column("metadata", "jsonb", False, ""), Column("user_metadata", "jsonb", False, ""))
_TIME = re.compile(r'"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9:]{8})(?:\.([0-9]{1,6}))?Z"')
# What PostgreSQL puts in quotes within the text of an array.
_TO_BE_QUOTED = re.compile(r'[{}",\\\s]|^$|^null$', re.IGNORECASE)
_ELEMENT = re.compile(r'("(?:[^"\\]|\\.)*")|([^,"]+)')

LOST_IN_A_BACKUP = Omission(
    PART,
    "owners of files, their times below a millisecond, and one instant for all of them",
    "Set SUPABASE_DB_URL to have these saved; without it each file is as it was when its turn came.",
)


class _Row(NamedTuple):
    """A line of `objects.jsonl`, and what could not be learned of the object."""

    line: bytes
    problem: Problem | None


class RowsAsListed:
    """The rows as the Storage server shows them: no owners, and times in milliseconds."""

    sort = " without ids, owners and times"

    def __init__(self, project: Project) -> None:
        self._project = project
        self._problems: list[Problem] = []

    def check(self) -> Iterator[Problem]:
        """Nothing. Raises AccessDenied when no bucket is shown because the key isn't the service's: such a key doesn't
        fail at the Storage server (F§1.1), but the Auth server refuses it."""
        if not self._project.storage.buckets():
            with suppress(ApiError):
                self._project.auth.count_users()
        yield from ()

    def buckets(self, scope: Scope) -> Iterator[bytes]:
        """What the server shows of the buckets meant."""
        for bucket in self._buckets(scope):
            yield _line(_bucket_fields(bucket))

    def objects(self, scope: Scope) -> Iterator[bytes]:
        """What the server shows of the objects meant."""
        storage = self._project.storage
        for bucket in self._buckets(scope):
            found = _listed_twice(self._project, bucket["id"])
            meant = (shown for shown in found if scope == EVERYTHING or scope.takes(bucket["id"], _key(shown)))
            while some := list(islice(meant, DESCRIBED_AT_ONCE)):
                rows: list[_Row] = []
                describe = partial(_described, storage, bucket["id"])
                side_by_side(self._project.loop, some, describe, rows.append, at_once=self._project.at_once)
                self._problems += [row.problem for row in rows if row.problem]
                yield from (row.line for row in rows)

    def counts(self) -> dict[str, int]:
        """How many the server lists."""
        buckets = self._buckets(EVERYTHING)
        listed = (_listed(self._project, bucket["id"], MOST_LISTED) for bucket in buckets)
        return {"buckets": len(buckets), "objects": sum(1 for objects in listed for _ in objects)}

    def remarks(self) -> Iterator[Problem | Omission]:
        """What could not be learned of an object, what no list shows, and what this way of reading loses."""
        yield from self._problems
        storage = self._project.storage
        for kind, ask in (("analytics bucket", storage.analytics_buckets), ("vector bucket", storage.vector_buckets)):
            try:
                names = self._project.loop.run(ask())
            except (ApiError, AccessDenied) as error:
                if isinstance(error, ApiError) and error.status in RETRYABLE:
                    remedy = "The server didn't say; their contents are never saved: look in the dashboard."
                    yield Omission(PART, f"{kind}s, if there are any", remedy)
                # Else the server doesn't know the kind, or this project may not have it.
                continue
            if names:
                yield elsewhere(kind, names)
        yield LOST_IN_A_BACKUP

    def columns(self, table: str) -> Sequence[Column]:
        """Those whose absence means something."""
        return _JSONB if table == "objects" else ()

    def comparable(self, row: Json) -> Json:
        """What an upload can bring. Nothing said and nothing in it are one, and numbers are JavaScript's."""
        if "bucket_id" not in row:
            kept: Json = {key: row[key] for key in _OF_A_BUCKET if key in row}
            return kept | {"public": bool(row.get("public"))}
        kept = {key: _as_shown(row[key]) for key in _OF_AN_OBJECT if row.get(key) not in (None, {})}
        if isinstance(metadata := kept.get("metadata"), dict):
            kept["metadata"] = {key: value for key, value in metadata.items() if key not in _OF_AN_UPLOAD}
        return kept

    def _buckets(self, scope: Scope) -> list[Json]:
        every = sorted(self._project.storage.buckets(), key=lambda bucket: str(bucket["id"]))
        return [bucket for bucket in every if scope.takes_bucket(bucket["id"])]


def _key(shown: Shown) -> str:
    return str(json.loads(shown["name"]))


def _listed(project: Project, bucket: str, page: int) -> Iterator[Shown]:
    """All objects of a bucket by their keys. Raises ApiError when the list doesn't get on."""
    cursor, last = None, None
    while True:
        try:
            objects, cursor = project.loop.run(project.storage.page(bucket, cursor=cursor, limit=page))
        except ApiError as error:
            if error.status not in NO_SUCH_LIST:
                raise
            old = "Its Storage server may be too old to list objects without losing some: set SUPABASE_DB_URL."
            raise ApiError(error.message, old, status=error.status, code=error.code) from None
        for shown in objects:
            key = _key(shown)
            if last is not None and key <= last:
                raise ApiError(f"the server's list of bucket {bucket} isn't in order: {key} comes after {last}")
            last = key
            yield shown
        if cursor is None:
            return


def _listed_twice(project: Project, bucket: str) -> Iterator[Shown]:
    """What stands in either of two lists of a bucket, as the second has it."""
    with SpooledTemporaryFile(LARGEST_LIST_IN_MEMORY_BYTES) as first:
        for shown in _listed(project, bucket, MOST_LISTED):
            first.write(json.dumps(shown).encode() + b"\n")
        first.seek(0)
        before: Iterator[Shown] = map(json.loads, first)
        for one, other in paired(before, _listed(project, bucket, OTHER_PAGE), _key):
            yield other or one or {}


async def _described(storage: StorageApi, bucket: str, shown: Shown) -> _Row:
    """The row of an object: what the list shows of it and what the info does, of one version."""
    key = _key(shown)
    for _ in range(MOST_LOOKS):
        try:
            info = await storage.info(bucket, key)
        except ApiError as error:
            if not about_one_object(error):
                raise
            return _Row(_object_line(bucket, shown, {}), _undescribed(bucket, key, error))
        if _is_of(shown, info):
            return _Row(_object_line(bucket, shown, info), None)
        again, _ = await storage.page(bucket, prefix=key, limit=1)
        shown = next((one for one in again if _key(one) == key), shown)
    return _Row(_object_line(bucket, shown, info), None)


def _is_of(shown: Shown, info: Shown) -> bool:
    """Whether both were said of the same version."""
    return shown["id"] == info.get("id") and _time(shown["updated_at"]) == _time(info.get("last_modified", ""))


def _undescribed(bucket: str, key: str, error: ApiError) -> Problem | None:
    # One that is gone, and one whose key the server refuses, have no bytes either: that will be the problem.
    if error.status in (400, 404):
        return None
    return Problem(PART, f"{bucket}/{key}", f"the server didn't tell its user metadata: {error.message}")


def _object_line(bucket: str, shown: Shown, info: Shown) -> bytes:
    """A row as `by_sql` has them, but for what the server doesn't show."""
    fields = {
        "id": shown["id"],
        "bucket_id": json.dumps(bucket, ensure_ascii=False),
        "name": shown["name"],
        **{name: _time(shown[name]) for name in ("created_at", "updated_at", "last_accessed_at")},
        "version": info.get("version", "null"),
        # SQL's NULL leaves a jsonb column's key out.
        **{
            name: text
            for name, text in (("metadata", shown["metadata"]), ("user_metadata", info.get("metadata", "null")))
            if text != "null"
        },
    }
    return _line(fields)


def _line(fields: dict[str, str]) -> bytes:
    return ("{" + ",".join(f"{json.dumps(name)}:{compact(text)}" for name, text in fields.items()) + "}").encode()


def _bucket_fields(bucket: Json) -> dict[str, str]:
    said = {name: bucket[name] for name in _OF_A_BUCKET if name in bucket}
    if isinstance(types := said.get("allowed_mime_types"), list):
        said["allowed_mime_types"] = array_text(types)
    fields = {name: json.dumps(value, ensure_ascii=False) for name, value in said.items()}
    return fields | {name: _time(json.dumps(bucket.get(name))) for name in ("created_at", "updated_at")}


def _time(text: str) -> str:
    """A time as PostgreSQL writes it in UTC; null for one that JavaScript has no date for."""
    found = _TIME.fullmatch(text)
    if not found:
        return "null"
    fraction = (found[3] or "").rstrip("0")
    return f'"{found[1]} {found[2]}{"." if fraction else ""}{fraction}+00"'


def array_text(values: Iterable[Any]) -> str:
    """An array of texts as PostgreSQL writes it."""
    texts = (str(value) for value in values)
    quoted = (re.sub(r'(["\\])', r"\\\1", text) if _TO_BE_QUOTED.search(text) else text for text in texts)
    return "{" + ",".join(f'"{text}"' if _TO_BE_QUOTED.search(text) else text for text in quoted) + "}"


def mime_types(row: Json) -> list[str] | None:
    """The types that a bucket's row allows, from the text of the array."""
    text = row.get("allowed_mime_types")
    if not isinstance(text, str):
        return None
    pieces = _ELEMENT.findall(text[1:-1])
    return [re.sub(r"\\(.)", r"\1", quoted[1:-1]) if quoted else plain for quoted, plain in pieces]


def _as_shown(value: Any) -> Any:
    """A value as the server's JavaScript would write it."""
    if isinstance(value, dict):
        return {key: _as_shown(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_as_shown(one) for one in value]
    if isinstance(value, Deep):
        return Deep(compact(value))
    if isinstance(value, Number) or type(value) is int:
        return float(value)
    return value
