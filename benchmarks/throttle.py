"""A line that gives each connection so many bytes a second: a proxy before a server on 127.0.0.1.

Run as a process of its own, `throttle.py PORT BYTES_PER_SECOND`; it prints its port, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

# Little enough that the flow is even.
PIECE_BYTES = 64 * 1024


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_per_second: float | None) -> None:
    """Pass on what comes until its end, not faster than that."""
    loop = asyncio.get_running_loop()
    free_at = loop.time()
    try:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
            if bytes_per_second:
                # What it didn't use is lost to a connection, as on a real line.
                free_at = max(free_at, loop.time()) + len(piece) / bytes_per_second
                await asyncio.sleep(free_at - loop.time())
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main(port: int, bytes_per_second: float) -> None:
    """Serve until whoever started it closes its end of standard input."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # At the end a connection may still be closing, which is nobody's concern any more.
        with suppress(asyncio.CancelledError):
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(relay(reader, back, None), relay(there, writer, bytes_per_second))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
