"""Signed URLs (F§1.8)."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.contract.client import DUPLICATE, NO_KEY, Target, escaped


def claims(token: str) -> dict[str, Any]:
    """What a token says, unchecked."""
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def sign(target: Target, bucket: str, key: str, seconds: int = 60) -> str:
    reply = target.storage("POST", f"object/sign/{bucket}/{escaped(key)}", {"expiresIn": seconds})
    assert reply.status == 200, reply.body
    return str(reply.json()["signedURL"])


def test_a_link_gives_one_object_to_anyone(target: Target, bucket: str) -> None:
    target.put(bucket, "dir/x y", b"secret", Content_Type="text/css")
    link = sign(target, bucket, "dir/x y")
    path, _, token = link.partition("?token=")
    assert path == f"/object/sign/{bucket}/dir/x y"
    said = claims(token)
    assert (said["url"], said["scope"], said["exp"] - said["iat"]) == (f"{bucket}/dir/x y", "download", 60)
    reply = target.storage("GET", f"object/sign/{bucket}/dir/x%20y?token={token}", key=None)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"secret", "text/css")
    assert "expires" in reply.headers


def test_a_link_is_for_its_object_only(target: Target, bucket: str) -> None:
    target.put(bucket, "a")
    target.put(bucket, "b")
    token = sign(target, bucket, "a").partition("?token=")[2]
    reply = target.storage("GET", f"object/sign/{bucket}/b?token={token}", key=None)
    assert (reply.status, reply.json()["code"]) == (400, "InvalidSignature")
    reply = target.storage("GET", f"object/sign/{bucket}/a?token=rubbish", key=None)
    assert (reply.status, reply.json()["code"]) == (400, "InvalidJWT")
    reply = target.storage("GET", f"object/sign/{bucket}/a", key=None)
    assert (reply.status, reply.json()["code"]) == (400, "InvalidRequest")


def test_nothing_is_signed_that_is_not_there(target: Target, bucket: str) -> None:
    reply = target.storage("POST", f"object/sign/{bucket}/none", {"expiresIn": 60})
    assert (reply.status, reply.json()) == (400, NO_KEY)
    reply = target.storage("POST", f"object/sign/{bucket}/none", {})
    assert (reply.status, reply.json()["code"]) == (400, "InvalidRequest")


def test_many_are_signed_at_once_and_each_has_its_own_error(target: Target, bucket: str) -> None:
    target.put(bucket, "x", b"bytes")
    reply = target.storage("POST", f"object/sign/{bucket}", {"expiresIn": 60, "paths": ["x", "none"]})
    good, bad = reply.json()
    assert (good["error"], good["path"]) == (None, "x")
    assert target.storage("GET", good["signedURL"].removeprefix("/"), key=None).body == b"bytes"
    message = "Either the object does not exist or you do not have access to it"
    assert bad == {"error": message, "path": "none", "signedURL": None}


def test_a_link_to_upload_works_once_without_upsert(target: Target, bucket: str) -> None:
    made = target.storage("POST", f"object/upload/sign/{bucket}/dir/x").json()
    assert made["url"] == f"/object/upload/sign/{bucket}/dir/x?token={made['token']}"
    path = made["url"].removeprefix("/")
    reply = target.storage("PUT", path, b"up", key=None)
    assert (reply.status, reply.json()) == (200, {"Key": f"{bucket}/dir/x"})
    assert target.get(bucket, "dir/x").body == b"up"
    reply = target.storage("PUT", path, b"again", key=None)
    assert (reply.status, reply.json()) == (400, DUPLICATE)


def test_a_link_to_download_uploads_nothing(target: Target, bucket: str) -> None:
    target.put(bucket, "x")
    token = sign(target, bucket, "x").partition("?token=")[2]
    reply = target.storage("PUT", f"object/upload/sign/{bucket}/x?token={token}", b"up", key=None)
    assert (reply.status, reply.json()["code"]) == (400, "InvalidSignature")
