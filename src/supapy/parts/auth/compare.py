"""The saved users against the live ones, row by row, in whatever order both are: memory is constant, and lines that are
equal aren't parsed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from supapy.model import Difference, Finding, Json, Proof
from supapy.parts.auth.document import Document, row_in
from supapy.parts.auth.ids import Ids
from supapy.parts.auth.live import Live, readers
from supapy.parts.auth.people import LEFT, meant
from supapy.parts.auth.tables import FILE, NESTED, NEVER_NULL, readable
from supapy.project.exact import Deep, parse, same
from supapy.project.moment import Moment
from supapy.project.pumps import usual_jobs
from supapy.project.schema import Table

_EQUAL = "equal"
_ABSENT = object()


@dataclass(slots=True)
class Comparison:
    """Which users are compared (those with the `chosen` ids, all for None) and which tables aren't. In the place of the
    `staying` ones the target's own were left as they were: what is theirs is no difference."""

    document: Document
    chosen: Collection[str] | None
    left_out: tuple[str, ...]
    staying: Collection[str]
    _left: int = 0
    _left_sessions: Ids = field(default_factory=Ids)

    def findings(self, moment: Moment) -> Iterator[Finding]:
        """Every saved row against the live one, by its id."""
        tables = readable(moment)
        # Claims of sessions don't say whose they are.
        left_out = self.left_out if self.chosen is None else (*self.left_out, "mfa_amr_claims")
        with readers(moment, usual_jobs()) as sessions:
            for name, rows in self.document.sections():
                saved = filter(meant(name, self.chosen), rows)
                if name in left_out:
                    continue
                if name in tables:
                    with Live(moment, tables, name, sessions) as live:
                        yield from self._rows(saved, live)
                elif sum(1 for _ in saved):
                    yield Difference("auth", f"auth.{name}", "missing", "no such table")
        if self._left:
            yield Proof("auth", LEFT, self._left)

    def _rows(self, saved: Iterator[bytes], live: Live) -> Iterator[Finding]:
        equal = 0
        for ones, others in live.beside(saved):
            if b"\n".join(ones) == others:
                equal += len(ones)
                continue
            for one, other in zip(ones, others.split(b"\n"), strict=True):
                judged = _EQUAL if one == other else self._judged(one, other, live)
                if isinstance(judged, Difference):
                    yield judged
                equal += judged is _EQUAL
        # Of some users alone nobody has counted what the target has.
        if self.chosen is not None or not live.is_one_to_one:
            yield from self._strays(live)
        if equal:
            yield Proof("auth", live.name, equal)

    def _judged(self, one: bytes, other: bytes, live: Live) -> Difference | str:
        """What differs between a saved line and the live one, which is empty when there is none; else a word."""
        name, was, now = live.name, row_in(one), parse(other) if other else None
        changed = self._changed(name, was, now, live.tables) if now else []
        if now and not changed:
            return _EQUAL
        if str(was.get("id" if name == "users" else "user_id")) in self.staying:
            self._left += name == "users"
            if name == "sessions":
                self._left_sessions.add(str(was["id"]))
            return LEFT
        if str(was.get("session_id")) in self._left_sessions:
            return LEFT  # A claim of a session doesn't say whose it is.
        return Difference("auth", f"auth.{name} {was['id']}", "changed" if now else "missing", ", ".join(changed))

    def _strays(self, live: Live) -> Iterator[Difference]:
        """The rows of the file that stand there again, and those that only the target has."""
        for stray in live.strays():
            place = f"auth.{live.name} {stray.id}"
            if stray.is_saved:
                yield Difference("auth", place, "missing", f"{FILE} has it more than once")
            elif stray.user not in self.staying and (self.chosen is None or stray.user in self.chosen):
                yield Difference("auth", place, "extra")

    def _changed(self, name: str, saved: Json, live: Json, tables: dict[str, Table]) -> list[str]:
        """The columns that differ, of those that were saved and the target has; within the nested rows the name of the
        table; and what no table has."""
        nested = [one for one in NESTED if name == "users" and one in self.document.columns and one in tables]
        rows = [one for one in nested if not self._same_rows(one, saved.get(one, []), live.get(one, []), tables[one])]
        known = {*self.document.columns[name], *(column.name for column in tables[name].columns), *NESTED}
        unknown = [f"{key} is no column of auth.{name}" for key in sorted(saved.keys() - known)]
        return sorted(self._differing(tables[name], saved, live)) + rows + unknown

    def _differing(self, table: Table, saved: Json, live: Json) -> Iterator[str]:
        columns = self.document.columns[table.name]
        for column in table.stored_columns:
            key = column.name
            # Identities had other ids before they had `provider_id` (F§2.5).
            if key not in columns or (key == "id" and ("provider_id" in saved) != ("provider_id" in live)):
                continue
            was, now = (_value(row, key, column.type) for row in (saved, live))
            if not same(was, now):
                yield key

    def _same_rows(self, name: str, saved: Any, live: Any, table: Table) -> bool:
        if isinstance(saved, Deep) or isinstance(live, Deep):
            return same(saved, live)
        if len(saved) != len(live):
            return False
        renamed = {"provider_id" in one for one in (*saved, *live)} == {True, False}
        if name == "identities" and renamed:
            saved, live = sorted(saved, key=_identity), sorted(live, key=_identity)
            if list(map(_identity, saved)) != list(map(_identity, live)):
                return False
        return not any(any(self._differing(table, one, other)) for one, other in zip(saved, live, strict=True))


def _identity(row: Json) -> tuple[str, str]:
    """What an identity is known by, whatever its columns are called (F§2.5)."""
    return str(row["provider"]), str(row.get("provider_id", row["id"]))


def _value(row: Json, key: str, kind: str) -> Any:
    if key in NEVER_NULL:
        return row.get(key) or ""
    value = row.get(key, _ABSENT)
    return _ABSENT if value is None and kind != "jsonb" else value
