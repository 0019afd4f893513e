"""Buckets and objects by their rows in the database: every field, as it was at one instant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from supapy.model import Json, Omission, Problem
from supapy.names import many
from supapy.parts.storage.cross_check import cross_check
from supapy.parts.storage.files import PART, elsewhere, takes_row
from supapy.parts.storage.selection import EVERYTHING, Scope
from supapy.project.exact import parse
from supapy.project.moment import Moment
from supapy.project.rows import json_of, lines_out
from supapy.project.schema import Column, Table, tables_of
from supapy.stream import lines

# Where the S3 protocol's uploads in parts are noted (F§1.9).
_UPLOADS = "s3_multipart_uploads"


class RowsBySql:
    """The rows of storage.buckets and storage.objects in a moment."""

    sort = ""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment

    @cached_property
    def _tables(self) -> dict[str, Table]:
        return {table.name: table for table in tables_of(self._moment, "storage")}

    def check(self) -> Iterator[Problem]:
        """What the Storage server shows must be what the database has."""
        # Older servers have no other type, and no such column.
        standard = " WHERE b.type::text = 'STANDARD'" if self._has("buckets", "type") else ""
        counts = f"SELECT o.bucket_id, pg_catalog.count(*) AS objects FROM {self._current} GROUP BY o.bucket_id"
        found = self._moment.rows(
            "SELECT b.id, coalesce(c.objects, 0) FROM storage.buckets b "
            f"LEFT JOIN ({counts}) c ON c.bucket_id = b.id{standard}"
        )
        yield from cross_check(self._moment, dict(found), self._current)

    def buckets(self, scope: Scope) -> Iterator[bytes]:
        """Every field of the buckets meant."""
        table = self._tables["buckets"]
        query = f'SELECT {json_of(table.columns, "b")} FROM {table.sql} b ORDER BY b.id COLLATE "C"'
        every = lines(lines_out(self._moment, query))
        return every if scope == EVERYTHING else (line for line in every if scope.takes_bucket(parse(line)["id"]))

    def objects(self, scope: Scope) -> Iterator[bytes]:
        """Every field of the objects meant."""
        table = self._tables["objects"]
        order = 'ORDER BY o.bucket_id COLLATE "C", o.name COLLATE "C", o.id'
        query = f"SELECT {json_of(table.columns, 'o')} FROM {self._current} {order}"
        every = lines(lines_out(self._moment, query))
        return every if scope == EVERYTHING else (line for line in every if takes_row(scope, parse(line)))

    def counts(self) -> dict[str, int]:
        """How many rows there are."""
        return {one: self._moment.value(f"SELECT count(*) FROM storage.{one}") for one in ("buckets", "objects")}

    def remarks(self) -> Iterator[Problem | Omission]:
        """Buckets whose contents lie elsewhere (F§1.14), older versions, and uploads that haven't come to their end."""
        for kind, names in self._elsewhere().items():
            if names:
                yield elsewhere(kind, names)
        every = self._moment.value("SELECT count(*) FROM storage.objects")
        current = self._moment.value(f"SELECT count(*) FROM {self._current}")
        if every > current:
            older = f"{every - current:,} older versions and delete markers of objects"
            yield Omission(PART, older, "Only each object's current version is saved.")
        if _UPLOADS in self._tables and (begun := self._moment.value(f"SELECT count(*) FROM storage.{_UPLOADS}")):
            remedy = "They are no objects yet: whoever sends one goes on in this project, or begins anew in another."
            yield Omission(PART, f"{many(begun, 'upload')} under way", remedy)

    def columns(self, table: str) -> Sequence[Column]:
        """Those the table has."""
        return self._tables[table].columns

    def comparable(self, row: Json) -> Json:
        """The row: all of it can."""
        return row

    @property
    def _current(self) -> str:
        """A FROM clause: the current version of every object as `o`.

        Newer servers keep older versions and delete markers among the rows (F§1.9): these aren't objects any more.
        """
        conditions = {"archived_at": "o.archived_at IS NULL", "is_delete_marker": "NOT o.is_delete_marker"}
        current = [condition for column, condition in conditions.items() if self._has("objects", column)]
        return f"{self._tables['objects'].sql} o" + (f" WHERE {' AND '.join(current)}" if current else "")

    def _elsewhere(self) -> dict[str, list[str]]:
        """Analytics and vector buckets; for a time analytics buckets stood among the others."""
        deleted = " WHERE deleted_at IS NULL" if self._has("buckets_analytics", "deleted_at") else ""
        queries = {
            "analytics bucket": [
                f"SELECT name FROM storage.buckets_analytics{deleted}" if "buckets_analytics" in self._tables else "",
                "SELECT id FROM storage.buckets WHERE type::text = 'ANALYTICS'" if self._has("buckets", "type") else "",
            ],
            "vector bucket": ["SELECT id FROM storage.buckets_vectors" if "buckets_vectors" in self._tables else ""],
        }
        return {
            kind: sorted({name for query in asked if query for (name,) in self._moment.rows(query)})
            for kind, asked in queries.items()
        }

    def _has(self, table: str, column: str) -> bool:
        return table in self._tables and any(one.name == column for one in self._tables[table].columns)
