-- The list of what sleeps goes when it is empty.
BEGIN
    IF to_regclass('_supapy.quiesced') IS NULL THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM _supapy.quiesced) THEN
        DROP TABLE _supapy.quiesced;
        IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = '_supapy'::regnamespace) THEN
            DROP SCHEMA _supapy;
        END IF;
    END IF;
END
