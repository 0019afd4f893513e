-- What stands on the platform's tables in auth and storage: kind, name, schema and table of each, as they are and as SQL
-- writes them, catalog and oid, and the number of a column.
WITH relation AS (
    SELECT c.oid, n.nspname, c.relname, n.nspname || '.' || c.relname AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('auth', 'storage') AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
        AND NOT c.relispartition AND c.relowner IN (SELECT oid FROM pg_roles WHERE rolname ~ %(platform)s)
), found (relation, kind, name, catalog, oid, number) AS (
    SELECT oid, 'table', relname, 'pg_class'::regclass, oid, 0 FROM relation
    UNION ALL
    SELECT a.attrelid, 'column', a.attname, 'pg_attribute'::regclass, a.attrelid, a.attnum
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    -- One that carries a constraint is dumped as that.
    SELECT i.indrelid, 'index', c.relname,
        CASE WHEN k.oid IS NULL THEN 'pg_class'::regclass ELSE 'pg_constraint'::regclass END, coalesce(k.oid, c.oid), 0
    FROM relation r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
    LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')
    UNION ALL
    SELECT k.conrelid, 'constraint', k.conname, 'pg_constraint'::regclass, k.oid, 0
    FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid WHERE k.contype IN ('c', 'f')
    UNION ALL
    SELECT ev_class, 'rule', rulename, 'pg_rewrite'::regclass, oid, 0 FROM pg_rewrite WHERE rulename <> '_RETURN'
    UNION ALL
    SELECT stxrelid, 'statistics', stxname, 'pg_statistic_ext'::regclass, oid, 0 FROM pg_statistic_ext
)
SELECT f.kind, f.name, r.name, quote_ident(f.name), r.nspname, quote_ident(r.relname), f.catalog::oid::bigint,
    f.oid::bigint, f.number::integer
FROM found f JOIN relation r ON r.oid = f.relation
ORDER BY r.name, f.kind, f.name
