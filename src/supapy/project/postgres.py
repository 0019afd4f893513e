"""One connection to a project's database: opened with the settings every read and write needs, and errors told plainly.

Nothing outside this file and the database part knows which driver is used. A connection string is a `Secret`; the
password in it reaches the driver and the PostgreSQL programs' environment, never an argument list or a message.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Wait

from supapy.errors import AccessDenied, ConnectionLost, SqlError, Unreachable, UsageError, WrongConnection
from supapy.model import Piece
from supapy.project.usual import settings
from supapy.secret import Secret

Row = tuple[Any, ...]

# The driver logs what it raises as well, such as a COPY cut by Ctrl-C, and Python prints what nobody listens to.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

# Long enough for a connection over a slow line, short enough to be told of a wrong host.
CONNECT_TIMEOUT_S = 15
# The moment's connection is silent while files are fetched; what stands between forgets silent ones after minutes.
KEEPALIVE_AFTER_S = 60
# What a server that may be gone is given to cancel a statement.
CANCEL_TIMEOUT_S = 3
# One piece handed on: large enough that the cost per piece vanishes, small enough to stay in the cache.
PIECE_BYTES = 256 * 1024
# The transaction pooler (F§4.1): nothing set on it lasts longer than one transaction.
TRANSACTION_POOLER_PORT = "6543"

_DISK = "The project's disk is full: enlarge it in the dashboard (Settings > Compute and Disk), or free some space."
_LIMIT = "The server's limit on temporary files is too low for this: have temp_file_limit raised."
_LOCKED = "Another session holds a lock on it: end that one (pg_stat_activity shows it), then run the command again."
_READ_ONLY = "The database takes no changes now; on a hosted project it becomes so when its disk is full."
# What helps, by the server's SQLSTATE or, where that isn't told, by a part of its message.
_REMEDIES = (
    ("53100", _DISK),
    ("No space left on device", _DISK),
    ("could not extend file", _DISK),
    ("53400", _LIMIT),
    ("temp_file_limit", _LIMIT),
    ("55P03", _LOCKED),
    ("due to lock timeout", _LOCKED),
    ("25006", _READ_ONLY),
    ("in a read-only transaction", _READ_ONLY),
)

WITHOUT_DATABASE = (
    "Without SUPABASE_DB_URL files can be saved and restored: --no-database --no-auth. So can users be restored, "
    "though with less: --no-database --via api."
)
POOLER_HINT = (
    "Use the session pooler's string (port 5432, user postgres.<ref>) from the dashboard: "
    "Connect > Session pooler; it is reachable over IPv4."
)


def parse(dsn: Secret) -> dict[str, str]:
    """The parts of a connection string (libpq's names), checked: it names a host, not the transaction pooler."""
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(dsn.reveal()).items() if value is not None}
    except psycopg.ProgrammingError:
        parts = {}
    # An @ or / of a password that isn't encoded puts the rest of it into the host's or the database's place.
    if not parts or "@" in parts.get("host", "") + parts.get("dbname", ""):
        raise UsageError(
            "SUPABASE_DB_URL isn't a connection string",
            "It looks like postgresql://postgres:PASSWORD@db.REF.supabase.co:5432/postgres; characters such as @ / # "
            "in the password must be percent-encoded.",
        )
    if not parts.get("host") and not parts.get("hostaddr"):
        raise UsageError("SUPABASE_DB_URL names no host", "Copy it from the dashboard: Connect > Session pooler.")
    if parts.get("port") == TRANSACTION_POOLER_PORT:
        raise WrongConnection(
            "port 6543 is the transaction pooler, over which no snapshot can be held",
            "Use the same string with port 5432: the session pooler, or the direct connection.",
        )
    return parts


def numbers(values: Iterable[int]) -> str:
    """An array of numbers as a query's parameter: the driver takes half a second for a million of a list's."""
    return f"{{{','.join(map(str, values))}}}"


def no_database(what: str) -> UsageError:
    """The error for what can't be done without a connection string."""
    return UsageError(
        f"{what} needs SUPABASE_DB_URL, which is not set",
        f"Put it into .env or the environment; .env.example shows where to find it. {WITHOUT_DATABASE}",
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that its traffic needs no TLS."""
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def environment(dsn: Secret) -> dict[str, str]:
    """The connection as the variables that PostgreSQL's programs read; they are given nothing in their arguments."""
    named = {"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    named |= {"dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "options": "PGOPTIONS"}
    parts = _with_defaults(parse(dsn))
    return {"PGGSSENCMODE": "disable"} | {variable: parts[key] for key, variable in named.items() if key in parts}


def _with_defaults(parts: dict[str, str]) -> dict[str, str]:
    # GSS negotiation confuses the poolers (P25); a password must not cross a network in the clear.
    defaults = {"connect_timeout": str(CONNECT_TIMEOUT_S), "application_name": "supapy", "gssencmode": "disable"}
    defaults["keepalives_idle"] = str(KEEPALIVE_AFTER_S)
    if not is_loopback(parts.get("host", "")):
        defaults["sslmode"] = "require"
    return defaults | parts


class Session:
    """One open connection. SQL is sent as it is; values go as parameters. Not for use by two threads at once."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        # What the server has warned of, its main texts; whoever wants to tell takes them out.
        self.warnings: list[str] = []
        connection.add_notice_handler(self._hear)

    @property
    def server_version(self) -> int:
        """As PostgreSQL counts: 150020 is 15.20."""
        return self._connection.info.server_version

    def rows(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> list[Row]:
        """All rows of a query."""
        with told(), self._connection.cursor() as cursor:
            return cursor.execute(sql, params).fetchall()

    def once(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """The same: unlike a moment, a session may be given another answer each time."""
        return self.rows(sql, params or None)

    def several(
        self, queries: Sequence[str], params: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[list[str], list[Row]]]:
        """The names of the columns and all rows of several queries with the same values, in order. The server is at
        work on the next ones while one is looked at; nothing else may be asked until the last was taken."""
        with told(), self._connection.pipeline():
            cursors = [self._connection.execute(sql, params) for sql in queries]
            for cursor in cursors:
                rows = cursor.fetchall()
                yield [column.name for column in cursor.description or ()], rows

    def value(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row; None when there is no row."""
        rows = self.rows(sql, params)
        return rows[0][0] if rows else None

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> int:
        """Run a statement; gives the number of rows it touched."""
        with told(), self._connection.cursor() as cursor:
            return cursor.execute(sql, params).rowcount

    def copy_out(self, sql: str) -> Iterator[bytes]:
        """The output of a `COPY … TO STDOUT`, in pieces of whole lines."""
        with told(), self._connection.cursor() as cursor, cursor.copy(sql) as copy:
            rows, size = list[bytes | bytearray | memoryview](), 0
            for row in copy:
                rows.append(row)
                size += len(row)
                if size >= PIECE_BYTES:
                    yield b"".join(rows)
                    rows, size = [], 0
            if rows:
                yield b"".join(rows)

    def copies(self, statements: Sequence[str], take: Callable[[int, Piece], object]) -> None:
        """Hand over what several `COPY … TO STDOUT` put out, in pieces of whole lines, each with its statement's place
        among them. They are sent at once: of hundreds of small tables the asking takes most of the time, and by itself
        the driver asks for one thing at a time."""
        connection = self._connection
        with told():
            connection.pgconn.send_query("; ".join(statements).encode())
            connection.wait(_copied(connection.pgconn, len(statements), take))

    def copy_in(self, sql: str, pieces: Iterable[bytes]) -> int:
        """Feed a `COPY … FROM STDIN`; gives the number of rows loaded."""
        with told(), self._connection.cursor() as cursor:
            with cursor.copy(sql) as copy:
                for piece in pieces:
                    # The driver cuts what is large, and of bytes it would make copies.
                    copy.write(memoryview(piece))
            return cursor.rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: commits at the end, rolls back on any error."""
        with told(), self._connection.transaction():
            yield

    def close(self) -> None:
        self._connection.close()

    def abort(self) -> None:
        """End what another thread is doing with it: the statement is cancelled in the server, the connection cut."""
        with suppress(psycopg.Error, OSError):
            self._connection.cancel_safe(timeout=CANCEL_TIMEOUT_S)
        with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self.warnings.append(notice.message_primary or "")


def _copied(connection: PGconn, count: int, take: Callable[[int, Piece], object]) -> PQGen[None]:
    """What `copies` waits for, to the end."""
    yield from generators.send(connection)
    for number in range(count):
        yield from _result(connection)
        lines, size, got = list[memoryview](), 0, 0
        while got >= 0:
            got, line = connection.get_copy_data(1)
            if got > 0:
                lines.append(line)
                size += got
            elif got == 0:
                yield Wait.R
                connection.consume_input()
            if lines and (got < 0 or size >= PIECE_BYTES):
                # A large line is neither copied nor kept: it may be as large as all that there is room for.
                for piece in lines if len(lines[-1]) >= PIECE_BYTES else [b"".join(lines)]:
                    take(number, piece)
                del line, piece
                lines, size = [], 0
        yield from _result(connection)
    yield from _result(connection)


def _result(connection: PGconn) -> PQGen[None]:
    """What the server says next; raises its error, after which it says nothing more."""
    result = yield from generators.fetch(connection)
    if result is not None and result.status == ExecStatus.FATAL_ERROR:
        yield from generators.fetch(connection)
        raise psycopg.errors.error_from_result(result)


@contextmanager
def connect(dsn: Secret) -> Iterator[Session]:
    """A connection with `SETTINGS`, closed at the end. Raises what is wrong with it, with a hint."""
    parts = _with_defaults(parse(dsn))
    try:
        # Connection arguments go to libpq in memory; `options` is left to the user, so the settings are sent by SET.
        connection = psycopg.connect("", autocommit=True, prepare_threshold=None, **cast(dict[str, Any], parts))
    except psycopg.OperationalError as error:
        raise _why_not(parts, str(error)) from None
    except UnicodeError:
        raise UsageError("SUPABASE_DB_URL names a host that can't be one", "Copy it from the dashboard.") from None
    session = Session(connection)
    wanted = settings(session.server_version // 10_000)
    try:
        session.execute("SELECT " + ", ".join(f"set_config('{k}', '{v}', false)" for k, v in wanted.items()))
        yield session
    finally:
        connection.close()


@contextmanager
def told() -> Iterator[None]:
    """Turns the driver's errors into ours. The message is the server's primary one: details may quote rows."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if isinstance(error, psycopg.OperationalError) and error.sqlstate and not _ends_all(error):
            raise _sql_error(error) from None
        raise ConnectionLost(
            f"the connection to the database was lost: {_first_line(error)}",
            "Run the command again; if it happens every time, use the direct connection instead of the pooler.",
        ) from None
    except psycopg.Error as error:
        raise _sql_error(error) from None


def _ends_all(error: psycopg.OperationalError) -> bool:
    """Whether what the server says ends the connection. That another one could not be made, to a foreign server or a
    publisher, ends a statement only."""
    return (error.sqlstate or "").startswith(("57P", "08")) and error.diag.severity_nonlocalized != "ERROR"


def _sql_error(error: psycopg.Error) -> SqlError | AccessDenied:
    message = error.diag.message_primary or _first_line(error)
    if error.sqlstate == "42501":
        return AccessDenied(
            f"the database refused: {message}", "Connect as the project's postgres role, which supapy is made for."
        )
    sqlstate = error.sqlstate or ""
    detail = error.diag.message_detail or ""
    return SqlError(
        f"the database refused: {message}", remedy(f"{sqlstate} {message}"), sqlstate=sqlstate, detail=detail
    )


def remedy(said: str) -> str | None:
    """What helps against an error of the server, by its SQLSTATE or its text; None when nothing general can be said."""
    return next((hint for text, hint in _REMEDIES if text in said), None)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _why_not(parts: Mapping[str, str], text: str) -> Unreachable | AccessDenied | WrongConnection:
    host = parts.get("host", "")
    if "password authentication failed" in text or "no password supplied" in text:
        return AccessDenied(
            f"the database refused the password of {parts.get('user', 'the user')}",
            "Check SUPABASE_DB_URL; a forgotten password is set anew in the dashboard: Settings > Database. "
            "Repeated failures get an address banned for a while.",
        )
    if "Tenant or user not found" in text or ("tenant" in text.lower() and "not found" in text):
        return AccessDenied(
            "the pooler knows no such project or user", "The user is postgres.<ref>; the host names the region."
        )
    if "allow_list" in text:
        return AccessDenied(
            "this address is not in the project's network restrictions",
            "Allow it in the dashboard: Settings > Database > Network.",
        )
    if "SSL" in text and ("required" in text or "does not support SSL" in text):
        return WrongConnection(f"{host} and this connection disagree about TLS", "Set sslmode in SUPABASE_DB_URL.")
    if "Max client connections" in text or "too many" in text or "remaining connection slots" in text:
        return Unreachable("the database takes no more connections", "Close some, or try again in a minute.")
    if _only_ipv6(host) or "Network is unreachable" in text:
        return Unreachable(f"{host} is reachable over IPv6 only, and this machine has none", POOLER_HINT)
    if "resolve" in text or "translate host name" in text or "Name or service not known" in text:
        return Unreachable(
            f"no such host: {host}", f"Check SUPABASE_DB_URL; a paused project has no host either. {POOLER_HINT}"
        )
    return Unreachable(f"no connection to {host} port {parts.get('port', '5432')}", f"{_reason(text)}. {POOLER_HINT}")


def _reason(text: str) -> str:
    """What libpq gives as the reason; lines that begin with a tab are its advice."""
    lines = [line for line in text.strip().splitlines() if not line.startswith("\t")] or ["no answer"]
    return "The reason: " + lines[-1].rpartition(" failed: ")[2].removeprefix("FATAL:").strip().rstrip(".?")


def _only_ipv6(host: str) -> bool:
    """Whether a name has IPv6 addresses only and this machine has no way to reach one (F§4.1)."""
    if not host or is_loopback(host):
        return False
    try:
        kinds = {info[0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return kinds == {socket.AF_INET6}
