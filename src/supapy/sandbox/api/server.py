"""The HTTP server of a sandbox: Storage and Auth behind one address, as behind a project's URL (F§1.1, F§2.1)."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from aiohttp import web

from supapy.sandbox.account import Account
from supapy.sandbox.api.call import Services
from supapy.sandbox.api.database import Database
from supapy.sandbox.api.dispatch import HEADERS_LIMIT_BYTES, Dispatcher
from supapy.sandbox.api.faults import Fault, Seen
from supapy.sandbox.api.files import Files
from supapy.sandbox.api.gateway import Gateway
from supapy.secret import Secret

HOST = "127.0.0.1"
# Requests remembered for tests: more than any test makes, little enough for a server that runs for weeks.
REQUESTS_KEPT = 100_000
# A request that still runs when the server stops gets this long.
SHUTDOWN_TIMEOUT_S = 0.5


class ApiServer:
    """Answers as a project's Storage and Auth servers do, and its account's Management API, on 127.0.0.1, from a thread
    of its own.

    `database_dsn` is the superuser's: each request becomes its own role inside. `storage_root` holds the bytes.
    `files` is what it keeps there; `requests` is what came in, newest last; `faults` may be filled at any time, the
    first that fits is taken.
    """

    def __init__(
        self, port: int, database_dsn: Secret, storage_root: Path, jwt_secret: Secret, ref: str, account: Account
    ) -> None:
        self.port = port
        self.requests: deque[Seen] = deque(maxlen=REQUESTS_KEPT)
        self.faults: list[Fault] = []
        self._name = f"sandbox-api-{ref}"
        self._gateway = Gateway(jwt_secret, ref)
        self._database_dsn = database_dsn
        self.files = Files(storage_root)
        self._jwt_secret = jwt_secret
        self._account = account
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    @property
    def secret_key(self) -> Secret:
        """The project's key of the new form, `sb_secret_…`."""
        return self._gateway.secret_key

    @property
    def publishable_key(self) -> Secret:
        """The project's public key of the new form, `sb_publishable_…`."""
        return self._gateway.publishable_key

    def start(self) -> int:
        """Starts, unless it runs, and returns the port; port 0 takes a free one. Raises OSError when it is taken.

        The database is first asked when a request needs it.
        """
        if self._thread is None:
            started: Future[int] = Future()
            thread = threading.Thread(target=self._run, args=(started,), name=self._name, daemon=True)
            thread.start()
            try:
                self.port = started.result()
            except BaseException:
                thread.join()
                raise
            self._thread = thread
        return self.port

    def stop(self) -> None:
        """Stops, if it runs; no connection to the database is left. It may be started again, on the same port."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = self._loop = None

    def _run(self, started: Future[int]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, started: Future[int]) -> None:
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        database = Database(self._database_dsn)
        services = Services(database, self.files, self._jwt_secret, self._account)
        dispatcher = Dispatcher(services, self._gateway, self.requests, self.faults)
        # One header may be longer than all may be together, so that the refusal is ours. Bodies are kept as they come.
        server = web.Server(
            dispatcher.handle,
            access_log=None,
            auto_decompress=False,
            max_field_size=2 * HEADERS_LIMIT_BYTES,
            max_line_size=2 * HEADERS_LIMIT_BYTES,
        )
        runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self.port).start()
            started.set_result(runner.addresses[0][1])
            await self._stopping.wait()
        finally:
            await runner.cleanup()
            await database.close()
