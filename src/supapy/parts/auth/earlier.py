"""A restore of users that was cut short: whom it had found in its way, and who is there by its own work therefore."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, replace
from functools import cached_property

from supapy.journal import Journal
from supapy.parts.auth.ids import Ids
from supapy.parts.auth.people import People
from supapy.parts.base import Source

_BEGUN, _MET = "users begun", "user met"


class Earlier:
    """What the journal, where there is one, says of the runs before this one of the same restore: of the same backup
    and the same people."""

    def __init__(self, journal: Journal | None, backup: Source, people: People) -> None:
        self._journal = journal
        said = [backup.metadata.get("manifest", {}).get("sha256"), asdict(replace(people, staying=()))]
        self._sign = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        self._replaces = people.on_conflict == "replace"

    @cached_property
    def _met(self) -> Ids | None:
        """The ids of the saved users whose place was taken; None where no run has got so far."""
        begun, met = False, Ids()
        for kind, *rest in self._journal.earlier() if self._journal else ():
            begun = begun or (kind == _BEGUN and rest == [self._sign])
            if kind == _MET and len(rest) > 1 and rest[0] == self._sign:
                met.add(rest[1])
        return met if begun else None

    def note(self, met: Collection[str]) -> None:
        """From here on users come, and in the place of these somebody is. What was noted before stays as it is."""
        if self._journal and self._met is None:
            # What is noted of them holds once the last one is.
            for one in met:
                self._journal.note((_MET, self._sign, one))
            self._journal.note((_BEGUN, self._sign))

    def is_own_work(self, user: str) -> bool:
        """Whether a saved user who is there by his id has come by such a run. Never where users are replaced: who is
        there may be the one before."""
        return not self._replaces and self._met is not None and user not in self._met
