"""An HTTP server on 127.0.0.1 that says what the test tells it to: answers, lies, cuts and silences, byte for byte."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader

from tests.accepting import accepting


@dataclass
class Request:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """Raw bytes, and what comes after them: the next request ("keep"), the end ("close"), a "reset", or a "stall"."""

    raw: bytes
    then: str = "keep"


def reply(status: int = 200, body: bytes = b"", then: str = "keep", sized: bool = True, **headers: str) -> Reply:
    """An answer; a header's name has underscores for dashes. Unsized, it lasts until the connection is closed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if sized:
        named.setdefault("Content-Length", str(len(body)))
    head = f"HTTP/1.1 {status} Said\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return Reply(head.encode() + b"\r\n" + body, then if sized else "close")


Script = Callable[[Request], Reply]


@dataclass
class Scripted:
    """The running server. `requests` is what came in; `open` counts the connections that a client still holds."""

    url: str
    requests: list[Request] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    open: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_until_closed(self) -> bool:
        """Whether all connections are closed by the client, sooner or later."""
        with self.changed:
            return self.changed.wait_for(lambda: self.open == 0, timeout=20)


@contextmanager
def scripted(script: Script | Iterable[Reply]) -> Iterator[Scripted]:
    """A server that answers by the script: a function, or one reply for each request in turn."""
    answer = script if callable(script) else _in_turn(script)
    server = Scripted("")
    with accepting(lambda connection: _serve(server, connection, answer)) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server


def _in_turn(replies: Iterable[Reply]) -> Script:
    left = iter(replies)
    lock = threading.Lock()

    def answer(request: Request) -> Reply:
        with lock:
            return next(left, reply(599, b"more requests than the script has answers"))

    return answer


def _serve(server: Scripted, connection: socket.socket, answer: Script) -> None:
    with server.changed:
        server.open += 1
    try:
        with connection, connection.makefile("rb") as incoming:
            while request := _read(incoming):
                server.requests.append(request)
                said = answer(request)
                connection.sendall(said.raw)
                if said.then == "close":
                    return
                if said.then == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if said.then == "stall":
                    server.stalled.set()
                    incoming.read(1)
                    return
    except OSError:
        pass
    finally:
        with server.changed:
            server.open -= 1
            server.changed.notify_all()


def _read(incoming: BufferedReader) -> Request | None:
    line = incoming.readline().decode("latin-1")
    if not line:
        return None
    method, target, _ = line.split(" ", 2)
    headers: dict[str, str] = {}
    while (header := incoming.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(method, target, headers, incoming.read(int(headers.get("content-length", "0"))))
