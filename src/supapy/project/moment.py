"""One instant of a project's database: a snapshot that stays open, and that other readers can join.

Everything a backup reads from Postgres is read here or with `--snapshot=<id>`, so that tables, users and the list of
storage objects belong together. The transaction is read only: a moment can't change anything.

A project whose database can't be asked has no instants: its moment is a time on this machine's clock, and every
question in SQL raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from supapy.errors import Unreachable
from supapy.model import Piece
from supapy.project.ahead import Ahead
from supapy.project.postgres import WITHOUT_DATABASE, Row, Session, connect, no_database
from supapy.project.pumps import Output, Pumps

if TYPE_CHECKING:
    from supapy.project.project import Project


@dataclass(frozen=True, slots=True)
class Moment:
    """An open snapshot. `snapshot` is the id pg_dump takes, None where there is none; `taken_at` is the server's clock
    at its begin. Whatever needs SQL raises UsageError in a project without a database."""

    project: Project
    _session: Session | None
    snapshot: str | None
    taken_at: datetime
    _ending: ExitStack = field(default_factory=ExitStack, repr=False)
    _answers: dict[tuple[str, tuple[Any, ...]], list[Row]] = field(default_factory=dict, repr=False)

    @property
    def session(self) -> Session:
        """The connection that holds the snapshot."""
        if self._session is None:
            raise no_database("this")
        return self._session

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.session.server_version // 10_000

    def rows(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> list[Row]:
        """All rows of a query, as the snapshot sees them."""
        return self.session.rows(sql, params)

    def once(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """The same, asked once: an instant has one answer. For small ones that are wanted in several places."""
        asked = sql, tuple(params)
        if asked not in self._answers:
            self._answers[asked] = self.rows(sql, params or None)
        return self._answers[asked]

    def several(
        self, queries: Sequence[str], params: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[list[str], list[Row]]]:
        """The names of the columns and all rows of several queries with the same values, in order, as the snapshot sees
        them; nothing else may be asked until the last was taken."""
        return self.session.several(queries, params)

    def value(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row; None when there is no row."""
        return self.session.value(sql, params)

    def copy_out(self, sql: str) -> Iterator[bytes]:
        """The output of a `COPY … TO STDOUT`, in pieces of whole lines. One at a time."""
        return self.session.copy_out(sql)

    @contextmanager
    def readers(self, jobs: int) -> Iterator[list[Session]]:
        """Up to `jobs` connections that see this instant, as many as the server spares; they end with the block."""
        with ExitStack() as ending:
            found: list[Session] = []
            while len(found) < jobs:
                try:
                    session = ending.enter_context(self.project.session())
                except Unreachable:
                    if not found:
                        raise
                    break
                session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                session.execute(f"SET TRANSACTION SNAPSHOT '{self.snapshot}'")
                found.append(session)
            yield found

    def pumped(
        self,
        groups: Sequence[Sequence[str]],
        jobs: int,
        prepare: Callable[[Piece], bytes] = bytes,
        *,
        large_rows: bool = False,
    ) -> Iterator[Output]:
        """For each group of `COPY … TO STDOUT` statements its output in pieces, each to be read to its end before the
        next. They are run by up to `jobs` connections at once, which end with the moment at the latest; `prepare` is
        done with each piece there. `large_rows`, of a hundred kilobytes, are read without psql. With no `jobs` at all
        they are few, and read by this one before anything else is."""
        if not jobs:
            ahead = Ahead(self.session, groups)
            self._ending.callback(ahead.close)
            return ahead.outputs()
        tools, dsn = self.project.tools(self.major), self.project.db_url
        assert self.snapshot is not None
        pumps = Pumps(
            tools, dsn, self.snapshot, groups, major=self.major, jobs=jobs, prepare=prepare, large_rows=large_rows
        )
        self._ending.callback(pumps.close)
        return pumps.outputs()


@contextmanager
def open_moment(project: Project) -> Iterator[Moment]:
    """A moment of the project, kept open until the end of the block."""
    if not project.has_database:
        yield Moment(project, None, None, datetime.now(UTC))
        return
    with ExitStack() as ending:
        try:
            session = ending.enter_context(connect(project.db_url))
        except Unreachable as error:
            error.hint = f"{error.hint} {WITHOUT_DATABASE}"
            raise
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot, taken_at = session.rows("SELECT pg_catalog.pg_export_snapshot(), pg_catalog.now()")[0]
        yield Moment(project, session, snapshot, taken_at, ending)
