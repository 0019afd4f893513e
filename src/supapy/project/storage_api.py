"""The calls of Supabase's Storage server that supapy needs (F§1). Keys go out percent-encoded, segment by segment."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing
from typing import NamedTuple
from urllib.parse import quote

from supapy.errors import ApiError, Unreachable
from supapy.loop import in_thread
from supapy.model import Json, Piece
from supapy.project.exact import members
from supapy.project.http import Download, Http
from supapy.project.saying import TUS_PIECE_BYTES, Said, form_of

# The server asks with every request, not only the first, whether it may replace what stands there.
_RESUMABLE = "/storage/v1/upload/resumable"
# What is noted of an upload may be read back from a file that somebody else wrote.
_ADDRESS = re.compile(r"[A-Za-z0-9_=-]+")
_TUS = {"Tus-Resumable": "1.0.0", "x-upsert": "true"}
# Times in a row that a resumed transfer may get no further before it is given up.
MOST_STANDSTILLS = 5
# The server gives no longer page (F§1.4).
MOST_LISTED = 1000

_BREAK = re.compile(r"[\r\n]")
_JSON = {"Content-Type": "application/json"}
Read = Callable[[int, int | None], Iterator[bytes]]
# A row as the server shows it: the text of each member.
Shown = dict[str, str]


class Listed(NamedTuple):
    """An object as a list names it; the time as the server writes it, empty where it has none."""

    id: str
    key: str
    created_at: str


def encoded(key: str) -> str:
    """An object key as it stands in a URL: every segment encoded, slashes kept, also doubled ones (F§1.3)."""
    return "/".join(map(_segment, key.split("/")))


def _segment(text: str) -> str:
    # A dot segment would be resolved on the way, and lead to another object or another bucket.
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


class StorageApi:
    """The Storage server of one project."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def buckets(self) -> list[Json]:
        """All buckets of type STANDARD, as the API shows them (F§1.2: no default limit)."""
        said = self._http.request_json("GET", "/storage/v1/bucket").json()
        if not isinstance(said, list):
            raise ApiError("the server's answer isn't a list of buckets", "Is SUPABASE_URL the project's own address?")
        return said

    async def page(
        self, bucket: str, *, cursor: str | None = None, prefix: str = "", limit: int = MOST_LISTED
    ) -> tuple[list[Shown], str | None]:
        """Some of a bucket's objects by their keys, and the cursor of the next page, None at the end.

        It is list v2, flat and sorted by name: every other list loses objects (F§1.4). A bucket that isn't there has
        none. Each object has id, name (the whole key), metadata, created_at, updated_at and last_accessed_at.
        """
        said = _shown(await self._list(bucket, cursor, prefix, limit))
        if "objects" not in said or (said.get("hasNext") == "true" and "nextCursor" not in said):
            raise _no_list()
        objects = [dict(members(text)) for _, text in members(said["objects"])]
        if said.get("hasNext") != "true":
            return objects, None
        return _up_to_a_cursor(objects, str(json.loads(said["nextCursor"])))

    async def listed(self, bucket: str, after: str = "") -> tuple[list[Listed], bool]:
        """The page of the same list that begins behind a key, in short, which takes a thirtieth of the time; whether
        others follow. Keys with line breaks at its end are left to the next page: none of them can lead there."""
        cursor = _behind(after) if after else None
        body = await self._list(bucket, cursor, "", MOST_LISTED)
        try:
            said = json.loads(body, parse_int=str, parse_float=str)
            objects = [Listed(one["id"], one["name"], one["created_at"] or "") for one in said["objects"]]
            more = said.get("hasNext") is True
        except RecursionError:
            # What users wrote into one of them is as deep as they liked.
            shown, following = await self.page(bucket, cursor=cursor)
            fields = ([json.loads(one[name]) for name in ("id", "name", "created_at")] for one in shown)
            return [Listed(id_, key, at or "") for id_, key, at in fields], following is not None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise _no_list() from None
        while more and objects and _BREAK.search(objects[-1].key):
            objects.pop()
        return objects, more

    async def _list(self, bucket: str, cursor: str | None, prefix: str, limit: int) -> bytes:
        asked: Json = {"prefix": prefix, "limit": limit} | ({"cursor": cursor} if cursor else {})
        path = f"/storage/v1/object/list-v2/{_segment(bucket)}"
        return (await self._http.ask("POST", path, body=json.dumps(asked).encode(), headers=_JSON)).body

    async def info(self, bucket: str, key: str) -> Shown:
        """What the server says of one object, also of one whose bytes are gone (F§1.5): among it id, version, etag,
        last_modified, and as `metadata` what users wrote. Raises ApiError, 404 when there is no such object."""
        path = f"/storage/v1/object/info/authenticated/{_segment(bucket)}/{encoded(key)}"
        # The status is one that the row names, which is that of some upload of long ago.
        answer = await self._http.ask("GET", path, expect=frozenset(range(200, 300)))
        return _shown(answer.body)

    async def create_bucket(self, bucket: Json) -> None:
        """Make a bucket of these fields (F§1.2). Raises ApiError, 409 when there is one already."""
        await self._http.ask("POST", "/storage/v1/bucket", body=json.dumps(bucket).encode(), headers=_JSON)

    async def change_bucket(self, bucket: str, fields: Json) -> None:
        """Set fields of a bucket: `public`, `file_size_limit`, `allowed_mime_types` (F§1.2)."""
        body = json.dumps(fields).encode()
        await self._http.ask("PUT", f"/storage/v1/bucket/{_segment(bucket)}", body=body, headers=_JSON)

    async def vector_buckets(self) -> list[str]:
        """The names of the vector buckets, whose contents no list of objects shows (F§1.14). Raises ApiError where the
        server doesn't know the kind, AccessDenied where the project may not have it."""
        path = "/storage/v1/vector/ListVectorBuckets"
        said = (await self._http.ask("POST", path, body=b"{}", headers=_JSON)).json()
        return _names(said.get("vectorBuckets") if isinstance(said, dict) else None, "vectorBucketName")

    async def analytics_buckets(self) -> list[str]:
        """The names of the analytics buckets, just so."""
        return _names((await self._http.ask("GET", "/storage/v1/iceberg/bucket")).json(), "name")

    async def download(
        self, bucket: str, key: str, etag: str | None = None, size: int | None = None
    ) -> AsyncGenerator[Piece, None]:
        """An object's bytes, of the version with that eTag when one is given. A transfer that breaks off goes on
        where it stopped, if the object is still the same; `size` (bytes) tells when it did where the answer doesn't.

        Raises ApiError with the true status, 412 for another version; Unreachable when it gets no further.
        """
        path = f"/storage/v1/object/authenticated/{_segment(bucket)}/{encoded(key)}"
        version = _bare(etag)
        done = standstills = 0
        while True:
            begun_at, ended = done, False
            with closing(await self._http.download(path, start=done)) as answer:
                version = _same_version(answer, version, done)
                size = size if done else _length(answer, size)
                try:
                    async for piece in answer.pieces():
                        done += len(piece)
                        yield piece
                    ended = True
                except Unreachable:
                    pass
            if (done >= size) if size is not None else ended:
                return
            standstills = standstills + 1 if done == begun_at else 0
            if standstills >= MOST_STANDSTILLS:
                raise Unreachable(f"the download of {bucket}/{key} got no further than {done} of {size} bytes")

    async def sha256(self, bucket: str, key: str, etag: str | None = None) -> str:
        """The digest of an object's bytes, of the version with that eTag when one is given. Raises what `download`
        does."""
        digest = hashlib.sha256()
        async with aclosing(self.download(bucket, key, etag)) as pieces:
            await self._http.loop.pump(pieces, digest.update)
        return digest.hexdigest()

    async def upload(
        self,
        bucket: str,
        key: str,
        read: Read,
        size: int,
        said: Said,
        *,
        begun: str | None = None,
        note_begun: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Put an object's bytes, over what stands there (F§1.6). `read(start, end)` gives the bytes of that range. What
        can't be said with so many is left out: `Said.unsaid` tells.

        Up to 6 MiB in one request, else resumable (F§1.7): `note_begun` is told the upload's address, and with that as
        `begun` another run goes on where the server is, or anew where it knows of no such upload.
        """
        if size <= TUS_PIECE_BYTES:
            await self._put_whole(bucket, key, b"".join(read(0, None)), said)
            return
        offset = await self._offset(begun, size) if begun else None
        if begun is None or offset is None:
            begun, offset = await self._begin(bucket, key, size, said), 0
            note_begun(begun)
        while offset < size:
            offset = await self._put_piece(f"{_RESUMABLE}/{begun}", read, offset, size)

    async def say_cache_control(self, bucket: str, key: str, said: Said) -> None:
        """Give an object that is there a cache control which its upload in pieces could not say, by copying it onto
        itself (measured). Its id and its bytes stay; what is said takes the place of its user metadata."""
        same = {"bucketId": bucket, "sourceKey": key, "destinationBucket": bucket, "destinationKey": key}
        metadata = {"cacheControl": said.cache_control, "mimetype": said.mimetype}
        body = json.dumps({**same, "copyMetadata": False, "metadata": metadata}).encode()
        headers = _JSON | {"x-upsert": "true"}
        if said.user_metadata:
            headers |= {"x-metadata": _base64(said.user_metadata)}
        await self._http.ask("POST", "/storage/v1/object/copy", body=body, headers=headers)

    async def _put_whole(self, bucket: str, key: str, body: bytes, said: Said) -> None:
        headers, mimetype = {"x-upsert": "true"}, said.mimetype
        if said.robots:
            headers["x-robots-tag"] = said.robots
        if said.has_long_metadata:
            body, mimetype = form_of(body, said)
        elif said.user_metadata:
            headers["x-metadata"] = _base64(said.user_metadata)
        await self._http.ask(
            "POST",
            f"/storage/v1/object/{_segment(bucket)}/{encoded(key)}",
            body=body,
            headers=headers | {"Content-Type": mimetype, "Cache-Control": said.cache_control},
        )

    async def _begin(self, bucket: str, key: str, size: int, said: Said) -> str:
        named = {"bucketName": bucket, "objectName": key, "contentType": said.mimetype}
        if said.user_metadata and not said.has_long_metadata:
            named["metadata"] = said.user_metadata
        if said.max_age is not None:
            named["cacheControl"] = said.max_age
        metadata = ",".join(f"{name} {_base64(value)}" for name, value in named.items())
        created = await self._http.ask(
            "POST",
            _RESUMABLE,
            headers=_TUS | {"Upload-Length": str(size), "Upload-Metadata": metadata},
            expect=frozenset({201}),
        )
        # Only the end of it: the host is what the server believes of itself (F§1.7).
        return created.headers.get("Location", "").rpartition("/")[2]

    async def _offset(self, address: str, size: int) -> int | None:
        """How far an upload has come that was begun before; None when it is gone, or isn't one of that size."""
        if not _ADDRESS.fullmatch(address):
            return None
        try:
            answer = await self._http.ask("HEAD", f"{_RESUMABLE}/{address}", headers=_TUS)
        except ApiError:
            return None
        said, length = (answer.headers.get(f"Upload-{name}", "") for name in ("Offset", "Length"))
        return int(said) if said.isdecimal() and length == str(size) else None

    async def _put_piece(self, place: str, read: Read, offset: int, size: int) -> int:
        end = min(offset + TUS_PIECE_BYTES, size)
        body = b"".join(await in_thread(list, read(offset, end)))
        headers = _TUS | {"Content-Type": "application/offset+octet-stream"}
        try:
            answer = await self._http.ask(
                "PATCH",
                place,
                body=body,
                headers=headers | {"Upload-Offset": str(offset)},
                expect=frozenset({204}),
            )
        except ApiError as error:
            if error.status != 409:
                raise
            # A try whose answer was lost had got through: the server knows how far it is.
            answer = await self._http.ask("HEAD", place, headers=_TUS)
        said = answer.headers.get("Upload-Offset", "")
        reached = int(said) if said.isdecimal() else 0
        if reached <= offset:
            raise Unreachable(f"the upload got no further than {offset} of {size} bytes")
        return reached


def _shown(body: bytes) -> Shown:
    """The members of an answer as they stand in it: what users wrote into them may be as deep, and its numbers as
    long, as they liked. Raises ApiError when it isn't an object."""
    try:
        return dict(members(body.decode()))
    except ValueError:
        raise ApiError("the server's answer isn't JSON", "Is SUPABASE_URL the project's own address?") from None


def _up_to_a_cursor(objects: list[Shown], cursor: str) -> tuple[list[Shown], str]:
    """A page that another one follows, and where that begins.

    The server's cursor has lines, so one made of a key with a line break leads nowhere, or round in circles (measured).
    Such keys at a page's end are left to the next page, which begins behind the one before them.
    """
    whole = objects
    while objects and _BREAK.search(json.loads(objects[-1]["name"])):
        objects = objects[:-1]
    if not objects:
        raise ApiError(f"the server's list gets stuck among {len(whole):,} keys with line breaks")
    if len(objects) == len(whole):
        return objects, cursor
    return objects, _behind(json.loads(objects[-1]["name"]))


def _behind(key: str) -> str:
    """The cursor of what comes after a key (F§1.4). A key with a line break has none."""
    return _base64(f"l:{key}")


def _no_list() -> ApiError:
    return ApiError("the server's answer isn't a list of objects", "Is SUPABASE_URL the project's own address?")


def _names(found: object, name: str) -> list[str]:
    return [str(one.get(name)) for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _same_version(answer: Download, version: str | None, start: int) -> str | None:
    """The eTag of the object that answers. Raises ApiError 412 when it is another one than `version`, or may be: the
    object was replaced meanwhile; 416 when the answer to a range isn't that range."""
    said = _bare(answer.headers.get("ETag"))
    if (said is not None and version is not None and said != version) or (start and said is None):
        raise ApiError("it was replaced meanwhile", status=412, code="changed")
    if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise ApiError("it broke off, and the server can't go on in its middle", status=416)
    return said or version


def _bare(etag: str | None) -> str | None:
    """An eTag without its quotes, and without the mark of a cache that made it a weak one."""
    return etag.removeprefix("W/").strip('"') if etag else None


def _length(answer: Download, otherwise: int | None) -> int | None:
    """How long the body is, in bytes as they come here: an encoded answer's header counts others."""
    said = answer.headers.get("Content-Length", "")
    return int(said) if said.isdecimal() and "Content-Encoding" not in answer.headers else otherwise
