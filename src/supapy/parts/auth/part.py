"""The users: read and written by SQL, so that ids, password hashes and identities stay what they are (design §6)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial

from supapy.errors import SqlError
from supapy.journal import Journal
from supapy.model import Dump, Finding, Item, Omission, Problem, Progress, Step
from supapy.names import many
from supapy.parts.auth.by_api import ByApi
from supapy.parts.auth.compare import Comparison
from supapy.parts.auth.document import Document, row_in
from supapy.parts.auth.dump import Tally, written
from supapy.parts.auth.earlier import Earlier
from supapy.parts.auth.ids import Ids
from supapy.parts.auth.load import Load, not_taken
from supapy.parts.auth.meeting import Meeting
from supapy.parts.auth.people import EVERYBODY, People, beside_users, clash, meant
from supapy.parts.auth.tables import FILE, NESTED, OTHERS, readable, wanting
from supapy.parts.base import Obstacle, Source
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.pumps import usual_jobs
from supapy.project.schema import AUTH_LEFT_OUT, tables_of

# What the manifest counts beside the users.
SESSIONS_COUNT, AUDIT_COUNT, SEALED_COUNT = "sessions", "audit records", "sealed values"
_SEALED_REMEDY = (
    "The Auth server encrypted them with a key that no backup can hold (GOTRUE_SECURITY_DB_ENCRYPTION_…). They work in "
    "the same project, and where the server has the same key; elsewhere these people set a new password or factor."
)


class AuthPart:
    """auth_users.json, and the tables of schema auth that it stands for. Users are read by `jobs` connections at once;
    `people` says what a restore is about, and its `journal` what runs before it have done."""

    name = "auth"
    side_by_side = False

    def __init__(self, jobs: int | None = None, people: People = EVERYBODY, journal: Journal | None = None) -> None:
        self._jobs = usual_jobs() if jobs is None else jobs
        self._people = people
        self._journal = journal
        self._meeting: Meeting | None = None
        self._sessions: int | None = None
        self._by_api: ByApi | None = None
        self._found: Ids | None = None
        self._lost: list[Problem] = []

    def dump(self, moment: Moment) -> Dump:
        """The one file, and a word on what isn't in it."""
        tally, counts = Tally(), dict[str, int]()
        yield Item(self.name, "users", FILE, partial(_counted, moment, self._jobs, tally, counts), counts=counts)
        for name, number in sorted(tally.orphans.items()):
            yield Problem(self.name, f"auth.{name}", f"{many(number, 'row')} of users who aren't there: left out")
        yield from _not_saved(moment)
        yield Omission(
            self.name,
            "sign-ins under way (one-time tokens, OAuth and SAML states, challenges)",
            "Nothing to do: they expire within minutes to a day, and whoever waits for one begins anew.",
        )
        if tally.sealed:
            yield Omission(self.name, f"the key to {many(tally.sealed, 'sealed value')}", _SEALED_REMEDY)

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """The users that are there, those among them that are saved as well, and what the target can't do without."""
        document = Document(backup)
        if self._people.via == "api":
            self._by_api = ByApi(document, self._people, self._earlier(backup))
            yield from self._by_api.obstacles(moment)
            return
        document.check()
        if impossible := list(_impossible(document, moment)):
            yield from impossible
            return
        try:
            yield from self._meet(backup, document, moment)
            self._lost = self._load(document, self._left_out(backup, moment.project)).look(moment.project)
        except SqlError as error:
            raise not_taken(error) from None

    def _meet(self, backup: Source, document: Document, moment: Moment) -> Iterator[Obstacle]:
        count = moment.value("SELECT count(*) FROM auth.users")
        if not count:
            return
        yield Obstacle(self.name, many(count, "user"), held=True)
        self._meeting = Meeting(self._people.on_conflict, self._earlier(backup).is_own_work)
        with moment.project.session() as session:
            self._meeting.find(session, self._load(document, ()).users())
        if self._meeting.clashing and "sessions" in self._left_out(backup, moment.project):
            theirs = filter(meant("sessions", self._chosen(document)), document.rows("sessions"))
            self._sessions = sum(map(self._meeting.comes("sessions"), theirs))
        if self._meeting.clashing:
            yield clash(self._people, self._meeting.clashing, self._meeting.first)

    def load(self, backup: Source, project: Project, journal: Journal) -> Iterator[Step | Omission]:
        """One step: all tables in one transaction; and what of the backup stays behind."""
        if self._by_api:
            yield from self._by_api.load(project)
            return
        document, left_out = Document(backup), self._left_out(backup, project)
        load = self._load(document, left_out)
        users = len(load.chosen) if load.chosen is not None else backup.count(self.name, "users")
        if self._meeting:
            users -= self._meeting.same + (0 if self._meeting.replaces else self._meeting.clashing)
        with_sessions = "" if "sessions" in left_out else ", and sessions"
        title = f"{many(users, 'user')} with identities and factors{with_sessions}"
        yield Step(self.name, title, partial(self._into, load, project, self._earlier(backup)), users, "users")
        yield from self._stays_behind(backup, document, project, left_out)

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """Every saved row against the live one, by its id."""
        if self._people.via == "api":
            return ByApi(Document(backup), self._people, self._earlier(backup)).compare(moment)
        document, left_out = Document(backup), self._left_out(backup, moment.project)
        chosen = self._chosen(document)
        return Comparison(document, chosen, left_out, self._people.staying).findings(moment)

    @property
    def staying(self) -> Collection[str]:
        """The ids of the saved users whose place was found taken, and is left so."""
        if self._by_api:
            return self._by_api.staying
        return self._meeting.staying if self._meeting else ()

    def _into(self, load: Load, project: Project, earlier: Earlier, progress: Progress) -> list[Problem]:
        earlier.note(self.staying)
        return load.into(project, progress)

    def _earlier(self, backup: Source) -> Earlier:
        return Earlier(self._journal, backup, self._people)

    def _load(self, document: Document, left_out: tuple[str, ...]) -> Load:
        return Load(document, self._chosen(document), left_out, self._meeting)

    def _chosen(self, document: Document) -> Ids | None:
        if self._people.is_everybody:
            return None
        if self._found is None:
            self._found = self._people.chosen(map(row_in, document.users()))
        return self._found

    def _left_out(self, backup: Source, project: Project) -> tuple[str, ...]:
        return self._people.left_out(backup.source_ref == project.ref)

    def _stays_behind(
        self, backup: Source, document: Document, project: Project, left_out: tuple[str, ...]
    ) -> Iterator[Omission]:
        """What the backup has and the restore leaves out, on purpose or since nobody can bring it."""
        for lost in self._lost:
            yield Omission(self.name, f"{lost.name}: {lost.reason}", "Upgrade the target first where it matters.")
        chosen, sessions = self._chosen(document), self._sessions
        # Of the audit log nothing is any user's.
        records = backup.count(self.name, AUDIT_COUNT) if chosen is None else 0
        if sessions is None and chosen is not None:
            sessions = beside_users(document.sections(), chosen).get("sessions", 0)
        elif sessions is None:
            sessions = backup.count(self.name, SESSIONS_COUNT)
        if "sessions" in left_out and sessions:
            remedy = "These people sign in again. Where the target has the source's JWT keys, --sessions brings them."
            yield Omission(self.name, many(sessions, "session"), remedy)
        if "audit_log_entries" in left_out and records:
            yield Omission(self.name, many(records, "audit record"), "--audit-log brings them.")
        sealed = backup.count(self.name, SEALED_COUNT)
        if sealed and backup.source_ref != project.ref:
            yield Omission(self.name, f"the key to {many(sealed, 'sealed value')}", _SEALED_REMEDY)


def _counted(moment: Moment, jobs: int, tally: Tally, counts: dict[str, int]) -> Iterator[bytes]:
    """The file, and at its end what people count in it; what there is none of isn't said, but for the users."""
    tables, rows = readable(moment), tally.rows
    yield from written(moment, tables, jobs, tally)
    found = {SESSIONS_COUNT: rows["sessions"], AUDIT_COUNT: rows["audit_log_entries"], SEALED_COUNT: tally.sealed}
    users = {"users": rows["users"]} if "users" in tables else {}
    counts.update(users | {what: number for what, number in found.items() if number})


def _impossible(document: Document, moment: Moment) -> Iterator[Obstacle]:
    """Why no user can come in."""
    users = readable(moment).get("users")
    if users is None:
        yield Obstacle("auth", "this connection may not read auth.users", final=True)
    elif lacking := wanting(moment, users, set(document.columns["users"])):
        text = f"its Auth server wants a value for auth.users.{', '.join(lacking)}, which the backup hasn't"
        yield Obstacle("auth", text, final=True)


def _not_saved(moment: Moment) -> Iterator[Problem]:
    """Tables that should be in the file and aren't: unreadable ones, and what a newer server has."""
    for table in tables_of(moment, "auth"):
        if table.name in AUTH_LEFT_OUT:
            continue
        if not table.readable:
            yield Problem("auth", f"auth.{table.name}", "this connection may not read the table")
        elif table.name not in ("users", *NESTED, *OTHERS) and moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})"):
            yield Problem("auth", f"auth.{table.name}", "this version doesn't know the table and can't bring it back")
