-- Settings of roles and of the database: compared first, so that nothing of the platform's own is touched.
-- A role of '' is the database itself.
DECLARE
    s record;
    whose text;
    name text;
    value text;
BEGIN
    FOR s IN
        SELECT w.* FROM pg_temp.supapy_settings w
        WHERE NOT EXISTS (
            SELECT FROM pg_db_role_setting h CROSS JOIN LATERAL unnest(h.setconfig) item
            WHERE h.setrole = CASE w.role WHEN '' THEN 0 ELSE to_regrole(quote_ident(w.role)) END
                AND h.setdatabase = CASE WHEN w.in_database
                    THEN (SELECT oid FROM pg_database WHERE datname = current_database()) ELSE 0 END
                AND item = w.name || '=' || w.value)
        ORDER BY w.role, w.name
    LOOP
        whose := CASE WHEN s.role = '' THEN format('DATABASE %I', current_database())
            WHEN s.in_database THEN format('ROLE %I IN DATABASE %I', s.role, current_database())
            ELSE format('ROLE %I', s.role) END;
        name := (SELECT string_agg(quote_ident(piece), '.' ORDER BY n)
                 FROM unnest(string_to_array(s.name, '.')) WITH ORDINALITY AS p(piece, n));
        -- The stored text of these is a list of identifiers, quoted where need be.
        value := CASE WHEN s.name IN ('search_path', 'session_preload_libraries', 'local_preload_libraries',
                'shared_preload_libraries', 'temp_tablespaces', 'unix_socket_directories') AND s.value <> ''
            THEN s.value ELSE quote_literal(s.value) END;
        BEGIN
            EXECUTE format('ALTER %s SET %s TO %s', whose, name, value);
        EXCEPTION WHEN insufficient_privilege OR undefined_object OR invalid_parameter_value THEN
            RAISE WARNING 'supapy: setting % of % -- this project refuses it: %', s.name, lower(whose), SQLERRM;
        END;
    END LOOP;
END
