"""HTTP to a project's servers: one connection pool on one event loop.

Everything that goes wrong on the way becomes one of our errors here, and what another try can mend is tried again. The
service key goes to this project's own host only: redirects aren't followed, certificates are always checked (F§3).
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from supapy.errors import ApiError, Unreachable
from supapy.events import Listener, Retrying, ignore
from supapy.loop import Loop
from supapy.model import Json, Piece
from supapy.project.answers import OVERLOADED, RETRYABLE, Answer, refused, true_status
from supapy.project.pace import Pace
from supapy.project.receiving import Receiver
from supapy.retry import MOST_TRIES, Again, trying
from supapy.secret import Secret

T = TypeVar("T")

# Enough to hide a network's delays; `--concurrency` changes it.
MOST_AT_ONCE = 32
CONNECT_TIMEOUT_S = 15
# A transfer without a byte for so long is dead, however slow the line.
STALL_AFTER_S = 60
# Whoever watches wonders from then on whether anything happens at all: with all its tries a request may take minutes.
TOLD_AFTER_S = 3.0
# The first piece of an answer: what is smaller comes in one.
FIRST_PIECE_BYTES = 1024 * 1024
PIECE_BYTES = 256 * 1024
# What may have come before it is read, twice: with less a fast line is stopped and started at every piece.
READ_AHEAD_BYTES = 512 * 1024
# With so much of a body to come, its connection is taken out of aiohttp's hands and closed at the end: with less that
# isn't worth another connection for the request after it.
LEAST_TAKEN_OVER_BYTES = 32 * 1024 * 1024
# Requests in a row that failed for good, each after all its tries: then the service is asked how it is.
MOST_FAILURES = 5
# What may stand in a header.
_SENDABLE = re.compile(r"[\x21-\x7e]+")
_HEALTH = "/storage/v1/bucket?limit=1"


@dataclass(frozen=True, slots=True)
class Download:
    """An answer whose body is still coming: `first` is its begin, `more` gives a further piece, none at the end.

    It holds a connection until it is closed.
    """

    headers: Mapping[str, str]
    first: bytes
    more: Callable[[], Awaitable[Piece]]
    close: Callable[[], None]

    async def pieces(self) -> AsyncIterator[Piece]:
        """The body. Raises Unreachable when it breaks off."""
        piece: Piece = self.first
        while piece:
            yield piece
            piece = await self.more()


class Http:
    """Requests below one base URL with the project's key, each tried `most_tries` times at most, `at_once` at the same
    time or fewer. A connection that brings no byte for `stall_after_s` is given up. Before a project's servers stands a
    gateway that wants the key twice; where none does (`is_gateway`) it is sent as a token alone. The `listener` hears,
    from whichever thread, when nothing is answered well for `told_after_s`.

    What isn't a coroutine here may be called from any thread but the loop's.
    """

    def __init__(
        self,
        base_url: str,
        key: Secret,
        *,
        most_tries: int = MOST_TRIES,
        at_once: int = MOST_AT_ONCE,
        stall_after_s: float = STALL_AFTER_S,
        is_gateway: bool = True,
        listener: Listener = ignore,
        told_after_s: float = TOLD_AFTER_S,
    ) -> None:
        self.loop = Loop()
        self.at_once = at_once
        self._base_url = base_url
        self._headers = _key_headers(key, is_gateway=is_gateway)
        self._most_tries = most_tries
        self._stall_after_s = stall_after_s
        self._pace = Pace(at_once)
        self._failures = 0
        self._listener = listener
        self._told_after_s = told_after_s
        self._answered_at = 0.0
        self._is_told = False
        self._client: aiohttp.ClientSession | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        expect: frozenset[int] = frozenset({200}),
    ) -> Answer:
        """`ask`, waited for."""
        return self.loop.run(self.ask(method, path, body=body, headers=headers, expect=expect))

    def request_json(self, method: str, path: str, body: Json | None = None) -> Answer:
        """`request` with a JSON body."""
        encoded = json.dumps(body).encode() if body is not None else None
        return self.request(
            method,
            path,
            body=encoded,
            headers={"Content-Type": "application/json"} if encoded is not None else {},
        )

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        expect: frozenset[int] = frozenset({200}),
    ) -> Answer:
        """The answer to one request; `path` is below the base URL and already percent-encoded.

        A status outside `expect` raises ApiError (AccessDenied for 401 and for 403), after the tries that are worth it.
        """

        async def attempt() -> Answer:
            await self._pace.enter()
            try:
                answer = await self._whole(method, path, body, headers or {})
            finally:
                self._pace.leave()
            if answer.status in expect:
                return answer
            raise refused(answer, f"{method} {path}")

        return await self._tried(attempt)

    async def download(self, path: str, *, start: int = 0) -> Download:
        """A body, from byte `start` on if the server can: `Content-Range` in the answer says that it did."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})

        async def attempt() -> Download:
            await self._pace.enter()
            try:
                response, first, done = await self._open(path, headers)
            except BaseException:
                self._pace.leave()
                raise
            download = self._begun(response, first, done)
            if response.status == 200 or (start and response.status == 206):
                return download
            download.close()
            raise refused(Answer(response.status, response.headers, first), f"GET {path}")

        return await self._tried(attempt)

    def hang_up(self) -> None:
        """End all requests under way; whoever waits for one gets `Interrupted`."""
        self.loop.hang_up()

    def close(self) -> None:
        """End all requests and the thread behind them. Closing twice is safe."""
        self.loop.close(self._client.close if self._client else None)

    async def _tried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async def told() -> T:
            try:
                result = await attempt()
            except Again as again:
                if isinstance(again.error, ApiError) and again.error.status in OVERLOADED:
                    self._pace.too_much()
                raise
            except TimeoutError:
                self._pace.too_much()
                silent = Unreachable(f"{self._base_url} stopped answering", "Run the command again later.")
                raise Again(silent) from None
            except aiohttp.ClientError as error:
                raise _lost(self._base_url, error) from None
            except OSError as error:
                raise Again(Unreachable(f"the connection to {self._base_url} was lost: {error.strerror}")) from None
            self._pace.kept_up()
            self._answered_at, self._is_told = time.monotonic(), False
            return result

        begun_at = time.monotonic()
        try:
            result = await trying(told, most_tries=self._most_tries, told=partial(self._tell, begun_at))
        except ApiError as error:
            self._failures = self._failures + 1 if error.status in RETRYABLE else 0
            if self._failures >= MOST_FAILURES:
                await self._check_health(error)
            raise
        self._failures = 0
        return result

    def _tell(self, begun_at: float, again: Again) -> None:
        """Say once that nothing is answered well, of one request or of all, for a while."""
        silent_s = time.monotonic() - max(begun_at, self._answered_at)
        if silent_s >= self._told_after_s and not self._is_told:
            self._is_told = True
            self._listener(Retrying(again.error.message))

    async def _check_health(self, last: ApiError) -> None:
        """Raises when it isn't these requests that the server can't answer, but any (an outage)."""
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            answer = await self._whole("GET", _HEALTH, None, {})
            if true_status(answer.status, answer.body)[0] not in RETRYABLE:
                self._failures = 0
                return
        raise Unreachable(
            f"{self._base_url} fails every request, {self._failures} in a row so far; the last: {last.message}",
            "The service is down or overloaded: run the command again later.",
        )

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=self._stall_after_s
                ),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                read_bufsize=READ_AHEAD_BYTES,
            )
        return self._client

    def _url(self, path: str) -> URL:
        # Already encoded: an object key must reach the server exactly as it is, `//` and dots included (F§1.3).
        return URL(self._base_url + path, encoded=True)

    async def _whole(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        # As a file it goes out piece by piece: in one, a large body would hold up all the others.
        data = io.BytesIO(body) if body and len(body) > PIECE_BYTES else body
        async with self._session().request(
            method, self._url(path), data=data, headers=headers, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def _open(self, path: str, headers: Mapping[str, str]) -> tuple[aiohttp.ClientResponse, bytes, bool]:
        response = await self._session().get(self._url(path), headers=headers, allow_redirects=False)
        try:
            first, done = await _read(response, FIRST_PIECE_BYTES)
        except BaseException:
            response.close()
            raise
        return response, first, done

    def _begun(self, response: aiohttp.ClientResponse, first: bytes, done: bool) -> Download:
        left = False

        def close() -> None:
            nonlocal left
            if not left:
                left = True
                self._pace.leave()
                response.close()

        rest: Callable[[], Awaitable[Piece]] | None = None

        async def more() -> Piece:
            nonlocal rest
            if done:
                return b""
            try:
                if rest is None:
                    receiver = _taken_over(response, len(first), self._stall_after_s)
                    rest = receiver.more if receiver else partial(_read_on, response)
                return await rest()
            except TimeoutError:
                self._pace.too_much()
                raise Unreachable(f"{self._base_url} stopped answering") from None
            except (aiohttp.ClientError, OSError) as error:
                # The begin was handed on already: whoever asked knows how to go on from there.
                raise Unreachable(f"the connection was lost: {type(error).__name__}") from None

        return Download(response.headers, first, more, close)


async def _read(response: aiohttp.ClientResponse, most: int) -> tuple[bytes, bool]:
    """The next bytes of a body, `most` unless it ends before, and whether it has ended."""
    piece = await response.content.read(most)
    if not piece or len(piece) == most:
        return piece, not piece
    pieces, size = [piece], len(piece)
    while size < most:
        piece = await response.content.read(most - size)
        if not piece:
            return b"".join(pieces), True
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), False


def _taken_over(response: aiohttp.ClientResponse, done: int, stall_after_s: float) -> Receiver | None:
    """Who receives what follows on the first `done` bytes of a body; None where aiohttp must go on, because the body is
    encoded in some way or little is to come."""
    length, connection = response.content_length, response.connection
    transport = connection.transport if connection else None
    if length is None or length - done < LEAST_TAKEN_OVER_BYTES or transport is None or transport.is_closing():
        return None
    if "Content-Encoding" in response.headers or "Transfer-Encoding" in response.headers:
        return None
    # What its parser still holds back comes as soon as the stream has room: an empty stream has given all of it.
    came = b"".join(iter(response.content.read_nowait, b""))
    return Receiver(transport, came, length - done - len(came), stall_after_s)


async def _read_on(response: aiohttp.ClientResponse) -> bytes:
    return (await _read(response, PIECE_BYTES))[0]


def can_be_sent(key: Secret) -> bool:
    """Whether a key or a token holds only what may stand in a header."""
    return _SENDABLE.fullmatch(key.reveal()) is not None


def _key_headers(key: Secret, *, is_gateway: bool) -> dict[str, str]:
    """How the gateway wants the key (F§3): in both headers; it swaps an sb_ key that stands in both for a JWT."""
    twice = {"apikey": key.reveal()} if is_gateway else {}
    return {**twice, "Authorization": f"Bearer {key.reveal()}", "User-Agent": "supapy"}


def _lost(base_url: str, error: aiohttp.ClientError) -> Exception:
    host = urlsplit(base_url).hostname
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(f"no such host: {host}", "Check SUPABASE_URL; a paused project has no host either.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Unreachable(f"{host} has no valid certificate", "Something stands between this machine and the project.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Again(Unreachable(f"no connection to {host}: {error.os_error.strerror}", "Is the project running?"))
    return Again(Unreachable(f"the connection to {host} was lost: {type(error).__name__}", "Run the command again."))
