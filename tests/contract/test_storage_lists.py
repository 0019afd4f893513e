"""The two lists of objects (F§1.4)."""

from __future__ import annotations

import base64
from datetime import UTC
from typing import Any

import pytest
from tests.contract.client import Target, error

TREE = ("a.txt", "b.txt", "dir/a.txt", "dir/b.txt", "dir/sub/c.txt", "z")


@pytest.fixture
def tree(target: Target) -> str:
    """A bucket with a few folders."""
    bucket = target.bucket()
    for key in TREE:
        target.put(bucket, key, key.encode(), Content_Type="text/css")
    return bucket


def v1(target: Target, bucket: str, **body: Any) -> list[dict[str, Any]]:
    reply = target.storage("POST", f"object/list/{bucket}", {"prefix": "", **body})
    assert reply.status == 200, reply.body
    return list(reply.json())


def v2(target: Target, bucket: str, **body: Any) -> dict[str, Any]:
    reply = target.storage("POST", f"object/list-v2/{bucket}", body)
    assert reply.status == 200, reply.body
    return dict(reply.json())


def insert_many(target: Target, bucket: str, count: int, template: str = "'k' || lpad(n::text, 5, '0')") -> None:
    """Rows by SQL: lists don't look at the bytes."""
    target.sql(
        f"insert into storage.objects (bucket_id, name) select %s, {template} from generate_series(1, {count}) n",
        (bucket,),
    )


class TestV1:
    def test_it_shows_one_level_with_folders_as_rows_of_nulls(self, target: Target, tree: str) -> None:
        rows = v1(target, tree)
        assert [row["name"] for row in rows] == ["a.txt", "b.txt", "dir", "z"]
        nothing = dict.fromkeys(("id", "updated_at", "created_at", "last_accessed_at", "metadata"))
        assert rows[2] == {"name": "dir", **nothing}
        row = target.row(tree, "a.txt")
        assert (rows[0]["id"], rows[0]["metadata"]) == (str(row["id"]), row["metadata"])
        assert set(rows[0]) == {"name", "id", "updated_at", "created_at", "last_accessed_at", "metadata"}

    @pytest.mark.parametrize("prefix", ["dir", "dir/"])
    def test_names_are_relative_to_the_folder(self, target: Target, tree: str, prefix: str) -> None:
        assert [row["name"] for row in v1(target, tree, prefix=prefix)] == ["a.txt", "b.txt", "sub"]

    def test_it_stops_at_a_hundred_unless_told_otherwise(self, target: Target, bucket: str) -> None:
        insert_many(target, bucket, 1600)
        assert len(v1(target, bucket)) == 100
        assert len(v1(target, bucket, limit=1200)) == 1200
        assert len(v1(target, bucket, limit=1600)) == 1500

    def test_offset_limit_and_order_cut_pages_out_of_one_list(self, target: Target, tree: str) -> None:
        assert [row["name"] for row in v1(target, tree, limit=2, offset=1)] == ["b.txt", "dir"]
        order = {"column": "name", "order": "desc"}
        assert [row["name"] for row in v1(target, tree, sortBy=order)] == ["z", "dir", "b.txt", "a.txt"]
        target.sql("update storage.objects set last_accessed_at = '2020-01-01' where name = 'z'")
        by_time = v1(target, tree, sortBy={"column": "last_accessed_at", "order": "asc"})
        assert [row["name"] for row in by_time] == ["dir", "z", "a.txt", "b.txt"]

    def test_search_is_the_beginning_of_a_name(self, target: Target, tree: str) -> None:
        assert [row["name"] for row in v1(target, tree, search="b")] == ["b.txt"]
        assert [row["name"] for row in v1(target, tree, prefix="dir", search="s")] == ["sub"]
        assert v1(target, tree, search="txt") == []

    def test_case_is_folded(self, target: Target, bucket: str) -> None:
        for key in ("Docs/a", "docs/b"):
            target.put(bucket, key)
        assert len(v1(target, bucket)) == 1
        assert [row["name"] for row in v1(target, bucket, prefix="docs")] == ["a", "b"]

    def test_a_folder_may_have_no_name(self, target: Target, bucket: str) -> None:
        for key in ("/lead", "a//b"):
            target.put(bucket, key)
        assert [row["name"] for row in v1(target, bucket)] == ["", "a"]
        assert [row["name"] for row in v1(target, bucket, prefix="a/")] == [""]

    def test_a_bucket_that_is_not_there_lists_as_an_empty_one(self, target: Target) -> None:
        assert v1(target, "no-such-bucket") == []

    def test_a_body_without_a_prefix_is_refused(self, target: Target, bucket: str) -> None:
        reply = target.storage("POST", f"object/list/{bucket}", {"limit": 1})
        message = "body must have required property 'prefix'"
        assert (reply.status, reply.json()) == (400, error(400, "Error", message, "InvalidRequest"))


class TestV2:
    def test_flat_it_is_complete_and_in_the_order_of_bytes(self, target: Target, bucket: str) -> None:
        keys = ["z", "z!", "z (1)", "z-1", "z.txt", "z/a", "Z", "a", "B"]
        for key in keys:
            target.put(bucket, key)
        answer = v2(target, bucket)
        assert [row["name"] for row in answer["objects"]] == sorted(keys)
        assert (answer["hasNext"], answer["folders"], "nextCursor" in answer) == (False, [], False)
        wanted = {"id", "name", "metadata", "updated_at", "created_at", "last_accessed_at"}
        assert set(answer["objects"][0]) == wanted

    def test_a_cursor_is_the_last_key_and_leads_through_all_pages(self, target: Target, bucket: str) -> None:
        insert_many(target, bucket, 7)
        seen: list[str] = []
        answer = v2(target, bucket, limit=3)
        assert answer["nextCursorKey"] == "k00003"
        assert base64.b64decode(answer["nextCursor"]).decode().split("\n")[0] == "l:k00003"
        while True:
            seen += [row["name"] for row in answer["objects"]]
            if not answer["hasNext"]:
                break
            answer = v2(target, bucket, limit=3, cursor=answer["nextCursor"])
        assert seen == [f"k{n:05}" for n in range(1, 8)]

    def test_a_page_has_a_thousand_at_most(self, target: Target, bucket: str) -> None:
        insert_many(target, bucket, 1001)
        for body in ({}, {"limit": 5000}):
            answer = v2(target, bucket, **body)
            assert (len(answer["objects"]), answer["hasNext"]) == (1000, True)

    def test_a_walk_in_pages_of_any_length_meets_every_key_once_and_in_the_order_of_bytes(
        self, target: Target, bucket: str
    ) -> None:
        odd = [
            "/lead",
            "a//b",
            "d",
            "d/",
            "d/x",
            " ",
            "%",
            "é",
            "ﷺ",
            "\U00010400",
            "日本",
            "z",
            "z/",
            "z!",
            "z (1)",
            "Z",
        ]
        for key in odd:
            target.sql("insert into storage.objects (bucket_id, name) values (%s, %s)", (bucket, key))
        insert_many(target, bucket, 40)
        expected = sorted([*odd, *(f"k{n:05}" for n in range(1, 41))], key=str.encode)
        for limit in (1, 7, 13, 1000):
            seen, cursor = [], None
            while True:
                answer = v2(target, bucket, prefix="", limit=limit, **({"cursor": cursor} if cursor else {}))
                seen += [row["name"] for row in answer["objects"]]
                if not answer["hasNext"]:
                    break
                cursor = answer["nextCursor"]
            assert seen == expected, limit

    def test_a_cursor_may_be_made_of_any_key(self, target: Target, tree: str) -> None:
        answer = v2(target, tree, cursor=base64.b64encode(b"l:dir/a.txt").decode())
        assert [row["name"] for row in answer["objects"]] == ["dir/b.txt", "dir/sub/c.txt", "z"]

    @pytest.mark.parametrize("key", ["k\nx", "k\no:desc"])
    def test_a_key_with_a_line_break_at_a_pages_end_stops_the_walk(self, target: Target, bucket: str, key: str) -> None:
        target.sql("insert into storage.objects (bucket_id, name) values (%s, %s), (%s, 'z')", (bucket, key, bucket))
        cursor = v2(target, bucket, limit=1)["nextCursor"]
        reply = target.storage("POST", f"object/list-v2/{bucket}", {"limit": 1, "cursor": cursor})
        assert reply.status == 400 or [row["name"] for row in reply.json()["objects"]] != ["z"]

    def test_a_whole_key_as_prefix_finds_the_object_of_that_key_first(self, target: Target, tree: str) -> None:
        for key in ("z/a", "z!"):
            target.put(tree, key)
        assert [row["name"] for row in v2(target, tree, prefix="z", limit=1)["objects"]] == ["z"]
        assert v2(target, tree, prefix="zz", limit=1)["objects"] == []

    def test_a_row_is_shown_as_the_database_has_it(self, target: Target, bucket: str) -> None:
        object_id = target.put(bucket, "x", x_robots_tag="noindex")
        target.sql(
            'update storage.objects set metadata = metadata || \'{"own": {"a": [1]}}\' where id = %s', (object_id,)
        )
        row, (shown,) = target.row(bucket, "x"), v2(target, bucket)["objects"]
        assert (shown["id"], shown["metadata"]) == (object_id, row["metadata"])
        assert shown["metadata"]["xRobotsTag"] == "noindex"
        for name in ("created_at", "updated_at", "last_accessed_at"):
            time = row[name].astimezone(UTC)
            assert shown[name] == f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"
        assert target.info(bucket, "x")["last_modified"] == shown["updated_at"]

    def test_a_page_that_ends_with_the_last_key_has_no_next(self, target: Target, tree: str) -> None:
        assert v2(target, tree, limit=len(TREE))["hasNext"] is False

    def test_a_prefix_is_taken_by_its_letters(self, target: Target, bucket: str) -> None:
        for key in ("a_b", "axb", "a_c", "A_b"):
            target.put(bucket, key)
        assert [row["name"] for row in v2(target, bucket, prefix="a_")["objects"]] == ["a_b", "a_c"]

    def test_with_a_delimiter_folders_stand_apart(self, target: Target, tree: str) -> None:
        answer = v2(target, tree, with_delimiter=True)
        assert [(row["key"], row["name"], row["id"]) for row in answer["folders"]] == [("dir", "dir/", None)]
        assert [row["name"] for row in answer["objects"]] == ["a.txt", "b.txt", "z"]
        answer = v2(target, tree, with_delimiter=True, prefix="dir/")
        assert [row["name"] for row in answer["folders"]] == ["dir/sub/"]
        assert [(row["key"], row["name"]) for row in answer["objects"]] == [
            ("a.txt", "dir/a.txt"),
            ("b.txt", "dir/b.txt"),
        ]

    def test_with_a_delimiter_pages_go_on_behind_a_folder(self, target: Target, tree: str) -> None:
        answer = v2(target, tree, with_delimiter=True, limit=3)
        assert ([row["name"] for row in answer["folders"]], answer["hasNext"]) == (["dir/"], True)
        answer = v2(target, tree, with_delimiter=True, limit=3, cursor=answer["nextCursor"])
        assert ([row["name"] for row in answer["objects"]], answer["folders"]) == (["z"], [])

    def test_with_a_delimiter_what_sorts_between_a_file_and_its_folder_is_lost_at_a_pages_end(
        self, target: Target, bucket: str
    ) -> None:
        for key in ("y", "z", "z!", "z-1", "z/a", "z0"):
            target.put(bucket, key)
        answer = v2(target, bucket, with_delimiter=True, limit=2)
        assert [row["name"] for row in answer["objects"]] == ["y", "z"]
        answer = v2(target, bucket, with_delimiter=True, limit=2, cursor=answer["nextCursor"])
        assert ([row["name"] for row in answer["objects"]], answer["folders"], answer["hasNext"]) == (["z0"], [], False)

    def test_it_can_be_turned_round(self, target: Target, tree: str) -> None:
        order = {"column": "name", "order": "desc"}
        answer = v2(target, tree, sortBy=order, limit=4)
        names = [row["name"] for row in answer["objects"]]
        answer = v2(target, tree, cursor=answer["nextCursor"])
        assert [*names, *(row["name"] for row in answer["objects"])] == sorted(TREE, reverse=True)

    def test_sorted_by_time_rows_of_one_millisecond_are_lost_at_a_pages_end(self, target: Target, bucket: str) -> None:
        insert_many(target, bucket, 6)
        target.sql(
            "update storage.objects set created_at = '2020-01-01T00:00:00.0005Z'::timestamptz"
            " - right(name, 1)::int * interval '1 microsecond' where bucket_id = %s",
            (bucket,),
        )
        order = {"column": "created_at", "order": "asc"}
        answer = v2(target, bucket, sortBy=order, limit=3)
        assert [row["name"] for row in answer["objects"]] == ["k00006", "k00005", "k00004"]
        answer = v2(target, bucket, limit=3, cursor=answer["nextCursor"])
        assert [row["name"] for row in answer["objects"]] == ["k00006", "k00005"]

    def test_a_bucket_that_is_not_there_lists_as_an_empty_one(self, target: Target) -> None:
        assert v2(target, "no-such-bucket") == {"hasNext": False, "folders": [], "objects": []}

    def test_a_broken_cursor_is_refused(self, target: Target, bucket: str) -> None:
        reply = target.storage("POST", f"object/list-v2/{bucket}", {"cursor": "!!"})
        assert (reply.status, reply.json()["code"]) == (400, "InvalidParameter")
