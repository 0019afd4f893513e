"""Privileges: who owned and was granted what, and the statements that make it so again, exactly (recipe §5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from supapy.model import Omission
from supapy.names import literal
from supapy.parts.database.alive import quiesced
from supapy.parts.database.platform import platform
from supapy.parts.database.rules.facts import Facts
from supapy.parts.database.rules.rules import Judgement, owned
from supapy.parts.database.sql.statements import Value, copy_line, do_block, over_lines, over_rows, sql_file
from supapy.project.moment import Moment


class Privilege(NamedTuple):
    """One privilege; `order` is its place among those on its object, `grantee` "" is PUBLIC. Without a `name` it says
    only that the object is there."""

    order: int
    grantor: str
    grantee: str
    name: str | None
    grantable: bool


NONE = Privilege(0, "", "", None, False)


class Privileges(tuple[Privilege, ...]):
    """Those on one object. Most objects share them with many others: what is made of them is made once."""

    @cached_property
    def lines(self) -> list[str]:
        """The ends of an object's rows, one for each, as COPY takes them."""
        return [copy_line(one) for one in self or (NONE,)]


class Grant(NamedTuple):
    """What is granted on one object, or on a column of it: `object` is the text after ON in a GRANT.

    Without `privileges` it says only that the object is there, and which others it has. `catalog` and `oid` are the
    object's, `extension` is the one that it is a member of. What is `beyond_postgres` can't be granted again.
    """

    object: str
    column: str | None
    owner: str
    privileges: Privileges = Privileges()
    catalog: int = 0
    oid: int = 0
    extension: str | None = None
    beyond_postgres: bool = False

    @property
    def lines(self) -> str:
        """Its rows, one for each privilege, as COPY takes them."""
        head = copy_line((self.object, self.column, self.owner)).removesuffix("\n") + "\t"
        return head + head.join(self.privileges.lines)


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

    By objects' names, so that the same ones are saved as the same bytes whichever way the server finds them.
    `beyond_postgres` ones among them were made in the name of the platform's roles; no restore can make them again.
    """
    rows = moment.rows(sql_file("privileged") + _HELD)
    passable = {(obj, column): _passable(held) for obj, column, *_, held in rows}
    grants: list[Grant] = []
    theirs: dict[str, bool] = {}
    for obj, column, owner, schema, extension, catalog, oid, held in rows:
        if schema == quiesced.SCHEMA or obj == f"SCHEMA {quiesced.SCHEMA}" or oid in facts.queue_partitions:
            continue
        users = schema is not None and schema not in facts.managed and not extension
        # What can't be given back to its owner stays with postgres, and so must what that owner had and granted.
        lost_owner = owner if users and not platform.can_own(owner) else None
        privileges = _privileges(held, lost_owner)
        if obj == _PUBLIC or obj.startswith("DATABASE "):
            privileges = Privileges(one for one in privileges if not _is_platforms_business(one))
            if held and not privileges:
                continue
        grant = Grant(obj, column, "postgres" if lost_owner else owner, privileges, catalog, oid, extension)
        if users or not platform.is_platform_role(owner):
            grants.append(grant)
        else:
            found = list(_of_platforms(grant, schema, passable[obj, column] | passable.get((obj, None), frozenset())))
            theirs[obj] = theirs.get(obj, False) or any(not one.beyond_postgres for one in found)
            grants.extend(found)
    grants.extend(Grant(obj, None, "") for obj, has_grants in theirs.items() if not has_grants)
    return sorted(grants, key=lambda grant: (grant.object, grant.column or ""))


@lru_cache(maxsize=4096)
def _privileges(held: str | None, lost_owner: str | None = None) -> Privileges:
    """Those that the server listed, with postgres in the place of an owner who is lost."""

    def kept(role: str) -> str:
        return "postgres" if role == lost_owner else role

    return Privileges(
        Privilege(order, kept(grantor), kept(grantee), name, grantable)
        for order, grantor, grantee, name, grantable in json.loads(held or "[]")
    )


@lru_cache(maxsize=4096)
def _passable(held: str | None) -> frozenset[str | None]:
    """What postgres may pass on of them."""
    return frozenset(one.name for one in _privileges(held) if one.grantee == "postgres" and one.grantable)


def _of_platforms(grant: Grant, schema: str | None, passable: frozenset[str | None]) -> Iterator[Grant]:
    """Of what is granted on a thing of the platform's, what is the user's doing."""
    possible: list[Privilege] = []
    beyond: list[Privilege] = []
    for one in grant.privileges:
        if not platform.is_platform_role(one.grantor):
            possible.append(one)
        elif _to_a_users_role(one.grantee, grant.object, schema):
            (possible if one.name in passable else beyond).append(one._replace(grantor="postgres"))
    if possible:
        yield grant._replace(privileges=Privileges(possible))
    if beyond:
        yield grant._replace(privileges=Privileges(beyond), beyond_postgres=True)


# An object with the privileges on it as a list; each list that several have is made once.
_HELD = """
, held (acl, privileges) AS MATERIALIZED (
    SELECT d.acl, (
        SELECT json_agg(json_build_array(x.ord, pg_get_userbyid(x.grantor),
            CASE x.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(x.grantee)::text END, x.privilege_type, x.is_grantable
        ) ORDER BY x.ord)::text
        FROM aclexplode(d.acl) WITH ORDINALITY AS x (grantor, grantee, privilege_type, is_grantable, ord)
    )
    FROM (SELECT DISTINCT coalesce(o.acl, o.defaults) FROM object o) d (acl)
)
SELECT o.obj, o.col, pg_get_userbyid(o.owner)::text, o.schema,
    member.extension, o.classid::bigint, o.objid::bigint, held.privileges
FROM object o JOIN held ON held.acl = coalesce(o.acl, o.defaults)
LEFT JOIN (
    SELECT d.classid, d.objid, quote_ident(e.extname)
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
) member (classid, objid, extension) USING (classid, objid)
"""


def of_kept(grants: Iterable[Grant], judgement: Judgement) -> list[Grant]:
    """Those on what comes back."""
    if not judgement.is_part:
        lost = judgement.lost_objects
        return [grant for grant in grants if not lost or (grant.catalog, grant.oid) not in lost]
    kept, public = judgement.kept_objects, judgement.uses_public
    return [grant for grant in grants if (grant.catalog, grant.oid) in kept or (public and grant.object == _PUBLIC)]


def _to_a_users_role(grantee: str, obj: str, schema: str | None) -> bool:
    """Whether a grant that a role of the platform's made was a user's doing, of the time when postgres could act for
    that role: the platform gives nothing to roles of the user's, and none of auth's tables to those of the API."""
    if grantee in platform.API_ROLES | {""}:
        return schema == "auth" and obj.startswith(("TABLE ", "SEQUENCE "))
    return grantee != "postgres" and not platform.is_platform_role(grantee)


def omissions(grants: Iterable[Grant]) -> Iterator[Omission]:
    """A word on each object with grants that only the platform's roles could make again."""
    by_object: dict[str, list[str]] = {}
    for grant in grants:
        if grant.beyond_postgres:
            column = f" ({grant.column})" if grant.column else ""
            given = [f"{one.name}{column} to {one.grantee or 'PUBLIC'}" for one in grant.privileges]
            by_object.setdefault(grant.object, []).extend(given)
    for obj, given in by_object.items():
        yield Omission("database", f"{', '.join(given)} on {obj}", _BEYOND_POSTGRES)


_BEYOND_POSTGRES = (
    "It was given in the name of the platform, and postgres may not pass it on: give access by a view or a function of "
    "your own instead."
)


def _is_platforms_business(one: Privilege) -> bool:
    """What the platform's own roles may do in the database and in schema public, in every project."""
    return not platform.can_own(one.grantee or "postgres")


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
    judgement: Judgement, grants: Iterable[Grant], defaults: Iterable[tuple[Value, ...]], others: Iterable[str] = ()
) -> str:
    """Statements that make one a member of every role that owns or grants something, and of `others`, until
    `give_back_sql`."""
    roles = set(others)
    roles |= {owner for _, _, owner, _ in _owner_rows(judgement)}
    # Most grants share their privileges.
    distinct = {id(grant.privileges): grant.privileges for grant in grants}.values()
    roles |= {one.grantor for privileges in distinct for one in privileges} | {str(owner) for owner, *_ in defaults}
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


def owners_sql(judgement: Judgement, large_objects: Iterable[tuple[int, str]]) -> str:
    """Statements that give every object to its owner; `large_objects` are (oid, owner)."""
    rows = [*_owner_rows(judgement)]
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


def _owner_rows(judgement: Judgement) -> list[tuple[int, str, str, str | None]]:
    return [
        (place, thing, entry.owner, entry.schema or None)
        for place, entry in enumerate(judgement.kept)
        if entry.owner != "postgres" and platform.can_own(entry.owner) and (thing := owned(entry))
    ]


def grants_sql(grants: Iterable[Grant], major: int) -> str:
    """Statements that make the privileges equal those of the source, a server of version `major`."""
    return _grants_sql("".join([grant.lines for grant in grants]), major)


def grant_rows_sql(rows: Iterable[Sequence[Value]], major: int) -> str:
    """The same of saved rows."""
    return _grants_sql("".join(map(copy_line, rows)), major)


def _grants_sql(lines: str, major: int) -> str:
    body = sql_file("grants", major=str(major), reserved=literal(platform.RESERVED_ROLE_PATTERN))
    return (
        f"CREATE TEMPORARY VIEW supapy_privileges AS\n{sql_file('privileged')}{sql_file('privileges')};\n"
        "CREATE TEMPORARY TABLE supapy_objects AS SELECT DISTINCT obj FROM pg_temp.supapy_privileges;\n"
        + over_lines(GRANTS, _COLUMNS, lines, body)
        + "DROP TABLE pg_temp.supapy_objects;\nDROP VIEW pg_temp.supapy_privileges;\n"
    )


def read_default_privileges(moment: Moment) -> list[tuple[Value, ...]]:
    """What the user's own roles, postgres and the API's grant by default on new objects."""
    return list(_user_rows(moment.once(_DEFAULT_PRIVILEGES)))


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
