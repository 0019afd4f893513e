"""Privileges: who owned and was granted what, and the statements that make it so again, exactly (recipe §5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from supapy.model import Omission
from supapy.names import literal
from supapy.parts.database import platform, quiesced
from supapy.parts.database.facts import Facts
from supapy.parts.database.rules import Selection, owned
from supapy.parts.database.statements import Value, do_block, over_rows, sql_file
from supapy.project.moment import Moment


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege on one object. `object` is the text after ON in a GRANT; `grantee` "" is PUBLIC.

    Without a `privilege` it says only that the object is there, and which others it has. `catalog` and `oid` are the
    object's. One `beyond_postgres` can't be made again.
    """

    object: str
    column: str | None
    owner: str
    order: int
    grantor: str = ""
    grantee: str = ""
    privilege: str | None = None
    grantable: bool = False
    catalog: int = 0
    oid: int = 0
    beyond_postgres: bool = False

    @property
    def row(self) -> tuple[Value, ...]:
        return (
            *(self.object, self.column, self.owner, self.order),
            *(self.grantor, self.grantee, self.privilege, self.grantable),
        )


# The temporary tables that their rows go through.
OWNERS, GRANTS = "supapy_owners", "supapy_grants"
_COLUMNS = [
    "obj text",
    "col text",
    "owner text",
    "ord integer",
    "grantor text",
    "grantee text",
    "priv text",
    "grantable boolean",
]


_PUBLIC = "SCHEMA public"
_DEFAULT_COLUMNS = [
    "owner text",
    "schema text",
    "type text",
    "kind text",
    "ord integer",
    "grantee text",
    "priv text",
    "grantable boolean",
]


def read_grants(moment: Moment, facts: Facts) -> list[Grant]:
    """The grants that are the user's: all on his own objects, and on the platform's those he made.

    `beyond_postgres` ones among them were made in the name of the platform's roles; no restore can make them again.
    """
    rows = moment.rows(sql_file("privileges"))
    # What postgres may pass on of the platform's things.
    passable = {(row[0], row[1], row[8]) for row in rows if row[7] == "postgres" and row[9]}
    grants: list[Grant] = []
    theirs: dict[str, bool] = {}
    for obj, column, owner, schema, extension, order, grantor, grantee, privilege, grantable, *key in rows:
        users = schema is not None and schema not in facts.managed and not extension
        lost_owner = owner if users and not platform.can_own(owner) else None
        # What can't be given back to its owner stays with postgres, and so must what that owner had and granted.
        owner, grantor, grantee = ("postgres" if role == lost_owner else role for role in (owner, grantor, grantee))
        if _is_platforms_business(obj, grantee) or schema == quiesced.SCHEMA or obj == f"SCHEMA {quiesced.SCHEMA}":
            continue
        grant = Grant(obj, column, owner, order or 0, grantor or "", grantee or "", privilege, bool(grantable), *key)
        if users or not platform.is_platform_role(owner):
            grants.append(grant)
        elif privilege is not None and not platform.is_platform_role(grantor):
            grants.append(grant)
            theirs[obj] = True
        elif privilege is not None and _to_a_users_role(grant, schema):
            refused = passable.isdisjoint({(obj, column, privilege), (obj, None, privilege)})
            grants.append(replace(grant, grantor="postgres", beyond_postgres=refused))
            theirs[obj] = not refused or theirs.get(obj, False)
        else:
            theirs.setdefault(obj, False)
    grants.extend(Grant(obj, None, "", 0) for obj, has_grants in theirs.items() if not has_grants)
    return grants


def of_selection(grants: Iterable[Grant], selection: Selection) -> list[Grant]:
    """Those on what comes back."""
    if not selection.is_part:
        lost = selection.lost_objects
        return [grant for grant in grants if (grant.catalog, grant.oid) not in lost]
    kept, public = selection.kept_objects, selection.uses_public
    return [grant for grant in grants if (grant.catalog, grant.oid) in kept or (public and grant.object == _PUBLIC)]


def _to_a_users_role(grant: Grant, schema: str | None) -> bool:
    """Whether a grant that a role of the platform's made was a user's doing, of the time when postgres could act for
    that role: the platform gives nothing to roles of the user's, and none of auth's tables to those of the API."""
    if grant.grantee in platform.API_ROLES | {""}:
        return schema == "auth" and grant.object.startswith(("TABLE ", "SEQUENCE "))
    return grant.grantee != "postgres" and not platform.is_platform_role(grant.grantee)


def omissions(grants: Iterable[Grant]) -> Iterator[Omission]:
    """A word on each object with grants that only the platform's roles could make again."""
    by_object: dict[str, list[str]] = {}
    for grant in grants:
        if grant.beyond_postgres:
            column = f" ({grant.column})" if grant.column else ""
            privilege = f"{grant.privilege}{column} to {grant.grantee or 'PUBLIC'}"
            by_object.setdefault(grant.object, []).append(privilege)
    for obj, given in by_object.items():
        yield Omission("database", f"{', '.join(given)} on {obj}", _BEYOND_POSTGRES)


_BEYOND_POSTGRES = (
    "It was given in the name of the platform, and postgres may not pass it on: give access by a view or a function of "
    "your own instead."
)


def _is_platforms_business(obj: str, grantee: str | None) -> bool:
    """What the platform's own roles may do in the database and in schema public, in every project."""
    shared = obj.startswith("DATABASE ") or obj == _PUBLIC
    return shared and grantee is not None and not platform.can_own(grantee or "postgres")


def neutralise_sql(*, public: bool = True) -> str:
    """Statements that take the target's default privileges away, and every API role's way into schema `public`."""
    revoke = "REVOKE ALL ON SCHEMA public FROM PUBLIC, anon, authenticated, service_role;\n" if public else ""
    return do_block(sql_file("neutralise")) + revoke


def put_aside_sql() -> str:
    """Statements that note the target's own default privileges, for `put_back_sql`."""
    theirs = f"WHERE pg_catalog.pg_get_userbyid(a.defaclrole) !~ {literal(platform.RESERVED_ROLE_PATTERN)}"
    query = _DEFAULT_PRIVILEGES.replace("ORDER BY", f"{theirs}\nORDER BY")
    columns = ", ".join(column.partition(" ")[0] for column in _DEFAULT_COLUMNS)
    return f"CREATE TEMPORARY TABLE supapy_defaults ({columns}) AS {query.strip()};\n"


def put_back_sql() -> str:
    """The end of what `put_aside_sql` began."""
    return (
        "".join((do_block(sql_file("neutralise")), do_block(sql_file("default_privileges"))))
        + "DROP TABLE pg_temp.supapy_defaults;\n"
    )


def borrow_sql(
    selection: Selection, grants: Iterable[Grant], defaults: Iterable[tuple[Value, ...]], others: Iterable[str] = ()
) -> str:
    """Statements that make one a member of every role that owns or grants something, and of `others`, until
    `give_back_sql`."""
    roles = set(others)
    roles |= {owner for _, _, owner, _ in _owner_rows(selection)}
    roles |= {grant.grantor for grant in grants if grant.privilege} | {str(owner) for owner, *_ in defaults}
    return borrow_roles_sql(roles)


def borrow_roles_sql(roles: Iterable[str]) -> str:
    """Statements that make one a member of some roles, until `give_back_sql`."""
    wanted = sorted(role for role in roles if role not in ("postgres", "pg_database_owner") and platform.can_own(role))
    return "CREATE TEMPORARY TABLE supapy_borrowed (name text);\n" + over_rows(
        "supapy_wanted", ["name text"], [(role,) for role in wanted], sql_file("borrow")
    )


def give_back_sql() -> str:
    """The end of what `borrow_sql` began."""
    return do_block(sql_file("give_back")) + "DROP TABLE pg_temp.supapy_borrowed;\n"


def owners_sql(selection: Selection, large_objects: Iterable[tuple[int, str]]) -> str:
    """Statements that give every object to its owner; `large_objects` are (oid, owner)."""
    rows = [*_owner_rows(selection)]
    rows += [
        (len(rows) + n, f"LARGE OBJECT {oid}", owner, None)
        for n, (oid, owner) in enumerate(large_objects)
        if owner != "postgres" and platform.can_own(owner)
    ]
    return owner_rows_sql(rows)


def owner_rows_sql(rows: Iterable[Sequence[Value]]) -> str:
    """Statements that give objects to owners: place in the order, object, owner, schema."""
    columns = ["place integer", "object text", "owner text", "schema text"]
    return over_rows(OWNERS, columns, rows, sql_file("owners"))


def _owner_rows(selection: Selection) -> list[tuple[int, str, str, str | None]]:
    return [
        (place, thing, entry.owner, entry.schema or None)
        for place, entry in enumerate(selection.kept)
        if (thing := owned(entry)) and entry.owner != "postgres" and platform.can_own(entry.owner)
    ]


def grants_sql(grants: Iterable[Grant], major: int) -> str:
    """Statements that make the privileges equal those of the source, a server of version `major`."""
    return grant_rows_sql((grant.row for grant in grants), major)


def grant_rows_sql(rows: Iterable[Sequence[Value]], major: int) -> str:
    """The same of saved rows."""
    return (
        f"CREATE TEMPORARY VIEW supapy_privileges AS\n{sql_file('privileges')};\n"
        "CREATE TEMPORARY TABLE supapy_objects AS SELECT DISTINCT obj FROM pg_temp.supapy_privileges;\n"
        + over_rows(
            GRANTS,
            _COLUMNS,
            rows,
            sql_file("grants")
            .replace(":major", str(major))
            .replace(":reserved", literal(platform.RESERVED_ROLE_PATTERN)),
        )
        + "DROP TABLE pg_temp.supapy_objects;\nDROP VIEW pg_temp.supapy_privileges;\n"
    )


def read_default_privileges(moment: Moment) -> list[tuple[Value, ...]]:
    """What the user's own roles, postgres and the API's grant by default on new objects."""
    return list(_user_rows(moment.rows(_DEFAULT_PRIVILEGES)))


def _user_rows(rows: Iterable[tuple[Value, ...]]) -> Iterator[tuple[Value, ...]]:
    return (row for row in rows if platform.can_own(str(row[0])))


def default_privileges_sql(defaults: Iterable[tuple[Value, ...]]) -> str:
    """Statements that set the default privileges to the source's."""
    return do_block(sql_file("neutralise")) + over_rows(
        "supapy_defaults",
        _DEFAULT_COLUMNS,
        defaults,
        sql_file("default_privileges"),
    )


_DEFAULT_PRIVILEGES = """
SELECT pg_catalog.pg_get_userbyid(a.defaclrole)::text, n.nspname::text, a.defaclobjtype::text,
    CASE a.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
        WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END,
    x.ord::integer, CASE x.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(x.grantee)::text END,
    x.privilege_type, x.is_grantable
FROM pg_catalog.pg_default_acl a
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = a.defaclnamespace
LEFT JOIN LATERAL pg_catalog.aclexplode(a.defaclacl)
    WITH ORDINALITY AS x (grantor, grantee, privilege_type, is_grantable, ord) ON true
ORDER BY 1, 2 NULLS FIRST, 3, 5
"""
