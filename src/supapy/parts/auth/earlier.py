"""A restore of users that was cut short: whom it had found in its way, and who is there by its own work therefore."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict
from functools import cached_property

from supapy.journal import Journal
from supapy.parts.auth.people import People
from supapy.parts.base import Source

_BEGUN, _MET = "users begun", "user met"


class Earlier:
    """What the journal, where there is one, says of the runs before this one of the same restore: of the same backup
    and the same people."""

    def __init__(self, journal: Journal | None, backup: Source, people: People) -> None:
        self._journal = journal
        said = [backup.metadata.get("manifest", {}).get("sha256"), asdict(people) | {"staying": []}]
        self._sign = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        self._replaces = people.on_conflict == "replace"

    @cached_property
    def _met(self) -> frozenset[str] | None:
        """The ids of the saved users whose place was taken; None where no run has got so far."""
        notes = [one for one in (self._journal.earlier() if self._journal else ()) if one[1:2] == [self._sign]]
        if not any(kind == _BEGUN for kind, *_ in notes):
            return None
        return frozenset(rest[0] for kind, _, *rest in notes if kind == _MET and rest)

    def note(self, met: Collection[str]) -> None:
        """From here on users come, and in the place of these somebody is. What was noted before stays as it is."""
        if self._journal and self._met is None:
            self._journal.note((_BEGUN, self._sign), *((_MET, self._sign, one) for one in sorted(met)))

    def is_own_work(self, user: str) -> bool:
        """Whether a saved user who is there by his id has come by such a run. Never where users are replaced: who is
        there may be the one before."""
        return not self._replaces and self._met is not None and user not in self._met
