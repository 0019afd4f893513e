-- Makes the vault's secrets anew, by its own function. One that is there under that name already is left as it is.
DECLARE
    s record;
    known record;
BEGIN
    FOR s IN SELECT * FROM pg_temp.supapy_secrets LOOP
        BEGIN
            SELECT v.decrypted_secret IS NOT DISTINCT FROM s.value AS same INTO known
            FROM vault.decrypted_secrets v WHERE v.name = s.name;
            IF NOT FOUND THEN
                PERFORM vault.create_secret(s.value, s.name, s.description);
            ELSIF NOT known.same THEN
                RAISE WARNING 'supapy: vault secret % -- one of that name with another value is here already and was left '
                    'as it is', s.name;
            END IF;
        EXCEPTION WHEN insufficient_privilege OR undefined_table OR undefined_function OR invalid_schema_name THEN
            RAISE WARNING 'supapy: vault secret % -- this project refuses it: %', s.name, SQLERRM;
        END;
    END LOOP;
END
