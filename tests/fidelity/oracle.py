"""A second opinion on whether two databases are equal: what pg_dump, pg_dumpall and plain queries say as superuser."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg
from tests.projects import superuser, tools

from supapy.names import qualified, quoted
from supapy.parts.database.sql.archive import read_toc
from supapy.project.postgres import environment
from supapy.sandbox.cluster import Cluster

State = dict[Any, Any]

_NO_OBJECTS = {"ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "ACL", "DEFAULT ACL", "BLOB METADATA", "BLOB"}
_QUALIFIER = re.compile(r'(?:"(?:[^"]|"")*"|\w+)\.')


def program(cluster: Cluster, major: int, name: str, *arguments: str | Path) -> str:
    """Run one of PostgreSQL's programs as the superuser; gives its output."""
    found = tools(major)
    done = subprocess.run(
        [found.path(name), *arguments],
        env={**found.environment, **environment(cluster.admin_dsn)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def schema(cluster: Cluster, major: int, folder: Path) -> State:
    """Every entry of a dump of everything: (kind, schema, name) -> owner and SQL, the order of lists aside."""
    archive = folder / f"{id(cluster)}.archive"
    program(cluster, major, "pg_dump", "-Fc", "-Z0", "--schema-only", "--create", "-f", archive)
    entries = read_toc(archive.read_bytes())
    return {
        (entry.kind, entry.schema, entry.name): (entry.owner, _settled(entry.kind, entry.sql))
        for entry in entries
        if entry.kind not in _NO_OBJECTS
    }


def _settled(kind: str, sql: str) -> str:
    if kind == "DATABASE PROPERTIES":
        return "\n".join(sorted(sql.splitlines()))
    if kind == "POLICY":
        # pg_dump prints the roles in the order in which they were made.
        return re.sub(r" TO (.+?)(?= USING| WITH CHECK|;)", lambda m: f" TO {sorted(m[1].split(', '))}", sql)
    return sql


def without_qualifiers(state: State) -> State:
    """The same with the names of tables before columns left out: 16 and later print fewer of them."""
    return {
        key: (owner, _QUALIFIER.sub("", sql) if key[0] in ("VIEW", "MATERIALIZED VIEW", "RULE") else sql)
        for key, (owner, sql) in state.items()
    }


def roles(cluster: Cluster, major: int) -> set[str]:
    """Every statement of a dump of roles, memberships and settings."""
    return set(program(cluster, major, "pg_dumpall", "--roles-only").splitlines())


def privileges(cluster: Cluster) -> State:
    """Every privilege on every object that has an ACL, by the object's identity; and the default privileges."""
    with superuser(cluster) as connection:
        connection.execute("SET search_path = ''")
        found: State = {}
        for catalog, acl, owner, kind in connection.execute(_ACL_COLUMNS).fetchall():
            where = _WHERE.get(catalog, "")
            query = _PRIVILEGES.format(catalog=catalog, acl=acl, owner=owner, kind=kind, where=where)
            for identity, privilege in connection.execute(query).fetchall():
                found.setdefault(identity, set()).add(privilege)
        for identity, privilege in connection.execute(_COLUMN_PRIVILEGES).fetchall():
            found.setdefault(identity, set()).add(privilege)
        for identity, privilege in connection.execute(_DEFAULT_PRIVILEGES).fetchall():
            found.setdefault(identity, set()).add(privilege)
    return found


def comments(cluster: Cluster) -> State:
    """Every comment on what isn't the server's own or an extension's, those that pg_dump doesn't know among them."""
    with superuser(cluster) as connection:
        connection.execute("SET search_path = ''")
        return dict(connection.execute(_COMMENTS).fetchall())


def rows(cluster: Cluster) -> State:
    """A digest of the rows of every table and materialized view that isn't the server's own, in sorted order."""
    found: State = {}
    with superuser(cluster) as connection:
        connection.execute(
            "SET extra_float_digits = 3; SET search_path = public; SET TimeZone = 'UTC'; SET DateStyle = ISO"
        )
        connection.execute("SET bytea_output = hex; SET IntervalStyle = postgres")
        for schema_name, name, columns in connection.execute(_TABLES).fetchall():
            listed = ", ".join(quoted(column) for column in columns)
            source = f"SELECT {listed} FROM {qualified(schema_name, name)}"
            found[schema_name, name] = _rows_digest(connection, source)
        for oid, owner, comment in connection.execute(_LARGE_OBJECTS).fetchall():
            data = connection.execute("SELECT lo_get(%s)", (oid,)).fetchone()
            assert data is not None
            found["large object", oid] = owner, comment, hashlib.sha256(data[0]).hexdigest()
        for (name,) in connection.execute(_SEQUENCES).fetchall():
            found["sequence", name] = connection.execute(f"SELECT last_value, is_called FROM {name}").fetchone()
    return found


def _rows_digest(connection: psycopg.Connection[Any], source: str) -> tuple[int, str]:
    with connection.cursor() as cursor, cursor.copy(f"COPY ({source}) TO STDOUT".encode()) as copy:
        lines = sorted(bytes(line) for line in copy)
    return len(lines), hashlib.sha256(b"".join(lines)).hexdigest()


_ACL_COLUMNS = """
SELECT c.relname, a.attname,
    (SELECT o.attname FROM pg_attribute o WHERE o.attrelid = c.oid AND o.atttypid = 'oid'::regtype
        AND o.attname ~ '(owner|datdba)$'),
    CASE c.relname WHEN 'pg_class' THEN 'r' WHEN 'pg_proc' THEN 'f' WHEN 'pg_type' THEN 'T' WHEN 'pg_namespace' THEN 'n'
        WHEN 'pg_database' THEN 'd' WHEN 'pg_language' THEN 'l' WHEN 'pg_largeobject_metadata' THEN 'L'
        WHEN 'pg_foreign_data_wrapper' THEN 'F' WHEN 'pg_foreign_server' THEN 'S' END
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'aclitem[]'::regtype
    AND c.relname IN ('pg_class', 'pg_proc', 'pg_type', 'pg_namespace', 'pg_database', 'pg_language',
        'pg_largeobject_metadata', 'pg_foreign_data_wrapper', 'pg_foreign_server')
"""
# Without the server's own, and without what takes its privileges from something else.
_WHERE = {
    "pg_type": "WHERE oid >= 16384 AND typcategory <> 'A'",
    "pg_class": "WHERE oid >= 16384 AND relkind NOT IN ('t', 'i', 'I')",
    "pg_proc": "WHERE oid >= 16384",
    "pg_namespace": "WHERE nspname !~ '^pg_'",
}
_PRIVILEGES = """
SELECT CASE '{catalog}' WHEN 'pg_largeobject_metadata' THEN 'large object ' || t.oid
        ELSE pg_describe_object('{catalog}'::regclass, t.oid, 0) END,
    pg_get_userbyid(x.grantor) || ' ' || x.grantee::regrole || ' ' || x.privilege_type || ' ' || x.is_grantable
FROM (SELECT * FROM {catalog} {where}) t
CROSS JOIN LATERAL aclexplode(coalesce(t.{acl}, acldefault('{kind}', t.{owner}))) x
"""
_COLUMN_PRIVILEGES = """
SELECT pg_describe_object('pg_class'::regclass, a.attrelid, a.attnum),
    pg_get_userbyid(x.grantor) || ' ' || x.grantee::regrole || ' ' || x.privilege_type || ' ' || x.is_grantable
FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) x
"""
_DEFAULT_PRIVILEGES = """
SELECT 'defaults of ' || d.defaclrole::regrole
        || ' ' || d.defaclnamespace::regnamespace || ' ' || d.defaclobjtype::text,
    coalesce(x.grantee::regrole || ' ' || x.privilege_type || ' ' || x.is_grantable, 'nobody')
FROM pg_default_acl d LEFT JOIN LATERAL aclexplode(d.defaclacl) x ON true
"""
_COMMENTS = """
SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description d
WHERE objoid >= 16384 AND classoid NOT IN ('pg_largeobject'::regclass, 'pg_extension'::regclass)
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = classoid AND e.objid = objoid AND e.deptype = 'e')
"""
_TABLES = """
SELECT n.nspname, c.relname, ARRAY(SELECT a.attname FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname)::text[]
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND c.relispopulated AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_LARGE_OBJECTS = """
SELECT oid, lomowner::regrole::text, obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata
"""
_SEQUENCES = """
SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'S'
"""
