"""Holding what the Storage server shows against the rows of the database: whether the two are one project's, and
whether the key sees what there is. A key of too little right doesn't fail: it is shown less (F§1.1)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, timedelta
from functools import partial
from itertools import islice
from typing import NamedTuple

from supapy.errors import AccessDenied, ApiError, WrongProject
from supapy.loop import side_by_side
from supapy.model import Problem
from supapy.parts.storage.files import PART
from supapy.project.moment import Moment
from supapy.project.storage_api import StorageApi

# Buckets that are looked at before the database is asked about their objects.
BUCKETS_AT_ONCE = 50
# What was being written when the moment was taken may be older than the moment and not in it.
UNDER_WAY = timedelta(minutes=10)
# What a server answers that is too old for list v2.
NO_SUCH_LIST = frozenset({400, 404})
_KEY_HINT = "SUPABASE_KEY must be the service_role key or a secret key of this project."
_PROJECT_HINT = "SUPABASE_URL and SUPABASE_DB_URL must be of one project."


class _Object(NamedTuple):
    key: str
    created_at: str


class _Page(NamedTuple):
    """The first objects of a bucket that the server lists, by their ids; None from a server that has no such list."""

    bucket: str
    objects: dict[str, _Object] | None


def cross_check(moment: Moment, saved: set[str], filled: set[str], current: str) -> Iterator[Problem]:
    """The buckets, and of each the first page of its objects. `saved` are the buckets that the database has, `filled`
    those with objects in it; `current` is SQL's FROM clause for the objects as `o`.

    Raises AccessDenied when the key sees no bucket or no object, WrongProject when all it sees is another project's.
    """
    served = {bucket["id"]: str(bucket.get("created_at")) for bucket in moment.project.storage.buckets()}
    if saved and not served:
        raise AccessDenied("the key sees no bucket, but the database has some", _KEY_HINT)
    if served and not saved & served.keys():
        raise WrongProject("the Storage server and the database have no bucket in common", _PROJECT_HINT)
    for bucket in sorted(saved - served.keys()):
        yield Problem(PART, f"bucket {bucket}", "the database has it, but the Storage server doesn't show it")
    before = _settled(moment)
    for bucket in sorted(bucket for bucket in served.keys() - saved if served[bucket] < before):
        yield Problem(PART, f"bucket {bucket}", "the Storage server shows it, but the database didn't have it")
    yield from _objects(moment, sorted(saved & served.keys()), filled, current)


def _objects(moment: Moment, buckets: Iterable[str], filled: set[str], current: str) -> Iterator[Problem]:
    shown = known = 0
    unseen: list[str] = []
    before = _settled(moment)
    left = iter(buckets)
    while some := list(islice(left, BUCKETS_AT_ONCE)):
        pages: list[_Page] = []
        look = partial(_page, moment.project.storage)
        side_by_side(moment.project.loop, some, look, pages.append, at_once=moment.project.at_once)
        strange = _strange(moment, pages, current)
        for bucket, objects in pages:
            if objects is None:
                continue
            shown += len(objects)
            known += len(objects.keys() - strange)
            if bucket in filled and not objects.keys() - strange:
                unseen.append(bucket)
            for key in sorted(objects[one].key for one in objects.keys() & strange if objects[one].created_at < before):
                yield Problem(PART, f"{bucket}/{key}", "the Storage server lists it, but the database doesn't have it")
    if unseen and not known:
        if shown:
            raise WrongProject("the Storage server and the database have no object in common", _PROJECT_HINT)
        raise AccessDenied("the key sees no object, but the database has some", _KEY_HINT)
    for bucket in unseen:
        yield Problem(PART, f"bucket {bucket}", "the Storage server lists none of the objects that the database has")


def _settled(moment: Moment) -> str:
    """What the server says was created before this must be in the moment; what came later may be."""
    return (moment.taken_at - UNDER_WAY).astimezone(UTC).isoformat()


async def _page(storage: StorageApi, bucket: str) -> _Page:
    try:
        objects, _ = await storage.page(bucket)
    except ApiError as error:
        if error.status not in NO_SUCH_LIST:
            raise
        return _Page(bucket, None)
    listed = ((json.loads(shown["id"]), shown["name"], json.loads(shown["created_at"])) for shown in objects)
    return _Page(bucket, {one: _Object(json.loads(name), created_at or "") for one, name, created_at in listed})


def _strange(moment: Moment, pages: Iterable[_Page], current: str) -> set[str]:
    """The ids among those listed that no current object has in the moment."""
    asked = [one for page in pages for one in page.objects or {}]
    query = (
        "SELECT a.id::text FROM pg_catalog.unnest(%s::uuid[]) AS a(id) "
        f"LEFT JOIN (SELECT o.id FROM {current}) c ON c.id = a.id WHERE c.id IS NULL"
    )
    return {one for (one,) in moment.rows(query, (asked,))}
