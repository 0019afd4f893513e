"""Moving, copying and deleting objects (F§1.8)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.client import NO_KEY, Target, coded


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


def test_a_copy_onto_itself_says_what_an_upload_in_pieces_can_not(target: Target, bucket: str) -> None:
    first = target.put(bucket, "a", b"hello", Content_Type="image/png", x_metadata=coded({"k": 1}))
    before = target.row(bucket, "a")
    said = {"cacheControl": "private, max-age=9, immutable", "mimetype": "image/png"}
    body = {"bucketId": bucket, "sourceKey": "a", "destinationKey": "a", "copyMetadata": False, "metadata": said}
    headers = {"x-upsert": "true", "x-metadata": coded({"k": 2})}
    reply = target.storage("POST", "object/copy", body, headers=headers)
    assert (reply.status, reply.json()["Id"]) == (200, first)
    row = target.row(bucket, "a")
    assert (row["id"], row["created_at"], row["user_metadata"]) == (before["id"], before["created_at"], {"k": 2})
    assert row["version"] != before["version"]
    assert {name: row["metadata"][name] for name in said} == said
    assert row["metadata"]["eTag"] == before["metadata"]["eTag"]
    served = target.get(bucket, "a")
    assert (served.body, served.headers["cache-control"], served.headers["content-type"]) == (
        b"hello",
        said["cacheControl"],
        "image/png",
    )
