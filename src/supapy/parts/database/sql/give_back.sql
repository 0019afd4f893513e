DECLARE
    r text;
BEGIN
    FOR r IN SELECT name FROM pg_temp.supapy_borrowed LOOP
        EXECUTE format('REVOKE %I FROM CURRENT_USER', r);
    END LOOP;
END
