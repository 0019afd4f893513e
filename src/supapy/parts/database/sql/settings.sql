-- Settings of roles and of the database: compared first, so that nothing that is as it was is touched. A role of '' is
-- the database itself. What the source had taken back is taken back, where it is postgres's to say.
DECLARE
    s record;
    whose text;
    name text;
    value text;
BEGIN
    FOR s IN
        WITH now AS (
            SELECT coalesce(r.rolname, '') AS role, h.setdatabase <> 0 AS in_database,
                split_part(item, '=', 1) AS name, substr(item, strpos(item, '=') + 1) AS value
            FROM pg_db_role_setting h CROSS JOIN LATERAL unnest(h.setconfig) item
            LEFT JOIN pg_roles r ON r.oid = h.setrole
            WHERE (h.setdatabase = 0 AND h.setrole <> 0)
                OR h.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        )
        SELECT * FROM pg_temp.supapy_settings EXCEPT SELECT * FROM now
        UNION ALL
        SELECT n.role, n.in_database, n.name, NULL FROM now n
        WHERE n.role = ANY (:settable) AND n.name <> 'session_preload_libraries'
            AND (n.name !~ '\.' OR split_part(n.name, '.', 1) = ANY (:prefixes))
            AND NOT EXISTS (SELECT FROM pg_temp.supapy_settings w
                WHERE (w.role, w.in_database, w.name) = (n.role, n.in_database, n.name))
        ORDER BY role, name
    LOOP
        whose := CASE WHEN s.role = '' THEN format('DATABASE %I', current_database())
            WHEN s.in_database THEN format('ROLE %I IN DATABASE %I', s.role, current_database())
            ELSE format('ROLE %I', s.role) END;
        name := (SELECT string_agg(quote_ident(piece), '.' ORDER BY n)
                 FROM unnest(string_to_array(s.name, '.')) WITH ORDINALITY AS p(piece, n));
        -- The stored text of these is a list of identifiers, quoted where need be; only texts can be empty.
        value := CASE WHEN s.name IN ('search_path', 'session_preload_libraries', 'local_preload_libraries',
                'shared_preload_libraries', 'temp_tablespaces', 'unix_socket_directories') AND s.value <> ''
            THEN (SELECT string_agg(quote_literal(coalesce(replace(m.piece[1], '""', '"'), m.piece[2])), ', ' ORDER BY n)
                  FROM regexp_matches(s.value, '"((?:[^"]|"")*)"|([^\s,"]+)', 'g') WITH ORDINALITY AS m(piece, n))
            ELSE quote_literal(s.value) END;
        BEGIN
            EXECUTE format('ALTER %s ', whose) || coalesce('SET ' || name || ' TO ' || value, 'RESET ' || name);
        EXCEPTION WHEN insufficient_privilege OR undefined_object OR invalid_parameter_value THEN
            RAISE WARNING 'supapy: setting % of % -- this project refuses it: %', s.name, lower(whose), SQLERRM;
        END;
    END LOOP;
END
