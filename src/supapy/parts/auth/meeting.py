"""Saved users who are in the target already, or whose address somebody there has: found before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from supapy.parts.auth.document import by_id, id_of, row_in, row_of
from supapy.parts.auth.ids import Ids
from supapy.parts.auth.people import OnConflict, owner
from supapy.parts.auth.tables import NESTED, NEVER_NULL, OF_A_USER, readable
from supapy.project.postgres import Session
from supapy.project.quick import stage_chunks
from supapy.project.rows import STAGE
from supapy.project.schema import Table
from supapy.stream import lines

MOST_NAMED = 3
_SAVED = "pg_temp.supapy_saved"
_MET = "pg_temp.supapy_met"
_GONE = "pg_temp.supapy_gone"
# What a user leaves behind in tables that refer to something of his and not to himself.
_BEHIND = (
    ("refresh_tokens", "user_id IN (SELECT id::text FROM {gone})"),
    ("mfa_amr_claims", "session_id IN (SELECT id FROM auth.sessions WHERE user_id IN (SELECT id FROM {gone}))"),
    ("mfa_challenges", "factor_id IN (SELECT id FROM auth.mfa_factors WHERE user_id IN (SELECT id FROM {gone}))"),
)


@dataclass(slots=True)
class Meeting:
    """The saved users against the target's: `same` are there as they were saved, `clashing` differ or are others with
    the same address, of whom `first` names some; `staying` are the ids of those who don't come for that. Who
    `is_own_work`, by his id, isn't among these: he has come already, however he came out."""

    on_conflict: OnConflict
    is_own_work: Callable[[str], bool] = lambda _: False
    same: int = 0
    clashing: int = 0
    first: tuple[str, ...] = ()
    staying: Collection[str] = ()
    # Ids of saved users who are there as they were saved; of those who clash, where the target's stay; and of the
    # target's own who go, where they don't.
    _same: Ids = field(default_factory=Ids)
    _clashing: Ids = field(default_factory=Ids)
    _gone: Ids = field(default_factory=Ids)

    @property
    def replaces(self) -> bool:
        return self.on_conflict == "replace"

    def find(self, session: Session, users: Iterable[bytes]) -> None:
        """Look for them, each of whom is there once, by a session of its own."""
        tables = readable(session)
        live = _line_of([*_with_rows(session, tables)], tables["users"])
        session.execute(
            f"CREATE TEMPORARY TABLE {_name(_SAVED)} (id uuid, email text, phone text, sso bool, same bool)"
        )
        session.execute(_BY_ID)
        for _ in stage_chunks(session, users):
            session.execute(
                f"INSERT INTO {_SAVED} SELECT r.id, r.email, r.phone, r.is_sso_user, {_IS_SAME} "
                f"FROM {STAGE} s, pg_catalog.json_to_record(s.line) AS r(id uuid, email text, phone text, "
                f"is_sso_user bool) LEFT JOIN {tables['users'].sql} t ON t.id = r.id "
                f"CROSS JOIN LATERAL (SELECT s.line::text AS saved, {live} AS live OFFSET 0) l"
            )
        session.execute(_FROM_END_TO_END)
        session.execute(f"ANALYZE {_SAVED}")
        session.execute(f"CREATE TEMPORARY TABLE {_name(_MET)} (id uuid, live uuid, same bool NOT NULL)")
        session.execute(f"INSERT INTO {_MET} SELECT id, id, same FROM {_SAVED} WHERE same IS NOT NULL")
        single = " AND NOT t.is_sso_user" if any(c.name == "is_sso_user" for c in tables["users"].columns) else ""
        for address, also in (("email", f" AND NOT coalesce(s.sso, false){single}"), ("phone", "")):
            session.execute(
                f"INSERT INTO {_MET} SELECT s.id, t.id, false FROM {_SAVED} s JOIN {tables['users'].sql} t "
                f"ON t.{address}::text = s.{address} AND t.id <> s.id{also}"
            )
        self._take_out(session)

    def _take_out(self, session: Session) -> None:
        """Keep what was found: the session ends, and what is decided here is what the plan says."""
        self.same, self.clashing = session.rows(
            f"SELECT count(DISTINCT id) FILTER (WHERE same), count(DISTINCT id) FILTER (WHERE NOT same) FROM {_MET}"
        )[0]
        self.first = tuple(name for (name,) in session.rows(_FIRST))
        self._same = Ids(_texts(session, f"SELECT id FROM {_MET} WHERE same"))
        if self.replaces:
            self._gone = Ids(_texts(session, f"SELECT live FROM {_MET} WHERE NOT same"))
            return
        self._clashing, staying = Ids(), Ids()
        for found in _texts(session, f"SELECT id, bool_and(live = id) FROM {_MET} WHERE NOT same GROUP BY id"):
            one, _, is_by_id = found.partition("\t")
            self._clashing.add(one)
            if not (is_by_id == "t" and self.is_own_work(one)):
                staying.add(one)
        if self.on_conflict == "skip":
            self.staying = staying

    def make_room(self, taker: Session) -> None:
        """Where the saved ones win: take away the target's that they meet, as far as it is schema auth."""
        if not self._gone:
            return
        taker.execute(f"CREATE TEMPORARY TABLE {_name(_GONE)} (id uuid) ON COMMIT DROP")
        taker.copy_in(f"COPY {_GONE} FROM STDIN", (f"{one}\n".encode() for one in self._gone))
        taker.execute(f"ANALYZE {_GONE}")
        tables = readable(taker)
        taker.execute(_HASHED.format(switch="off"))
        for name, condition in _BEHIND:
            if name in tables:
                taker.execute(f"DELETE FROM {tables[name].sql} WHERE {condition.format(gone=_GONE)}")
        for table, column in taker.rows(_OF_USERS):
            taker.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM {_GONE})")
        taker.execute(f"DELETE FROM {tables['users'].sql} WHERE id IN (SELECT id FROM {_GONE})")
        taker.execute(_HASHED.format(switch="on"))

    def comes(self, name: str) -> Callable[[bytes], bool]:
        """Tells whether a saved line of a table comes in: its user isn't met, or wins."""
        if name == "users":
            return lambda line: (user := id_of(line)) not in self._same and user not in self._clashing
        if name in OF_A_USER:
            return lambda line: owner(row_in(line)) not in self._clashing
        return lambda line: True


def _name(table: str) -> str:
    return table.removeprefix("pg_temp.")


def _texts(session: Session, query: str) -> Iterator[str]:
    return (line.decode() for line in lines(session.copy_out(f"COPY ({query}) TO STDOUT")))


def _with_rows(session: Session, tables: dict[str, Table]) -> Iterator[Table]:
    """The nested tables that have any rows: looking for some of a user's costs as much where there are none."""
    for table in (tables[name] for name in NESTED if name in tables):
        if session.value(f"SELECT EXISTS (SELECT FROM {table.sql})"):
            yield table


def _tokenless(line: str) -> str:
    """A line without the empty tokens that earlier backups have."""
    for token in sorted(NEVER_NULL):
        line = f"""pg_catalog.replace({line}, ',"{token}":""', '')"""
    return line


def _line_of(nested: Sequence[Table], users: Table) -> str:
    """The line that the target's user `t` would be saved as; NULL when there is none."""
    members = [
        f"""',"{one.name}":[' || (SELECT pg_catalog.string_agg({row_of(one, "n")}, ',' ORDER BY {by_id(one, "n")})
            FROM {one.sql} n WHERE n.user_id = t.id) || ']'"""
        for one in nested
    ]
    return f"CASE WHEN t.id IS NOT NULL THEN {row_of(users, 't', members)} END"


# The live line has no empty tokens.
_IS_SAME = f"""
l.saved = l.live OR (pg_catalog.octet_length(l.saved) > pg_catalog.octet_length(l.live)
    AND {_tokenless("l.saved")} = l.live)
"""
# Where a vacuum came by while the target's users came in, the planner takes their tables for empty and any way for
# as good as another: each of a chunk is to be looked for by his id (what is left is a bitmap, which no plan makes of a
# whole index), and addresses are to be looked through once, all of them.
_BY_ID = "; ".join(
    f"SET enable_{way} = off" for way in ("hashjoin", "mergejoin", "seqscan", "indexscan", "indexonlyscan")
)
# The same of those who go: else each of the target's rows would be looked for among all of them.
_HASHED = "SET LOCAL enable_nestloop = {switch}"
_FROM_END_TO_END = "; ".join(
    f"SET enable_{way} = {switch}"
    for way, switch in (("hashjoin", "on"), ("seqscan", "on"), ("nestloop", "off"), ("bitmapscan", "off"))
)
_FIRST = f"""
SELECT coalesce(nullif(s.email, ''), nullif(s.phone, ''), s.id::text) FROM {_SAVED} s
WHERE EXISTS (SELECT FROM {_MET} m WHERE m.id = s.id AND NOT m.same) ORDER BY s.id LIMIT {MOST_NAMED}
"""
_OF_USERS = """
SELECT c.conrelid::pg_catalog.regclass::text, pg_catalog.quote_ident(a.attname)
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
WHERE c.contype = 'f' AND c.confrelid = 'auth.users'::pg_catalog.regclass
    AND c.connamespace = 'auth'::pg_catalog.regnamespace AND pg_catalog.cardinality(c.conkey) = 1
ORDER BY 1, 2
"""
