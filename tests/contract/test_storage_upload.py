"""Uploads in one request (F§1.3, F§1.6)."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

import pytest
from tests.contract.client import DUPLICATE, NO_BUCKET, Target, coded, error, form

ALLOWED_KEYS = (
    "plain.txt",
    "a//b.txt",
    "/lead.txt",
    "d/",
    "q?x.txt",
    "a+b.txt",
    " lead",
    "trail ",
    "sp ace (1) & $@=;:+,!*'.txt",
    "info",
    "list",
    "public/x",
    "A",
    "a",
)
REFUSED_KEYS = ("ä.txt", "a#b", "a%b", "a[b", "a]b", "a{b", "a~b", "a^b", "a`b", "a|b", "a\\b", 'a"b', "a<b", "a\nb")


class TestUpload:
    def test_an_upload_answers_with_key_and_id_and_writes_the_row(self, target: Target, bucket: str) -> None:
        reply = target.upload(
            bucket,
            "dir/a.txt",
            b"hello",
            Content_Type="text/css",
            Cache_Control="max-age=77, private",
            x_metadata=coded({"n": 1, "deep": {"ä": [None, True]}}),
            x_robots_tag="noindex",
        )
        row = target.row(bucket, "dir/a.txt")
        assert (reply.status, reply.json()) == (200, {"Key": f"{bucket}/dir/a.txt", "Id": str(row["id"])})
        modified = row["metadata"].pop("lastModified")
        assert datetime.fromisoformat(modified).tzinfo is not None
        assert modified.endswith("Z")
        assert row["metadata"] == {
            "eTag": f'"{hashlib.md5(b"hello").hexdigest()}"',
            "size": 5,
            "mimetype": "text/css",
            "cacheControl": "max-age=77, private",
            "contentLength": 5,
            "httpStatusCode": 200,
            "xRobotsTag": "noindex",
        }
        assert row["user_metadata"] == {"n": 1, "deep": {"ä": [None, True]}}
        assert (row["owner"], row["owner_id"]) == (None, None)

    def test_what_is_not_said_has_defaults(self, target: Target, bucket: str) -> None:
        target.put(bucket, "x")
        row = target.row(bucket, "x")
        assert row["metadata"]["mimetype"] == "application/octet-stream"
        assert row["metadata"]["cacheControl"] == "no-cache"
        assert row["user_metadata"] == {}
        assert "xRobotsTag" not in row["metadata"]

    def test_an_empty_object_is_an_object(self, target: Target, bucket: str) -> None:
        target.put(bucket, "empty", b"")
        assert target.get(bucket, "empty").body == b""
        assert target.row(bucket, "empty")["metadata"]["size"] == 0

    def test_a_second_upload_without_upsert_is_refused_and_changes_nothing(self, target: Target, bucket: str) -> None:
        target.put(bucket, "x", b"one")
        reply = target.upload(bucket, "x", b"two")
        assert (reply.status, reply.json()) == (400, DUPLICATE)
        assert target.get(bucket, "x").body == b"one"

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_an_upsert_keeps_the_identity_and_replaces_the_rest(self, target: Target, bucket: str, method: str) -> None:
        target.put(bucket, "x", b"one", x_metadata=coded({"a": 1}))
        owner = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
        target.sql(
            "update storage.objects set owner = %s, owner_id = %s, created_at = '2020-02-02' where bucket_id = %s",
            (owner, owner, bucket),
        )
        before = target.row(bucket, "x")
        reply = target.storage(method, f"object/{bucket}/x", b"second", headers={"x-upsert": "true"})
        after = target.row(bucket, "x")
        assert reply.json()["Id"] == str(before["id"])
        kept = ("id", "created_at", "last_accessed_at", "owner", "owner_id")
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        assert after["version"] != before["version"]
        assert after["updated_at"] > before["updated_at"]
        assert (after["user_metadata"], after["metadata"]["size"]) == ({}, 6)
        assert target.get(bucket, "x").body == b"second"

    def test_put_creates_what_is_not_there(self, target: Target, bucket: str) -> None:
        assert target.storage("PUT", f"object/{bucket}/new", b"x").status == 200
        assert target.get(bucket, "new").body == b"x"

    def test_a_form_stores_its_cache_time_as_max_age(self, target: Target, bucket: str) -> None:
        body, headers = form(
            ("cacheControl", None, b"3600"), ("metadata", None, b'{"k":"v"}'), ("", "image/png", b"\x89PNG")
        )
        assert target.storage("POST", f"object/{bucket}/f", body, headers=headers).status == 200
        row = target.row(bucket, "f")
        assert (row["metadata"]["cacheControl"], row["metadata"]["mimetype"]) == ("max-age=3600", "image/png")
        assert row["user_metadata"] == {"k": "v"}
        assert target.get(bucket, "f").body == b"\x89PNG"

    def test_a_form_without_a_cache_time_is_not_cached(self, target: Target, bucket: str) -> None:
        body, headers = form(("contentType", None, b"text/css"), ("", "image/png", b"x"))
        assert target.storage("POST", f"object/{bucket}/f", body, headers=headers).status == 200
        metadata = target.row(bucket, "f")["metadata"]
        assert (metadata["cacheControl"], metadata["mimetype"]) == ("no-cache", "text/css")

    def test_a_form_brings_user_metadata_that_are_too_long_for_a_header(self, target: Target, bucket: str) -> None:
        said = {"text": "ü" * 100_000, "list": [1, {"a": None}]}
        body, headers = form(("metadata", None, json.dumps(said, ensure_ascii=False).encode()), ("", "text/css", b"x"))
        headers |= {"x-robots-tag": "noindex", "x-upsert": "true"}
        assert target.storage("POST", f"object/{bucket}/f", body, headers=headers).status == 200
        row = target.row(bucket, "f")
        assert (row["user_metadata"], row["metadata"]["xRobotsTag"]) == (said, "noindex")
        assert target.info(bucket, "f")["metadata"] == said

    @pytest.mark.parametrize("key", ALLOWED_KEYS)
    def test_an_odd_key_comes_back_as_it_went(self, target: Target, bucket: str, key: str) -> None:
        target.put(bucket, key, key.encode())
        assert target.row(bucket, key)["name"] == key
        assert target.get(bucket, key).body == key.encode()
        assert [found["name"] for found in target.list_flat(bucket)] == [key]

    def test_a_name_may_be_object_and_folder_at_once(self, target: Target, bucket: str) -> None:
        for key in ("dir", "dir/x", "dir/"):
            target.put(bucket, key, key.encode())
        assert [target.get(bucket, key).body for key in ("dir", "dir/x", "dir/")] == [b"dir", b"dir/x", b"dir/"]

    @pytest.mark.parametrize("key", REFUSED_KEYS)
    def test_a_key_outside_the_class_is_refused(self, target: Target, bucket: str, key: str) -> None:
        refusal = error(400, "InvalidKey", f"Invalid key: {key}", "InvalidKey")
        reply = target.upload(bucket, key)
        assert (reply.status, reply.json()) == (400, refusal)
        assert target.get(bucket, key).json() == refusal

    def test_an_old_row_outside_the_class_is_listed_but_cannot_be_had(self, target: Target, bucket: str) -> None:
        target.sql("insert into storage.objects (bucket_id, name) values (%s, 'ä.txt')", (bucket,))
        assert [found["name"] for found in target.list_flat(bucket)] == ["ä.txt"]
        assert target.get(bucket, "ä.txt").json()["code"] == "InvalidKey"

    def test_a_missing_bucket_is_said_before_anything_else(self, target: Target) -> None:
        reply = target.upload("no-such-bucket", "ä")
        assert (reply.status, reply.json()) == (400, NO_BUCKET)

    def test_the_size_limit_of_a_bucket_holds_for_the_service_key(self, target: Target) -> None:
        bucket = target.bucket(file_size_limit=5)
        target.put(bucket, "fits", b"12345")
        reply = target.upload(bucket, "x", b"123456")
        message = "The object exceeded the maximum allowed size"
        assert (reply.status, reply.json()) == (400, error(413, "Payload too large", message, "EntityTooLarge"))
        body, headers = form(("", "text/plain", b"123456"))
        assert target.storage("POST", f"object/{bucket}/x", body, headers=headers).json()["code"] == "EntityTooLarge"
        assert [found["name"] for found in target.list_flat(bucket)] == ["fits"]

    def test_a_limit_of_nothing_lets_nothing_in(self, target: Target) -> None:
        bucket = target.bucket(file_size_limit=0)
        assert target.upload(bucket, "x", b"1").json()["code"] == "EntityTooLarge"

    def test_the_types_of_a_bucket_hold_and_may_be_wildcards(self, target: Target) -> None:
        bucket = target.bucket(allowed_mime_types=["image/*", "text/css"])
        target.put(bucket, "a", Content_Type="image/webp")
        target.put(bucket, "b", Content_Type="text/css")
        reply = target.upload(bucket, "c", Content_Type="application/pdf")
        message = "mime type application/pdf is not supported"
        assert (reply.status, reply.json()) == (400, error(415, "invalid_mime_type", message, "InvalidMimeType"))

    def test_a_folder_placeholder_is_empty_and_of_any_type(self, target: Target) -> None:
        bucket = target.bucket(allowed_mime_types=["image/png"])
        target.put(bucket, "dir/.emptyFolderPlaceholder", b"")
        assert target.upload(bucket, "e/.emptyFolderPlaceholder", b"x").json()["code"] == "EntityTooLarge"

    def test_user_metadata_must_be_an_object_and_what_is_no_json_is_nothing(self, target: Target, bucket: str) -> None:
        assert target.upload(bucket, "list", x_metadata=coded([1, 2])).status == 400
        target.put(bucket, "rubbish", x_metadata="!!!")
        assert target.row(bucket, "rubbish")["user_metadata"] == {}

    def test_too_many_bytes_of_headers_are_refused(self, target: Target, bucket: str) -> None:
        assert target.upload(bucket, "x", x_metadata=coded({"a": "x" * 16_000})).status == 431

    def test_the_owner_is_the_user_of_the_token(self, target: Target, bucket: str) -> None:
        email = f"{bucket}@example.com"
        user = target.auth("POST", "admin/users", {"email": email, "password": "secret-12", "email_confirm": True})
        session = target.auth("POST", "token?grant_type=password", {"email": email, "password": "secret-12"}).json()
        target.sql(
            f'create policy "{bucket}" on storage.objects for all to authenticated'
            f" using (bucket_id = '{bucket}') with check (bucket_id = '{bucket}')"
        )
        try:
            reply = target.storage("POST", f"object/{bucket}/mine", b"x", key=session["access_token"])
            assert reply.status == 200, reply.body
            row = target.row(bucket, "mine")
            assert (str(row["owner"]), row["owner_id"]) == (user.json()["id"], user.json()["id"])
        finally:
            target.sql(f'drop policy "{bucket}" on storage.objects')
            target.auth("DELETE", f"admin/users/{user.json()['id']}")
