-- Each row of pg_temp.unfilled is a materialized view and the statement that fills it; one whose query reaches out of the
-- database stays empty where such things sleep. A function that a view calls may read another one, which no order knows:
-- as long as one was filled, those that failed are tried again.
DECLARE
    mode text := coalesce(nullif(current_setting('supapy.quiesce', true), ''), 'on');
    one record;
    left_before bigint;
BEGIN
    FOR one IN SELECT * FROM pg_temp.unfilled WHERE mode <> 'off' AND reaches AND (waiting OR mode = 'on') ORDER BY place LOOP
        :record
        INSERT INTO _supapy.quiesced (sort, name, relation, trigger, state, statement, source)
        VALUES ('materialized view', 'materialized view ' || one.relation, one.relation, one.relation, 'O',
            one.statement, one.source);
        DELETE FROM pg_temp.unfilled WHERE place = one.place;
    END LOOP;
    LOOP
        SELECT count(*) INTO left_before FROM pg_temp.unfilled;
        FOR one IN SELECT * FROM pg_temp.unfilled ORDER BY place LOOP
            BEGIN
                EXECUTE one.statement;
                DELETE FROM pg_temp.unfilled WHERE place = one.place;
            EXCEPTION WHEN OTHERS THEN
                -- What the server lacks (room, memory, a lock) is no fault of the view's.
                IF SQLSTATE ~ '^(40|53|55P03|57|58|XX)' THEN
                    RAISE;
                END IF;
                UPDATE pg_temp.unfilled SET said = SQLERRM WHERE place = one.place;
            END;
        END LOOP;
        EXIT WHEN left_before = (SELECT count(*) FROM pg_temp.unfilled);
    END LOOP;
    FOR one IN SELECT * FROM pg_temp.unfilled ORDER BY place LOOP
        RAISE WARNING 'supapy: % -- it could not be filled, refresh it when its query runs again: %', one.title, one.said;
    END LOOP;
END
