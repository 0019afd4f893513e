"""Storage as F§1 says it is: buckets, uploads, downloads. Lists, links and resumable uploads have their own files."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import psycopg
import pytest
from tests.contract.client import DUPLICATE, NO_BUCKET, NO_KEY, Target, coded, error, escaped, form

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


class TestBuckets:
    def test_a_new_bucket_lists_with_every_field_and_reads_without_its_type(self, target: Target) -> None:
        name = target.bucket(public=True, file_size_limit=1000, allowed_mime_types=["image/*", "text/plain"])
        listed = next(found for found in target.storage("GET", "bucket").json() if found["id"] == name)
        alone = target.storage("GET", f"bucket/{name}").json()
        assert listed == {**alone, "type": "STANDARD"}
        assert "type" not in alone
        times = {alone.pop("created_at"), alone.pop("updated_at")}
        assert alone == {
            "id": name,
            "name": name,
            "owner": "",
            "public": True,
            "file_size_limit": 1000,
            "allowed_mime_types": ["image/*", "text/plain"],
        }
        assert all(time.endswith("Z") and len(time) == len("2026-01-01T00:00:00.000Z") for time in times)

    def test_creating_answers_with_the_name_and_limits_default_to_none(self, target: Target) -> None:
        name = target.bucket()
        assert target.storage("POST", "bucket", {"name": name}).json() == error(
            409, "Duplicate", "The resource already exists", "BucketAlreadyExists"
        )
        found = target.storage("GET", f"bucket/{name}").json()
        assert (found["public"], found["file_size_limit"], found["allowed_mime_types"]) == (False, None, None)

    def test_a_bucket_may_have_an_id_that_is_not_its_name_and_hangs_on_the_id(self, target: Target) -> None:
        bucket = target.bucket(id=f"id-of-{target.bucket()}")
        name = target.storage("GET", f"bucket/{bucket}").json()["name"]
        assert name != bucket
        assert target.storage("GET", f"bucket/{name}").json() == NO_BUCKET
        target.put(bucket, "x")
        assert target.row(bucket, "x")["bucket_id"] == bucket

    @pytest.mark.parametrize("name", ["a/b", "ä", "a#b", " lead", "trail ", "a" * 101, "x--iceberg"])
    def test_a_bad_bucket_name_is_refused(self, target: Target, name: str) -> None:
        reply = target.storage("POST", "bucket", {"name": name})
        assert (reply.status, reply.json()) == (
            400,
            error(400, "Invalid Input", "Bucket name invalid", "InvalidBucketName"),
        )

    def test_a_bucket_name_may_hold_blanks_and_symbols(self, target: Target) -> None:
        name = f"{target.bucket()} & (sym)!"
        assert target.storage("POST", "bucket", {"name": name}).json() == {"name": name}
        target.buckets.append(name)
        assert target.storage("GET", f"bucket/{escaped(name)}").json()["id"] == name

    def test_a_body_without_a_name_is_refused_by_its_form(self, target: Target) -> None:
        reply = target.storage("POST", "bucket", {"public": True})
        assert (reply.status, reply.json()) == (
            400,
            error(400, "Error", "body must have required property 'name'", "InvalidRequest"),
        )

    def test_unknown_properties_are_ignored(self, target: Target) -> None:
        target.bucket(owner="nobody", created_at="2001-01-01T00:00:00Z", nonsense=1)

    def test_a_limit_given_as_text_is_cut_to_three_digits(self, target: Target) -> None:
        bucket = target.bucket(file_size_limit="1.2345MB")
        assert target.storage("GET", f"bucket/{bucket}").json()["file_size_limit"] == 1_230_000

    def test_an_update_is_partial_and_null_clears(self, target: Target) -> None:
        bucket = target.bucket(file_size_limit=10, allowed_mime_types=["image/png"])
        before = target.storage("GET", f"bucket/{bucket}").json()
        reply = target.storage("PUT", f"bucket/{bucket}", {"public": True})
        assert reply.json() == {"message": "Successfully updated"}
        assert target.storage("GET", f"bucket/{bucket}").json() == {**before, "public": True}
        target.storage("PUT", f"bucket/{bucket}", {"file_size_limit": None, "allowed_mime_types": None})
        assert target.storage("GET", f"bucket/{bucket}").json() == {
            **before,
            "public": True,
            "file_size_limit": None,
            "allowed_mime_types": None,
        }

    def test_the_list_of_buckets_pages_sorts_and_searches(self, target: Target) -> None:
        made = sorted(target.bucket() for _ in range(3))
        query = "bucket?search=contract-&sortColumn=name&sortOrder=desc"
        names = [found["name"] for found in target.storage("GET", query).json()]
        assert names == sorted(names, reverse=True)
        assert set(made) <= set(names)
        page = target.storage("GET", f"{query}&limit=1&offset=1").json()
        assert [found["name"] for found in page] == names[1:2]
        assert target.storage("GET", f"bucket?search={made[0].upper()}").json()[0]["id"] == made[0]

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_a_missing_bucket_is_said_to_be_missing(self, target: Target, method: str) -> None:
        reply = target.storage(method, "bucket/no-such-bucket", {"public": True} if method == "PUT" else None)
        assert (reply.status, reply.json()) == (400, NO_BUCKET)

    def test_only_an_empty_bucket_can_be_deleted(self, target: Target, bucket: str) -> None:
        target.put(bucket, "x")
        reply = target.storage("DELETE", f"bucket/{bucket}")
        message = "The bucket you tried to delete is not empty"
        assert (reply.status, reply.json()) == (400, error(409, "ResourceNotEmpty", message, "ResourceNotEmpty"))
        target.storage("DELETE", f"object/{bucket}/x")
        assert target.storage("DELETE", f"bucket/{bucket}").json() == {"message": "Successfully deleted"}
        assert target.storage("GET", f"bucket/{bucket}").json() == NO_BUCKET

    def test_emptying_is_for_the_service_role_and_says_so_with_its_true_status(self, target: Target) -> None:
        bucket = target.bucket()
        assert target.storage("POST", f"bucket/{bucket}/empty", key=target.anon_key).status == 403
        assert target.storage("POST", f"bucket/{bucket}/empty").status == 200


class TestAccess:
    def test_an_anon_key_sees_nothing_and_is_not_told_so(self, target: Target, bucket: str) -> None:
        target.put(bucket, "x")
        reply = target.storage("GET", "bucket", key=target.anon_key)
        assert (reply.status, reply.json()) == (200, [])
        assert target.storage("POST", f"object/list/{bucket}", {"prefix": ""}, key=target.anon_key).json() == []
        reply = target.storage("POST", f"object/list-v2/{bucket}", {}, key=target.anon_key)
        assert reply.json() == {"hasNext": False, "folders": [], "objects": []}
        reply = target.storage("GET", f"object/authenticated/{bucket}/x", key=target.anon_key)
        assert (reply.status, reply.json()) == (400, NO_KEY)

    def test_an_anon_key_may_not_write(self, target: Target, bucket: str) -> None:
        reply = target.storage("POST", f"object/{bucket}/x", b"x", key=target.anon_key)
        message = "new row violates row-level security policy"
        assert (reply.status, reply.json()) == (400, error(403, "Unauthorized", message, "AccessDenied"))
        reply = target.storage("POST", "bucket", {"name": "anon-made"}, key=target.anon_key)
        assert (reply.status, reply.json()) == (400, error(403, "Unauthorized", message, "AccessDenied"))

    def test_a_policy_opens_what_it_names(self, target: Target, bucket: str) -> None:
        target.put(bucket, "open/x")
        target.put(bucket, "shut/x")
        folder = "(storage.foldername(name))[1] = 'open'"
        target.sql(
            f"create policy \"{bucket}\" on storage.objects for select to anon using (bucket_id = '{bucket}' and {folder})"
        )
        try:
            reply = target.storage("POST", f"object/list-v2/{bucket}", {}, key=target.anon_key)
            assert [found["name"] for found in reply.json()["objects"]] == ["open/x"]
            path = f"object/authenticated/{bucket}"
            assert target.storage("GET", f"{path}/open/x", key=target.anon_key).body == b"hello"
            assert target.storage("GET", f"{path}/shut/x", key=target.anon_key).json() == NO_KEY
        finally:
            target.sql(f'drop policy "{bucket}" on storage.objects')

    def test_a_key_that_is_no_token_is_refused_in_the_body_only(self, target: Target) -> None:
        reply = target.storage("GET", "bucket", key=None, headers={"Authorization": "Bearer sb_secret_x"})
        assert (reply.status, reply.json()) == (400, error(403, "Unauthorized", "Invalid Compact JWS", "AccessDenied"))

    def test_a_token_signed_by_someone_else_is_refused(self, target: Target) -> None:
        other = target.key.rpartition(".")[0] + "." + "A" * 43
        reply = target.storage("GET", "bucket", key=None, headers={"Authorization": f"Bearer {other}"})
        message = "signature verification failed"
        assert (reply.status, reply.json()) == (400, error(403, "Unauthorized", message, "AccessDenied"))

    def test_no_authorization_at_all_is_an_error_of_form(self, target: Target) -> None:
        reply = target.storage("GET", "bucket", key=None)
        message = "headers must have required property 'authorization'"
        assert (reply.status, reply.json()) == (400, error(400, "Error", message, "InvalidRequest"))

    def test_status_and_version_ask_for_no_key(self, target: Target) -> None:
        assert target.storage("GET", "status", key=None).status == 200
        assert target.storage("GET", "version", key=None).status == 200


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


class TestDownload:
    def test_a_download_has_the_bytes_and_their_headers(self, target: Target, bucket: str) -> None:
        target.put(bucket, "x", b"hello", Content_Type="image/png", Cache_Control="max-age=5")
        for path in (f"object/authenticated/{bucket}/x", f"object/{bucket}/x"):
            reply = target.storage("GET", path)
            assert (reply.status, reply.body) == (200, b"hello")
            wanted = {
                "accept-ranges": "bytes",
                "content-type": "image/png",
                "etag": f'"{hashlib.md5(b"hello").hexdigest()}"',
                "x-robots-tag": "none",
                "content-length": "5",
                "cache-control": "max-age=5",
            }
            assert {name: reply.headers.get(name) for name in wanted} == wanted
            assert reply.headers["last-modified"].endswith("GMT")

    def test_a_page_is_served_as_plain_text_and_only_info_tells(self, target: Target, bucket: str) -> None:
        target.put(bucket, "page", b"<p>", Content_Type="text/html; charset=utf-8")
        assert target.get(bucket, "page").headers["content-type"].startswith("text/plain")
        head = target.storage("HEAD", f"object/authenticated/{bucket}/page")
        assert head.headers["content-type"].startswith("text/plain")
        assert target.info(bucket, "page")["content_type"] == "text/html; charset=utf-8"

    @pytest.mark.parametrize(
        ("header", "part", "range_"),
        [
            ("bytes=1-2", b"el", "bytes 1-2/5"),
            ("bytes=3-", b"lo", "bytes 3-4/5"),
            ("bytes=-2", b"lo", "bytes 3-4/5"),
            ("bytes=0-99", b"hello", "bytes 0-4/5"),
        ],
    )
    def test_a_range_is_a_part(self, target: Target, bucket: str, header: str, part: bytes, range_: str) -> None:
        target.put(bucket, "x", b"hello")
        reply = target.get(bucket, "x", Range=header)
        assert (reply.status, reply.body, reply.headers["content-range"]) == (206, part, range_)
        assert reply.headers["content-length"] == str(len(part))

    def test_a_range_beyond_the_end_has_its_true_status(self, target: Target, bucket: str) -> None:
        target.put(bucket, "x", b"hello")
        target.put(bucket, "empty", b"")
        assert target.get(bucket, "x", Range="bytes=5-").status == 416
        assert target.get(bucket, "empty", Range="bytes=0-").status == 416

    def test_what_the_client_has_is_not_sent_again(self, target: Target, bucket: str) -> None:
        target.put(bucket, "x", b"hello")
        etag = target.get(bucket, "x").headers["etag"]
        reply = target.get(bucket, "x", If_None_Match=etag)
        assert (reply.status, reply.body) == (304, b"")
        assert target.get(bucket, "x", If_None_Match='"other"').status == 200
        assert target.get(bucket, "x", If_Modified_Since="Fri, 01 Jan 2100 00:00:00 GMT").status == 304
        assert target.get(bucket, "x", If_Modified_Since="Sat, 01 Jan 2000 00:00:00 GMT").status == 200

    def test_a_public_bucket_needs_no_key_and_a_private_one_is_as_good_as_none(self, target: Target) -> None:
        public, private = target.bucket(public=True), target.bucket()
        for bucket in (public, private):
            target.put(bucket, "x")
        for path in ("object/public", "object"):
            assert target.storage("GET", f"{path}/{public}/x", key=None).body == b"hello"
            assert target.storage("HEAD", f"{path}/{public}/x", key=None).status == 200
            assert target.storage("GET", f"{path}/{private}/x", key=None).json() == NO_BUCKET
        assert target.storage("GET", f"object/info/public/{public}/x", key=None).json()["size"] == 5
        assert target.storage("GET", f"object/info/public/{private}/x", key=None).json() == NO_BUCKET

    def test_download_names_the_file(self, target: Target, bucket: str) -> None:
        target.put(bucket, "x")
        path = f"object/authenticated/{bucket}/x"
        assert target.storage("GET", f"{path}?download").headers["content-disposition"] == "attachment;"
        named = target.storage("GET", f"{path}?download=a%20b").headers["content-disposition"]
        assert named == "attachment; filename=a%20b; filename*=UTF-8''a%20b"

    def test_a_missing_object_and_a_missing_bucket_are_told_apart(self, target: Target, bucket: str) -> None:
        for path in ("object/authenticated", "object/info/authenticated"):
            reply = target.storage("GET", f"{path}/{bucket}/none")
            assert (reply.status, reply.json()) == (400, NO_KEY)
            assert target.storage("GET", f"{path}/no-such-bucket/none").json() == NO_BUCKET

    def test_head_says_missing_without_a_word(self, target: Target, bucket: str) -> None:
        reply = target.storage("HEAD", f"object/authenticated/{bucket}/none")
        assert (reply.status, reply.body) == (400, b"")

    def test_info_and_head_answer_from_the_row(self, target: Target, bucket: str) -> None:
        object_id = target.put(bucket, "x", b"hello", Content_Type="image/png", x_metadata=coded({"k": "v"}))
        row = target.row(bucket, "x")
        info = target.info(bucket, "x")
        times = [_milliseconds(row["updated_at"]), _milliseconds(row["created_at"])]
        assert [info.pop("last_modified"), info.pop("created_at")] == times
        assert info == {
            "id": object_id,
            "name": "x",
            "version": row["version"],
            "bucket_id": bucket,
            "size": 5,
            "content_type": "image/png",
            "cache_control": "no-cache",
            "etag": row["metadata"]["eTag"],
            "metadata": {"k": "v"},
        }
        head = target.storage("HEAD", f"object/authenticated/{bucket}/x")
        assert (head.status, head.headers["content-length"], head.headers["content-type"]) == (200, "5", "image/png")
        assert head.headers["etag"] == row["metadata"]["eTag"]

    def test_a_row_without_bytes_is_listed_and_described_but_cannot_be_had(self, target: Target, bucket: str) -> None:
        metadata = {"size": 5, "mimetype": "text/css", "contentLength": 5, "eTag": '"x"', "cacheControl": "no-cache"}
        target.sql(
            "insert into storage.objects (bucket_id, name, version, metadata)"
            " values (%s, 'ghost', '6f9619ff-8b86-4011-b42d-00c04fc964ff', %s)",
            (bucket, psycopg.types.json.Jsonb(metadata)),
        )
        assert [found["name"] for found in target.list_flat(bucket)] == ["ghost"]
        assert target.info(bucket, "ghost")["size"] == 5
        assert target.storage("HEAD", f"object/authenticated/{bucket}/ghost").status == 200
        reply = target.get(bucket, "ghost")
        assert (reply.status, reply.json()["code"]) == (500, "InternalError")

    def test_a_download_is_served_with_what_came_in_not_with_what_the_row_says(
        self, target: Target, bucket: str
    ) -> None:
        target.put(bucket, "x", b"hello", Content_Type="image/png")
        changed = psycopg.types.json.Jsonb({"mimetype": "image/gif"})
        target.sql("update storage.objects set metadata = metadata || %s where bucket_id = %s", (changed, bucket))
        assert target.get(bucket, "x").headers["content-type"] == "image/png"
        assert target.info(bucket, "x")["content_type"] == "image/gif"


class TestMoveCopyDelete:
    def test_a_move_keeps_the_id_and_the_bytes(self, target: Target, bucket: str) -> None:
        other = target.bucket()
        object_id = target.put(bucket, "old", b"bytes", Content_Type="text/css", x_metadata=coded({"a": 1}))
        version = target.row(bucket, "old")["version"]
        body = {"bucketId": bucket, "sourceKey": "old", "destinationBucket": other, "destinationKey": "dir/new"}
        assert target.storage("POST", "object/move", body).json() == {"message": "Successfully moved"}
        row = target.row(other, "dir/new")
        assert (str(row["id"]), row["user_metadata"], row["metadata"]["mimetype"]) == (object_id, {"a": 1}, "text/css")
        assert row["version"] != version
        assert target.get(other, "dir/new").body == b"bytes"
        assert target.get(bucket, "old").json() == NO_KEY

    def test_a_move_onto_another_object_is_refused(self, target: Target, bucket: str) -> None:
        target.put(bucket, "a", b"a")
        target.put(bucket, "b", b"b")
        reply = target.storage("POST", "object/move", {"bucketId": bucket, "sourceKey": "a", "destinationKey": "b"})
        assert (reply.status, reply.json()["statusCode"]) == (400, "409")
        assert (target.get(bucket, "a").body, target.get(bucket, "b").body) == (b"a", b"b")

    def test_a_copy_is_a_new_object_with_the_same_bytes(self, target: Target, bucket: str) -> None:
        object_id = target.put(bucket, "a", b"bytes", Content_Type="text/css", x_metadata=coded({"a": 1}))
        body = {"bucketId": bucket, "sourceKey": "a", "destinationKey": "b"}
        copied = target.storage("POST", "object/copy", body).json()
        row = target.row(bucket, "b")
        assert (copied["Key"], copied["Id"], copied["id"]) == (f"{bucket}/b", str(row["id"]), str(row["id"]))
        assert (copied["name"], copied["bucket_id"], copied["version"]) == ("b", bucket, row["version"])
        assert (copied["metadata"], copied["user_metadata"]) == (row["metadata"], {"a": 1})
        assert copied["id"] != object_id
        assert (target.get(bucket, "a").body, target.get(bucket, "b").body) == (b"bytes", b"bytes")
        assert target.get(bucket, "b").headers["content-type"].startswith("text/css")
        assert target.storage("POST", "object/copy", body).json()["statusCode"] == "409"
        assert target.storage("POST", "object/copy", body, headers={"x-upsert": "true"}).status == 200

    def test_a_copy_outlives_its_source(self, target: Target, bucket: str) -> None:
        target.put(bucket, "a", b"bytes")
        target.storage("POST", "object/copy", {"bucketId": bucket, "sourceKey": "a", "destinationKey": "b"})
        target.storage("DELETE", f"object/{bucket}/a")
        assert target.get(bucket, "b").body == b"bytes"

    @pytest.mark.parametrize("verb", ["move", "copy"])
    def test_a_missing_source_is_missing(self, target: Target, bucket: str, verb: str) -> None:
        body = {"bucketId": bucket, "sourceKey": "none", "destinationKey": "b"}
        reply = target.storage("POST", f"object/{verb}", body)
        assert (reply.status, reply.json()) == (400, NO_KEY)

    def test_one_object_can_be_deleted_once(self, target: Target, bucket: str) -> None:
        target.put(bucket, "x")
        path = f"object/{bucket}/x"
        assert target.storage("DELETE", path).json() == {"message": "Successfully deleted"}
        reply = target.storage("DELETE", path)
        assert (reply.status, reply.json()) == (400, NO_KEY)

    def test_many_are_deleted_by_their_exact_keys_and_unknown_ones_are_passed_over(
        self, target: Target, bucket: str
    ) -> None:
        for key in ("a", "a/b", "ab"):
            target.put(bucket, key)
        reply = target.storage("DELETE", f"object/{bucket}", {"prefixes": ["a", "none"]})
        deleted: list[dict[str, Any]] = reply.json()
        assert [(row["name"], row["bucket_id"], row["owner"]) for row in deleted] == [("a", bucket, "")]
        assert [found["name"] for found in target.list_flat(bucket)] == ["a/b", "ab"]

    def test_an_object_uploaded_again_after_its_deletion_is_another(self, target: Target, bucket: str) -> None:
        first = target.put(bucket, "x", b"one")
        target.storage("DELETE", f"object/{bucket}/x")
        second = target.put(bucket, "x", b"two")
        assert first != second
        assert target.get(bucket, "x").body == b"two"


def _milliseconds(moment: datetime) -> str:
    """A database time as the API shows it: UTC, cut to milliseconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
