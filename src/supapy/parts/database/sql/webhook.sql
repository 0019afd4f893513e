-- Makes a trigger, a rule or an event trigger that reaches out of the database. One that is to sleep is disabled in the
-- same statement; where it can't be disabled, on a table of the platform's or a view, it isn't made before it is to wake,
-- and its comment waits with it. A partition's own state (without a definition) comes after its parent's, also on the
-- list: what enables the parent enables the partition.
DECLARE
    mode text := coalesce(nullif(current_setting('supapy.quiesce', true), ''), 'on');
    sort text := :sort;
    title text := :title;
    relation text := :relation;
    trigger text := :name;
    definition text := :definition;
    state text := :state;
    comment text := :comment;
    lasting boolean := :lasting;
    sleeps boolean := mode <> 'off' AND (:waiting OR (mode = 'on' AND (state <> 'D' OR definition = '')));
    turned text := CASE relation WHEN '' THEN 'ALTER EVENT TRIGGER %2$s %3$s' ELSE 'ALTER TABLE %1$s %3$s %4$s %2$s' END;
    waking text := format(turned, relation, trigger, CASE state
        WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END, upper(sort));
    commenting text := CASE WHEN comment IS NULL THEN '' ELSE
        format('; COMMENT ON %s %s ON %s IS %L', upper(sort), trigger, relation, comment) END;
    made text := definition || CASE WHEN lasting OR state = 'O' THEN '' ELSE '; ' || waking END || commenting;
    unmade boolean := lasting;
BEGIN
    BEGIN
        IF definition <> '' AND NOT (lasting AND sleeps) THEN
            EXECUTE definition || commenting;
        END IF;
        IF NOT lasting AND sleeps THEN
            EXECUTE format(turned, relation, trigger, 'DISABLE', upper(sort));
        ELSIF NOT lasting AND (state <> 'O' OR definition = '') THEN
            EXECUTE waking;
        END IF;
    EXCEPTION
        WHEN undefined_function OR invalid_schema_name THEN
            -- Database Webhooks were never switched on here. What sleeps loses nothing by not being there yet.
            IF NOT sleeps THEN
                RAISE WARNING 'supapy: % -- switch Database Webhooks on, then supapy activate: %', title, SQLERRM;
            END IF;
            unmade := true;
            sleeps := true;
        WHEN insufficient_privilege OR undefined_table OR undefined_object THEN
            RAISE WARNING 'supapy: % -- this project refuses it: %', title, SQLERRM;
            sleeps := false;
    END;
    IF sleeps THEN
        :record
        INSERT INTO _supapy.quiesced (sort, name, relation, trigger, state, routine, statement, definition, comment, source)
        VALUES (sort, title, nullif(relation, ''), trigger, state, :routine, CASE WHEN unmade THEN made ELSE waking END,
            CASE WHEN unmade THEN definition END, CASE WHEN unmade THEN comment END, :source);
    END IF;
END
