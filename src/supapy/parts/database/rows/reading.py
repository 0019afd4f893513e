"""The rows on their way into the script: begun as early as can be, read in the order of loading."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from supapy.events import Expected, Listener, ignore
from supapy.frames import framed
from supapy.parts.database.rows.tables import Rows, copy_statements
from supapy.project.moment import Moment
from supapy.project.moving import Moving
from supapy.project.pumps import Output
from supapy.project.schema import looked_into_tables
from supapy.project.stretches import STRETCH_BYTES, Stretches, stretches

STAGE = "database"
Tables = Sequence[tuple[Rows, Stretches]]


class Reading:
    """The rows of tables, read by up to `jobs` connections at once, also of one table. With `compress` they come
    compressed as well, for whoever takes them so."""

    def __init__(
        self, moment: Moment, saved: Sequence[Rows], jobs: int, *, compress: bool = False, listener: Listener = ignore
    ) -> None:
        self.saved = saved
        self._moment = moment
        self._jobs = jobs
        self._compress = compress
        self._listener = listener
        self._begun: tuple[Tables, Iterator[Output]] | None = None

    def without(self, lost: Collection[int]) -> list[Rows]:
        """The tables that are read, but for those that are `lost` (oids)."""
        return [rows for rows in self.saved if _has_place(rows, lost)]

    def begin(self, lost: Collection[int] = ()) -> None:
        """Begin to read ahead, but for the tables that are `lost` (oids)."""
        found = stretches(self._moment, (rows.table for rows in self.saved))
        looked_into = looked_into_tables(self._moment)
        tables = [(rows, found[rows.table.oid]) for rows in self.without(lost)]
        statements = [copy_statements(*each, looked_into) for each in tables]
        total = sum(size for _, (_, size) in tables)
        # Another connection takes longer to begin than one stretch takes to be read, and so does the first.
        jobs = min(self._jobs, total // STRETCH_BYTES)
        self._listener(Expected(STAGE, total))
        self._begun = tables, self._moment.pumped(statements, jobs, framed if self._compress else bytes)

    def outputs(self, lost: Collection[int] = ()) -> Iterator[tuple[Rows, Moving]]:
        """Each table's rows, in pieces, to be read to their end before the next; not those that are `lost`, which
        may have become known after the beginning."""
        if self._begun is None:
            self.begin(lost)
        assert self._begun is not None
        for (rows, found), output in zip(*self._begun, strict=True):
            moving = Moving(output, rows.table, found, STAGE, self._listener)
            if _has_place(rows, lost):
                yield rows, moving
            else:
                for _ in moving:
                    pass


def _has_place(rows: Rows, lost: Collection[int]) -> bool:
    """Whether they have a place in the script: what other parts bring back is never lost."""
    return rows.part != "database" or rows.table.oid not in lost
