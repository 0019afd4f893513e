"""A line to a server on 127.0.0.1 that breaks after so many bytes: all its connections at once."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.accepting import accepting

_PIECE_BYTES = 64 * 1024


@dataclass
class Line:
    """The running line. Once `cuts[0]` more bytes have come from the server, every connection is reset; so with each
    cut. `made` counts the connections."""

    port: int
    cuts: list[int]
    made: int = 0
    passed: int = 0
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cut(self) -> None:
        """Reset every connection that there is."""
        with self._lock:
            for pair in self._pairs:
                for end in pair:
                    with suppress(OSError):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        end.shutdown(socket.SHUT_RDWR)
            self._pairs.clear()

    def _take(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self.made += 1
            self._pairs.append((client, server))

    def _count(self, size: int) -> None:
        self.passed += size
        if self.cuts and self.passed >= self.cuts[0]:
            del self.cuts[0]
            self.passed = 0
            self.cut()


@contextmanager
def line_to(port: int, cuts: Sequence[int] = ()) -> Iterator[Line]:
    """A line to that port; it has a port of its own."""
    line = Line(0, list(cuts))
    with accepting(lambda client: _relay(line, client, port)) as line.port:
        yield line


def _relay(line: Line, client: socket.socket, port: int) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as server, suppress(OSError):
        line._take(client, server)
        while True:
            for end in select.select([client, server], [], [])[0]:
                piece = end.recv(_PIECE_BYTES)
                if not piece:
                    return
                (server if end is client else client).sendall(piece)
                if end is server:
                    line._count(len(piece))
