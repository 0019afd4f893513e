"""Saved users who are in the target already, or whose address somebody there has: found before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from supapy.names import literal
from supapy.parts.auth.document import by_id, row_of, twice
from supapy.parts.auth.ids import Ids
from supapy.parts.auth.people import OnConflict
from supapy.parts.auth.tables import NESTED, NEVER_NULL, readable
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

    @property
    def replaces(self) -> bool:
        return self.on_conflict == "replace"

    def find(self, session: Session, users: Iterable[bytes]) -> None:
        """Look for them; what was found stays with the session. Raises IntegrityError for one who is saved twice: the
        one line might be there already and the other in its way."""
        tables = readable(session)
        live = _line_of(tables)
        session.execute(
            f"CREATE TEMPORARY TABLE {_name(_SAVED)} (id uuid, email text, phone text, sso bool, same bool)"
        )
        for _ in stage_chunks(session, users):
            session.execute(
                f"INSERT INTO {_SAVED} SELECT r.id, r.email, r.phone, r.is_sso_user, "
                f"s.line::text = {live} OR {_tokenless('s.line::text')} = {_tokenless(live)} "
                f"FROM {STAGE} s, pg_catalog.json_to_record(s.line) AS r(id uuid, email text, phone text, "
                f"is_sso_user bool) LEFT JOIN {tables['users'].sql} t ON t.id = r.id"
            )
        session.execute(f"ANALYZE {_SAVED}")
        if user := session.value(f"SELECT id::text FROM {_SAVED} GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT 1"):
            raise twice(user)
        session.execute(f"CREATE TEMPORARY TABLE {_name(_MET)} (id uuid, live uuid, same bool NOT NULL)")
        session.execute(f"INSERT INTO {_MET} SELECT id, id, same FROM {_SAVED} WHERE same IS NOT NULL")
        single = " AND NOT t.is_sso_user" if any(c.name == "is_sso_user" for c in tables["users"].columns) else ""
        for address, also in (("email", f" AND NOT coalesce(s.sso, false){single}"), ("phone", "")):
            session.execute(
                f"INSERT INTO {_MET} SELECT s.id, t.id, false FROM {_SAVED} s JOIN {tables['users'].sql} t "
                f"ON t.{address}::text = s.{address} AND t.id <> s.id{also}"
            )
        session.execute(f"CREATE INDEX ON {_MET} (id)")
        self.same, self.clashing = session.rows(
            f"SELECT count(DISTINCT id) FILTER (WHERE same), count(DISTINCT id) FILTER (WHERE NOT same) FROM {_MET}"
        )[0]
        self.first = tuple(name for (name,) in session.rows(_FIRST))
        if self.on_conflict == "skip":
            self.staying = Ids(self._staying(session))

    def _staying(self, session: Session) -> Iterator[str]:
        found = f"SELECT id, bool_and(live = id) FROM {_MET} WHERE NOT same GROUP BY id"
        for line in lines(session.copy_out(f"COPY ({found}) TO STDOUT")):
            one, _, by_id = line.decode().partition("\t")
            if not (by_id == "t" and self.is_own_work(one)):
                yield one

    def coming(self, session: Session, name: str, rows: Iterable[bytes]) -> int:
        """How many of a table's saved rows come in, or would; by the session that found them."""
        query = f"SELECT count(*) FROM {STAGE} one WHERE {self.condition(name)}"
        return sum(int(session.value(query)) for _ in stage_chunks(session, rows))

    def make_room(self, maker: Session, taker: Session) -> None:
        """Where the saved ones win: take away the target's that they meet, as far as it is schema auth."""
        if not (self.replaces and self.clashing):
            return
        taker.execute(f"CREATE TEMPORARY TABLE {_name(_GONE)} (id uuid) ON COMMIT DROP")
        taker.copy_in(
            f"COPY {_GONE} FROM STDIN",
            maker.copy_out(f"COPY (SELECT DISTINCT live FROM {_MET} WHERE NOT same) TO STDOUT"),
        )
        tables = readable(taker)
        for name, condition in _BEHIND:
            if name in tables:
                taker.execute(f"DELETE FROM {tables[name].sql} WHERE {condition.format(gone=_GONE)}")
        for table, column in taker.rows(_OF_USERS):
            taker.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM {_GONE})")
        taker.execute(f"DELETE FROM {tables['users'].sql} WHERE id IN (SELECT id FROM {_GONE})")

    def condition(self, name: str) -> str:
        """Which staged rows `one` of a table come in: those of users who aren't met, or who win."""
        key = "id" if name == "users" else "user_id"
        met = f"SELECT FROM {_MET} m WHERE m.id::text = one.line ->> {literal(key)}"
        if name in ("users", *NESTED):
            return f"NOT EXISTS ({met}{' AND m.same' if self.replaces else ''})"
        return "true" if self.replaces else f"NOT EXISTS ({met} AND NOT m.same)"


def _name(table: str) -> str:
    return table.removeprefix("pg_temp.")


def _tokenless(line: str) -> str:
    """A line without the empty tokens that a restore puts in the place of NULL ones."""
    return f"pg_catalog.regexp_replace({line}, ',\"({'|'.join(sorted(NEVER_NULL))})\":\"\"', '', 'g')"


def _line_of(tables: dict[str, Table]) -> str:
    """The line that the target's user `t` would be saved as; NULL when there is none."""
    nested = [
        f"""',"{one.name}":[' || (SELECT pg_catalog.string_agg({row_of(one, "n")}, ',' ORDER BY {by_id(one, "n")})
            FROM {one.sql} n WHERE n.user_id = t.id) || ']'"""
        for one in (tables[name] for name in NESTED if name in tables)
    ]
    return f"CASE WHEN t.id IS NOT NULL THEN {row_of(tables['users'], 't', nested)} END"


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
