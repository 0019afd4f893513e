"""Which buckets and objects there are: from the database in a moment, or else as the Storage server lists them.

Both give rows as JSON lines of one form, so that what one has saved the other can bring back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from supapy.model import Json, Omission, Problem
from supapy.parts.storage.by_sql import RowsBySql
from supapy.parts.storage.listing import RowsAsListed
from supapy.parts.storage.selection import Scope
from supapy.project.moment import Moment
from supapy.project.schema import Column


class Index(Protocol):
    """The rows of one project's buckets and objects, at one time."""

    def check(self) -> Iterator[Problem]:
        """What the Storage server and the rows don't agree on. Raises when they can't be of one project, and when the
        key sees nothing of what there is."""

    def buckets(self, scope: Scope) -> Iterator[bytes]:
        """The rows of the buckets meant, by id."""

    def objects(self, scope: Scope) -> Iterator[bytes]:
        """The rows of the objects meant, of each its current version, by bucket and key."""

    def counts(self) -> dict[str, int]:
        """How many buckets and objects there are."""

    def remarks(self) -> Iterator[Problem | Omission]:
        """What isn't among these rows though it is there; asked for when they have been read."""

    def columns(self, table: str) -> Sequence[Column]:
        """The columns of "buckets" or "objects"."""

    def comparable(self, row: Json) -> Json:
        """A row, saved or live, without what can't be compared with these."""

    @property
    def sort(self) -> str:
        """What was compared, in addition to the name of a row; empty for all of it."""


def index_of(moment: Moment) -> Index:
    """The best there is."""
    return RowsBySql(moment) if moment.project.has_database else RowsAsListed(moment.project)
