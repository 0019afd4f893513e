"""The project's database as the two servers see it: each request runs as its own role, so that RLS is real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from supapy.secret import Secret

# Few, as real servers are kept to by their pool; a project's database has about 100 in all.
CONNECTIONS = 6

# Deletions by SQL are refused by a trigger but for those of the Storage server (F§1.9). UTC: times become text here.
_OPTIONS = "-c TimeZone=UTC -c storage.allow_delete_query=true -c extra_float_digits=1"
_BECOME = """
    select set_config('role', %s, false), set_config('search_path', %s, false),
           set_config('request.jwt.claims', %s, false), set_config('request.jwt.claim.role', %s, false),
           set_config('request.jwt.claim.sub', %s, false), set_config('storage.operation', %s, false)
"""

Parameters = Sequence[object] | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Identity:
    """On whose behalf a statement runs. `claims` is the token's content in JSON."""

    role: str
    claims: str = ""
    subject: str = ""
    operation: str = ""
    search_path: str = "storage, public, extensions"


# What the Storage server does on its own account, past RLS.
STORAGE_SERVER = Identity("service_role", '{"role":"service_role"}')
# The Auth server has its own role, and only its own schema in sight: unqualified names in users' triggers fail (F§4.3).
AUTH_SERVER = Identity("supabase_auth_admin", search_path="auth")
# The cluster's superuser, for what the Auth server does outside the database: hashing.
SUPERUSER = Identity("none")


def shown_time(column: str) -> str:
    """SQL: a time as the Storage server shows it, in UTC with milliseconds."""
    return f"""to_char({column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


# The three of an object.
OBJECT_TIMES = ", ".join(
    f"{shown_time(column)} as {column}" for column in ("updated_at", "created_at", "last_accessed_at")
)


class Session:
    """A connection in the hands of one request. Statements commit by themselves outside `transaction()`."""

    def __init__(self, connection: psycopg.AsyncConnection[DictRow]) -> None:
        self._connection = connection
        self.identity: Identity | None = None

    async def rows(self, query: str, parameters: Parameters = ()) -> list[DictRow]:
        """All rows that the statement returns."""
        return await (await self._connection.execute(query, parameters)).fetchall()

    async def row(self, query: str, parameters: Parameters = ()) -> DictRow | None:
        """The first row, if any."""
        return await (await self._connection.execute(query, parameters)).fetchone()

    async def run(self, query: str, parameters: Parameters = ()) -> int:
        """How many rows the statement touched."""
        return (await self._connection.execute(query, parameters)).rowcount

    @asynccontextmanager
    async def transaction(self, *, keep: bool = True) -> AsyncIterator[None]:
        """All or nothing; with `keep=False` nothing in any case: a question whether it would be allowed."""
        async with self._connection.transaction(force_rollback=not keep):
            yield

    async def become(self, identity: Identity) -> None:
        """Everything that follows runs as this role, with these claims."""
        if identity != self.identity:
            self.identity = None
            await self._connection.execute(
                _BECOME,
                (
                    identity.role,
                    identity.search_path,
                    identity.claims,
                    identity.role,
                    identity.subject,
                    identity.operation,
                ),
            )
            self.identity = identity

    @property
    def usable(self) -> bool:
        """Whether another request can have it."""
        return not self._connection.closed and self._connection.info.transaction_status == TransactionStatus.IDLE

    async def close(self) -> None:
        """Ends the connection."""
        await self._connection.close()


class Database:
    """A few connections, made when needed and kept. All calls come from one event loop."""

    def __init__(self, dsn: Secret) -> None:
        self._dsn = dsn
        self._idle: list[Session] = []
        self._free = asyncio.Semaphore(CONNECTIONS)

    @asynccontextmanager
    async def session(self, identity: Identity) -> AsyncIterator[Session]:
        """A connection that acts as `identity`."""
        async with self._free:
            session = self._take(identity) or await self._connect()
            try:
                await session.become(identity)
                yield session
            finally:
                if session.usable:
                    self._idle.append(session)
                else:
                    await session.close()

    async def close(self) -> None:
        """Ends the connections."""
        while self._idle:
            await self._idle.pop().close()

    def _take(self, identity: Identity) -> Session | None:
        """An idle connection, rather one that has this identity already: becoming costs a round trip."""
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index].identity == identity:
                return self._idle.pop(index)
        return self._idle.pop() if self._idle else None

    async def _connect(self) -> Session:
        connect: Any = psycopg.AsyncConnection.connect
        return Session(await connect(self._dsn.reveal(), autocommit=True, row_factory=dict_row, options=_OPTIONS))
