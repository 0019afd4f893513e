-- Whatever the project grants by default on new schemas and tables: here nobody has a right but the owner.
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT 'TABLE ' || c.oid::regclass AS thing, x.grantee
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) x
        WHERE c.relnamespace = (quote_ident(:schema))::regnamespace AND c.relkind = 'r' AND x.grantee <> c.relowner
        UNION
        SELECT 'SCHEMA ' || n.oid::regnamespace, x.grantee
        FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) x
        WHERE n.nspname = :schema AND x.grantee <> n.nspowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', r.thing,
            CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END);
    END LOOP;
END
