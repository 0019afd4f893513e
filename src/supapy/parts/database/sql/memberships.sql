-- Only those that are missing, so that nothing the platform granted is granted again by another grantor.
DECLARE
    m record;
    modern boolean := current_setting('server_version_num')::int >= 160000;
    options text;
BEGIN
    FOR m IN SELECT * FROM pg_temp.supapy_memberships ORDER BY role, member LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_auth_members a
            WHERE a.roleid = to_regrole(quote_ident(m.role)) AND a.member = to_regrole(quote_ident(m.member))
                AND (a.admin_option OR NOT m.admin)
                AND (NOT modern OR m.inherit IS NULL OR (to_jsonb(a) ->> 'inherit_option')::boolean = m.inherit)
                AND (NOT modern OR (to_jsonb(a) ->> 'set_option')::boolean = coalesce(m.set, true)));
        options := CASE
            WHEN modern AND m.inherit IS NOT NULL
                THEN format(' WITH ADMIN %s, INHERIT %s, SET %s', m.admin::text, m.inherit::text, m.set::text)
            WHEN m.admin THEN ' WITH ADMIN OPTION'
            ELSE '' END;
        BEGIN
            EXECUTE format('GRANT %I TO %I%s', m.role, m.member, options);
        EXCEPTION WHEN insufficient_privilege OR undefined_object OR invalid_grant_operation THEN
            RAISE WARNING 'supapy: membership of % in % -- this project refuses it: %', m.member, m.role, SQLERRM;
        END;
    END LOOP;
END
