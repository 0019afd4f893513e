"""What is made over the rows, in stages: a stage is begun when the one before is done, within it nothing waits for
another but for its locks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from supapy.model import Progress
from supapy.parts.database.inventory.contents import Contents
from supapy.parts.database.load.rows import Note
from supapy.parts.database.script.segments import Segment, Statement
from supapy.project.loading import Work
from supapy.project.mark import is_in
from supapy.project.postgres import Session

SEGMENT = "post-data"
# Which stage a kind belongs to; all others make up the last. Two of them run side by side.
_BUILDS, _ATTACHES, _KEYS, _REST = range(4)
_STAGES = {"INDEX": _BUILDS, "CONSTRAINT": _BUILDS, "INDEX ATTACH": _ATTACHES, "FK CONSTRAINT": _KEYS}
_SIDE_BY_SIDE = (_BUILDS, _KEYS)


@dataclass(slots=True)
class Piece:
    """Statements that are one transaction: their text, where they lie, and what they lock."""

    sql: str = ""
    stretches: list[tuple[int, int]] = field(default_factory=list)
    claims: Mapping[object, bool] = field(default_factory=dict)

    def add(self, sql: str, start: int, end: int) -> None:
        self.sql += sql
        self.stretches.append((start, end))

    def work(self, note: Note, progress: Progress) -> Work:
        """The same for a pump."""

        def run(session: Session) -> None:
            # Sent at once, they are one transaction and one way there and back.
            session.execute(f"{self.sql}\n{note(self.stretches)}")
            progress(len(self.stretches))

        return Work(run, self.claims, again=True)


def stages(
    contents: Contents, segment: Segment, text: bytes, done: list[tuple[int, int]], at_once: int
) -> Iterator[list[Piece]]:
    """What isn't done yet of the segment, whose bytes are `text`; largest tables first, and of what goes in order
    `at_once` statements together."""
    statements = statements_of(contents, segment)
    left = [one for one in statements if not is_in(one.offset, one.offset + one.length, done)]
    places = {one.id: stage for one, stage in zip(statements, _places(statements), strict=True)}
    sizes = {(s.table["schema"], s.table["table"]): s.table["rows_length"] for s in contents.row_segments}
    tables = {one.id: (one.schema, one.name) if one.kind == "TABLE" else one.table for one in contents.index or []}

    def cut(start: int, end: int) -> str:
        return text[start - segment.offset : end - segment.offset].decode()

    for stage in (_BUILDS, _ATTACHES, _KEYS, _REST):
        chosen = [one for one in left if places[one.id] == stage]
        if stage in _SIDE_BY_SIDE:
            chosen.sort(key=lambda one: -sizes.get(one.table, 0) if one.table else 0)
            pieces = [Piece(claims=_claims(one, tables)) for one in chosen]
            for piece, one in zip(pieces, chosen, strict=True):
                piece.add(cut(one.offset, one.offset + one.length), one.offset, one.offset + one.length)
            yield pieces
            continue
        first = (segment.offset, statements[0].offset if statements else segment.offset + segment.length)
        ranges = [(one.offset, one.offset + one.length) for one in chosen]
        if stage == _REST and not is_in(*first, done):
            # What stands before the first statement is none of the archive's, and those after may need it.
            ranges.insert(0, first)
        for at in range(0, len(ranges), at_once):
            piece = Piece()
            for start, end in ranges[at : at + at_once]:
                piece.add(cut(start, end), start, end)
            yield [piece]


def statements_of(contents: Contents, segment: Segment) -> list[Statement]:
    """The statements of a segment, in their order."""
    end = segment.offset + segment.length
    return [one for one in contents.index or [] if segment.offset <= one.offset < end]


def _places(statements: list[Statement]) -> list[int]:
    """The stage of each: its kind's, unless it needs something of that stage or a later one."""
    places: dict[int, int] = {}
    for one in statements:
        own = _STAGES.get(one.kind, _REST)
        needed = max((places[need] for need in one.needs if need in places), default=-1)
        places[one.id] = _REST if needed >= own and (own in _SIDE_BY_SIDE or needed > own) else own
    return [places[one.id] for one in statements]


def _claims(one: Statement, tables: Mapping[int, tuple[str, str] | None]) -> dict[object, bool]:
    """An index lets others be built beside it; a constraint wants its table for itself, a foreign key both of its."""
    claims: dict[object, bool] = {one.table: one.kind != "INDEX"} if one.table else {}
    if one.kind == "FK CONSTRAINT":
        claims |= {table: True for need in one.needs if (table := tables.get(need))}
    return claims
