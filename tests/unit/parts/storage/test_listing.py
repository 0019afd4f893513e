"""Lists made while things come and go, and lists that can't be relied on."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest
from tests.scripted import Reply, Request, reply, scripted

from supapy.errors import ApiError
from supapy.model import Json
from supapy.parts.storage.listing import LOST_IN_A_BACKUP, MOST_LOOKS, OTHER_PAGE, RowsAsListed, array_text, mime_types
from supapy.parts.storage.selection import EVERYTHING, Selection
from supapy.project.exact import parse
from supapy.project.project import Project
from supapy.secret import Secret

AT = "2026-11-22T07:15:00.120Z"
LATER = "2026-11-22T07:15:01.000Z"


def shown(key: str, at: str = AT, **more: Any) -> Json:
    times = {"created_at": AT, "updated_at": at, "last_accessed_at": AT}
    return {"id": f"id of {key}", "name": key, "metadata": {"eTag": f'"{at}"', "size": 1}} | times | more


def info(one: Json, **more: Any) -> Json:
    said = {"id": one["id"], "version": "v" + one["updated_at"], "last_modified": one["updated_at"], "metadata": {}}
    return said | more


def page(objects: list[Json], cursor: str | None = None) -> Json:
    further = {"nextCursor": base64.b64encode(f"l:{cursor}".encode()).decode()} if cursor else {}
    return {"hasNext": cursor is not None, "folders": [], "objects": objects} | further


class Server:
    """A Storage server with one bucket; `lists` is told the request's body, `infos` the key."""

    def __init__(self, lists: Callable[[Json], Json], infos: Callable[[str], Json | None]) -> None:
        self._lists = lists
        self._infos = infos

    def __call__(self, request: Request) -> Reply:
        if request.target == "/storage/v1/bucket":
            said: Any = [{"id": "b", "name": "b", "public": False}]
        elif "/list-v2/" in request.target:
            said = self._lists(json.loads(request.body))
        else:
            said = self._infos(unquote(request.target.rpartition("/b/")[2]))
        if said is None:
            missing = {"statusCode": "404", "error": "not_found", "message": "Object not found", "code": "NoSuchKey"}
            return reply(400, json.dumps(missing).encode())
        return reply(200, said if isinstance(said, bytes) else json.dumps(said).encode())


@contextmanager
def listing(lists: Callable[[Json], Json], infos: Callable[[str], Json | None]) -> Iterator[RowsAsListed]:
    with (
        scripted(Server(lists, infos)) as server,
        Project(server.url, Secret("sb_secret_0123456789"), most_tries=1) as one,
    ):
        yield RowsAsListed(one)


def rows(index: RowsAsListed, scope: Selection = EVERYTHING) -> list[Json]:
    return [parse(line) for line in index.objects(scope)]


def test_an_object_that_is_moved_from_what_is_not_read_yet_to_what_is_read_already_is_not_lost() -> None:
    def lists(asked: Json) -> Json:
        if asked["limit"] == OTHER_PAGE:
            return page([shown("a, which was z"), shown("b"), shown("c")])
        # It was `z` when the first page was made, and is `a` when the second is.
        return page([shown("c")]) if "cursor" in asked else page([shown("b")], cursor="b")

    with listing(lists, lambda key: info(shown(key))) as index:
        assert [row["name"] for row in rows(index)] == ["a, which was z", "b", "c"]


def test_an_object_that_goes_between_the_lists_stays_to_be_missed_when_it_is_fetched() -> None:
    def lists(asked: Json) -> Json:
        return page([shown("b")] if asked["limit"] == OTHER_PAGE or asked["prefix"] else [shown("a"), shown("b")])

    with listing(lists, lambda key: info(shown(key)) if key == "b" else None) as index:
        assert [(row["name"], row["version"]) for row in rows(index)] == [("a", None), ("b", "v" + AT)]
        assert list(index.remarks()) == [LOST_IN_A_BACKUP]


def test_an_object_that_is_replaced_between_list_and_info_is_taken_as_it_is_then() -> None:
    def lists(asked: Json) -> Json:
        return page([shown("a", LATER, metadata={"eTag": '"new"'})] if asked["prefix"] else [shown("a")])

    with listing(lists, lambda key: info(shown(key, LATER), metadata={"of": "the new"})) as index:
        (row,) = rows(index)
    assert (row["version"], row["metadata"], row["user_metadata"]) == (
        "v" + LATER,
        {"eTag": '"new"'},
        {"of": "the new"},
    )
    assert row["updated_at"] == "2026-11-22 07:15:01+00"


def test_an_object_that_is_replaced_all_the_time_is_given_up_on_in_the_end() -> None:
    asked: list[str] = []

    def infos(key: str) -> Json:
        asked.append(key)
        return info(shown(key, LATER))

    with listing(lambda _: page([shown("a")]), infos) as index:
        assert [row["name"] for row in rows(index)] == ["a"]
    assert len(asked) == MOST_LOOKS


@pytest.mark.parametrize(
    "second", [["b"], ["a"], ["a", "z"], ["c", "b"]], ids=["the same", "back", "back and on", "out of order"]
)
def test_a_list_that_is_not_in_order_or_goes_round_in_circles_ends_the_backup(second: list[str]) -> None:
    def lists(asked: Json) -> Json:
        keys = second if "cursor" in asked else ["a", "b"]
        return page([shown(key) for key in keys], cursor="b")

    with listing(lists, lambda key: info(shown(key))) as index, pytest.raises(ApiError, match="isn't in order"):
        rows(index)


@pytest.mark.parametrize("said", [b"[]", b"{}", b"<html>", b'{"hasNext": true, "objects": []}', b"\xff"])
def test_what_is_no_list_ends_the_backup(said: bytes) -> None:
    with listing(lambda _: said, lambda key: None) as index, pytest.raises(ApiError):  # type: ignore[arg-type, return-value]
        rows(index)


def test_what_users_wrote_is_kept_to_the_letter_however_deep_it_is() -> None:
    deep = '{"a": ' + "[" * 5000 + "]" * 5000 + ',\n "n": 1.50, "long": 123456789012345678901234567890}'
    said = json.dumps(info(shown("a"))).replace('"metadata": {}', f'"metadata": {deep}').encode()
    with listing(lambda _: page([shown("a")]), lambda key: said) as index:  # type: ignore[arg-type, return-value]
        (line,) = index.objects(EVERYTHING)
    assert b"\n" not in line
    assert line.endswith(b'"n":1.50,"long":123456789012345678901234567890}}')


def test_only_what_is_meant_is_described() -> None:
    asked: list[str] = []

    def infos(key: str) -> Json:
        asked.append(key)
        return info(shown(key))

    with listing(lambda _: page([shown("a"), shown("b")]), infos) as index:
        assert [row["name"] for row in rows(index, Selection(("b",), ("b",)))] == ["b"]
        assert rows(index, Selection(("c",))) == []
    assert asked == ["b"]


@pytest.mark.parametrize("types", [[], ["image/*"], ["a b", "NULL", "", 'q"q', "b\\b", "c,c", "{}", "é"]])
def test_types_of_a_bucket_come_back_from_the_text_of_an_array(types: list[str]) -> None:
    assert mime_types({"allowed_mime_types": array_text(types)}) == types
