-- Makes the privileges on every object that the source had those of the source: first takes away what it didn't have,
-- then grants what is missing, in the name of who granted it there. Passes until one changes nothing: a grant may need
-- another before it. Sets are compared, so what is equal stays untouched.
DECLARE
    me text := current_user;
    how text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    -- MAINTAIN is new in 17: a source before that says nothing about it.
    maintain boolean := :major >= 17;
    failed text[] := '{}';
    changed boolean := true;
    s record;
BEGIN
    FOR pass IN 1 .. 5 LOOP
        EXIT WHEN NOT changed;
        changed := false;
        CREATE TEMPORARY TABLE supapy_now AS
            SELECT * FROM pg_temp.supapy_privileges p
            WHERE p.priv IS NOT NULL AND (maintain OR p.priv <> 'MAINTAIN')
                AND EXISTS (SELECT FROM pg_temp.supapy_grants g WHERE g.obj = p.obj);
        FOR s IN
            SELECT 1 AS step, false AS chained, grantor, owner, format('REVOKE %s ON %s FROM %s CASCADE',
                string_agg(priv || coalesce(' (' || quote_ident(col) || ')', ''), ', ' ORDER BY ord), obj,
                coalesce(quote_ident(nullif(grantee, '')), 'PUBLIC')) AS sql
            FROM pg_temp.supapy_now n
            WHERE NOT EXISTS (
                    SELECT FROM pg_temp.supapy_grants g
                    WHERE (g.obj, g.grantor, g.grantee, g.priv, g.grantable)
                            = (n.obj, n.grantor, n.grantee, n.priv, n.grantable)
                        AND g.col IS NOT DISTINCT FROM n.col)
                -- What the platform's own roles may do in every project is the platform's to say.
                AND NOT (grantee ~ :reserved AND (obj LIKE 'DATABASE %' OR obj = 'SCHEMA public'))
                AND pg_has_role(me, grantor, 'USAGE') AND pg_has_role(me, grantor, how)
            GROUP BY obj, col, owner, grantor, grantee, grantable
            UNION ALL
            SELECT 2, g.grantor <> g.owner, g.grantor, g.owner, format('GRANT %s ON %s TO %s%s',
                string_agg(g.priv || coalesce(' (' || quote_ident(g.col) || ')', ''), ', ' ORDER BY g.ord), g.obj,
                coalesce(quote_ident(nullif(g.grantee, '')), 'PUBLIC'),
                CASE WHEN g.grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM pg_temp.supapy_grants g
            WHERE g.priv IS NOT NULL
                AND EXISTS (SELECT FROM pg_temp.supapy_objects o WHERE o.obj = g.obj)
                AND NOT EXISTS (
                    SELECT FROM pg_temp.supapy_now n
                    WHERE (n.obj, n.grantor, n.grantee, n.priv, n.grantable)
                            = (g.obj, g.grantor, g.grantee, g.priv, g.grantable)
                        AND n.col IS NOT DISTINCT FROM g.col)
            GROUP BY g.obj, g.col, g.owner, g.grantor, g.grantee, g.grantable
            ORDER BY step, chained, sql
        LOOP
            CONTINUE WHEN s.sql = ANY (failed);
            BEGIN
                -- A grant is the owner's by itself whoever among his members makes it.
                IF s.grantor NOT IN (s.owner, me, 'pg_database_owner') THEN
                    EXECUTE format('SET LOCAL ROLE %I', s.grantor);
                END IF;
                EXECUTE s.sql;
                EXECUTE format('SET LOCAL ROLE %I', me);
                changed := true;
            EXCEPTION WHEN insufficient_privilege OR undefined_object OR invalid_grant_operation
                OR undefined_function OR dependent_objects_still_exist OR undefined_column
            THEN
                failed := failed || s.sql;
                RAISE WARNING 'supapy: % -- this project refuses it: %', s.sql, SQLERRM;
            END;
        END LOOP;
        DROP TABLE pg_temp.supapy_now;
    END LOOP;
END
