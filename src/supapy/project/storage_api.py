"""The calls of Supabase's Storage server that supapy needs (F§1). Keys go out percent-encoded, segment by segment."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlsplit

from supapy.errors import ApiError, Unreachable
from supapy.model import Json
from supapy.project.http import Download, Http

# Above this a file goes up in pieces that can be resumed, each but the last of exactly this size (F§1.7).
TUS_PIECE_BYTES = 6 * 1024 * 1024
# The server asks with every request, not only the first, whether it may replace what stands there.
_TUS = {"Tus-Resumable": "1.0.0", "x-upsert": "true"}
# Times in a row that a resumed transfer may get no further before it is given up.
MOST_STANDSTILLS = 5

Read = Callable[[int, int | None], Iterator[bytes]]


def encoded(key: str) -> str:
    """An object key as it stands in a URL: every segment encoded, slashes kept, also doubled ones (F§1.3)."""
    return quote(key, safe="/").replace("/./", "/%2E/").replace("/../", "/%2E%2E/")


class StorageApi:
    """The Storage server of one project."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def buckets(self) -> list[Json]:
        """All buckets of type STANDARD, as the API shows them (F§1.2: no default limit)."""
        return list(self._http.request_json("GET", "/storage/v1/bucket").json())

    def download(self, bucket: str, key: str, etag: str | None = None) -> Iterator[bytes]:
        """An object's bytes, of the version with that eTag when one is given. A transfer that breaks off goes on
        where it stopped, if the object is still the same.

        Raises ApiError with the true status, 412 for another version; Unreachable when it gets no further.
        """
        path = f"/storage/v1/object/authenticated/{encoded(bucket)}/{encoded(key)}"
        answer = self._http.download(path)
        etag = _same_version(answer, etag)
        expected = _length(answer)
        done = 0
        standstills = 0
        while True:
            begun_at = done
            try:
                for piece in _pieces(answer):
                    done += len(piece)
                    yield piece
                if expected is None or done >= expected:
                    return
            except Unreachable:
                pass
            standstills = standstills + 1 if done == begun_at else 0
            if standstills >= MOST_STANDSTILLS:
                raise Unreachable(f"the download of {bucket}/{key} got no further than {done} of {expected} bytes")
            answer = self._http.download(path, start=done)
            _same_version(answer, etag or "unknown")

    def upload(self, bucket: str, key: str, read: Read, size: int, *, mimetype: str, cache_control: str) -> None:
        """Put an object's bytes, over what stands there (F§1.6). `read(start, end)` gives the bytes of that range.

        Up to 6 MiB in one request, else resumable (F§1.7).
        """
        if size > TUS_PIECE_BYTES:
            self._upload_in_pieces(bucket, key, read, size, mimetype)
            return
        body = b"".join(read(0, None))
        self._http.request(
            "POST",
            f"/storage/v1/object/{encoded(bucket)}/{encoded(key)}",
            body=lambda: body,
            headers={"x-upsert": "true", "Content-Type": mimetype, "Cache-Control": cache_control},
        )

    def _upload_in_pieces(self, bucket: str, key: str, read: Read, size: int, mimetype: str) -> None:
        named = {"bucketName": bucket, "objectName": key, "contentType": mimetype}
        metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in named.items())
        created = self._http.request(
            "POST",
            "/storage/v1/upload/resumable",
            headers=_TUS | {"Upload-Length": str(size), "Upload-Metadata": metadata},
            expect=frozenset({201}),
        )
        # Only the path: the host in it is what the server believes of itself (F§1.7).
        place = urlsplit(created.headers["Location"]).path
        place = place[place.index("/upload/resumable") :]
        offset = 0
        while offset < size:
            offset = self._put_piece(f"/storage/v1{place}", read, offset, size)

    def _put_piece(self, place: str, read: Read, offset: int, size: int) -> int:
        end = min(offset + TUS_PIECE_BYTES, size)
        body = b"".join(read(offset, end))
        headers = _TUS | {"Content-Type": "application/offset+octet-stream"}
        try:
            answer = self._http.request(
                "PATCH",
                place,
                body=lambda: body,
                headers=headers | {"Upload-Offset": str(offset)},
                expect=frozenset({204}),
            )
        except ApiError as error:
            if error.status != 409:
                raise
            # A try whose answer was lost had got through: the server knows how far it is.
            answer = self._http.request("HEAD", place, headers=_TUS)
        reached = int(answer.headers["Upload-Offset"])
        if reached <= offset:
            raise Unreachable(f"the upload got no further than {offset} of {size} bytes")
        return reached


def _same_version(answer: Download, etag: str | None) -> str | None:
    """The answer's eTag. Raises ApiError 412 when another one was expected: the object was replaced meanwhile."""
    said = answer.headers.get("ETag")
    if etag is not None and said is not None and said != etag:
        answer.rest.close()
        raise ApiError("it was replaced meanwhile", status=412, code="changed")
    return said


def _length(answer: Download) -> int | None:
    said = answer.headers.get("Content-Length", "")
    return int(said) if said.isdigit() else None


def _pieces(answer: Download) -> Iterator[bytes]:
    yield answer.first
    yield from answer.rest
