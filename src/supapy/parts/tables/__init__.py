"""The tables once more as JSON, for people and programs that don't speak SQL: tables_json/<table>.json."""

from supapy.parts.tables.part import TablesPart

__all__ = ["TablesPart"]
