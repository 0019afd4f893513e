"""Holding what the Storage server shows against the rows of the database: whether the two are one project's, and
whether the key sees what there is. A key of too little right doesn't fail: it is shown less (F§1.1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, timedelta
from functools import partial
from typing import NamedTuple

from supapy.errors import AccessDenied, ApiError, WrongProject
from supapy.loop import side_by_side
from supapy.model import Problem
from supapy.parts.storage.files import PART
from supapy.project.moment import Moment
from supapy.project.storage_api import MOST_LISTED, Listed, StorageApi

# A bucket of no more objects is listed to its end; of a larger one the first page and the last are, for to list all of
# it would cost more than all else in a backup where nothing has changed.
MOST_LISTED_WHOLE = 10_000
# Pages that are looked at before the database is asked about their objects.
PAGES_AT_ONCE = 50
# Objects of the database that are held against one page: one that lists fewer has lost enough to be named.
MOST_HELD = 2 * MOST_LISTED
# What was being written when the moment was taken may be older than the moment and not in it.
UNDER_WAY = timedelta(minutes=10)
# What a server answers that is too old for list v2.
NO_SUCH_LIST = frozenset({400, 404})
# No key that the server takes comes after it.
_LAST_KEY = "\U0010ffff"
_KEY_HINT = "SUPABASE_KEY must be the service_role key or a secret key of this project."
_PROJECT_HINT = "SUPABASE_URL and SUPABASE_DB_URL must be of one project."


class _Place(NamedTuple):
    """Where a list of a bucket goes on, and for how many pages."""

    bucket: str
    after: str
    pages: int


class _Page(NamedTuple):
    """The objects that the server lists after a place, by their ids, up to a key; None from a server that has no such
    list. `following` is where it goes on."""

    place: _Place
    objects: dict[str, Listed] | None
    last: str
    following: _Place | None


class _Missed(NamedTuple):
    """An object of the moment that wasn't listed where its key belongs."""

    bucket: str
    id: str
    key: str


def cross_check(moment: Moment, saved: Mapping[str, int], current: str) -> Iterator[Problem]:
    """The buckets, and of each its objects: all of them, or the first page and the last. `saved` is how many objects
    the database has in each bucket; `current` is SQL's FROM clause for the objects as `o`.

    What came, went or moved since the moment is no problem. Raises AccessDenied when the key sees no bucket or no
    object, WrongProject when all it sees is another project's.
    """
    served = {bucket["id"]: str(bucket.get("created_at")) for bucket in moment.project.storage.buckets()}
    if saved and not served:
        raise AccessDenied("the key sees no bucket, but the database has some", _KEY_HINT)
    if served and not saved.keys() & served.keys():
        raise WrongProject("the Storage server and the database have no bucket in common", _PROJECT_HINT)
    for bucket in sorted(saved.keys() - served.keys()):
        yield Problem(PART, f"bucket {bucket}", "the database has it, but the Storage server doesn't show it")
    before = _settled(moment)
    for bucket in sorted(bucket for bucket in served.keys() - saved.keys() if served[bucket] < before):
        yield Problem(PART, f"bucket {bucket}", "the Storage server shows it, but the database didn't have it")
    yield from _objects(moment, {bucket: saved[bucket] for bucket in sorted(saved.keys() & served.keys())}, current)


def _objects(moment: Moment, counts: Mapping[str, int], current: str) -> Iterator[Problem]:
    any_shown = False
    known_in: set[str] = set()
    unseen: dict[str, str] = {}
    before = _settled(moment)
    places = deque(_places(moment, counts, current))
    while places:
        some = [places.popleft() for _ in range(min(len(places), PAGES_AT_ONCE))]
        pages: list[_Page] = []
        look = partial(_page, moment.project.storage)
        side_by_side(moment.project.loop, some, look, pages.append, at_once=moment.project.at_once)
        strange, missed = _held_against(moment, pages, current)
        for missing in missed:
            unseen.setdefault(missing.bucket, missing.key)
        for (bucket, _, _), objects, _, following in pages:
            if following:
                places.append(following)
            any_shown = any_shown or bool(objects)
            objects = objects or {}
            if objects.keys() - strange:
                known_in.add(bucket)
            for key in sorted(objects[one].key for one in objects.keys() & strange if objects[one].created_at < before):
                yield Problem(PART, f"{bucket}/{key}", "the Storage server lists it, but the database doesn't have it")
    if unseen and not known_in:
        if any_shown:
            raise WrongProject("the Storage server and the database have no object in common", _PROJECT_HINT)
        raise AccessDenied("the key sees no object, but the database has some", _KEY_HINT)
    for bucket, key in sorted(unseen.items()):
        some_of = f"not all objects that the database has: {key} isn't there" if bucket in known_in else ""
        reason = some_of or "none of the objects that the database has"
        yield Problem(PART, f"bucket {bucket}", f"the Storage server lists {reason}")


def _settled(moment: Moment) -> str:
    """What the server says was created before this must be in the moment; what came later may be."""
    return (moment.taken_at - UNDER_WAY).astimezone(UTC).isoformat()


def _places(moment: Moment, counts: Mapping[str, int], current: str) -> Iterator[_Place]:
    """Where the lists begin. One page more than it takes, for what has come meanwhile."""
    large = [bucket for bucket, count in counts.items() if count > MOST_LISTED_WHOLE]
    for bucket, count in counts.items():
        yield _Place(bucket, "", 1 if count > MOST_LISTED_WHOLE else count // MOST_LISTED + 2)
    last_page = (
        "SELECT b.bucket, l.name FROM pg_catalog.unnest(%s::text[]) AS b (bucket) CROSS JOIN LATERAL ("
        f"SELECT c.name FROM (SELECT o.bucket_id, o.name FROM {current}) c WHERE c.bucket_id = b.bucket "
        f"AND c.name !~ E'[\\r\\n]' ORDER BY c.name COLLATE \"C\" DESC OFFSET {MOST_LISTED} LIMIT 1) l"
    )
    for bucket, name in moment.rows(last_page, (large,)) if large else []:
        yield _Place(bucket, name, 2)


async def _page(storage: StorageApi, place: _Place) -> _Page:
    try:
        listed, more = await storage.listed(place.bucket, place.after)
    except ApiError as error:
        if error.status not in NO_SUCH_LIST:
            raise
        return _Page(place, None, place.after, None)
    last = (listed[-1].key if listed else place.after) if more else _LAST_KEY
    goes_on = more and last > place.after and place.pages > 1
    following = _Place(place.bucket, last, place.pages - 1) if goes_on else None
    return _Page(place, {one.id: one for one in listed}, last, following)


def _held_against(moment: Moment, pages: Iterable[_Page], current: str) -> tuple[set[str], list[_Missed]]:
    """The ids among those listed that no current object has in the moment, and what isn't listed though the database
    had it then and has it still."""
    answered = [page for page in pages if page.objects is not None]
    query = (
        "SELECT p.number, h.id::text, h.name FROM unnest(%s::text[], %s::text[], %s::text[]) "
        "WITH ORDINALITY AS p (bucket, after, last, number) CROSS JOIN LATERAL ("
        f"SELECT c.id, c.name FROM (SELECT o.id, o.bucket_id, o.name FROM {current}) c WHERE c.bucket_id = p.bucket "
        'AND c.name COLLATE "C" > p.after AND c.name COLLATE "C" <= p.last '
        f'ORDER BY c.name COLLATE "C" LIMIT {MOST_HELD}) h'
    )
    places = [[page.place.bucket for page in answered], [page.place.after for page in answered]]
    held = moment.rows(query, (*places, [page.last for page in answered]))
    missed: list[_Missed] = []
    unknown = {one for page in answered for one in page.objects or {}}
    for number, one, key in held:
        place, objects, _, _ = answered[number - 1]
        unknown.discard(one)
        if one not in (objects or {}):
            missed.append(_Missed(place.bucket, one, key))
    return _strange(moment, unknown, current), _still_there(moment, missed, current)


def _strange(moment: Moment, ids: Iterable[str], current: str) -> set[str]:
    """The ids that no current object has in the moment: one that was moved since is listed elsewhere."""
    asked = list(ids)
    query = (
        "SELECT a.id::text FROM pg_catalog.unnest(%s::uuid[]) AS a(id) "
        f"LEFT JOIN (SELECT o.id FROM {current}) c ON c.id = a.id WHERE c.id IS NULL"
    )
    return {one for (one,) in moment.rows(query, (asked,))} if asked else set()


def _still_there(moment: Moment, missed: list[_Missed], current: str) -> list[_Missed]:
    """Those that aren't gone or moved by now."""
    if not missed:
        return []
    query = (
        "SELECT c.id::text, c.bucket_id, c.name FROM pg_catalog.unnest(%s::uuid[]) AS a(id) "
        f"JOIN (SELECT o.id, o.bucket_id, o.name FROM {current}) c ON c.id = a.id"
    )
    with moment.project.moment() as now:
        there = set(now.rows(query, ([one.id for one in missed],)))
    return [one for one in missed if (one.id, one.bucket, one.key) in there]
