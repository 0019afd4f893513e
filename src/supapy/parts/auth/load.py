"""Bringing the users back by SQL, all of them or none.

One connection makes rows of the saved lines, another one takes them in: the server works on both at once, no value
becomes an object here, and what comes in comes by COPY, as fast as a table can take it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from supapy.errors import RestoreRefused, SqlError
from supapy.model import Problem, Progress
from supapy.parts.auth.document import Document, apart, parsed_apart
from supapy.parts.auth.meeting import Meeting
from supapy.parts.auth.orphans import orphans
from supapy.parts.auth.people import meant
from supapy.parts.auth.plain import Plain
from supapy.parts.auth.tables import NESTED, SEQUENCE, readable
from supapy.parts.auth.target import OLDER, Made, Target
from supapy.project.postgres import Session
from supapy.project.project import Project
from supapy.project.quick import chunks, packed

T = TypeVar("T")
# The second is of rows that replace one another.
_DUPLICATE = ("23505", "21000")
# Keys that people know a row by; others are tokens.
_NAMING = re.compile(r"\((id|email|phone|provider_id, provider|domain|entity_id)\)=\((.+)\)")
_NO_JSON = "22P02"
# Of the states that say so of a value: it is none of its type, or breaks a rule of the table.
_BAD_VALUE = ("22", "23")
# Of a table the server looks at 300 times as many rows: enough to count them by, and done in a hundredth of a second.
# Of one column alone, so that it goes on to look at all of them when it comes to it.
SAMPLE = 10
_MOVE_ON = f"""
SELECT pg_catalog.setval('{SEQUENCE}', GREATEST((SELECT max(id) FROM auth.refresh_tokens), last_value),
    is_called OR EXISTS (SELECT FROM auth.refresh_tokens)) FROM {SEQUENCE}
"""


@dataclass(slots=True)
class Load:
    """A restore of users: those with the `chosen` ids (None means all), without the tables that are `left_out`. Where
    the target may hold users already, the `meeting` says what becomes of them."""

    document: Document
    chosen: Collection[str] | None
    left_out: tuple[str, ...]
    meeting: Meeting | None
    _problems: list[Problem] = field(default_factory=list)

    def into(self, project: Project, progress: Progress) -> list[Problem]:
        """Do it. Raises RestoreRefused, with nothing written, when two users would have one id or address, when a row
        isn't one that the target can take, or where who is kept out could come in."""
        with project.session() as maker, project.session() as taker:
            try:
                with taker.transaction():
                    # Neither triggers on auth.users nor foreign keys may act on rows that are what they should be.
                    taker.execute("SET LOCAL session_replication_role = replica")
                    if self.meeting:
                        self.meeting.make_room(taker)
                    self._take_in(maker, taker, progress)
                    if taker.value("SELECT pg_catalog.to_regclass(%s)", (SEQUENCE,)):
                        taker.execute(_MOVE_ON)
                    self._let_count(taker)
                    self._problems += orphans(taker)
            except SqlError as error:
                raise not_taken(error) from None
        return self._problems

    def _let_count(self, taker: Session) -> None:
        """Have the server reckon with the rows that came in. A vacuum amid the load saw pages and no row in them: the
        next queries, a comparison's among them, would read a million users from end to end for every few of them."""
        tables = [table for name, table in readable(taker).items() if name in self.document.columns]
        counted = [f"{table.sql} (id)" for table in tables if any(column.name == "id" for column in table.columns)]
        taker.execute(f"SET LOCAL default_statistics_target = {SAMPLE}")
        taker.execute(f"ANALYZE {', '.join(counted)}")

    def users(self) -> Iterator[bytes]:
        """The lines of the users that are meant."""
        return filter(meant("users", self.chosen), self.document.users())

    def look(self, project: Project) -> list[Problem]:
        """What of these users the target has no place for, before anything is written. Raises RestoreRefused where who
        is kept out could come in."""
        found: list[Problem] = []
        with project.session() as maker:
            lacking = {name for name in self.document.tables if any(one.lacks for one in self._targets(maker, name))}
            for name, coming in self._coming() if lacking else ():
                targets = self._targets(maker, name) if name in lacking else []
                for chunk in chunks(coming) if targets else ():
                    texts = parsed_apart(chunk, [target.name for target in targets[1:]])
                    for target, those in zip(targets, texts, strict=True):
                        if those:
                            target.look(maker, packed(those))
                found += [problem for target in targets for problem in target.found]
        return found

    def _coming(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The tables that are restored, each with the lines that come in."""
        for name, lines in self.document.sections():
            if name not in self.left_out:
                coming = filter(meant(name, self.chosen), lines)
                yield name, filter(self.meeting.comes(name), coming) if self.meeting else coming

    def _targets(self, taker: Session, name: str) -> list[Target]:
        """Where the lines of a table go: itself, and what is nested in them; nowhere for one that isn't restored."""
        if name in self.left_out:
            return []
        tables, nested = readable(taker), NESTED if name == "users" else ()
        return [
            Target.of(
                taker,
                tables.get(one),
                one,
                self.document.columns[one],
                nested=one != name,
                replaces=bool(self.meeting and self.meeting.replaces),
                partial=self.chosen is not None or self.meeting is not None,
            )
            for one in (name, *nested)
            if one in self.document.columns
        ]

    def _take_in(self, maker: Session, taker: Session, progress: Progress) -> None:
        for name, coming in self._coming():
            targets = self._targets(taker, name)
            for target in targets:
                target.open(taker)
            for made in _one_ahead(_made(maker, coming, targets)):
                came = [target.take(taker, rows) for target, rows in zip(targets, made, strict=True)]
                if name == "users":
                    progress(came[0])
            for target in targets:
                self._problems += target.settle(taker)


def not_taken(error: SqlError) -> SqlError | RestoreRefused:
    """What is to be told where the reason is a row, which won't be another one by trying again; else the same error."""
    said = error.message.removeprefix("the database refused: ")
    if error.sqlstate == _NO_JSON and "enum" in said:
        return RestoreRefused(f"the target's Auth server is too old: {said}", OLDER)
    if error.sqlstate in _DUPLICATE:
        named = _NAMING.search(error.detail)
        return RestoreRefused(
            f"two rows would have the same key{f' ({named[1]} {named[2]})' if named else ''}: {said}",
            "No user came in. The other row is in the target, or auth_users.json was edited.",
        )
    if error.sqlstate.startswith(_BAD_VALUE):
        return RestoreRefused(
            f"a row isn't one that the target can take: {said}",
            "No user came in. auth_users.json was edited, or the target's tables have rules of their own.",
        )
    return error


def _cut(lines: Iterator[bytes], targets: list[Target]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Some lines at a time: for each table the rows of those that are plain, and the other lines."""
    forms = [(target.name, target.form) for target in targets]
    known = [(name, form) for name, form in forms if form]
    plain = Plain(known[0][1], known[1:]) if len(known) == len(forms) else None
    for chunk in chunks(lines):
        made = [plain and plain.rows(line) for line in chunk]
        rows = zip(*filter(None, made), strict=True)
        others = [line for line, rows in zip(chunk, made, strict=True) if rows is None]
        yield [b"".join(of_table) for of_table in rows] or [b""] * len(targets), others


def _made(maker: Session, lines: Iterator[bytes], targets: list[Target]) -> Iterator[list[Made]]:
    """For each chunk of lines, and for each target, the rows made of them."""
    nested = [target.name for target in targets[1:]]
    for plain, others in _one_ahead(_cut(lines, targets)):
        try:
            read = _read(maker, apart(others, nested), targets)
        except SqlError as error:
            if not (nested and error.sqlstate == _NO_JSON):
                raise
            # Somebody has edited the file: still JSON, but not in the order in which it is written.
            read = _read(maker, parsed_apart(others, nested), targets)
        yield list(zip(plain, read, strict=True))


def _read(maker: Session, texts: list[list[bytes]], targets: list[Target]) -> list[list[bytes]]:
    return [target.made(maker, packed(those)) for target, those in zip(targets, texts, strict=True)]


def _one_ahead(things: Iterator[T]) -> Iterator[T]:
    """The same, the next one being made while one is used."""
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, things, None)
        while (one := coming.result()) is not None:
            coming = worker.submit(next, things, None)
            yield one
