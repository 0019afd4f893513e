-- The saved rows stand in pg_temp.supapy_stage as texts. They go into the columns that this server's table has; what
-- has no column here is told when there is a value in it.
DECLARE
    target regclass := to_regclass(:target);
    col record;
    held bigint;
    names text[] := '{}';
    casts text[] := '{}';
BEGIN
    IF target IS NULL THEN
        SELECT count(*) INTO held FROM pg_temp.supapy_stage;
        IF held > 0 THEN
            RAISE WARNING 'supapy: rows of % -- this project has no such table; % rows were left out', :target, held;
        END IF;
        RETURN;
    END IF;
    FOR col IN
        SELECT s.attname AS name, format_type(t.atttypid, t.atttypmod) AS type,
            t.attnum IS NOT NULL AS known, coalesce(t.attgenerated <> '', false) AS generated
        FROM pg_attribute s
        LEFT JOIN pg_attribute t
            ON t.attrelid = target AND t.attname = s.attname AND t.attnum > 0 AND NOT t.attisdropped
        WHERE s.attrelid = 'pg_temp.supapy_stage'::regclass AND s.attnum > 0
        ORDER BY s.attnum
    LOOP
        IF col.known AND NOT col.generated THEN
            names := names || quote_ident(col.name);
            casts := casts || (quote_ident(col.name) || '::' || col.type);
        ELSIF NOT col.known THEN
            EXECUTE format('SELECT count(%I) FROM pg_temp.supapy_stage', col.name) INTO held;
            IF held > 0 THEN
                RAISE WARNING 'supapy: column % of % -- this project has no such column; % values were left out',
                    quote_ident(col.name), :target, held;
            END IF;
        END IF;
    END LOOP;
    EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM pg_temp.supapy_stage',
        target, array_to_string(names, ', '), array_to_string(casts, ', '));
END
