"""Resumable uploads by TUS (F§1.7)."""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.contract.client import Reply, Target

BODY = {"Content-Type": "application/offset+octet-stream"}


def tus(target: Target, method: str, path: str = "", body: bytes | None = None, **options: Any) -> Reply:
    headers = {"Tus-Resumable": "1.0.0", **options.pop("headers", {})}
    return target.storage(method, f"upload/resumable{path}", body, headers=headers, **options)


def described(**metadata: str) -> str:
    """The header Upload-Metadata."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items())


def create(target: Target, bucket: str, name: str, length: int | None, body: bytes | None = None, **more: Any) -> Reply:
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    metadata = described(bucketName=bucket, objectName=name, **more.pop("metadata", {}))
    headers = {**size, "Upload-Metadata": metadata, **(BODY if body is not None else {}), **more.pop("headers", {})}
    return tus(target, "POST", "", body, headers=headers, **more)


def place(reply: Reply) -> str:
    """The upload's path below /upload/resumable: of the Location only the last part can be relied on."""
    assert reply.status == 201, reply.body
    return "/" + urlsplit(reply.headers["location"]).path.rpartition("/")[2]


def patch(target: Target, where: str, offset: int, body: bytes, **headers: str) -> Reply:
    return tus(target, "PATCH", where, body, headers={**BODY, "Upload-Offset": str(offset), **headers})


def test_the_server_says_what_it_can_without_a_key(target: Target) -> None:
    reply = target.storage("OPTIONS", "upload/resumable", key=None)
    assert reply.status == 204
    extensions = set(reply.headers["tus-extension"].split(","))
    assert {"creation", "creation-with-upload", "creation-defer-length", "termination"} <= extensions
    assert (reply.headers["tus-version"], int(reply.headers["tus-max-size"]) > 0) == ("1.0.0", True)


def test_an_upload_in_pieces_becomes_an_object_with_the_last_one(target: Target, bucket: str) -> None:
    made = create(target, bucket, "dir/big", 9, metadata={"contentType": "text/css", "cacheControl": "60"})
    where = place(made)
    assert made.body == b""
    name = where.removeprefix("/")
    assert base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode().startswith(f"{bucket}/dir/big/")
    reply = patch(target, where, 0, b"one")
    assert (reply.status, reply.headers["upload-offset"]) == (204, "3")
    assert target.list_flat(bucket) == []
    head = tus(target, "HEAD", where)
    assert (head.status, head.headers["upload-offset"], head.headers["upload-length"]) == (200, "3", "9")
    assert "bucketName" in head.headers["upload-metadata"]
    reply = patch(target, where, 3, b"twosix")
    assert (reply.status, reply.headers["upload-offset"], reply.headers["tus-complete"]) == (204, "9", "1")
    assert target.get(bucket, "dir/big").body == b"onetwosix"
    row = target.row(bucket, "dir/big")
    assert (row["metadata"]["mimetype"], row["metadata"]["cacheControl"]) == ("text/css", "max-age=60")
    assert (row["metadata"]["size"], row["user_metadata"]) == (9, None)
    assert re.fullmatch(r'"[0-9a-f]{32}(-\d+)?"', row["metadata"]["eTag"])


def test_the_first_bytes_may_come_with_the_creation(target: Target, bucket: str) -> None:
    reply = create(target, bucket, "all", 5, b"hello")
    place(reply)
    assert reply.headers["upload-offset"] == "5"
    assert target.get(bucket, "all").body == b"hello"
    where = place(create(target, bucket, "half", 5, b"he"))
    assert patch(target, where, 2, b"llo").headers["tus-complete"] == "1"
    assert target.get(bucket, "half").body == b"hello"


def test_an_empty_upload_is_done_when_it_is_made(target: Target, bucket: str) -> None:
    place(create(target, bucket, "empty", 0))
    assert target.get(bucket, "empty").body == b""


def test_the_length_may_be_said_later(target: Target, bucket: str) -> None:
    where = place(create(target, bucket, "later", None))
    assert patch(target, where, 0, b"he").status == 204
    assert tus(target, "HEAD", where).headers["upload-defer-length"] == "1"
    assert patch(target, where, 2, b"llo", **{"Upload-Length": "5"}).headers["tus-complete"] == "1"
    assert target.get(bucket, "later").body == b"hello"


@pytest.mark.parametrize(("given", "stored"), [("3600", "max-age=3600"), ("no-store", "no-cache"), ("", "no-cache")])
def test_only_a_whole_number_is_a_cache_time(target: Target, bucket: str, given: str, stored: str) -> None:
    place(create(target, bucket, "x", 1, b"x", metadata={"cacheControl": given}))
    assert target.row(bucket, "x")["metadata"]["cacheControl"] == stored


def test_users_metadata_come_as_json(target: Target, bucket: str) -> None:
    place(create(target, bucket, "x", 1, b"x", metadata={"metadata": '{"a":1}'}))
    assert target.row(bucket, "x")["user_metadata"] == {"a": 1}


def test_an_upsert_keeps_the_id_and_without_metadata_also_the_users(target: Target, bucket: str) -> None:
    object_id = target.put(bucket, "x", b"old", x_metadata="eyJhIjoxfQ==")
    refused = create(target, bucket, "x", 3, b"new")
    assert (refused.status, refused.body) == (409, b"The resource already exists")
    place(create(target, bucket, "x", 3, b"new", headers={"x-upsert": "true"}))
    row = target.row(bucket, "x")
    assert (str(row["id"]), row["user_metadata"]) == (object_id, {"a": 1})
    assert target.get(bucket, "x").body == b"new"


def test_offsets_are_strict(target: Target, bucket: str) -> None:
    where = place(create(target, bucket, "x", 9, b"one"))
    for offset in (0, 2, 4):
        reply = patch(target, where, offset, b"x")
        assert (reply.status, reply.body) == (409, b"Upload-Offset conflict\n")
    assert tus(target, "HEAD", where).headers["upload-offset"] == "3"


def test_more_than_was_said_is_refused(target: Target, bucket: str) -> None:
    where = place(create(target, bucket, "x", 3))
    assert patch(target, where, 0, b"four").status == 413


def test_an_upload_can_be_given_up(target: Target, bucket: str) -> None:
    where = place(create(target, bucket, "x", 9, b"one"))
    assert tus(target, "DELETE", where).status == 204
    assert tus(target, "HEAD", where).status == 404
    assert patch(target, where, 3, b"x").status == 404


def test_refusals_are_plain_text_with_their_true_status(target: Target, bucket: str) -> None:
    small = target.bucket(file_size_limit=5, allowed_mime_types=["image/png"])
    reply = create(target, bucket, "ä", 1)
    assert (reply.status, reply.body) == (400, "Invalid key: ä".encode())
    reply = create(target, small, "x", 6)
    assert (reply.status, reply.body) == (413, b"Maximum size exceeded\n")
    reply = create(target, small, "x", 1, metadata={"contentType": "text/css"})
    assert (reply.status, reply.body) == (415, b"mime type text/css is not supported")
    reply = create(target, "no-such-bucket", "x", 1)
    assert (reply.status, reply.body) == (404, b"Bucket not found")
    reply = create(target, bucket, "x", 1, key=target.anon_key)
    assert (reply.status, reply.body) == (403, b"new row violates row-level security policy")


def test_headers_are_looked_at_first(target: Target, bucket: str) -> None:
    reply = target.storage("POST", "upload/resumable", headers={"Upload-Length": "1"})
    assert (reply.status, reply.body) == (412, b"Tus-Resumable Required\n")
    reply = tus(target, "POST", headers={"Upload-Metadata": described(bucketName=bucket, objectName="x")})
    assert (reply.status, reply.body) == (400, b"Upload-Length or Upload-Defer-Length header required\n")
    where = place(create(target, bucket, "x", 3))
    assert tus(target, "PATCH", where, b"x", headers=BODY).status == 403
    assert patch(target, where, -1, b"x").status == 400
    assert tus(target, "PATCH", where, b"x", headers={"Content-Type": "text/css", "Upload-Offset": "0"}).status == 400
