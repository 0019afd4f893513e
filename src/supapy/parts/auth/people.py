"""Which of the saved users a restore is about, and what becomes of those that are there already."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal

from supapy.errors import UsageError
from supapy.model import Json
from supapy.names import many
from supapy.parts.auth.document import Document, id_of, row_in
from supapy.parts.auth.ids import Ids
from supapy.parts.auth.tables import AUDIT_LOG, CONSENTS, OF_A_USER, OTHERS, SESSIONS
from supapy.parts.base import Obstacle, Source

OnConflict = Literal["fail", "skip", "replace"]
Via = Literal["sql", "api"]
# The sort of proof for users who were met and stay.
LEFT = "users left as they were"


@dataclass(frozen=True, slots=True)
class People:
    """What `--user`, `--on-conflict`, `--sessions`, `--audit-log` and `--via` say.

    `users` are ids, e-mail addresses, phone numbers or globs of these; none means everybody. Sessions and audit log
    come back into the same project and not into another, unless told otherwise: another one has other keys, with which
    no session holds (F§2.6). By the Auth server's `api` users come back without SQL, and with less.

    `staying` is no option but what was found: the ids of the saved users in whose place somebody was before a restore
    wrote anything, and stays. Who came out otherwise by the restore itself isn't among them.
    """

    users: tuple[str, ...] = ()
    on_conflict: OnConflict = "fail"
    sessions: bool | None = None
    audit_log: bool | None = None
    via: Via = "sql"
    staying: Collection[str] = ()

    @property
    def is_everybody(self) -> bool:
        return not self.users

    @property
    def options(self) -> dict[str, tuple[str, ...] | str | bool | None]:
        """What is said that isn't usual, by the options that say it."""
        return {
            "--user": self.users,
            "--on-conflict": self.on_conflict if self.on_conflict != EVERYBODY.on_conflict else None,
            "--sessions": self.sessions is True,
            "--no-sessions": self.sessions is False,
            "--audit-log": self.audit_log is True,
            "--no-audit-log": self.audit_log is False,
            "--via": self.via if self.via != EVERYBODY.via else None,
        }

    def left_out(self, same_project: bool) -> tuple[str, ...]:
        """The tables beside the users that aren't restored. What isn't any user's stays behind where only some of the
        users are meant."""
        sessions = self.brings_sessions(same_project=same_project)
        audit_log = same_project if self.audit_log is None else self.audit_log
        out = () if self.is_everybody else tuple(name for name in OTHERS if name not in (*CONSENTS, *SESSIONS))
        return (*out, *(() if sessions else SESSIONS), *(() if audit_log or out else AUDIT_LOG))

    def brings_sessions(self, *, same_project: bool) -> bool:
        """Whether who was signed in is to be so again."""
        wanted = same_project if self.sessions is None else self.sessions
        return wanted and self.via == "sql"

    def chosen(self, users: Iterable[Json]) -> Ids:
        """The ids of the users that are meant. Raises UsageError naming what nobody answers to."""
        patterns = [re.compile(translate(text.lower().removeprefix("+"))) for text in self.users]
        unmet, found = dict(zip(self.users, patterns, strict=True)), Ids()
        for user in users:
            names = [str(user[key]).lower() for key in ("id", "email", "phone") if user.get(key)]
            if any(pattern.match(name) for pattern in patterns for name in names):
                found.add(str(user.get("id")))
            unmet = {text: one for text, one in unmet.items() if not any(map(one.match, names))} if unmet else unmet
        if unmet:
            raise UsageError(
                f"no user of the backup is {', '.join(one or 'without a name' for one in unmet)}",
                "Give an id, an e-mail address, a phone number or a glob of these, as in --user '*@example.com'.",
            )
        return found


EVERYBODY = People()


def clash(people: People, count: int, first: Iterable[str]) -> Obstacle:
    """What stands in the way of so many users, who are there already, and what becomes of it."""
    shown = list(first)
    whom = ", ".join(shown) + (f" and {many(count - len(shown), 'other')}" if count > len(shown) else "")
    text = f"{many(count, 'user')} of the backup ({whom}: their id, e-mail address or phone number is taken"
    match people.on_conflict:
        case "skip":
            return Obstacle("auth", f"{text}, and those who are there stay as they are)", held=True)
        case "replace":
            return Obstacle("auth", f"{text}, and those who are there are replaced)", held=True)
    hint = "Say --on-conflict skip to leave those who are there as they are, or replace."
    return Obstacle("auth", f"{text})", final=True, held=True, hint=hint)


def beside_users(
    sections: Iterable[tuple[str, Iterator[bytes]]], chosen: Collection[str] | None, staying: Collection[str] = ()
) -> dict[str, int]:
    """How many saved rows each table beside the users has of those who come: of the `chosen` ones (None means all)
    but for those whose place is taken by `staying` users. What is nobody's comes where all users are meant."""
    counts, sessions = dict[str, int](), Ids()
    some = chosen is not None or bool(staying)

    def is_theirs(name: str, line: bytes) -> bool:
        if name in OF_A_USER:
            row = row_in(line)
            user = owner(row)
            theirs = user not in staying and (chosen is None or user in chosen)
            if theirs and name == "sessions":
                sessions.add(str(row["id"]))
            return theirs
        return str(row_in(line).get("session_id")) in sessions if name in SESSIONS else chosen is None

    for name, rows in sections:
        if name != "users":
            counts[name] = sum(is_theirs(name, line) if some else True for line in rows)
    return counts


def sessions_saved(backup: Source, people: People) -> int:
    """How many of the saved sessions are of the people that are meant."""
    return beside_users(Document(backup).sections(), ids_meant(backup, people)).get("sessions", 0)


def ids_meant(backup: Source, people: People) -> Ids | None:
    """The ids of the saved users that are meant; None for everybody."""
    return None if people.is_everybody else people.chosen(map(row_in, Document(backup).users()))


def meant(name: str, chosen: Collection[str] | None) -> Callable[[bytes], bool]:
    """Tells whether a line of a table belongs to a chosen user; every one does where all users are meant, and where a
    table doesn't say whose its rows are."""
    if chosen is None or name not in ("users", *OF_A_USER):
        return lambda line: True
    return lambda line: (id_of(line) if name == "users" else owner(row_in(line))) in chosen


def owner(row: Json) -> str:
    """The id of the user whose row it is; empty for nobody's, as a refresh token's may be."""
    return str(row.get("user_id") or "")
