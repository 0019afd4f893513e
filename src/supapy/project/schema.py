"""Which schemas the platform manages, and the tables that are the user's own, with their columns.

Every part that reads tables uses these two answers, so that no two parts disagree on what belongs to the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from supapy.names import qualified

# The oid of the catalog of relations, the same in every database.
PG_CLASS = 1259
# Where a restore keeps its mark until it has come to its end. Nothing in it is the user's.
MARK_SCHEMA = "supapy_restore"
# What the platform makes in every project, or makes once a feature is switched on (F§4.5). Everything else is the
# user's: a list of names to keep would lose schemas.
PLATFORM_SCHEMAS = frozenset(
    [
        "auth",
        "storage",
        "realtime",
        "vault",
        "extensions",
        "graphql",
        "graphql_public",
        "pgbouncer",
        "supabase_functions",
        "_realtime",
        "_analytics",
        "_supavisor",
        "pgsodium",
        "pgsodium_masks",
        "pgtle",
        "etl",
        "supabase_subscription_mgmt",
        MARK_SCHEMA,
        # Our own, in a project that was restored: what sleeps there.
        "_supapy",
    ]
)

# Tables of schema auth whose rows are the server's own bookkeeping, or live for minutes and do harm when restored:
# pending mails, half-done sign-ins (F§2.5).
AUTH_LEFT_OUT = frozenset(
    {
        "schema_migrations",
        "instances",
        "flow_state",
        "saml_relay_states",
        "mfa_challenges",
        "webauthn_challenges",
        "oauth_authorizations",
        "oauth_client_states",
        "one_time_tokens",
    }
)

# Schemas that an extension made are its own (cron, net, pgmq, topology, ...): by membership, not by name, since a user
# may well have a schema of such a name without the extension.
_EXTENSION_SCHEMAS = """
SELECT n.nspname
FROM pg_catalog.pg_namespace n
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid
WHERE d.deptype = 'e' AND n.nspname <> 'public'
"""

# All plain tables and leaves of partitioned ones but the server's own, and whether an extension made them: every part
# wants some of them, and a moment is asked once. `load_schema`/`load_name` is the topmost hash-partitioned ancestor:
# which leaf a row belongs to may hang on oids (of enums) and on the version of a collation, so its rows are given to
# that ancestor to route.
_TABLES = """
WITH RECURSIVE ancestor AS (
    SELECT i.inhrelid AS leaf, i.inhparent AS oid, 1 AS height
    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relispartition
    UNION ALL
    SELECT a.leaf, i.inhparent, a.height + 1
    FROM ancestor a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
), hashed AS (
    SELECT DISTINCT ON (a.leaf) a.leaf, a.oid
    FROM ancestor a JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = a.oid AND p.partstrat = 'h'
    ORDER BY a.leaf, a.height DESC
)
SELECT n.nspname,
    c.oid IN (SELECT d.objid FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e'),
    c.relname, c.oid::bigint, hn.nspname, hc.relname,
    pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'),
    pg_catalog.pg_get_userbyid(c.relowner),
    k.names, k.types, k.generated, k.identities
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname), pg_catalog.array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod)),
        pg_catalog.array_agg(a.attgenerated <> ''), pg_catalog.array_agg(a.attidentity)
    FROM (SELECT * FROM pg_catalog.pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum) a
) k (names, types, generated, identities)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN hashed h ON h.leaf = c.oid
LEFT JOIN pg_catalog.pg_class hc ON hc.oid = h.oid
LEFT JOIN pg_catalog.pg_namespace hn ON hn.oid = hc.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.oid >= 16384
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

_LOOKED_INTO = """
SELECT coalesce(i.indrelid, s.stxrelid)::bigint
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid AND p.oid >= 16384
LEFT JOIN pg_catalog.pg_index i ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.indexrelid = d.objid
LEFT JOIN pg_catalog.pg_statistic_ext s
    ON d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND s.oid = d.objid
WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND coalesce(i.indrelid, s.stxrelid) IS NOT NULL
"""


class Reader(Protocol):
    """What answers catalog queries: a `Session` or a `Moment`."""

    def rows(self, sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query."""

    def once(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The same, for what is wanted in several places: a moment is asked for it once."""


class Column(NamedTuple):
    """A column: its type as `format_type` spells it under an empty search path.

    `generated` columns can't be written; `identity` is "a" (always), "d" (by default) or "".
    """

    name: str
    type: str
    generated: bool
    identity: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table that holds rows itself: a plain one, or a leaf of a partitioned one.

    `load_into` is the (schema, name) its rows are loaded through: a hash-partitioned ancestor, else the table itself.
    `readable` says whether this connection may read it.
    """

    schema: str
    name: str
    oid: int
    columns: tuple[Column, ...]
    load_into: tuple[str, str]
    readable: bool
    owner: str

    @property
    def sql(self) -> str:
        """The table's name for SQL."""
        return qualified(self.schema, self.name)

    @property
    def stored_columns(self) -> tuple[Column, ...]:
        """The columns that can be written: all but the generated ones."""
        return tuple([column for column in self.columns if not column.generated])


def managed_schemas(reader: Reader) -> set[str]:
    """The schemas in which nothing is the user's but policies, triggers, grants (F§4.5) and objects in `extensions`."""
    return {*PLATFORM_SCHEMAS, *(name for (name,) in reader.once(_EXTENSION_SCHEMAS))}


def installed(reader: Reader) -> set[str]:
    """The names of the extensions that are there."""
    return {name for (name,) in reader.once("SELECT extname FROM pg_catalog.pg_extension")}


def user_tables(reader: Reader) -> list[Table]:
    """The user's tables (supabase_migrations' among them) that hold rows themselves, by schema and name."""
    # Users may put things into `extensions` too.
    others = {*managed_schemas(reader), "information_schema"} - {"extensions"}
    return [
        _table(schema, *row)
        for schema, is_members, *row in reader.once(_TABLES)
        if not (is_members or schema in others or schema.startswith("pg_"))
    ]


def tables_of(reader: Reader, schema: str, *, with_extensions: bool = False) -> list[Table]:
    """The tables of one schema, whoever manages it; those that an extension made only when asked for."""
    return [
        _table(schema, *row)
        for where, is_members, *row in reader.once(_TABLES)
        if where == schema and (with_extensions or not is_members)
    ]


def _table(
    schema: str,
    name: str,
    oid: int,
    load_schema: str | None,
    load_name: str | None,
    readable: bool,
    owner: str,
    *columns: Sequence[Any] | None,
) -> Table:
    load_into = (schema, name) if load_schema is None or load_name is None else (load_schema, load_name)
    return Table(schema, name, oid, tuple(map(Column, *(one or () for one in columns))), load_into, readable, owner)


def looked_into_tables(reader: Reader) -> frozenset[int]:
    """The oids of tables whose indexes or statistics call functions of the user's.

    Planning any query on one looks into these functions, and before PostgreSQL 17 nothing keeps them from using names
    that only the usual search path finds. `COPY table TO STDOUT` plans nothing.
    """
    return frozenset(oid for (oid,) in reader.rows(_LOOKED_INTO))


def primary_key(reader: Reader, table: Table) -> tuple[str, ...]:
    """The columns of a table's primary key, in its order; none when it has no such key."""
    return tuple(
        name
        for (name,) in reader.rows(
            """
            SELECT a.attname FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(num, ord)
            JOIN pg_catalog.pg_attribute a ON a.attnum = k.num
            WHERE i.indrelid = %s AND i.indisprimary AND a.attrelid = i.indrelid ORDER BY k.ord
            """,
            (table.oid,),
        )
    )
