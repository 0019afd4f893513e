"""A table's rows on their way out of a project: counted, and told of while they pass."""

from __future__ import annotations

from collections.abc import Iterator

from supapy.events import Listener, TableBegun, TableEnded, TableMoved
from supapy.project.pumps import Output
from supapy.project.schema import Table
from supapy.project.stretches import Stretches
from supapy.stream import newlines


class Moving:
    """The rows of one table, to be read once; `rows` and `bytes` (of text) are what has passed so far.

    A table is told to be done as far as its stretches were read, by the room they take on the server: how long their
    text is nobody knows before.
    """

    def __init__(self, output: Output, table: Table, stretches: Stretches, stage: str, listener: Listener) -> None:
        self.rows = 0
        self.bytes = 0
        self._output = output
        self._name = f"{table.schema}.{table.name}"
        self._stretches = stretches
        self._stage = stage
        self._listener = listener

    def __iter__(self) -> Iterator[bytes]:
        self._listener(TableBegun(self._stage, self._name))
        told = 0
        for piece in self._output:
            rows = newlines(piece)
            self.rows += rows
            self.bytes += len(piece)
            done = self._stretches.size * self._output.read // len(self._stretches.clauses)
            self._listener(TableMoved(self._stage, self._name, rows, len(piece), done - told))
            told = done
            yield piece
        self._listener(TableMoved(self._stage, self._name, 0, 0, self._stretches.size - told))
        self._listener(TableEnded(self._stage, self._name, self.rows, self.bytes))
