-- Schedules the jobs. A job is never active for a moment if it is to sleep: who schedules it also puts it to sleep before
-- anyone else can see it. Jobs of other roles are scheduled in their name, since pg_cron lets nobody else.
DECLARE
    mode text := coalesce(nullif(current_setting('supapy.quiesce', true), ''), 'on');
    me text := current_user;
    altering text := (SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'cron'::regnamespace AND p.proname = 'alter_job');
    before bigint[] := ARRAY(SELECT jobid FROM cron.job);
    job record;
    found_job record;
    id bigint;
    sleeps boolean;
    lent boolean;
    waking text;
    done text;
BEGIN
    FOR job IN SELECT * FROM pg_temp.supapy_jobs ORDER BY number LOOP
        sleeps := mode <> 'off' AND (job.waiting OR (mode = 'on' AND job.active));
        SELECT j.* INTO found_job FROM cron.job j
        WHERE j.jobid = ANY (before) AND j.username = job.username AND j.jobname::text IS NOT DISTINCT FROM job.name
            AND (job.name IS NOT NULL OR (j.schedule, j.command) = (job.schedule, job.command))
        LIMIT 1;
        id := found_job.jobid;
        before := array_remove(before, id);
        IF id IS NOT NULL AND (found_job.schedule, found_job.command) <> (job.schedule, job.command) THEN
            RAISE WARNING 'supapy: cron job % -- one of that name is here already and was left as it is', job.name;
            CONTINUE;
        END IF;
        waking := '';
        done := '';
        BEGIN
            lent := NOT has_function_privilege(job.username, altering, 'EXECUTE');
            IF lent THEN
                waking := format('GRANT EXECUTE ON FUNCTION %s TO %I;', altering, job.username);
                done := format('REVOKE EXECUTE ON FUNCTION %s FROM %I;', altering, job.username);
                EXECUTE waking;
            END IF;
            EXECUTE format('SET LOCAL ROLE %I', job.username);
            IF id IS NULL AND job.name IS NULL THEN
                id := cron.schedule(job.schedule, job.command);
            ELSIF id IS NULL THEN
                id := cron.schedule(job.name, job.schedule, job.command);
            END IF;
            PERFORM cron.alter_job(id, database := job.database, active := job.active AND NOT sleeps);
            EXECUTE format('SET LOCAL ROLE %I', me);
            IF lent THEN
                EXECUTE done;
            END IF;
        EXCEPTION WHEN insufficient_privilege OR undefined_object OR invalid_grant_operation THEN
            RAISE WARNING 'supapy: cron job % -- it is of role %, who may not schedule it here: %',
                coalesce(job.name, job.schedule), job.username, SQLERRM;
            sleeps := false;
        END;
        IF sleeps THEN
            :record
            INSERT INTO _supapy.quiesced (sort, name, job, state, owner, statement, source)
            VALUES ('cron job', 'cron job ' || coalesce(job.name, id::text), id, 'O', job.username,
                CASE WHEN job.username = me THEN format('SELECT cron.alter_job(%s, active := true)', id) ELSE format(
                    'DO $wake$ BEGIN %s SET LOCAL ROLE %I; PERFORM cron.alter_job(%s, active := true); '
                        'SET LOCAL ROLE %I; %s END $wake$', waking, job.username, id, me, done) END, :source);
        END IF;
    END LOOP;
END
