-- Every object, and column, that somebody may have a privilege on; `obj` is what stands after ON in a GRANT.
WITH object (obj, col, owner, acl, defaults, schema, classid, objid) AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || quote_ident(n.nspname) || '.' || quote_ident(c.relname),
        NULL::text, c.relowner, c.relacl,
        acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner),
        n.nspname::text, 'pg_class'::regclass::oid, c.oid
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND c.oid >= 16384
        AND n.nspname !~ '^pg_'
    UNION ALL
    SELECT 'TABLE ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname, c.relowner, a.attacl,
        NULL, n.nspname, 'pg_class'::regclass, c.oid
    -- Few columns have any: they are found first, whatever the planner thinks of how many there are.
    FROM (SELECT * FROM pg_attribute WHERE attacl IS NOT NULL AND NOT attisdropped OFFSET 0) a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND c.oid >= 16384 AND n.nspname !~ '^pg_'
    UNION ALL
    SELECT 'ROUTINE ' || p.oid::regprocedure, NULL, p.proowner, p.proacl, acldefault('f', p.proowner), n.nspname,
        'pg_proc'::regclass, p.oid
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    -- The constructors of a range type are the server's own.
    WHERE p.oid >= 16384 AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    UNION ALL
    SELECT 'TYPE ' || quote_ident(n.nspname) || '.' || quote_ident(t.typname), NULL, t.typowner, t.typacl,
        acldefault('T', t.typowner), n.nspname, 'pg_type'::regclass, t.oid
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.oid >= 16384 AND t.typcategory <> 'A' AND t.typtype <> 'm' AND t.typisdefined
        AND (t.typrelid = 0 OR c.relkind = 'c') AND n.nspname !~ '^pg_'
    UNION ALL
    SELECT 'SCHEMA ' || quote_ident(nspname), NULL, nspowner, nspacl, acldefault('n', nspowner), nspname,
        'pg_namespace'::regclass, oid
    FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_' OR nspname = 'public'
    UNION ALL
    SELECT 'LANGUAGE ' || quote_ident(lanname), NULL, lanowner, lanacl, acldefault('l', lanowner), NULL,
        'pg_language'::regclass, oid
    FROM pg_language WHERE lanpltrusted
    UNION ALL
    SELECT 'FOREIGN DATA WRAPPER ' || quote_ident(fdwname), NULL, fdwowner, fdwacl, acldefault('F', fdwowner), NULL,
        'pg_foreign_data_wrapper'::regclass, oid
    FROM pg_foreign_data_wrapper
    UNION ALL
    SELECT 'FOREIGN SERVER ' || quote_ident(srvname), NULL, srvowner, srvacl, acldefault('S', srvowner), NULL,
        'pg_foreign_server'::regclass, oid
    FROM pg_foreign_server
    UNION ALL
    SELECT 'LARGE OBJECT ' || oid, NULL, lomowner, lomacl, acldefault('L', lomowner), NULL,
        'pg_largeobject'::regclass, oid
    FROM pg_largeobject_metadata
    UNION ALL
    SELECT 'DATABASE ' || quote_ident(datname), NULL, datdba, datacl, acldefault('d', datdba), NULL,
        'pg_database'::regclass, oid
    FROM pg_database WHERE datname = current_database()
)
