"""What isn't the user's, but what his own things stand on: a target may lack it. Compared is what uses it."""

from __future__ import annotations

PLATFORM_COLUMNS = "columns of the platform in use"
SERVER_COLLATIONS = "collations of the server in use"
# Queries for the inventory, as those in queries.py.
STOOD_ON: tuple[tuple[str, str], ...] = (
    # Those that a server finds on its system when it is made; the few that all have are pinned, and not noted.
    (
        SERVER_COLLATIONS,
        """
        SELECT DISTINCT 'use of collation ' || d.refobjid::regcollation || ' by ' || i.identity AS name,
            d.classid::bigint AS catalog, d.objid::bigint AS oid,
            coalesce(w.ev_class, k.conrelid, f.adrelid, 0)::bigint AS relation,
            d.refobjid::regcollation::text AS collation
        FROM pg_depend d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
        LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
        LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
        LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
        WHERE d.refclassid = 'pg_collation'::regclass AND d.refobjid < 16384""",
    ),
    (
        PLATFORM_COLUMNS,
        """
        SELECT DISTINCT 'use of column ' || quote_ident(d.attname) || ' of table ' || r.name AS name,
            'pg_depend'::regclass::oid::bigint AS catalog, 0::bigint AS oid, 0::bigint AS relation,
            r.name AS table, d.attname AS column
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)) r (name)
        CROSS JOIN LATERAL (
            SELECT (SELECT attname FROM pg_attribute WHERE attrelid = refobjid AND attnum = refobjsubid)
            FROM pg_depend WHERE refclassid = 'pg_class'::regclass AND refobjid = c.oid AND refobjsubid > 0
                AND (classid = 'pg_policy'::regclass OR CASE classid
                    WHEN 'pg_rewrite'::regclass THEN (SELECT u.relnamespace
                        FROM pg_rewrite r JOIN pg_class u ON u.oid = r.ev_class WHERE r.oid = objid)
                    WHEN 'pg_constraint'::regclass THEN (SELECT u.relnamespace
                        FROM pg_constraint k JOIN pg_class u ON u.oid = k.conrelid WHERE k.oid = objid)
                    WHEN 'pg_proc'::regclass THEN (SELECT pronamespace FROM pg_proc f WHERE f.oid = objid)
                    END IN (SELECT oid FROM pg_namespace
                        WHERE nspname <> ALL (%(managed)s) AND nspname !~ '^pg_'))
        ) d (attname)
        WHERE n.nspname IN ('auth', 'storage', 'realtime')
            AND c.relowner IN (SELECT oid FROM pg_roles WHERE rolname ~ %(platform)s)""",
    ),
)
STOOD_ON_SORTS = frozenset(sort for sort, _ in STOOD_ON)
