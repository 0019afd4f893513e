IF to_regclass('_supapy.quiesced') IS NULL THEN
            CREATE SCHEMA IF NOT EXISTS _supapy;
            CREATE TABLE _supapy.quiesced (
                number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                sort text NOT NULL,
                name text NOT NULL,
                job bigint,
                relation text,
                trigger text,
                state text NOT NULL,
                routine text,
                owner text,
                statement text NOT NULL,
                definition text,
                comment text,
                source text NOT NULL
            );
            COMMENT ON TABLE _supapy.quiesced IS
                'What a restore left asleep. To wake it: supapy activate';
:private;
        END IF;
