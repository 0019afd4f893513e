-- What the target grants by default on every new object would fire on all that is created here, and widen rights that
-- the source had narrowed (F§4.7). So those defaults go first; the source's own come back at the end.
DECLARE
    d record;
    whose text;
    kind text;
BEGIN
    FOR d IN
        SELECT pg_get_userbyid(a.defaclrole) AS owner, n.nspname AS schema, a.defaclobjtype AS type,
            ARRAY(SELECT DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END
                  FROM aclexplode(a.defaclacl) x) AS grantees
        FROM pg_default_acl a LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace
        WHERE pg_has_role(current_user, a.defaclrole, 'USAGE')
    LOOP
        kind := CASE d.type WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
            WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END;
        whose := format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s', d.owner, ' IN SCHEMA ' || quote_ident(d.schema));
        IF d.grantees <> '{}' THEN
            EXECUTE whose || ' REVOKE ALL ON ' || kind || ' FROM ' || array_to_string(d.grantees, ', ');
        END IF;
        -- A row for all schemas goes away only when it says what PostgreSQL does anyway.
        IF d.schema IS NULL THEN
            EXECUTE format('%s GRANT ALL ON %s TO %I', whose, kind, d.owner);
            IF d.type IN ('f', 'T') THEN
                EXECUTE format('%s GRANT %s ON %s TO PUBLIC',
                    whose, CASE d.type WHEN 'f' THEN 'EXECUTE' ELSE 'USAGE' END, kind);
            END IF;
        END IF;
    END LOOP;
END
