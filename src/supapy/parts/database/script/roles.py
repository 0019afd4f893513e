"""Roles, memberships and settings: read from the catalogs, written as rows that a block of SQL works through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from supapy.model import Omission
from supapy.names import literal, quoted
from supapy.parts.database.platform import platform
from supapy.parts.database.sql.statements import do_block, over_rows, sql_file
from supapy.project.moment import Moment
from supapy.project.postgres import Row

# The source's own secrets, of no use elsewhere (recipe §4).
_SECRET_SETTINGS = frozenset({"app.settings.jwt_secret", "app.settings.jwt_exp"})

_PRELOADED = "session_preload_libraries"
_BY_PLATFORM = "Only a superuser can give it: ask the platform's support."

# The roles that a part of a database needs; None for all of it.
Roles = frozenset[str] | None


def user_roles(moment: Moment, only: Roles = None) -> set[str]:
    """The roles that a user made."""
    names = {str(name) for (name,) in moment.once("SELECT rolname FROM pg_catalog.pg_roles")}
    names = names if only is None else names & only
    return {name for name in names if name != "postgres" and not platform.is_platform_role(name)}


def passwords_readable(moment: Moment) -> bool:
    """Whether this connection may read the hashes of passwords."""
    return bool(moment.once("SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')")[0][0])


def omissions(moment: Moment, only: Roles = None) -> Iterator[Omission]:
    """A word on each setting, attribute and membership that can't be restored, and on passwords that can't be read."""
    roles = user_roles(moment, only)
    for role, in_database, name, _ in _settings(moment, only):
        if _for_superusers(name) and not _is_platforms(role, name):
            yield Omission("database", f"setting {name} of {whose(role, in_database)}", _BY_PLATFORM)
    for (role,) in moment.once("SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper ORDER BY rolname"):
        if role in roles:
            yield Omission("database", f"attribute SUPERUSER of role {role}", "No role of a project's may have it.")
    for role, member, *_ in moment.once(_memberships(moment)):
        if {role, member} & roles and not _is_users(role, member, roles):
            yield Omission("database", f"membership of {member} in {role}", _BY_PLATFORM)
    for name, privilege, grantee in moment.once(_PARAMETER_GRANTS):
        if grantee in roles or (only is None and grantee in platform.API_ROLES):
            yield Omission("database", f"{privilege} on parameter {name} to {grantee}", _BY_PLATFORM)
    for (role,) in moment.once(_LABELLED):
        if role in roles:
            yield Omission("database", f"security label of role {role}", f"{platform.UNLABELLED}.")
    if passwords_readable(moment):
        return
    logins = moment.rows("SELECT rolname FROM pg_catalog.pg_roles WHERE rolcanlogin ORDER BY rolname")
    for (role,) in logins:
        if role in roles:
            remedy = f"Set it again after a restore: ALTER ROLE {quoted(role)} PASSWORD '...'."
            yield Omission("database", f"password of role {role}", remedy)


def read_roles(moment: Moment, only: Roles = None) -> list[Row]:
    """The user's roles: name, attributes as words, hash of the password (None if unreadable), comment."""
    roles = user_roles(moment, only)
    return [row for row in moment.once(_role_query(passwords_readable(moment))) if row[0] in roles]


def read_memberships(moment: Moment, only: Roles = None) -> list[Row]:
    """The memberships a restore makes: role, member, admin option, and since 16 whether it inherits and may switch."""
    roles = user_roles(moment, only)
    found = [row for row in moment.once(_memberships(moment)) if _is_users(row[0], row[1], roles)]
    if only is None:
        return found
    # Of a part those between roles of which one is there at all.
    others = user_roles(moment) - roles
    return [row for row in found if roles & {row[0], row[1]} and not others & {row[0], row[1]}]


def read_settings(moment: Moment, only: Roles = None) -> list[Row]:
    """The settings of roles and of the database (role ""): role, whether for this database only, name, value."""
    return [row for row in _settings(moment, only) if not _for_superusers(row[2])]


def _settings(moment: Moment, only: Roles) -> list[Row]:
    settable = user_roles(moment, only) | (platform.SETTABLE_ROLES | {""} if only is None else set())
    return [row for row in moment.once(_SETTINGS) if row[0] in settable and row[2] not in _SECRET_SETTINGS]


def _is_platforms(role: str, name: str) -> bool:
    """Whether the platform itself set it, in every project."""
    return name == _PRELOADED and role in platform.SETTABLE_ROLES


def whose(role: str, in_database: bool) -> str:
    """Who has a setting, for people."""
    return f"role {role}" + (" in the database" if in_database else "") if role else "the database"


def _for_superusers(name: str) -> bool:
    """What is loaded into every session; and since 15 a name that no loaded module knows."""
    prefix, dot, _ = name.partition(".")
    return name == _PRELOADED or (bool(dot) and prefix not in platform.SETTABLE_PREFIXES)


def read_database(moment: Moment) -> Row:
    """The database's comment and its limit of connections."""
    return moment.once(_DATABASE)[0]


def roles_sql(moment: Moment, only: Roles = None) -> str:
    """Statements that make the user's roles, their memberships, and the settings of roles and database."""
    return (
        over_rows(
            "supapy_roles",
            ["name text", "words text[]", "password text", "comment text"],
            [(name, _array(words), *rest) for name, words, *rest in read_roles(moment, only)],
            sql_file("roles"),
        )
        + over_rows(
            "supapy_memberships",
            ["role text", "member text", "admin boolean", "inherit boolean", "set boolean"],
            read_memberships(moment, only),
            sql_file("memberships"),
        )
        + over_rows(
            "supapy_settings",
            ["role text", "in_database boolean", "name text", "value text"],
            read_settings(moment, only),
            sql_file(
                "settings",
                # Of a part only what was chosen is touched.
                settable=_sql_array(platform.SETTABLE_ROLES | {""} if only is None else ()),
                prefixes=_sql_array(platform.SETTABLE_PREFIXES),
            ),
        )
        + (_database_sql(*read_database(moment)) if only is None else "")
    )


def _array(words: list[str]) -> str:
    return "{" + ",".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words) + "}"


def _sql_array(texts: Iterable[str]) -> str:
    return f"{literal(_array(sorted(texts)))}::text[]"


def _is_users(role: str, member: str, roles: set[str]) -> bool:
    """Whether a user granted it, and postgres may: what is reserved is refused, and the platform has its own."""
    if role in platform.RESERVED_MEMBERSHIPS:
        return False
    if role in platform.API_ROLES:
        return member in roles | platform.API_ROLES
    if role in roles or role == "postgres":
        return not platform.is_platform_role(member) or member in platform.SETTABLE_ROLES
    return role.startswith("pg_") and member in roles


def _database_sql(comment: str | None, limit: int) -> str:
    """The database's comment and limit, whatever the database is called where the script runs."""
    return do_block(
        f"""
DECLARE
    old text := shobj_description((SELECT oid FROM pg_database WHERE datname = current_database()), 'pg_database');
BEGIN
    IF old IS DISTINCT FROM {literal(comment)} THEN
        EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), {literal(comment)});
    END IF;
    IF (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) <> {limit} THEN
        EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT {limit}', current_database());
    END IF;
END"""
    )


def _role_query(with_passwords: bool) -> str:
    """Name, the attributes as words, hash of the password, comment."""
    source, password = ("pg_authid", "r.rolpassword") if with_passwords else ("pg_roles", "NULL")
    return f"""
    SELECT r.rolname, ARRAY(SELECT word FROM pg_catalog.unnest(ARRAY[
            CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
            CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
            CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END, CASE WHEN NOT r.rolinherit THEN 'NOINHERIT' END,
            CASE WHEN r.rolconnlimit <> -1 THEN 'CONNECTION LIMIT ' || r.rolconnlimit END,
            'VALID UNTIL ' || pg_catalog.quote_literal(r.rolvaliduntil)
        ]) word WHERE word IS NOT NULL),
        {password}, pg_catalog.shobj_description(r.oid, 'pg_authid')
    FROM pg_catalog.{source} r ORDER BY r.rolname"""


def _memberships(moment: Moment) -> str:
    """Since 16 a member may be told neither to inherit nor to switch; and who makes a role becomes its member by it."""
    options = "a.inherit_option, a.set_option" if moment.major >= 16 else "NULL::boolean, NULL::boolean"
    made_it = "a.grantor = 10 AND m.rolname = 'postgres' AND a.admin_option" if moment.major >= 16 else "false"
    return f"""
    SELECT r.rolname, m.rolname, a.admin_option, {options}
    FROM pg_catalog.pg_auth_members a
    JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
    WHERE NOT ({made_it})
    ORDER BY r.rolname, m.rolname, a.admin_option"""


_SETTINGS = """
SELECT coalesce(r.rolname, ''), s.setdatabase <> 0,
    pg_catalog.split_part(item, '=', 1), pg_catalog.substr(item, pg_catalog.strpos(item, '=') + 1)
FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) item
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
WHERE (s.setdatabase = 0 AND s.setrole <> 0)
    OR s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY 1, 2, 3
"""
_LABELLED = """
SELECT DISTINCT r.rolname FROM pg_catalog.pg_shseclabel l JOIN pg_catalog.pg_roles r ON r.oid = l.objoid
WHERE l.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass ORDER BY r.rolname
"""
_PARAMETER_GRANTS = """
SELECT a.parname, x.privilege_type, pg_catalog.pg_get_userbyid(x.grantee)
FROM pg_catalog.pg_parameter_acl a CROSS JOIN LATERAL pg_catalog.aclexplode(a.paracl) x
WHERE x.grantee <> 0 ORDER BY 1, 2, 3
"""
_DATABASE = """
SELECT pg_catalog.shobj_description(oid, 'pg_database'), datconnlimit
FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
"""
