"""Rows in COPY's text format made of lines just as they are written, where nothing in them needs a parser.

A line without backslashes is COPY's text but for its keys and quotes. What isn't plain (an escaped character, metadata
of three levels, a line that somebody has edited) the server reads; which way a line goes makes no difference to it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from supapy.project.schema import Column

_BARE = frozenset({"smallint", "integer", "bigint", "boolean"})
_NULL = rb"\N"
_STRING = rb'"([^"\\\x00-\x1f]*+)"'
_WORD = rb'([^",}\\\x00-\x1f]++)'
# An object with objects in it; jsonb's own text has a blank after each comma, so that no member ends within it.
_FLAT = rb"[^{}\\\x00-\x1f]*+"
_JSON = rb"(\{" + _FLAT + rb"(?:\{" + _FLAT + rb"\}" + _FLAT + rb")*+\}|[^]{}\[,\\\x00-\x1f]++)"


@dataclass(frozen=True, slots=True)
class Form:
    """The rows of one table: how a line begins that has `columns` and no others, what stands for each that it leaves
    out, and what else belongs to its row."""

    pattern: re.Pattern[bytes]
    absent: tuple[bytes, ...]
    rest: bytes

    @classmethod
    def of(cls, columns: Sequence[Column], saved: Collection[str], never_null: Collection[str]) -> Form:
        """Of a table with these columns, id first and in the order of the lines, those last that weren't `saved`. What
        is left out is NULL, and an empty text where it is `never_null`."""
        members = rb"\{"
        absent = tuple(b"" if column.name in never_null else _NULL for column in columns)
        there = sum(column.name in saved for column in columns)
        for number, column in enumerate(columns[:there]):
            member = (b"," if number else b"") + re.escape(f'"{column.name}":'.encode()) + _value(column.type)
            members += b"(?:" + member + b")?+" if number else member
        rest = b"".join(b"\t" + one for one in absent[there:])
        return cls(re.compile(members), absent[:there], rest + b"\n")

    def row(self, found: re.Match[bytes]) -> bytes:
        """The row of a line's beginning."""
        given = zip(found.groups(), self.absent, strict=True)
        return b"\t".join([absent if value is None else value for value, absent in given]) + self.rest


def _value(type_name: str) -> bytes:
    return _JSON if type_name == "jsonb" else _WORD if type_name in _BARE else _STRING


class Plain:
    """Makes rows of whole lines: of a table's own form, and of the forms of what is nested in it."""

    def __init__(self, form: Form, nested: Sequence[tuple[str, Form]] = ()) -> None:
        self._form = form
        self._nested = [(f',"{name}":['.encode(), form) for name, form in nested]

    def rows(self, line: bytes) -> list[bytes] | None:
        """For each table the rows of a line; None when it isn't plain."""
        found = self._form.pattern.match(line)
        if not found:
            return None
        made, at = [self._form.row(found)], found.end()
        for mark, form in self._nested:
            rows = b""
            if line.startswith(mark, at):
                at += len(mark) - 1
                while line[at : at + 1] in (b"[", b","):
                    found = form.pattern.match(line, at + 1)
                    if not (found and line.startswith(b"}", found.end())):
                        return None
                    rows += form.row(found)
                    at = found.end() + 1
                if not line.startswith(b"]", at):
                    return None
                at += 1
            made.append(rows)
        return made if line[at:] == b"}" else None
