"""What has statements of its own: sequences, large objects, user mappings, publications, migration history."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple

from supapy.model import Omission, Problem
from supapy.names import literal, qualified, quoted
from supapy.parts.database.platform import platform
from supapy.parts.database.sql.statements import do_block, perform
from supapy.project.moment import Moment
from supapy.project.schema import managed_schemas, tables_of

# A statement per so many sequences: few round trips, and no statement of absurd length.
SEQUENCES_PER_QUERY = 200
# The pages of a large object are 2 KiB; so many make one statement of about a megabyte of hex.
LARGE_OBJECT_PAGE_BYTES = 2048
PAGES_PER_STATEMENT = 256


class LargeObject(NamedTuple):
    """One large object: its oid, which tables refer to, its owner and its comment."""

    oid: int
    owner: str
    comment: str | None


class Sequence(NamedTuple):
    """Where a sequence stands: `called` says whether `value` was given out already."""

    schema: str
    name: str
    value: int
    called: bool


def read_sequences(moment: Moment, managed: frozenset[str], lost: set[int]) -> list[Sequence]:
    """The state of the user's sequences but the `lost` ones (oids).

    It isn't part of a snapshot: never behind the rows, maybe ahead.
    """
    others = managed - {"extensions", "pgmq"}
    found = [row for row in moment.once(SEQUENCES) if row[1] not in others and row[0] not in lost]
    sequences: list[Sequence] = []
    for start in range(0, len(found), SEQUENCES_PER_QUERY):
        some = {oid: (schema, name) for oid, schema, name in found[start : start + SEQUENCES_PER_QUERY]}
        states = " UNION ALL ".join(
            f"SELECT {oid}::bigint, last_value, is_called FROM {qualified(*where)}" for oid, where in some.items()
        )
        sequences += [Sequence(*some[oid], value, called) for oid, value, called in sorted(moment.rows(states))]
    return sequences


def sequences_sql(sequences: Iterable[Sequence]) -> str:
    """A statement that puts sequences where they stood."""
    return perform(
        f"setval({literal(qualified(one.schema, one.name))}, {one.value}, {'true' if one.called else 'false'})"
        for one in sequences
    )


def auth_sequence(moment: Moment) -> Iterator[Sequence]:
    """The one sequence of schema auth; behind its table, the next sign-in fails (F§2.6)."""
    if moment.value("SELECT pg_catalog.to_regclass('auth.refresh_tokens_id_seq')") is not None:
        value, called = moment.rows("SELECT last_value, is_called FROM auth.refresh_tokens_id_seq")[0]
        yield Sequence("auth", "refresh_tokens_id_seq", value, called)


def large_objects(moment: Moment) -> list[LargeObject]:
    """All large objects, by oid."""
    return [LargeObject(*row) for row in moment.once(_LARGE_OBJECTS)]


def large_objects_readable(moment: Moment) -> bool:
    """Whether this connection may read the content of other owners' large objects."""
    return bool(moment.once("SELECT pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')")[0][0])


def large_objects_sql(moment: Moment, objects: list[LargeObject]) -> Iterator[str]:
    """Statements that make large objects with the same oids and content."""
    for one in objects:
        yield perform([f"lo_create({one.oid})"])
        if one.comment is not None:
            yield f"COMMENT ON LARGE OBJECT {one.oid} IS {literal(one.comment)};\n"
        after = -1
        while pages := moment.rows(_PAGES, (one.oid, after, PAGES_PER_STATEMENT)):
            for first, data in _runs(pages):
                offset = first * LARGE_OBJECT_PAGE_BYTES
                yield perform([f"lo_put({one.oid}, {offset}, '\\x{data.hex()}')"])
            after = pages[-1][0]


def _runs(pages: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Pages put together where they follow on each other: (number of the first, bytes). Holes stay holes."""
    first, data = pages[0][0], b""
    for number, page in pages:
        if (number - first) * LARGE_OBJECT_PAGE_BYTES != len(data):
            yield first, data
            first, data = number, b""
        data += page
    yield first, data


def user_mappings_sql(moment: Moment, servers: Container[str] | None = None) -> str:
    """Statements for user mappings, of some servers or all: pg_dump leaves their options out for all roles but one
    (recipe §2)."""
    statements = []
    for server, user, options in moment.once(_USER_MAPPINGS.format(mappings=user_mappings(moment))):
        if servers is not None and server not in servers:
            continue
        pairs = [option.partition("=") for option in options or []]
        listed = ", ".join(f"{quoted(key)} {literal(value)}" for key, _, value in pairs)
        suffix = f" OPTIONS ({listed})" if listed else ""
        statements.append(f"CREATE USER MAPPING FOR {user} SERVER {quoted(server)}{suffix};\n")
    return "".join(statements)


def user_mappings(moment: Moment) -> str:
    """Where user mappings can be read: from the table with the options of all, else from a view with one's own."""
    if moment.once("SELECT pg_catalog.has_table_privilege('pg_catalog.pg_user_mapping', 'SELECT')")[0][0]:
        return "pg_catalog.pg_user_mapping"
    return "(SELECT umid AS oid, srvid AS umserver, umuser, umoptions FROM pg_catalog.pg_user_mappings)"


def realtime_publication_sql(moment: Moment) -> str:
    """Statements that make the platform's publication what the user made of it; its tables come after."""
    name = platform.REALTIME_PUBLICATION
    rows = moment.once(_PUBLICATION, (name,))
    if not rows:
        return f"DROP PUBLICATION IF EXISTS {name};\n"
    everything, publish, via_root = rows[0]
    settings = f"publish = {literal(publish)}, publish_via_partition_root = {str(via_root).lower()}"
    scope = " FOR ALL TABLES" if everything else ""
    return do_block(
        f"""
BEGIN
    -- Whether it is for all tables can't be altered.
    IF EXISTS (SELECT FROM pg_publication WHERE pubname = '{name}' AND puballtables <> {str(everything).lower()}) THEN
        DROP PUBLICATION {name};
    END IF;
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = '{name}') THEN
        CREATE PUBLICATION {name}{scope};
    END IF;
    ALTER PUBLICATION {name} SET ({settings});
END"""
    )


def migrations_sql(moment: Moment, lost: Container[int]) -> str:
    """Statements for the CLI's migration history, whose tables some targets have already, with fewer columns; without
    the `lost` ones (oids)."""
    tables = [table for table in tables_of(moment, platform.MIGRATIONS_SCHEMA) if table.oid not in lost]
    if not tables:
        return ""
    statements = [f"CREATE SCHEMA IF NOT EXISTS {platform.MIGRATIONS_SCHEMA};\n"]
    for table in tables:
        statements.append(f"CREATE TABLE IF NOT EXISTS {table.sql} ();\n")
        for name, type_, not_null, default in moment.rows(_MIGRATION_COLUMNS, (table.oid,)):
            extra = f" DEFAULT {default}" if default else ""
            extra += " NOT NULL" if not_null else ""
            statements.append(f"ALTER TABLE {table.sql} ADD COLUMN IF NOT EXISTS {quoted(name)} {type_}{extra};\n")
        for name, definition in moment.rows(_MIGRATION_CONSTRAINTS, (table.oid,)):
            add = f"ALTER TABLE {table.sql} ADD CONSTRAINT {quoted(name)} {definition}"
            exists = f"conrelid = to_regclass({literal(table.sql)}) AND conname = {literal(name)}"
            statements.append(
                do_block(
                    f"BEGIN\n    IF NOT EXISTS (SELECT FROM pg_constraint WHERE {exists}) THEN\n"
                    f"        EXECUTE {literal(add)};\n    END IF;\nEND"
                )
            )
    return "".join(statements)


def inventory(moment: Moment) -> Iterator[tuple[str, dict[str, Any]]]:
    """Large objects as they are compared: their content by a digest, where it can be read."""
    digests: dict[int, str] = dict(moment.rows(_LARGE_OBJECT_DIGESTS)) if large_objects_readable(moment) else {}
    for one in large_objects(moment):
        owner = platform.owner_after_restore(one.owner)
        yield (
            f"large object {one.oid}",
            {"owner": owner, "comment": one.comment, "content": digests.get(one.oid)},
        )


def omissions(moment: Moment) -> Iterator[Omission | Problem]:
    """What of all this can't be saved in a plain backup, or doesn't come back as it was."""
    if not user_mappings(moment).endswith("pg_user_mapping"):
        for server, user, options in moment.once(_USER_MAPPINGS.format(mappings=user_mappings(moment))):
            if options is None:
                yield Omission(
                    "database",
                    f"options of the user mapping of {user} on {server}",
                    "They can't be read: set them again.",
                )
    managed = managed_schemas(moment)
    for schema, index in moment.once(_INVALID_INDEXES):
        if schema not in managed:
            remedy = "No dump has it, and nothing uses it: what built it failed half-way. REINDEX it or drop it."
            yield Omission("database", f"index {index}, which is invalid", remedy)
    for (labelled,) in moment.once(_LABELLED):
        yield Omission("database", f"security label of {labelled}", f"{platform.UNLABELLED}.")
    if large_objects(moment) and not large_objects_readable(moment):
        yield Problem("database", "large objects", "this connection may not read them")


# Of what isn't in an archive.
_LABELLED = """
SELECT DISTINCT 'large object ' || objoid FROM pg_catalog.pg_seclabel
WHERE classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass
UNION
SELECT 'the database' FROM pg_catalog.pg_shseclabel l JOIN pg_catalog.pg_database d ON d.oid = l.objoid
WHERE l.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.datname = pg_catalog.current_database()
ORDER BY 1
"""
SEQUENCES = """
SELECT c.oid::bigint, n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""
_LARGE_OBJECTS = """
SELECT oid::bigint, pg_catalog.pg_get_userbyid(lomowner), pg_catalog.obj_description(oid, 'pg_largeobject')
FROM pg_catalog.pg_largeobject_metadata ORDER BY oid
"""
_PAGES = "SELECT pageno, data FROM pg_catalog.pg_largeobject WHERE loid = %s AND pageno > %s ORDER BY pageno LIMIT %s"
# A digest of the pages with their numbers, so that holes count too.
_LARGE_OBJECT_DIGESTS = """
SELECT loid::bigint, pg_catalog.md5(pg_catalog.string_agg(pageno || ':' || pg_catalog.md5(data), ',' ORDER BY pageno))
FROM pg_catalog.pg_largeobject GROUP BY loid
"""
_USER_MAPPINGS = """
SELECT s.srvname, CASE m.umuser WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(r.rolname) END, m.umoptions
FROM {mappings} m JOIN pg_catalog.pg_foreign_server s ON s.oid = m.umserver
LEFT JOIN pg_catalog.pg_roles r ON r.oid = m.umuser
ORDER BY s.srvname, m.umuser
"""
_PUBLICATION = """
SELECT puballtables, pg_catalog.concat_ws(', ', CASE WHEN pubinsert THEN 'insert' END,
        CASE WHEN pubupdate THEN 'update' END, CASE WHEN pubdelete THEN 'delete' END,
        CASE WHEN pubtruncate THEN 'truncate' END), pubviaroot
FROM pg_catalog.pg_publication WHERE pubname = %s
"""
_MIGRATION_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid)
FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_MIGRATION_CONSTRAINTS = """
SELECT conname, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
WHERE conrelid = %s AND contype IN ('p', 'u', 'c') ORDER BY contype DESC, conname
"""
_INVALID_INDEXES = """
SELECT n.nspname, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_' ORDER BY 2
"""
