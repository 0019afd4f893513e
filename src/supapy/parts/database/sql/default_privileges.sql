-- The source's own default privileges, after the target's were taken away once more. One row each; a row without a
-- privilege stands for a default that leaves nobody any.
DECLARE
    d record;
    whose text;
BEGIN
    FOR d IN
        SELECT DISTINCT owner, kind FROM pg_temp.supapy_defaults WHERE schema IS NULL
    LOOP
        whose := format('ALTER DEFAULT PRIVILEGES FOR ROLE %I', d.owner);
        EXECUTE format('%s REVOKE ALL ON %s FROM PUBLIC, %I', whose, d.kind, d.owner);
    END LOOP;
    FOR d IN SELECT * FROM pg_temp.supapy_defaults WHERE priv IS NOT NULL ORDER BY ord LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s GRANT %s ON %s TO %s%s', d.owner,
            ' IN SCHEMA ' || quote_ident(d.schema), d.priv, d.kind,
            coalesce(quote_ident(nullif(d.grantee, '')), 'PUBLIC'),
            CASE WHEN d.grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END
