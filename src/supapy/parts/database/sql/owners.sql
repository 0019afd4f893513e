-- In the order of creation: a table before its sequences, whose own turn then changes nothing.
DECLARE
    o record;
BEGIN
    FOR o IN SELECT * FROM pg_temp.supapy_owners ORDER BY place LOOP
        BEGIN
            -- The new owner must be allowed to create there; the grants, settled later, take this back.
            IF o.schema IS NOT NULL AND NOT has_schema_privilege(o.owner, o.schema, 'CREATE') THEN
                EXECUTE format('GRANT CREATE ON SCHEMA %I TO %I', o.schema, o.owner);
            END IF;
            EXECUTE format('ALTER %s OWNER TO %I', o.object, o.owner);
        EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
            RAISE WARNING 'supapy: owner % of % -- it stays with %: %', o.owner, o.object, current_user, SQLERRM;
        END;
    END LOOP;
END
