"""HTTP to a project's servers: one connection pool, one event loop in a thread of its own, calls that look ordinary.

Everything that goes wrong on the way becomes one of our errors here, and what another try can mend is tried again. The
service key goes to this project's own host only: redirects aren't followed, certificates are always checked (F§3).
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from supapy.errors import AccessDenied, ApiError, Interrupted, ProjectError, Unreachable
from supapy.model import Json
from supapy.retry import MOST_TRIES, Again, asked_wait_s, trying
from supapy.secret import Secret

T = TypeVar("T")

# More at once than any part asks for; the parts bound themselves.
MOST_CONNECTIONS = 64
CONNECT_TIMEOUT_S = 15
# A transfer without a byte for so long is dead, however slow the line.
STALL_AFTER_S = 60
# The first piece of an answer: what is smaller comes back in one turn between the threads.
FIRST_PIECE_BYTES = 1024 * 1024
PIECE_BYTES = 256 * 1024
# Worth another try (F§1.1): overload, a service that restarts, a database time-out behind it.
RETRYABLE = frozenset({423, 429, 500, 502, 503, 504, 544})
# A 500 may pass, but mostly it is what the server thinks of this one request: an object whose bytes are gone (F§1.5).
MOST_TRIES_AT_500 = 3
_STATUS = re.compile(r"[1-5][0-9][0-9]")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `status` is the true one: the Storage server wraps most errors into 400 (F§1.1)."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ApiError when it isn't."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ApiError(
                "the server's answer isn't JSON", "Is SUPABASE_URL the project's own address?", status=self.status
            ) from None


@dataclass(frozen=True, slots=True)
class Download:
    """An answer whose body is still coming: `first` is its begin, `more` gives a further piece, none at the end.

    It holds a connection until it is closed.
    """

    headers: Mapping[str, str]
    first: bytes
    more: Callable[[], bytes]
    close: Callable[[], None]

    def pieces(self) -> Iterator[bytes]:
        """The body. Raises Unreachable when it breaks off."""
        piece = self.first
        while piece:
            yield piece
            piece = self.more()


def true_status(status: int, body: bytes) -> tuple[int, str, str]:
    """Status, code and message of an error answer, from the body where it says more than the status line (F§1.1)."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return status, "", body[:200].decode("utf-8", "replace").strip()
    inner = str(said.get("statusCode", ""))
    code = said.get("error_code") or said.get("code") or said.get("error") or ""
    message = said.get("message") or said.get("msg") or said.get("error_description") or ""
    return int(inner) if _STATUS.fullmatch(inner) else status, str(code), str(message)


class Http:
    """Requests below one base URL with the project's key, each tried `most_tries` times at most. A connection that
    brings no byte for `stall_after_s` is given up. Safe to call from many threads."""

    def __init__(
        self, base_url: str, key: Secret, *, most_tries: int = MOST_TRIES, stall_after_s: float = STALL_AFTER_S
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._most_tries = most_tries
        self._stall_after_s = stall_after_s
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._hung_up = threading.Event()

    def request(
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

        def attempt() -> Answer:
            answer = self._run(self._whole(method, path, body, headers or {}))
            if answer.status in expect:
                return answer
            raise _refused(answer, f"{method} {path}")

        return trying(attempt, sleep=self._sleep, most_tries=self._most_tries)

    def request_json(self, method: str, path: str, body: Json | None = None) -> Answer:
        """`request` with a JSON body."""
        encoded = json.dumps(body).encode() if body is not None else None
        return self.request(
            method,
            path,
            body=encoded,
            headers={"Content-Type": "application/json"} if encoded is not None else {},
        )

    def download(self, path: str, *, start: int = 0) -> Download:
        """A body, from byte `start` on if the server can: `Content-Range` in the answer says that it did."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})

        def attempt() -> Download:
            response, first, done = self._run(self._open(path, headers))
            if response.status == 200 or (start and response.status == 206):
                more = partial(bytes) if done else partial(self._more, response)
                return Download(response.headers, first, more, partial(self._dispose, response))
            self._dispose(response)
            raise _refused(Answer(response.status, response.headers, first), f"GET {path}")

        return trying(attempt, sleep=self._sleep, most_tries=self._most_tries)

    def hang_up(self) -> None:
        """End all requests under way; whoever waits for one gets `Interrupted`."""
        self._hung_up.set()
        if self._loop:
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])

    def close(self) -> None:
        """End all requests and the thread behind them. Closing twice is safe."""
        self.hang_up()
        with self._lock:
            loop, thread, client = self._loop, self._thread, self._client
            self._loop = self._thread = self._client = None
        if loop and thread:
            if client:
                asyncio.run_coroutine_threadsafe(client.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _sleep(self, seconds: float) -> None:
        if self._hung_up.wait(seconds):
            raise Interrupted("interrupted")

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._hung_up.is_set():
            work.close()
            raise Interrupted("interrupted")
        future = asyncio.run_coroutine_threadsafe(self._tracked(work), self._running_loop())
        try:
            return future.result()
        except (CancelledError, asyncio.CancelledError):
            raise Interrupted("interrupted") from None
        except TimeoutError:
            raise Again(Unreachable(f"{self._base_url} stopped answering", "Run the command again later.")) from None
        except aiohttp.ClientError as error:
            raise _lost(self._base_url, error) from None
        except OSError as error:
            raise Again(Unreachable(f"the connection to {self._base_url} was lost: {error.strerror}")) from None

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._hung_up.is_set():
                # Between the look of whoever began it and here.
                work.close()
                raise Interrupted("interrupted")
            return await work
        finally:
            self._tasks.discard(task)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="supapy-http", daemon=True)
                self._thread.start()
            return self._loop

    async def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=self._stall_after_s
                ),
                headers=_key_headers(self._key),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        return self._client

    def _url(self, path: str) -> URL:
        # Already encoded: an object key must reach the server exactly as it is, `//` and dots included (F§1.3).
        return URL(self._base_url + path, encoded=True)

    async def _whole(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        client = await self._session()
        # As a file it goes out piece by piece: in one, a large body would hold up all the others.
        data = io.BytesIO(body) if body else body
        async with client.request(
            method, self._url(path), data=data, headers=headers, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def _open(self, path: str, headers: Mapping[str, str]) -> tuple[aiohttp.ClientResponse, bytes, bool]:
        client = await self._session()
        response = await client.get(self._url(path), headers=headers, allow_redirects=False)
        try:
            first = bytearray()
            while len(first) < FIRST_PIECE_BYTES:
                piece = await response.content.read(FIRST_PIECE_BYTES - len(first))
                if not piece:
                    response.release()
                    return response, bytes(first), True
                first += piece
            return response, bytes(first), False
        except BaseException:
            response.close()
            raise

    def _more(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return self._run(_read(response))
        except Again as again:
            # The begin was handed on already: whoever asked knows how to go on from there.
            raise again.error from None

    def _dispose(self, response: aiohttp.ClientResponse) -> None:
        loop = self._loop
        if loop and not response.closed:
            # Once it has hung up the connections are closed with the client.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(response.close)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    piece = bytearray()
    while len(piece) < PIECE_BYTES and (more := await response.content.read(PIECE_BYTES - len(piece))):
        piece += more
    return bytes(piece)


def _key_headers(key: Secret) -> dict[str, str]:
    """How the gateway wants the key (F§3): in both headers; it swaps an sb_ key that stands in both for a JWT."""
    return {"apikey": key.reveal(), "Authorization": f"Bearer {key.reveal()}", "User-Agent": "supapy"}


def _refused(answer: Answer, what: str) -> Exception:
    status, code, message = true_status(answer.status, answer.body)
    said = f"{what.split('?')[0]}: {status} {message or code or 'without a reason'}"
    if status in (401, 403):
        return AccessDenied(
            f"the project refused the key: {message or code or status}",
            "Check SUPABASE_KEY: it must be this project's service_role key or a secret key that is still valid.",
        )
    error: ProjectError = ApiError(said, status=status, code=code)
    if status not in RETRYABLE:
        return error
    wait_s = asked_wait_s(answer.headers.get("Retry-After"), time.time())
    return Again(error, wait_s, MOST_TRIES_AT_500 if status == 500 else MOST_TRIES)


def _lost(base_url: str, error: aiohttp.ClientError) -> Exception:
    host = urlsplit(base_url).hostname
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(f"no such host: {host}", "Check SUPABASE_URL; a paused project has no host either.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Unreachable(f"{host} has no valid certificate", "Something stands between this machine and the project.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Again(Unreachable(f"no connection to {host}: {error.os_error.strerror}", "Is the project running?"))
    return Again(Unreachable(f"the connection to {host} was lost: {type(error).__name__}", "Run the command again."))
