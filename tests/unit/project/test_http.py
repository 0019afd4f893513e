"""Requests that go wrong in every way a network and a server know."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.scripted import Reply, Request, reply, scripted
from tests.waiting import download

from supapy.errors import AccessDenied, ApiError, Interrupted, SupapyError, Unreachable
from supapy.project.answers import true_status
from supapy.project.http import FIRST_PIECE_BYTES, MOST_AT_ONCE, Http
from supapy.secret import Secret

KEY = "the-service-key-that-nobody-else-may-see"


@contextmanager
def client(url: str, **options: float) -> Iterator[Http]:
    http = Http(url, Secret(KEY), **options)  # type: ignore[arg-type]
    try:
        yield http
    finally:
        http.close()


def test_a_request_carries_the_key_in_both_headers_and_gives_the_answer() -> None:
    with scripted([reply(200, b'{"a": 1}', X_Total_Count="7")]) as server, client(server.url) as http:
        answer = http.request("GET", "/storage/v1/bucket")
        assert (answer.status, answer.json(), answer.headers["x-total-count"]) == (200, {"a": 1}, "7")
        asked = server.requests[0]
    assert (asked.method, asked.target) == ("GET", "/storage/v1/bucket")
    assert (asked.headers["apikey"], asked.headers["authorization"]) == (KEY, f"Bearer {KEY}")


def test_a_body_is_sent_whole_with_its_length() -> None:
    with scripted([reply()]) as server, client(server.url) as http:
        http.request("POST", "/x", body=b"abc" * 100_000, headers={"Content-Type": "text/plain"})
        asked = server.requests[0]
    assert (asked.body, asked.headers["content-type"]) == (b"abc" * 100_000, "text/plain")


@pytest.mark.parametrize("path", ["/a//b", "/%2E%2E/x", "/a%2Fb", "/%20x%20", "/a+b%3Fc%23", "/%C3%A9"])
def test_a_path_goes_out_exactly_as_it_was_encoded(path: str) -> None:
    with scripted([reply()]) as server, client(server.url) as http:
        http.request("GET", path)
        assert server.requests[0].target == path


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "true"),
    [
        (400, b'{"statusCode":"404","error":"not_found","message":"Object not found","code":"NoSuchKey"}', 404),
        (400, b'{"statusCode":"409","error":"Duplicate","message":"The resource already exists"}', 409),
        (400, b'{"statusCode":413,"message":"too large"}', 413),
        (404, b'{"error_code":"user_not_found","msg":"User not found"}', 404),
        (400, b"not json at all", 400),
        (400, b"", 400),
        (400, b'"text"', 400),
        (400, '{"statusCode":"²"}'.encode(), 400),
        (400, b'{"statusCode":"99999999999"}', 400),
        (400, b"[" * 100_000, 400),
    ],
)
def test_the_true_status_is_the_one_in_the_body(status: int, body: bytes, true: int) -> None:
    assert true_status(status, body)[0] == true
    with scripted([reply(status, body)]) as server, client(server.url) as http:
        with pytest.raises(ApiError) as caught:
            http.request("GET", "/x")
        assert len(server.requests) == 1
    assert caught.value.status == true


@pytest.mark.parametrize(
    ("status", "body"), [(401, b""), (403, b""), (400, b'{"statusCode":"403","message":"jwt expired"}')]
)
def test_a_refused_key_is_told_as_such_after_one_try_without_showing_it(status: int, body: bytes) -> None:
    with scripted([reply(status, body)]) as server, client(server.url) as http:
        with pytest.raises(AccessDenied) as caught:
            http.request("GET", "/x")
        assert len(server.requests) == 1
    assert "SUPABASE_KEY" in (caught.value.hint or "")
    assert KEY not in f"{caught.value.message}{caught.value.hint}{caught.getrepr(showlocals=True)}"


@pytest.mark.parametrize("status", [423, 429, 502, 503, 504, 544])
def test_what_may_pass_is_tried_again(status: int) -> None:
    replies = [reply(status, b"", Retry_After="0"), reply(200, b"well")]
    with scripted(replies) as server, client(server.url) as http:
        assert http.request("GET", "/x").body == b"well"
        assert len(server.requests) == 2


def test_a_masked_overload_is_tried_again_too() -> None:
    replies = [reply(400, b'{"statusCode":"503","message":"LockTimeout"}'), reply(200, b"well")]
    with scripted(replies) as server, client(server.url) as http:
        assert http.request("GET", "/x").body == b"well"


def test_a_500_is_given_up_after_three_tries() -> None:
    with scripted(lambda _: reply(500, b'{"message":"Internal"}')) as server, client(server.url) as http:
        with pytest.raises(ApiError) as caught:
            http.request("GET", "/x")
        assert len(server.requests) == 3
    assert caught.value.status == 500


@pytest.mark.parametrize(
    "broken", [Reply(b"", "close"), Reply(b"", "reset"), Reply(b"HTTP/1.1 200 OK\r\nContent-", "close")]
)
def test_a_connection_that_breaks_is_made_again(broken: Reply) -> None:
    with scripted([broken, reply(200, b"well")]) as server, client(server.url) as http:
        assert http.request("POST", "/x", body=b"abc").body == b"well"
        assert [one.body for one in server.requests] == [b"abc", b"abc"]


def test_what_is_no_http_is_an_error_of_ours() -> None:
    with (
        scripted(lambda _: Reply(b"SSH-2.0-OpenSSH_9.2\r\n", "close")) as server,
        client(server.url, most_tries=2) as http,
        pytest.raises(Unreachable),
    ):
        http.request("GET", "/x")


def test_nobody_listening_is_told_with_the_host() -> None:
    with scripted([]) as server:
        url = server.url
    with client(url, most_tries=1) as http, pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        http.request("GET", "/x")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_stays_home(status: int) -> None:
    with (
        scripted([reply()]) as elsewhere,
        scripted(lambda _: reply(status, b"", Location=f"{elsewhere.url}/x")) as server,
    ):
        with client(server.url) as http:
            with pytest.raises(ApiError) as caught:
                http.request("GET", "/x")
            with pytest.raises(ApiError):
                download(http, "/x")
        assert elsewhere.requests == []
    assert caught.value.status == status


def test_an_answer_that_is_cut_short_is_no_answer() -> None:
    cut = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "close")
    with scripted([cut, reply(200, b"well")]) as server, client(server.url) as http:
        assert http.request("GET", "/x").body == b"well"


def test_a_server_that_falls_silent_is_given_up() -> None:
    with scripted([Reply(b"", "stall"), reply(200, b"well")]) as server, client(server.url, stall_after_s=0.2) as http:
        assert http.request("GET", "/x").body == b"well"


def test_json_that_is_none_is_told() -> None:
    with scripted([reply(200, b"<html>"), reply(200, b"[" * 100_000)]) as server, client(server.url) as http:
        for _ in range(2):
            with pytest.raises(ApiError, match="isn't JSON"):
                http.request("GET", "/x").json()


# --- downloads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, FIRST_PIECE_BYTES - 1, FIRST_PIECE_BYTES, FIRST_PIECE_BYTES + 1, 5_000_000])
def test_a_download_brings_every_byte(size: int) -> None:
    content = bytes(at % 251 for at in range(size))
    with (
        scripted([reply(200, content)]) as server,
        client(server.url) as http,
        closing(download(http, "/x")) as begun,
    ):
        assert b"".join(begun.pieces()) == content


def test_a_download_asks_for_the_bytes_as_they_are_kept() -> None:
    with scripted([reply(206, b"", Content_Range="bytes 5-9/10")]) as server, client(server.url) as http:
        download(http, "/x", start=5).close()
        headers = server.requests[0].headers
    assert (headers["accept-encoding"], headers["range"]) == ("identity", "bytes=5-")


def test_a_download_that_breaks_off_says_so_instead_of_ending() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n"
    with scripted([Reply(head + b"x" * 3_000_000, "close")]) as server, client(server.url) as http:
        begun = download(http, "/x")
        with pytest.raises(Unreachable):
            for _ in begun.pieces():
                pass
        begun.close()


ENDLESS = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 2_000_000, "stall")


def test_a_download_that_is_given_up_lets_go_of_its_connection() -> None:
    """More of them than there are connections: none may keep one."""
    with scripted(lambda _: ENDLESS) as server, client(server.url) as http:
        for read in range(MOST_AT_ONCE + 8):
            begun = download(http, "/x")
            if read % 2:
                next(begun.pieces())
            begun.close()
        assert server.wait_until_closed()


def test_a_download_that_is_refused_lets_go_of_its_connection() -> None:
    refused = Reply(ENDLESS.raw.replace(b"200", b"404", 1), "stall")
    with scripted(lambda _: refused) as server, client(server.url) as http:
        for _ in range(MOST_AT_ONCE + 8):
            with pytest.raises(ApiError):
                download(http, "/x")
        assert server.wait_until_closed()


# --- hanging up ------------------------------------------------------------------------------------------------------


def waiting(http: Http, answers: list[object]) -> threading.Thread:
    def wait() -> None:
        try:
            answers.append(http.request("GET", "/x"))
        except SupapyError as error:
            answers.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_hanging_up_ends_a_request_that_waits_at_once() -> None:
    with scripted([Reply(b"", "stall")]) as server, client(server.url) as http:
        answers: list[object] = []
        thread = waiting(http, answers)
        assert server.stalled.wait(20)
        http.hang_up()
        thread.join(20)
        assert not thread.is_alive()
        assert [type(answer) for answer in answers] == [Interrupted]


def test_hanging_up_ends_a_download_in_its_middle() -> None:
    with scripted([ENDLESS]) as server, client(server.url) as http:
        begun = download(http, "/x")
        answers: list[BaseException] = []

        def read() -> None:
            try:
                for _ in begun.pieces():
                    pass
            except Interrupted as error:
                answers.append(error)
            begun.close()

        thread = threading.Thread(target=read)
        thread.start()
        assert server.stalled.wait(20)
        http.hang_up()
        thread.join(20)
        assert not thread.is_alive()
        assert len(answers) == 1


def test_hanging_up_ends_a_wait_before_another_try() -> None:
    asked = threading.Event()

    def busy(_: Request) -> Reply:
        asked.set()
        return reply(503, b"", Retry_After="100")

    with scripted(busy) as server, client(server.url) as http:
        answers: list[object] = []
        thread = waiting(http, answers)
        assert asked.wait(20)
        http.hang_up()
        thread.join(20)
        assert not thread.is_alive()
        assert [type(answer) for answer in answers] == [Interrupted]


def test_after_hanging_up_nothing_is_sent() -> None:
    with scripted(lambda _: reply()) as server, client(server.url) as http:
        http.hang_up()
        with pytest.raises(Interrupted):
            http.request("GET", "/x")
        with pytest.raises(Interrupted):
            download(http, "/x")
        assert server.requests == []


def test_requests_that_begin_while_someone_hangs_up_end_too() -> None:
    for _ in range(50):
        with scripted(lambda _: Reply(b"", "stall")) as server, client(server.url) as http:
            answers: list[object] = []
            threads = [waiting(http, answers) for _ in range(4)]
            http.hang_up()
            for thread in threads:
                thread.join(20)
            assert [type(answer) for answer in answers] == [Interrupted] * 4


def test_closing_twice_or_before_anything_was_asked_is_safe() -> None:
    http = Http("http://127.0.0.1:9", Secret(KEY))
    http.close()
    http.close()
    before = threading.active_count()
    with scripted([reply()]) as server, client(server.url) as used:
        used.request("GET", "/x")
        used.close()
    assert threading.active_count() == before
