-- Each row of pg_temp.unfilled is a materialized view and the statement that fills it. A function that a view calls may
-- read another one, which no order knows: as long as one was filled, those that failed are tried again.
DECLARE
    one record;
    left_before bigint;
BEGIN
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
