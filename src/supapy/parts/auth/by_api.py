"""Users brought back by the Auth server alone, where SQL isn't wanted or can't be had: with their ids and passwords,
and without much else, which is counted and said before it begins (F§2.4)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from supapy.errors import ApiError
from supapy.loop import side_by_side
from supapy.model import Difference, Finding, Json, Omission, Problem, Progress, Proof, Step
from supapy.names import many
from supapy.parts.auth.document import Document, each_once, row_in
from supapy.parts.auth.earlier import Earlier
from supapy.parts.auth.ids import Ids
from supapy.parts.auth.people import LEFT, People, beside_users, clash, meant
from supapy.parts.auth.tables import NESTED, NEVER_NULL, OTHERS
from supapy.parts.base import Obstacle
from supapy.project.auth_api import AuthApi
from supapy.project.exact import Deep, members
from supapy.project.moment import Moment
from supapy.project.project import Project

MOST_NAMED = 3
_EQUAL = "users, as the Auth server shows them"
# The server takes a body of 1 MB (F§2.1).
LARGEST_BODY_BYTES = 1_000_000
# What a ban without an end is asked for as.
LONGEST_BAN_HOURS = 100 * 365 * 24
# How the provider of a user who comes by single sign-on begins.
_SSO = "sso:"
# The forms of password hashes that the server takes (F§2.4).
_HASHES = re.compile(r"\$2[aby]?\$|\$argon2(?:i|id)\$|\$fbscrypt\$")
_KEPT_AS = {
    "id": "id",
    "aud": "aud",
    "role": "role",
    "email": "email",
    "phone": "phone",
    "raw_user_meta_data": "user_metadata",
    "raw_app_meta_data": "app_metadata",
}
# What a user's row may have that is kept, told to be lost, or the server's own (F§2.5).
_FIELDS = frozenset(
    {
        *_KEPT_AS,
        *NEVER_NULL,
        *NESTED,
        *("instance_id", "encrypted_password", "is_super_admin", "is_sso_user", "is_anonymous"),
        *("email_change_confirm_status", "created_at", "updated_at", "deleted_at", "banned_until", "last_sign_in_at"),
        *("email_confirmed_at", "phone_confirmed_at", "invited_at", "confirmation_sent_at", "recovery_sent_at"),
        *("email_change_sent_at", "phone_change_sent_at", "reauthentication_sent_at"),
    }
)
# Metadata as it is read: a text is an object too deep to be one.
_OBJECTS = (dict, Deep, type(None))
# The server keeps numbers as floats; what only looks like one is counted as well.
_LONG_NUMBER = re.compile(r"\d[\d.]{15,}")
# What the server itself writes into metadata of who is made by it.
_SERVERS_OWN = frozenset({"email_verified", "phone_verified", "provider", "providers"})
# Marks of what a user has that the server can't be given, and what is said of those who have it.
_LOST = {
    "times": ("times (created, confirmed, invited, last signed in)", "They begin anew."),
    "factors": ("MFA factors", "These people sign in without them, and set them up again."),
    "passkeys": ("passkeys", "These people sign in otherwise, and make new ones."),
    "identities": (
        "identities of other providers ({providers})",
        "Set these ways to sign in up: the server links them when these people sign in by them again.",
    ),
    "hash": ("passwords whose hash the server doesn't take", "These people set a new one: recovery by e-mail."),
    "changes": ("confirmations, recoveries and changes of address under way", "These people begin anew."),
    "shape": ("metadata that is no JSON object", "Use SQL."),
    "unknown": ("fields that this version doesn't know ({unknown})", "Use SQL."),
    "super": ("marks as a super admin", "Set them by SQL."),
    "numbers": ("numbers of more than 15 digits in metadata", "The server rounds them: use SQL."),
}
_NOT_MADE = {
    "address": ("users without e-mail address and phone number", "The server makes no such users: use SQL."),
    "sso": ("users of single sign-on", "The server makes no such users: use SQL, or let them sign in anew."),
    "deleted": ("deleted users, kept as rows", "The server makes no such users: use SQL where the rows matter."),
    "large": ("users with more metadata than a request may bring", "Use SQL."),
}


@dataclass(slots=True)
class ByApi:
    """A restore through the Auth server. Users who are there already are left, replaced or a reason to refuse, but for
    those who came by an `earlier` run."""

    document: Document
    people: People
    earlier: Earlier
    _chosen: Ids | None = None
    _met: dict[str, list[str]] = field(default_factory=dict)
    _made: Ids = field(default_factory=Ids)

    def obstacles(self, moment: Moment) -> Iterator[Obstacle]:
        """The users that are there, and those of the backup among them. Reads only."""
        self._choose()
        server = moment.project.auth
        count = server.count_users()
        if not count:
            return
        yield Obstacle("auth", many(count, "user"), held=True)
        taken = _taken(server)
        names: list[str] = []
        for row in map(row_in, self._lines()):
            if _unmakable(row):
                continue
            user, found = str(row["id"]), _who_are_met(row, taken)
            if found == [user] and self.earlier.is_own_work(user):
                self._made.add(user)
            elif found:
                self._met[user] = found
                names += [str(row.get("email") or row.get("phone") or row["id"])][: MOST_NAMED - len(names)]
        if self._met:
            yield clash(self.people, len(self._met), names)

    def load(self, project: Project) -> Iterator[Step | Omission]:
        """What is lost, counted; then the one step."""
        self._choose()
        users, providers, unknown = 0, set[str](), set[str]()
        lost: Counter[str] = Counter()
        staying = self.staying
        for row in map(row_in, self._lines()):
            if str(row["id"]) in staying:
                continue  # Nothing is lost of him.
            unmakable = _unmakable(row)
            users += unmakable is None and str(row["id"]) not in self._made
            lost.update([unmakable] if unmakable else _lost(row))
            if not unmakable:
                providers |= _other_providers(row)
                unknown |= row.keys() - _FIELDS
        for mark, (what, remedy) in _NOT_MADE.items():
            if lost[mark]:
                yield Omission("auth", f"{what}: {lost[mark]:,}", remedy)
        for mark, (what, remedy) in _LOST.items():
            if lost[mark]:
                named = what.format(providers=", ".join(sorted(providers)), unknown=", ".join(sorted(unknown)))
                yield Omission("auth", f"{named} of {many(lost[mark], 'user')}", remedy)
        for name, count in beside_users(self.document.sections(), self._chosen, staying).items():
            if name in OTHERS and count:
                yield Omission("auth", f"{many(count, 'row')} of auth.{name}", "The server takes none: use SQL.")
        title = f"{many(users, 'user')} by the Auth server, with their passwords"
        yield Step("auth", title, partial(self._make_all, project), users, "users")

    def compare(self, moment: Moment) -> Iterator[Finding]:
        """Each saved user against what the server says of him, as far as it can be given."""
        self._choose()
        project, found = moment.project, list[Difference | str]()
        lines = (line for line in self._lines() if _unmakable(row_in(line)) is None)
        asked = partial(_compared, project, self.people.staying)
        side_by_side(project.loop, lines, asked, found.append, at_once=project.at_once)
        yield from (one for one in found if isinstance(one, Difference))
        for sort in (_EQUAL, LEFT):
            if count := found.count(sort):
                yield Proof("auth", sort, count)
        missing = sum(isinstance(one, Difference) and one.kind == "missing" for one in found)
        extra = project.auth.count_users() - (len(found) - missing)
        if extra > 0 and self._chosen is None:
            yield Difference("auth", many(extra, "user"), "extra")

    @property
    def staying(self) -> Ids:
        """The ids of the saved users whose place was found taken, and is left so."""
        return Ids(self._met if self.people.on_conflict == "skip" else ())

    def _choose(self) -> None:
        if self._chosen is None and not self.people.is_everybody:
            self._chosen = self.people.chosen(map(row_in, self.document.users()))

    def _lines(self) -> Iterator[bytes]:
        return each_once(filter(meant("users", self._chosen), self.document.users()))

    def _make_all(self, project: Project, progress: Progress) -> list[Problem]:
        self.earlier.note(self.staying)
        failed: list[Problem] = []
        lines = (line for line in self._lines() if _unmakable(row_in(line)) is None and not self._stays(line))

        def note(problem: Problem | None) -> None:
            if problem:
                failed.append(problem)
            progress(1)

        side_by_side(project.loop, lines, partial(self._make, project), note, at_once=project.at_once)
        return failed

    def _stays(self, line: bytes) -> bool:
        user = str(row_in(line)["id"])
        return user in self._made or (self.people.on_conflict != "replace" and user in self._met)

    async def _make(self, project: Project, line: bytes) -> Problem | None:
        row = row_in(line)
        identifier, gone = str(row["id"]), ""
        try:
            for other in self._met.get(identifier, ()):
                there = await project.auth.find(other)
                # With his identities it is certain who he is.
                if there and not _own(row).isdisjoint(_only(there)):
                    await project.auth.delete(other)
                    gone = "; the user who was there is deleted"
            await project.auth.create(_body(row, line))
        except ApiError as error:
            # A first try may have made him though its answer was lost.
            made = error.status in (400, 422, 500) and await project.auth.find(identifier)
            if not made:
                return Problem("auth", f"auth.users {identifier}", f"the server didn't take him{gone}: {error.message}")
        return None


def _taken(server: AuthApi) -> dict[str, str]:
    """Who of the target has each id, e-mail address and phone number."""
    return {one: str(user["id"]) for user in server.users() for one in _only(user)}


def _who_are_met(row: Json, taken: dict[str, str]) -> list[str]:
    """The ids of the target's users who have the saved one's id or an address of his."""
    return sorted({taken[one] for one in _own(row) if one in taken})


def _own(row: Json) -> set[str]:
    """A user's id and addresses."""
    return {str(row[key]) for key in ("id", "email", "phone") if row.get(key)}


def _only(user: Json) -> set[str]:
    """What nobody else can have beside a user as the server shows him: the e-mail address of one who comes by single
    sign-on is free to others (F§2.5). The server tells him by his providers only, and a list leaves identities out."""
    said = user.get("app_metadata") or {}
    listed = said.get("providers")
    names = [said.get("provider"), *(listed if isinstance(listed, list) else ())]
    names += [one.get("provider") for one in user.get("identities") or []]
    is_sso = any(str(name).startswith(_SSO) for name in names)
    return _own({**user, "email": None} if is_sso else user)


async def _compared(project: Project, staying: Collection[str], line: bytes) -> Difference | str:
    """What differs, else the sort of proof that the user counts for."""
    row = row_in(line)
    place = f"auth.users {row['id']}"
    try:
        live = await project.auth.find(str(row["id"]))
    except ApiError as error:
        # One whom the server can't show, for what stands in his row, is no reason to look at no other.
        return Difference("auth", place, "changed", f"the server doesn't show him: {error.message}")
    changed = _changed(row, line, live) if live else []
    if live and not changed:
        return _EQUAL
    if row["id"] in staying:
        return LEFT
    return Difference("auth", place, "changed" if live else "missing", ", ".join(changed))


def _unmakable(row: Json) -> str | None:
    """Why the server makes no such user; None when it does."""
    if row.get("deleted_at"):
        return "deleted"
    if row.get("is_sso_user"):
        return "sso"
    if not (row.get("email") or row.get("phone")):
        return "address"
    metadata = sum(len(str(row.get(key, ""))) for key in ("raw_user_meta_data", "raw_app_meta_data"))
    return "large" if metadata > LARGEST_BODY_BYTES // 4 and len(json.dumps(row)) > LARGEST_BODY_BYTES else None


def _lost(row: Json) -> Iterator[str]:
    """Marks of what a user has and the server can't be given."""
    hashed = str(row.get("encrypted_password") or "")
    has = {
        "times": True,
        "factors": bool(row.get("mfa_factors")),
        "passkeys": bool(row.get("webauthn_credentials")),
        "identities": bool(_other_providers(row)),
        "hash": bool(hashed and not _HASHES.match(hashed)),
        "changes": any(row.get(column) for column in NEVER_NULL),
        "shape": any(not isinstance(row.get(key), _OBJECTS) for key in ("raw_user_meta_data", "raw_app_meta_data")),
        "unknown": bool(row.keys() - _FIELDS),
        "super": bool(row.get("is_super_admin")),
        "numbers": any(
            _LONG_NUMBER.search(str(row.get(key, ""))) for key in ("raw_user_meta_data", "raw_app_meta_data")
        ),
    }
    return (mark for mark, there in has.items() if there)


def _other_providers(row: Json) -> set[str]:
    """Whom a user's identities are of that the server doesn't make by itself."""
    identities = row.get("identities") or []
    if isinstance(identities, str):
        return {"unknown"}  # Too deep to be read.
    named = {str(one.get("provider")) for one in identities} - {"email", "phone"}
    return {"SSO" if name.startswith(_SSO) else name for name in named}


def _body(row: Json, line: bytes) -> bytes:
    """What the server is asked to make. Saved values go as the text they are, so that no number is rounded here."""
    texts = dict(members(line.decode()))
    said = {name: texts[key] for key, name in _KEPT_AS.items() if row.get(key)}
    said = {name: text for name, text in said.items() if not name.endswith("_metadata") or text.startswith("{")}
    hashed = str(row.get("encrypted_password") or "")
    if _HASHES.match(hashed):
        said["password_hash"] = json.dumps(hashed)
    for kind in ("email", "phone"):
        if row.get(f"{kind}_confirmed_at"):
            said[f"{kind}_confirm"] = "true"
    if ban := _ban(row):
        said["ban_duration"] = json.dumps(ban)
    return ("{" + ",".join(f'"{name}":{text}' for name, text in said.items()) + "}").encode()


def _ban(row: Json) -> str | None:
    """What is left of a ban, as Go writes durations."""
    until = row.get("banned_until")
    if not until or until == "-infinity":
        return None
    try:
        seconds = (datetime.fromisoformat(str(until)) - datetime.now(UTC)).total_seconds()
    except ValueError:
        return f"{LONGEST_BAN_HOURS}h"
    return f"{min(int(seconds), LONGEST_BAN_HOURS * 3600)}s" if seconds >= 1 else None


def _changed(row: Json, line: bytes, live: Json) -> list[str]:
    """What the server shows otherwise, of what it could be given."""
    expected: dict[str, Any] = {key: str(row.get(key) or "") for key in ("aud", "role", "email", "phone")}
    changed = [key for key, value in expected.items() if value and str(live.get(key) or "") != value]
    for kind in ("email", "phone"):
        if bool(row.get(f"{kind}_confirmed_at")) != bool(live.get(f"{kind}_confirmed_at")):
            changed.append(f"{kind}_confirmed_at")
    if bool(_ban(row)) != bool(live.get("banned_until")):
        changed.append("banned_until")
    texts = dict(members(line.decode()))
    for key, name in (("raw_user_meta_data", "user_metadata"), ("raw_app_meta_data", "app_metadata")):
        if not _holds(live.get(name) or {}, texts.get(key, "")):
            changed.append(key)
    return changed


def _holds(live: Json, saved: str) -> bool:
    """Whether metadata is what was saved, if that is an object, else empty; but for what the server adds of its own."""
    if not saved.startswith("{"):
        return live.keys() <= _SERVERS_OWN
    try:
        # As the server reads numbers.
        said, live = json.loads(saved, parse_int=float), json.loads(json.dumps(live), parse_int=float)
    except RecursionError:
        # Too deep to be read, so nothing shows that it is the same: told rather than taken for granted.
        return False
    return bool({**live, **said} == live and live.keys() - said.keys() <= _SERVERS_OWN)
