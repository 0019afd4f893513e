"""Servers of tests' own on 127.0.0.1: what accepts their connections, and lets none outlive them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def accepting(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port whose connections are served, each in a thread of its own; at the end of the block they are shut down, and
    all threads have ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connections.append(connection)
                thread = threading.Thread(target=serve, args=(connection,), daemon=True)
                threads.append(thread)
                thread.start()

        waiting = threading.Thread(target=accept, daemon=True)
        waiting.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            # Closing alone wouldn't wake the one that waits in accept.
            listener.shutdown(socket.SHUT_RDWR)
            waiting.join()
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
