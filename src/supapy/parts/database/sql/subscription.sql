-- Puts a subscription on the list of what sleeps, also into its own project: where its slot stands by now, the rows of a
-- backup don't. Where nothing is to sleep it is made, and one that can't be sleeps all the same. One that is there is left.
DECLARE
    title text := :title;
    subscription text := :name;
    definition text := :definition;
    owner text := :owner;
    comment text := :comment;
    waking text := definition
        || CASE WHEN comment IS NULL THEN '' ELSE format('; COMMENT ON SUBSCRIPTION %s IS %L', subscription, comment) END
        || CASE owner WHEN current_user THEN '' ELSE format('; ALTER SUBSCRIPTION %s OWNER TO %I', subscription, owner) END;
BEGIN
    IF EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
        WHERE quote_ident(s.subname) = subscription AND d.datname = current_database())
    THEN
        RETURN;
    END IF;
    IF current_setting('supapy.quiesce', true) = 'off' THEN
        BEGIN
            EXECUTE waking;
            RETURN;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'supapy: % -- it could not be made and sleeps until supapy activate: %', title, SQLERRM;
        END;
    END IF;
    :record
    INSERT INTO _supapy.quiesced (sort, name, trigger, state, owner, statement, definition, comment, source)
    VALUES ('subscription', title, subscription, 'O', owner, waking, definition, comment, :source);
END
