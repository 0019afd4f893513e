"""Which statement of the script makes what an inventory names."""

from __future__ import annotations

from dataclasses import dataclass, field

from supapy.parts.database.rules.rules import Judgement
from supapy.parts.database.script.specials import Sequence
from supapy.project.schema import PG_CLASS

# The property that names the statement (its id) which makes a thing. No comparison looks at it.
STATEMENT = "statement"


@dataclass(frozen=True, slots=True)
class Makers:
    """The ids of the statements that make things: of objects, (catalog, oid), and of sequences, (schema, name). `made`
    is what was noted of them, by sort and name: apart from the properties, which many things share."""

    objects: dict[tuple[int, int], int] = field(default_factory=dict)
    sequences: dict[tuple[str, str], int] = field(default_factory=dict)
    made: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, judgement: Judgement) -> Makers:
        """Those of the entries that are kept."""
        return cls(
            {(entry.catalog, entry.oid): entry.id for entry in judgement.kept if entry.oid},
            {(entry.schema, entry.name): entry.id for entry in judgement.kept if entry.kind == "SEQUENCE"},
        )

    def note(self, sort: str, name: str, catalog: int, oid: int, relation: int = 0) -> None:
        """Note what makes a thing: its own statement, or else its table's."""
        found = self.objects.get((catalog, oid))
        if found is None and relation:
            found = self.objects.get((PG_CLASS, relation))
        if found is not None:
            self.made.setdefault(sort, {})[name] = found

    def note_sequence(self, sort: str, name: str, sequence: Sequence) -> None:
        """The same of what a sequence's statement makes."""
        if (found := self.sequences.get((sequence.schema, sequence.name))) is not None:
            self.made.setdefault(sort, {})[name] = found
