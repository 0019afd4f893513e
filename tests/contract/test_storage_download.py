"""Downloads, HEAD and info (F§1.5)."""

from __future__ import annotations

import hashlib
from datetime import datetime

import psycopg
import pytest
from tests.contract.client import NO_BUCKET, NO_KEY, Target, coded


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
        other = target.get(bucket, "x", If_None_Match='"other"')
        assert (other.status, other.headers["cache-control"]) == (200, "no-cache, stale-while-revalidate=30")
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

    def test_info_tells_three_kinds_of_no_user_metadata_as_two(self, target: Target, bucket: str) -> None:
        for key, said in (("none", None), ("null", "null"), ("empty", "{}")):
            target.put(bucket, key)
            target.sql(
                "update storage.objects set user_metadata = %s where name = %s and bucket_id = %s", (said, key, bucket)
            )
        assert [target.info(bucket, key)["metadata"] for key in ("none", "null", "empty")] == [None, None, {}]

    def test_info_of_a_row_that_says_nothing_has_nothing(self, target: Target, bucket: str) -> None:
        target.sql("insert into storage.objects (bucket_id, name) values (%s, 'bare')", (bucket,))
        info = target.info(bucket, "bare")
        assert (info["version"], info["etag"], info["size"], info["metadata"]) == (None, None, None, None)

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


def _milliseconds(moment: datetime) -> str:
    """A database time as the API shows it: UTC, cut to milliseconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
