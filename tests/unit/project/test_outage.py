"""A server that fails every request, and one that fails some: the first ends the run, the second doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.scripted import Request, Scripted, reply, scripted

from supapy.errors import ApiError, Unreachable
from supapy.events import Event, Retrying
from supapy.project.http import MOST_FAILURES, Http
from supapy.secret import Secret


@contextmanager
def client(fails: frozenset[str], status: int = 500) -> Iterator[tuple[Http, Scripted]]:
    """A client of a server that always fails such requests."""

    def script(request: Request) -> object:
        return reply(status if request.target.partition("?")[0] in fails else 200, b"[]")

    with scripted(script) as server:  # type: ignore[arg-type]
        http = Http(server.url, Secret("key"), most_tries=1)
        try:
            yield http, server
        finally:
            http.close()


def outcome(http: Http, path: str) -> str:
    try:
        http.request("GET", path)
    except (ApiError, Unreachable) as error:
        return type(error).__name__
    return "well"


@pytest.mark.parametrize("status", [429, 500, 503, 544])
def test_a_service_that_is_down_is_given_up_after_five_requests(status: int) -> None:
    with client(frozenset({"/x", "/storage/v1/bucket"}), status) as (http, _):
        said = [outcome(http, "/x") for _ in range(MOST_FAILURES)]
    assert said == ["ApiError"] * (MOST_FAILURES - 1) + ["Unreachable"]


def test_many_objects_whose_bytes_are_gone_are_not_an_outage() -> None:
    with client(frozenset({"/x"})) as (http, server):
        assert {outcome(http, "/x") for _ in range(4 * MOST_FAILURES)} == {"ApiError"}
        asked = [request.target for request in server.requests]
    assert asked.count("/storage/v1/bucket?limit=1") == 4


def test_failures_with_successes_between_them_are_not_an_outage() -> None:
    with client(frozenset({"/x", "/storage/v1/bucket"})) as (http, _):
        assert {outcome(http, path) for path in ["/x", "/x", "/x", "/x", "/y"] * 5} == {"ApiError", "well"}


def test_what_is_missing_is_no_failure_of_the_service() -> None:
    with client(frozenset({"/x", "/storage/v1/bucket"}), 404) as (http, _):
        assert {outcome(http, "/x") for _ in range(4 * MOST_FAILURES)} == {"ApiError"}


@pytest.mark.parametrize(("told_after_s", "said"), [(0.0, 2), (3600.0, 0)])
def test_who_watches_hears_once_that_a_server_does_not_answer_and_anew_when_it_has_answered_since(
    told_after_s: float, said: int
) -> None:
    failing = iter((True, True, False, True, False))
    heard: list[Event] = []
    with scripted(lambda _: reply(503 if next(failing) else 200, b"[]")) as server:
        http = Http(server.url, Secret("key"), listener=heard.append, told_after_s=told_after_s)
        try:
            for _ in range(2):
                http.request("GET", "/x")
        finally:
            http.close()
    assert len(heard) == said
    assert all(isinstance(event, Retrying) and "503" in event.reason for event in heard)
