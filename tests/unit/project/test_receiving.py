"""Large bodies, received into memory that is used again: every byte, in order, and none that another one lies upon."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from tests.scripted import Reply, Request, Scripted, reply, scripted

from supapy.errors import ApiError
from supapy.model import Piece
from supapy.project.http import LEAST_TAKEN_OVER_BYTES, Http
from supapy.project.receiving import MOST_AHEAD, PIECE_BYTES, Receiver
from supapy.project.storage_api import StorageApi
from supapy.secret import Secret

LOCALHOST = Path(__file__).parent.parent.parent / "localhost.pem"
CONTENT = random.Random(2).randbytes(LEAST_TAKEN_OVER_BYTES + 5 * PIECE_BYTES // 2)
SIZE = len(CONTENT)
SOME = CONTENT[: 17 * PIECE_BYTES + 5]
# Each call to `more` gives what was asked for, or this test would wait for ever.
LATEST_S = 60


# --- from a server ---------------------------------------------------------------------------------------------------


@contextmanager
def storage(script: Callable[[Request], Reply], **options: float) -> Iterator[tuple[StorageApi, Http, Scripted]]:
    with scripted(script) as server:
        http = Http(server.url, Secret("key"), **options)  # type: ignore[arg-type]
        try:
            yield StorageApi(http), http, server
        finally:
            http.close()


def answer(content: bytes, then: str = "keep", start: int = 0, etag: str = '"one"') -> Reply:
    """What comes of CONTENT from `start` on, which may be cut short."""
    status = "206 Said\r\nContent-Range: " + f"bytes {start}-{SIZE - 1}/{SIZE}" if start else "200 Said"
    head = f"HTTP/1.1 {status}\r\nContent-Length: {SIZE - start}\r\nETag: {etag}\r\n\r\n"
    return Reply(head.encode() + content, then)


def start_of(asked: Request) -> int:
    return int(asked.headers["range"].removeprefix("bytes=").removesuffix("-")) if "range" in asked.headers else 0


def fetched(api: StorageApi, http: Http, size: int = SIZE) -> tuple[str, list[type]]:
    """The digest of what a download brings, taken as everybody takes it, and what kinds of pieces it was."""
    digest, kinds = hashlib.sha256(), []

    async def fetch() -> None:
        await http.loop.pump(api.download("b", "k", None, size), digest.update, lambda piece: kinds.append(type(piece)))

    http.loop.run(fetch())
    return digest.hexdigest(), kinds


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_every_byte_of_a_large_body_comes_and_most_of_them_without_a_copy() -> None:
    with storage(lambda _: answer(CONTENT)) as (api, http, server):
        found, kinds = fetched(api, http)
        assert server.wait_until_closed()
    assert found == digest_of(CONTENT)
    assert kinds.count(memoryview) >= SIZE // PIECE_BYTES - 10


def test_a_body_that_is_encoded_or_comes_in_chunks_is_left_to_those_who_know_how_to_read_it() -> None:
    packer = zlib.compressobj(level=0, wbits=31)
    packed = packer.compress(CONTENT) + packer.flush()
    with storage(lambda _: reply(200, packed, Content_Encoding="gzip")) as (api, http, _):
        found, kinds = fetched(api, http)
    assert (found, memoryview in kinds) == (digest_of(CONTENT), False)
    chunks = (
        b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (CONTENT[: SIZE // 2], CONTENT[SIZE // 2 :]))
        + b"0\r\n\r\n"
    )
    head = b"HTTP/1.1 200 Said\r\nTransfer-Encoding: chunked\r\n\r\n"
    with storage(lambda _: Reply(head + chunks)) as (api, http, _):
        found, kinds = fetched(api, http)
    assert (found, memoryview in kinds) == (digest_of(CONTENT), False)


@pytest.mark.parametrize("at", [SIZE // 2, SIZE // 2 + 1, SIZE - 1])
@pytest.mark.parametrize("then", ["close", "reset", "stall"])
def test_a_large_body_that_breaks_off_in_its_middle_goes_on_there(at: int, then: str) -> None:
    def script(asked: Request) -> Reply:
        start = start_of(asked)
        return answer(CONTENT[start:], start=start) if start else answer(CONTENT[:at], then)

    with storage(script, stall_after_s=0.5 if then == "stall" else 60) as (api, http, server):
        assert fetched(api, http)[0] == digest_of(CONTENT)
        starts = [start_of(one) for one in server.requests]
    # What came before was handed on, down to the last byte; a reset takes with it what wasn't read yet.
    assert len(starts) == 2
    assert starts[1] == at if then != "reset" else 0 < starts[1] <= at


def test_a_large_body_of_another_version_is_not_joined_to_the_first() -> None:
    def script(asked: Request) -> Reply:
        start = start_of(asked)
        return answer(CONTENT[start:], start=start, etag='"two"') if start else answer(CONTENT[: SIZE // 2], "close")

    with storage(script) as (api, http, _), pytest.raises(ApiError) as caught:
        fetched(api, http)
    assert caught.value.status == 412


def test_what_comes_behind_the_end_is_not_taken_for_the_body() -> None:
    with storage(lambda _: answer(CONTENT + b"more than was promised")) as (api, http, _):
        assert fetched(api, http)[0] == digest_of(CONTENT)


# --- from a connection -----------------------------------------------------------------------------------------------


class Begin(asyncio.Protocol):
    """Whoever reads before: it keeps what comes until enough is there, and hears of the end."""

    def __init__(self) -> None:
        self.came = b""
        self.begun = asyncio.Event()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.came += data
        self.begun.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@asynccontextmanager
async def sent(content: bytes, *, encrypted: bool) -> AsyncIterator[tuple[asyncio.Transport, Begin]]:
    """A connection on which the content comes, of which the begin has been read."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        writer.close()

    ours = theirs = None
    if encrypted:
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(LOCALHOST)
        ours = ssl.create_default_context(cafile=LOCALHOST)
    server = await asyncio.start_server(send, "127.0.0.1", 0, ssl=theirs)
    loop = asyncio.get_running_loop()
    port = server.sockets[0].getsockname()[1]
    transport, begin = await loop.create_connection(Begin, "127.0.0.1", port, ssl=ours)
    try:
        await begin.begun.wait()
        yield transport, begin
    finally:
        transport.abort()
        await begin.lost.wait()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_piece_stays_as_it_is_while_somebody_has_it_or_a_view_of_it(encrypted: bool) -> None:
    async def receive() -> bytes:
        whole = bytearray()
        async with sent(SOME, encrypted=encrypted) as (transport, begin):
            receiver = Receiver(transport, begin.came, len(SOME) - len(begin.came), 60)
            held: deque[Piece] = deque()
            while piece := await receiver.more():
                held.append(piece if len(held) % 2 else memoryview(piece)[:])
                if len(held) == 5:
                    whole += held.popleft()
            for piece in held:
                whole += piece
        return bytes(whole)

    assert asyncio.run(asyncio.wait_for(receive(), LATEST_S)) == SOME


def test_the_connection_s_end_is_told_and_whoever_read_before_hears_of_it_too() -> None:
    async def receive() -> int:
        size = 0
        async with sent(CONTENT[: 2 * PIECE_BYTES], encrypted=False) as (transport, begin):
            receiver = Receiver(transport, begin.came, SIZE - len(begin.came), 60)
            with pytest.raises(ConnectionError):
                while piece := await receiver.more():
                    size += len(piece)
            await begin.lost.wait()
        return size

    assert asyncio.run(asyncio.wait_for(receive(), LATEST_S)) == 2 * PIECE_BYTES


class Line(asyncio.Transport):
    """A connection by hand: whether it is being read, and bytes put on it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True
        self._protocol: asyncio.BaseProtocol = Begin()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def bring(self, receiver: Receiver, most: int) -> set[int]:
        """Bring so many bytes, or as many as are read. Gives the memory they went to."""
        places: set[int] = set()
        while most > 0 and self.is_read:
            room = receiver.get_buffer(-1)
            count = min(most, len(room))
            places.add(id(room.obj))
            receiver.buffer_updated(count)
            most -= count
        return places


def test_nobody_reads_ahead_without_end_and_the_same_memory_is_used_again() -> None:
    async def receive() -> None:
        line = Line()
        receiver = Receiver(line, b"", 1000 * PIECE_BYTES, 60)
        places = line.bring(receiver, 1000 * PIECE_BYTES)
        assert not line.is_read
        for _ in range(1000):
            piece = await receiver.more()
            assert len(piece) == PIECE_BYTES
            places |= line.bring(receiver, 1000 * PIECE_BYTES)
        assert not await receiver.more()
        assert len(places) <= MOST_AHEAD + 2

    asyncio.run(asyncio.wait_for(receive(), LATEST_S))


def test_a_slow_line_is_not_a_silent_one_and_neither_is_one_that_nobody_read() -> None:
    async def receive() -> None:
        line = Line()
        receiver = Receiver(line, b"", 1000 * PIECE_BYTES, stall_after_s := 1.2)
        piece = asyncio.ensure_future(receiver.more())
        for _ in range(4):
            await asyncio.sleep(0.4 * stall_after_s)
            line.bring(receiver, PIECE_BYTES // 4)
        assert len(await piece) == PIECE_BYTES
        while line.is_read:
            line.bring(receiver, PIECE_BYTES)
        await asyncio.sleep(1.1 * stall_after_s)
        while (waiting := asyncio.ensure_future(receiver.more())) and not line.is_read:
            assert len(await waiting) == PIECE_BYTES
        while await asyncio.wait([waiting], timeout=0.1 * stall_after_s) and waiting.done():
            assert len(waiting.result()) == PIECE_BYTES
            waiting = asyncio.ensure_future(receiver.more())
        line.bring(receiver, 7)
        assert len(await waiting) == 7, "what came before the silence is handed on"
        with pytest.raises(TimeoutError):
            await receiver.more()

    asyncio.run(asyncio.wait_for(receive(), LATEST_S))
