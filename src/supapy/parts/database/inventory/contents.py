"""database.toc.json: where everything lies in database.sql, and what the database held."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring

from supapy.errors import IntegrityError, UnknownFormat
from supapy.model import Json
from supapy.parts.base import Source
from supapy.parts.database.inventory.inventory import Inventory, Made
from supapy.parts.database.inventory.makers import STATEMENT
from supapy.parts.database.inventory.properties import Properties
from supapy.parts.database.script.segments import Segment, Statement

FILE = "database.sql"
TOC_FILE = "database.toc.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Contents:
    """The saved table of contents. `index` are the statements, where it names them; `left_out` are the names of the
    things that a restore can't bring back. `is_part` says that only a part of the database was asked for. While it is
    being written `made` says which statements make what the inventory names; once saved, each thing says it itself."""

    server_version: int
    segments: list[Segment]
    index: list[Statement] | None
    inventory: Inventory
    left_out: list[str]
    is_part: bool = False
    made: Made = field(default_factory=dict)

    @property
    def major(self) -> int:
        """The major version of the source's server."""
        return self.server_version // 10_000

    @property
    def statements(self) -> list[Statement]:
        """What makes each single thing of the schema. Raises IntegrityError for a backup that doesn't say it."""
        if self.index is None:
            raise IntegrityError(
                f"{TOC_FILE} doesn't say where each statement of {FILE} lies",
                "An early version wrote it: restore the whole backup, or take another one.",
            )
        return self.index

    @property
    def own_segments(self) -> list[Segment]:
        """The segments that the database part loads: users and files come back by the parts of their own."""
        return [segment for segment in self.segments if segment.part == "database"]

    @property
    def row_segments(self) -> list[Segment]:
        """The rows of the user's own tables."""
        return [segment for segment in self.own_segments if segment.kind == "data"]

    def check(self, backup: Source) -> None:
        """Raises IntegrityError when the script isn't the one that this was written for: all of it is accounted for,
        and its statements are what they were. Its rows are counted when they load."""
        end = 0
        for segment in self.segments:
            whole = segment.offset == end
            end += segment.length
            digest = hashlib.sha256()
            if whole and segment.kind == "sql":
                for piece in backup.read(FILE, segment.offset, end):
                    digest.update(piece)
            if not whole or (segment.kind == "sql" and digest.hexdigest() != segment.sha256):
                raise _changed(segment.name)
        if end != backup.size(FILE):
            raise _changed("the end")

    def to_bytes(self) -> Iterator[bytes]:
        """The file's content: one segment and one thing a line."""
        yield f'{{\n"format": {FORMAT},\n"server_version": {self.server_version},\n"segments": '.encode()
        yield _listed([segment.to_json() for segment in self.segments])
        yield b',\n"statements": ' + _listed([statement.to_json() for statement in self.statements])
        yield b',\n"inventory": {'
        for number, (sort, named) in enumerate(self.inventory.items()):
            lines = ",\n".join(_things(named, self.made.get(sort, {})))
            yield f"{',' if number else ''}\n {encode_basestring(sort)}: {{\n{lines}\n }}".encode()
        left_out = ",\n ".join(map(encode_basestring, self.left_out))
        yield f'\n}},\n"left_out": [\n {left_out}\n],\n"is_part": {_encoder.encode(self.is_part)}\n}}\n'.encode()

    @classmethod
    def of(cls, backup: Source) -> Contents:
        """The contents of a backup. Raises UnknownFormat or IntegrityError."""
        said = backup.read_json(TOC_FILE)
        if said.get("format") != FORMAT:
            raise UnknownFormat(
                f"{TOC_FILE} is of format {said.get('format')!r}, this version knows {FORMAT}",
                "Use the version of supapy that wrote it, or a newer one.",
            )
        try:
            segments = [Segment.from_json(segment) for segment in said["segments"]]
            index = said.get("statements")
            statements = None if index is None else [Statement.from_json(statement) for statement in index]
            return cls(
                int(said["server_version"]),
                segments,
                statements,
                said["inventory"],
                said["left_out"],
                bool(said.get("is_part")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{TOC_FILE} lacks what it must say: {error}", "Take another backup.") from None


def _changed(name: str) -> IntegrityError:
    return IntegrityError(
        f"{FILE} was changed since it was saved, by its table of contents: {name}",
        "Nothing was applied. Take another backup; a changed script is for psql, not for supapy.",
    )


# Without cycles there is nothing to look out for.
_encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False)
# What it puts between values stands in no text, where a newline is written otherwise.
_BETWEEN = ",\n"
_list_encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(_BETWEEN, ": "))


def _things(named: Mapping[str, Properties], made: Mapping[str, int]) -> Iterator[str]:
    """The lines of a sort of things, in the order of their names."""
    # Many share their properties.
    texts: dict[int, str] = {}
    for name in sorted(named):
        properties, by = named[name], made.get(name)
        text = texts.get(id(properties))
        if text is None:
            text = texts[id(properties)] = _encoder.encode(properties)
        if by is not None:
            text = f'{text[:-1]}{", " if properties else ""}"{STATEMENT}": {by}}}'
        yield f"  {encode_basestring(name)}: {text}"


def _listed(values: list[Json]) -> bytes:
    """One object a line, by one call: for thousands of them that is twice as quick."""
    text = _list_encoder.encode(values)[1:-1]
    lines = (line.replace(_BETWEEN, ", ") for line in text.split("}" + _BETWEEN + "{"))
    return ("[\n " + "},\n {".join(lines) + "\n]").encode()
