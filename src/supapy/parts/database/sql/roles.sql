-- Roles with their attributes, one at a time and by positive words only: the negative ones are refused to all but
-- superusers even where they change nothing.
DECLARE
    r record;
    word text;
BEGIN
    FOR r IN SELECT * FROM pg_temp.supapy_roles ORDER BY name LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r.name) THEN
            EXECUTE format('CREATE ROLE %I', r.name);
        END IF;
        FOREACH word IN ARRAY r.words LOOP
            BEGIN
                EXECUTE format('ALTER ROLE %I WITH %s', r.name, word);
            EXCEPTION WHEN insufficient_privilege THEN
                RAISE WARNING 'supapy: attribute % of role % -- this project refuses it: %', word, r.name, SQLERRM;
            END;
        END LOOP;
        BEGIN
            IF r.password IS NOT NULL THEN
                EXECUTE format('ALTER ROLE %I PASSWORD %L', r.name, r.password);
            END IF;
            IF r.comment IS DISTINCT FROM
                (SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = r.name)
            THEN
                EXECUTE format('COMMENT ON ROLE %I IS %L', r.name, r.comment);
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'supapy: password and comment of role % -- this project refuses them: %', r.name, SQLERRM;
        END;
    END LOOP;
END
