"""The SQL of archive entries, as it stands in the archive; wrapped where a failure must be told and survived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from supapy.names import literal
from supapy.parts.database.rules import title
from supapy.parts.database.statements import comment, do_block
from supapy.parts.database.toc import TocEntry


def entries_sql(entries: Iterable[TocEntry]) -> Iterator[str]:
    """The statements of entries, in order."""
    access_method = ""
    for entry in entries:
        if entry.access_method and entry.access_method != access_method:
            access_method = entry.access_method
            yield f"SET default_table_access_method = {access_method};\n"
        yield f"\n{comment(title(entry))}{_sql(entry)}"


def _sql(entry: TocEntry) -> str:
    match entry.kind:
        case "FK CONSTRAINT":
            return _foreign_key(entry)
        case "EVENT TRIGGER":
            return _event_trigger(entry)
        case _:
            return entry.sql


def _foreign_key(entry: TocEntry) -> str:
    """Added as it was; where rows violate it (they could in the source, F§2.6), added without looking at them."""
    statement = entry.sql.rstrip().rstrip(";")
    return do_block(
        f"""
BEGIN
    EXECUTE {literal(statement)};
EXCEPTION WHEN foreign_key_violation THEN
    BEGIN
        EXECUTE {literal(statement + " NOT VALID")};
        RAISE WARNING 'supapy: % -- some rows point to nothing: it was added NOT VALID', {literal(title(entry))};
    EXCEPTION WHEN wrong_object_type OR feature_not_supported THEN
        -- A partitioned table can't have one that isn't valid.
        RAISE WARNING 'supapy: % -- some rows point to nothing: it was left out', {literal(title(entry))};
    END;
END"""
    )


def _event_trigger(entry: TocEntry) -> str:
    """Allowed to postgres on hosted projects only (F§4.4)."""
    return do_block(
        f"""
BEGIN
    EXECUTE {literal(entry.sql)};
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'supapy: % -- this project refuses it: %', {literal(title(entry))}, SQLERRM;
END"""
    )
