"""Buckets, and who may see them (F§1.1, F§1.2)."""

from __future__ import annotations

import pytest
from tests.contract.client import NO_BUCKET, NO_KEY, Target, error, escaped


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

    @pytest.mark.parametrize("name", ["a/b", "ä", "a#b", " lead", "trail ", "a" * 101, "x--table-s3"])
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
        bucket = target.bucket(owner="nobody", created_at="2001-01-01T00:00:00Z", nonsense=1)
        made = target.storage("GET", f"bucket/{bucket}").json()
        assert (made["owner"], made["created_at"][:4] == "2001", "nonsense" in made) == ("", False, False)

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
        using = f"bucket_id = '{bucket}' and (storage.foldername(name))[1] = 'open'"
        target.sql(f'create policy "{bucket}" on storage.objects for select to anon using ({using})')
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
