-- Nothing is ever overwritten: the script runs into a project that holds nothing of a user's. Who has checked that
-- already says SET supapy.guard = 'off'.
DECLARE
    managed text[] := :managed;
    found text;
    place text;
BEGIN
    IF current_setting('supapy.guard', true) = 'off' THEN
        RETURN;
    END IF;
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) INTO found
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname <> ALL (managed) AND n.nspname !~ '^pg_'
        AND n.nspname NOT IN ('information_schema', 'supabase_migrations')
        AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
    LIMIT 1;
    FOREACH place IN ARRAY ARRAY['auth.users', 'storage.objects'] LOOP
        IF found IS NULL AND to_regclass(place) IS NOT NULL THEN
            EXECUTE format('SELECT %L WHERE EXISTS (SELECT FROM %s)', 'rows in ' || place, place) INTO found;
        END IF;
    END LOOP;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'this project is not empty: it has %', found
            USING HINT = 'Restore into a new project.';
    END IF;
END
