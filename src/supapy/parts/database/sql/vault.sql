-- Makes the vault's secrets anew, by its own function. One that stands here sealed is opened by the server, where it has
-- the root key that sealed it; elsewhere it is passed over. One that is there under its name already, or if it has none
-- by its id, is left as it is.
DECLARE
    s record;
    known record;
    opened text;
BEGIN
    FOR s IN SELECT * FROM pg_temp.supapy_secrets LOOP
        BEGIN
            opened := s.value;
            IF s.sealed IS NOT NULL THEN
                opened := convert_from(vault._crypto_aead_det_decrypt(
                    decode(s.sealed, 'base64'), convert_to(s.id, 'utf8'), 0, 'pgsodium'::bytea, s.nonce::bytea), 'utf8');
            END IF;
        EXCEPTION WHEN data_exception OR insufficient_privilege OR undefined_function OR invalid_schema_name THEN
            CONTINUE;
        END;
        BEGIN
            SELECT v.decrypted_secret IS NOT DISTINCT FROM opened AS same INTO known FROM vault.decrypted_secrets v
            WHERE CASE WHEN s.name IS NULL THEN v.id::text = s.id ELSE v.name = s.name END;
            IF NOT FOUND THEN
                PERFORM vault.create_secret(opened, s.name, s.description);
            ELSIF NOT known.same THEN
                RAISE WARNING 'supapy: vault secret % -- one of that name with another value is here already and was left '
                    'as it is', coalesce(s.name, s.id);
            END IF;
        EXCEPTION
            WHEN data_exception THEN
                RAISE WARNING 'supapy: vault secret % -- one of that name is here already, which can''t be read: %',
                    coalesce(s.name, s.id), SQLERRM;
            WHEN insufficient_privilege OR undefined_table OR undefined_function OR invalid_schema_name THEN
                RAISE WARNING 'supapy: vault secret % -- this project refuses it: %', coalesce(s.name, s.id), SQLERRM;
        END;
    END LOOP;
END
