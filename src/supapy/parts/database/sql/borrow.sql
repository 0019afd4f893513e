-- To give objects to a role, and to grant in its name, one must be its member: borrowed here, given back at the end.
DECLARE
    how text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    r text;
BEGIN
    FOR r IN
        SELECT DISTINCT w.name FROM pg_temp.supapy_wanted w JOIN pg_roles k ON k.rolname = w.name
        -- Both to act as the role and to have its rights: since 16 one may come without the other.
        WHERE NOT (pg_has_role(current_user, k.oid, how) AND pg_has_role(current_user, k.oid, 'USAGE'))
    LOOP
        BEGIN
            EXECUTE format('GRANT %I TO CURRENT_USER', r);
            INSERT INTO pg_temp.supapy_borrowed VALUES (r);
        EXCEPTION WHEN insufficient_privilege OR invalid_grant_operation THEN
            RAISE WARNING 'supapy: objects and grants of role % -- this project lets nobody act for it: %', r, SQLERRM;
        END;
    END LOOP;
END
