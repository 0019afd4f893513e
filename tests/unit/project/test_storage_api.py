"""Transfers over a bad line: never a short file, never two versions in one, nothing sent astray."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from tests.hostile import NAMES, names
from tests.scripted import Reply, Request, Scripted, reply, scripted
from tests.waiting import WaitingStorage

from supapy.errors import ApiError, Unreachable
from supapy.project.http import FIRST_PIECE_BYTES, Http
from supapy.project.saying import TUS_PIECE_BYTES, Said
from supapy.project.storage_api import MOST_STANDSTILLS, encoded
from supapy.secret import Secret

CONTENT = random.Random(1).randbytes(8 * FIRST_PIECE_BYTES + 7)


@contextmanager
def api(
    script: Callable[[Request], Reply] | list[Reply], **options: float
) -> Iterator[tuple[WaitingStorage, Scripted]]:
    with scripted(script) as server:
        http = Http(server.url, Secret("key"), **options)  # type: ignore[arg-type]
        try:
            yield WaitingStorage(http), server
        finally:
            http.close()


def head(status: int, **headers: object) -> bytes:
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\n{named}\r\n".encode()


def whole(content: bytes = CONTENT, etag: str = '"one"') -> Reply:
    return reply(200, content, ETag=etag)


def cut(at: int, then: str = "close", etag: str = '"one"') -> Reply:
    return Reply(head(200, Content_Length=len(CONTENT), ETag=etag) + CONTENT[:at], then)


def rest(request: Request, etag: str = '"one"', upto: int | None = None) -> Reply:
    """What an honest server answers to a range, as far as it gets."""
    start = int(re.fullmatch(r"bytes=(\d+)-", request.headers["range"])[1])  # type: ignore[index]
    said = head(
        206,
        Content_Length=len(CONTENT) - start,
        Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}",
        ETag=etag,
    )
    return Reply(said + CONTENT[start:upto], "keep" if upto is None else "close")


def fetched(storage: WaitingStorage, etag: str | None = None, size: int | None = None) -> bytes:
    return b"".join(storage.download("b", "k", etag, size))


# --- downloads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [FIRST_PIECE_BYTES, FIRST_PIECE_BYTES + 1, 2 * FIRST_PIECE_BYTES, len(CONTENT) - 1])
def test_a_download_that_breaks_off_goes_on_where_it_stopped(at: int) -> None:
    with api(lambda asked: rest(asked) if "range" in asked.headers else cut(at)) as (storage, server):
        assert fetched(storage, '"one"') == CONTENT
        assert len(server.requests) == 2
        start = int(server.requests[1].headers["range"].strip("bytes=-"))
    # A piece that was under way may be asked for again, nothing more.
    assert max(FIRST_PIECE_BYTES, at - 2 * FIRST_PIECE_BYTES) <= start <= at


def test_a_download_whose_connection_is_reset_arrives() -> None:
    answers = iter([cut(len(CONTENT) - 1, "reset")])
    script = lambda asked: rest(asked) if "range" in asked.headers else next(answers, whole())  # noqa: E731
    with api(script) as (storage, _):
        assert fetched(storage, '"one"') == CONTENT


def test_a_download_that_falls_silent_goes_on_where_it_stopped() -> None:
    script = lambda asked: rest(asked) if "range" in asked.headers else cut(FIRST_PIECE_BYTES + 9, "stall")  # noqa: E731
    with api(script, stall_after_s=0.3) as (storage, server):
        assert fetched(storage) == CONTENT
        assert len(server.requests) == 2


def test_a_download_that_breaks_off_again_and_again_arrives_as_long_as_it_gets_further() -> None:
    steps = iter(range(FIRST_PIECE_BYTES + 1, len(CONTENT), FIRST_PIECE_BYTES + 1))

    def script(asked: Request) -> Reply:
        at = next(steps, None)
        if "range" not in asked.headers:
            return cut(at or 0)
        return rest(asked, upto=at)

    with api(script) as (storage, server):
        assert fetched(storage) == CONTENT
        assert len(server.requests) > MOST_STANDSTILLS + 1


def test_a_download_that_gets_no_further_is_given_up() -> None:
    def script(asked: Request) -> Reply:
        return rest(asked, upto=2 * FIRST_PIECE_BYTES) if "range" in asked.headers else cut(2 * FIRST_PIECE_BYTES)

    with api(script, most_tries=1) as (storage, server), pytest.raises(Unreachable):
        fetched(storage)
    assert len(server.requests) <= MOST_STANDSTILLS + 2


def test_an_object_that_is_another_than_the_listed_one_is_refused_before_a_byte() -> None:
    with api([whole(etag='"two"')]) as (storage, server):
        with pytest.raises(ApiError) as caught:
            next(storage.download("b", "k", '"one"'))
        assert caught.value.status == 412
        assert server.wait_until_closed() or len(server.requests) == 1


def test_an_object_that_is_replaced_between_two_pieces_is_never_mixed() -> None:
    script = lambda asked: rest(asked, '"two"') if "range" in asked.headers else cut(FIRST_PIECE_BYTES + 1)  # noqa: E731
    for etag in ('"one"', None):
        with api(script) as (storage, _), pytest.raises(ApiError) as caught:
            fetched(storage, etag)
        assert caught.value.status == 412


@pytest.mark.parametrize("first", [{}, {"ETag": '"one"'}])
def test_a_server_that_does_not_say_which_version_goes_on_is_not_believed(first: dict[str, str]) -> None:
    def script(asked: Request) -> Reply:
        if "range" not in asked.headers:
            return Reply(head(200, Content_Length=len(CONTENT), **first) + CONTENT[: FIRST_PIECE_BYTES + 1], "close")
        honest = rest(asked).raw
        return Reply(honest.replace(b'ETag: "one"\r\n', b""), "keep")

    with api(script) as (storage, _), pytest.raises(ApiError) as caught:
        fetched(storage)
    assert caught.value.status == 412


@pytest.mark.parametrize("said", ['"one"', 'W/"one"', "one"])
def test_a_cache_that_marks_an_etag_as_weak_does_not_make_it_another(said: str) -> None:
    with api([whole(etag=said)]) as (storage, _):
        assert fetched(storage, '"one"') == CONTENT


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, CONTENT, ETag='"one"'),
        reply(206, CONTENT[5:], ETag='"one"', Content_Range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"),
        reply(206, CONTENT[5:], ETag='"one"'),
    ],
    ids=["from the start", "another range", "no range"],
)
def test_an_answer_that_is_not_the_range_asked_for_is_not_taken(answer: Reply) -> None:
    script = lambda asked: answer if "range" in asked.headers else cut(FIRST_PIECE_BYTES + 1)  # noqa: E731
    with api(script) as (storage, _), pytest.raises(ApiError) as caught:
        fetched(storage)
    assert caught.value.status == 416


def test_a_short_answer_that_does_not_tell_its_length_is_completed_when_the_size_is_known() -> None:
    def script(asked: Request) -> Reply:
        if "range" in asked.headers:
            return rest(asked)
        return Reply(head(200, ETag='"one"') + CONTENT[: FIRST_PIECE_BYTES + 5], "close")

    with api(script) as (storage, _):
        assert fetched(storage, '"one"', len(CONTENT)) == CONTENT


def test_an_object_shorter_than_its_row_says_is_an_error_about_it() -> None:
    def script(asked: Request) -> Reply:
        if "range" in asked.headers:
            return reply(416, b'{"statusCode":"416","message":"The requested range is not satisfiable"}')
        return Reply(head(200, ETag='"one"') + b"abc", "close")

    with api(script) as (storage, _), pytest.raises(ApiError) as caught:
        fetched(storage, '"one"', 10)
    assert caught.value.status == 416


@pytest.mark.parametrize("size", [0, 1, 5])
def test_small_and_empty_objects_arrive(size: int) -> None:
    with api(lambda _: whole(b"x" * size)) as (storage, server):
        assert fetched(storage, size=size) == b"x" * size
        assert len(server.requests) == 1


def test_a_missing_object_is_told_by_its_true_status() -> None:
    said = b'{"statusCode":"404","error":"not_found","message":"Object not found","code":"NoSuchKey"}'
    with api(lambda _: reply(400, said)) as (storage, _), pytest.raises(ApiError) as caught:
        fetched(storage)
    assert (caught.value.status, caught.value.code) == (404, "NoSuchKey")


def test_a_reader_who_stops_lets_go_of_the_connection() -> None:
    with api(lambda _: cut(2 * FIRST_PIECE_BYTES, "stall")) as (storage, server):
        pieces = storage.download("b", "k")
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        assert server.wait_until_closed()


# --- keys ------------------------------------------------------------------------------------------------------------


def served(target: str) -> tuple[str, str]:
    """Bucket and key as a server reads them that resolves dot segments first, and then decodes."""
    assert not re.search(r"/\.\.?(/|$)", target), "a dot segment would be resolved on the way"
    assert re.fullmatch(r"[!-~]*", target)
    assert "?" not in target
    assert "#" not in target
    bucket, _, key = target.removeprefix("/storage/v1/object/authenticated/").partition("/")
    return unquote(bucket), unquote(key)


def test_a_url_says_exactly_the_bucket_and_the_key() -> None:
    keys = [name for name in NAMES if name]
    pairs = [("b", key) for key in keys] + [(key, "k") for key in keys] + [("..", ".."), (".", "../../x")]
    with api(lambda _: whole(b"")) as (storage, server):
        for bucket, key in pairs:
            list(storage.download(bucket, key))
        asked = [served(one.target) for one in server.requests]
    assert asked == pairs


@settings(max_examples=500, deadline=None)
@given(names)
def test_an_encoded_key_is_the_key_and_has_no_way_out(key: str) -> None:
    target = encoded(key)
    assert unquote(target) == key
    assert target.count("/") == key.count("/")
    assert not {".", ".."} & set(target.split("/"))


# --- uploads ---------------------------------------------------------------------------------------------------------

BIG = random.Random(2).randbytes(2 * TUS_PIECE_BYTES + 1234)


def reader(content: bytes) -> Callable[[int, int | None], Iterator[bytes]]:
    return lambda start, end: iter([content[start:end]])


class Tus:
    """Takes an upload in pieces as the protocol wants it, and does what `faults` says before or after."""

    def __init__(self, location: str = "http://storage.invalid:5000/storage/v1/upload/resumable/YS9i") -> None:
        self.location = location
        self.received = b""
        self.metadata: dict[str, str] = {}
        self.faults: dict[int, str] = {}
        self.pieces = 0

    def __call__(self, asked: Request) -> Reply:
        assert asked.headers["tus-resumable"] == "1.0.0"
        if asked.method == "POST":
            pairs = (pair.split(" ") for pair in asked.headers["upload-metadata"].split(","))
            self.metadata = {name: base64.b64decode(value).decode() for name, value in pairs}
            assert asked.headers["x-upsert"] == "true"
            return reply(201, b"", Location=self.location)
        assert asked.target == "/storage/v1/upload/resumable/YS9i"
        if asked.method == "HEAD":
            return reply(200, b"", Upload_Offset=str(len(self.received)))
        if int(asked.headers["upload-offset"]) != len(self.received):
            return reply(409, b"Upload-Offset conflict\n")
        return self.take(asked.body)

    def take(self, body: bytes) -> Reply:
        self.pieces += 1
        fault = self.faults.pop(self.pieces, "")
        if fault == "lost request":
            return Reply(b"", "reset")
        if fault == "half":
            self.received += body[: len(body) // 2]
            return Reply(b"", "reset")
        self.received += body
        return Reply(b"", "close") if fault == "lost answer" else reply(204, b"", Upload_Offset=str(len(self.received)))


def upload(storage: WaitingStorage, content: bytes) -> None:
    storage.upload("b", "k/é", reader(content), len(content), Said("text/x", "max-age=7"))


def test_a_small_file_goes_up_in_one_request_over_what_stands_there() -> None:
    with api([reply()]) as (storage, server):
        upload(storage, b"abc")
        asked = server.requests[0]
    assert (asked.method, asked.target, asked.body) == ("POST", "/storage/v1/object/b/k/%C3%A9", b"abc")
    said = [asked.headers[name] for name in ("x-upsert", "content-type", "cache-control")]
    assert said == ["true", "text/x", "max-age=7"]


@pytest.mark.parametrize("size", [0, TUS_PIECE_BYTES])
def test_up_to_six_mebibytes_are_one_request(size: int) -> None:
    with api([reply()]) as (storage, server):
        upload(storage, BIG[:size])
        assert [one.method for one in server.requests] == ["POST"]


@pytest.mark.parametrize("size", [TUS_PIECE_BYTES + 1, 2 * TUS_PIECE_BYTES, len(BIG)])
def test_a_larger_file_goes_up_in_pieces_of_exactly_six_mebibytes(size: int) -> None:
    tus = Tus()
    with api(tus) as (storage, server):
        upload(storage, BIG[:size])
        sizes = [len(one.body) for one in server.requests if one.method == "PATCH"]
        assert server.requests[0].headers["upload-length"] == str(size)
    assert tus.received == BIG[:size]
    assert set(sizes[:-1]) <= {TUS_PIECE_BYTES}
    assert tus.metadata == {"bucketName": "b", "objectName": "k/é", "contentType": "text/x", "cacheControl": "7"}


@pytest.mark.parametrize("fault", ["lost request", "lost answer", "half"])
@pytest.mark.parametrize("piece", [1, 2, 3])
def test_a_piece_that_breaks_off_is_sent_again_from_where_the_server_is(fault: str, piece: int) -> None:
    tus = Tus()
    tus.faults[piece] = fault
    with api(tus) as (storage, _):
        upload(storage, BIG)
    assert tus.received == BIG


def test_an_upload_that_gets_no_further_is_given_up() -> None:
    def script(asked: Request) -> Reply:
        if asked.method == "POST":
            return reply(201, b"", Location="/storage/v1/upload/resumable/YS9i")
        return reply(204, b"", Upload_Offset="0")

    with api(script) as (storage, server), pytest.raises(Unreachable):
        upload(storage, BIG)
    assert len(server.requests) == 2


@pytest.mark.parametrize("headers", [{}, {"Location": ""}, {"Location": "nonsense"}, {"Location": "http://[x"}])
def test_a_server_that_answers_nonsense_is_an_error_of_ours(headers: dict[str, str]) -> None:
    def script(asked: Request) -> Reply:
        return reply(201, b"", **headers) if asked.method == "POST" else reply(204, b"", Upload_Offset="x")

    with api(script) as (storage, _), pytest.raises((ApiError, Unreachable)):
        upload(storage, BIG)


@pytest.mark.parametrize("body", [b"{}", b"null", b"7", b'"x"'])
def test_what_is_no_list_of_buckets_is_told(body: bytes) -> None:
    with api([reply(200, body)]) as (storage, _), pytest.raises(ApiError):
        storage.buckets()
