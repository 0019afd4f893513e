-- What hosted projects get from the supautils module, as far as plain PostgreSQL allows (docs/decisions/0001).
-- An event trigger runs before the rights of a command are checked. So, for the length of one such command, the first
-- trigger below lends role postgres what the command needs; the last one takes it back in the same transaction and
-- refuses what supautils would refuse. No other session ever sees the loan, and an error rolls it back.
-- The functions stand in pg_catalog, where neither pg_dump nor a user looks: they're the server's, not the project's.

-- The settings that supautils lets postgres change although they're a superuser's or of no loaded module (F§4.4). A
-- plain server takes whole names only, so those of the families that people set are listed.
grant set on parameter
  session_replication_role, track_io_timing, wal_compression,
  log_statement, log_min_duration_statement, log_min_messages, log_lock_waits, log_duration, log_temp_files,
  pg_stat_statements.track, pg_stat_statements.max, auto_explain.log_min_duration, auto_explain.log_analyze,
  pgaudit.log, safeupdate.enabled,
  pgrst.db_schemas, pgrst.db_extra_search_path, pgrst.db_max_rows, pgrst.db_pre_request, pgrst.db_aggregates_enabled
  to postgres;

-- The tables whose policies and triggers postgres may change without owning them (F§4.4).
create function pg_catalog.sandbox_is_granted(relation text) returns boolean language sql immutable as $$
  select relation in (
    'auth.audit_log_entries', 'auth.flow_state', 'auth.identities', 'auth.instances', 'auth.mfa_amr_claims',
    'auth.mfa_challenges', 'auth.mfa_factors', 'auth.oauth_clients', 'auth.one_time_tokens', 'auth.refresh_tokens',
    'auth.saml_providers', 'auth.saml_relay_states', 'auth.sessions', 'auth.sso_domains', 'auth.sso_providers', 'auth.users',
    'realtime.messages', 'realtime.subscription', 'storage.buckets', 'storage.buckets_analytics', 'storage.objects',
    'storage.prefixes', 'storage.s3_multipart_uploads', 'storage.s3_multipart_uploads_parts')
$$;

-- Whether the running text creates an extension that plain PostgreSQL leaves to superusers. Trusted ones need no loan;
-- those that reach the server's files or run programs stay refused.
create function pg_catalog.sandbox_wants_untrusted_extension() returns boolean language sql stable as $$
  select exists (
    select from regexp_matches(current_query(), 'create\s+extension\s+(?:if\s+not\s+exists\s+)?("[^"]+"|\w+)', 'gi') found
    join pg_available_extension_versions v on v.name = trim(both '"' from found[1])
    where v.superuser and not v.trusted and v.name not in ('adminpack', 'file_fdw') and v.name !~ '^pl.*u$')
$$;

create function pg_catalog.sandbox_lend() returns event_trigger language plpgsql security definer
set search_path = pg_catalog as $$
declare
  invoker text := case current_setting('role') when 'none' then session_user else current_setting('role') end;
begin
  -- A loan already stands when the script of an extension runs such a command itself.
  if invoker <> 'postgres' or coalesce(current_setting('sandbox.lent_for', true), '') <> '' then
    return;
  end if;
  if tg_tag = 'CREATE EXTENSION' and not sandbox_wants_untrusted_extension()
     or tg_tag = 'COMMENT' and current_query() !~* 'comment\s+on\s+policy' then
    return;
  end if;
  -- Two sessions can't change the same role at once, so the second waits until the first has ended its transaction.
  perform pg_advisory_xact_lock(hashtext('sandbox_lend'));
  perform set_config('sandbox.lent_for', tg_tag, true);
  if tg_tag in ('CREATE EXTENSION', 'CREATE FOREIGN DATA WRAPPER', 'CREATE PUBLICATION', 'ALTER PUBLICATION') then
    alter role postgres superuser;
  else
    grant supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin to postgres;
  end if;
end
$$;

-- A dropped policy or trigger is gone when the command ends, so its table is looked at here.
create function pg_catalog.sandbox_check_drop() returns event_trigger language plpgsql security definer
set search_path = pg_catalog as $$
declare
  gone record;
begin
  if coalesce(current_setting('sandbox.lent_for', true), '') <> tg_tag then
    return;
  end if;
  for gone in select address_names[1] as nsp, address_names[2] as rel from pg_event_trigger_dropped_objects()
              where object_type in ('policy', 'trigger') loop
    if gone.nsp in ('auth', 'storage', 'realtime') and not sandbox_is_granted(gone.nsp || '.' || gone.rel) then
      raise insufficient_privilege using message = format('must be owner of table %s', gone.rel);
    end if;
  end loop;
end
$$;

create function pg_catalog.sandbox_take_back() returns event_trigger language plpgsql security definer
set search_path = pg_catalog as $$
declare
  done record;
begin
  if coalesce(current_setting('sandbox.lent_for', true), '') <> tg_tag then
    return;
  end if;
  perform set_config('sandbox.lent_for', '', true);
  if (select rolsuper from pg_roles where rolname = 'postgres') then
    alter role postgres nosuperuser;
    return;
  end if;
  revoke supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin from postgres;
  -- The loan was for policies. What else of those roles the same text touches must fail as it would have without it.
  for done in
    select c.classid, c.object_type, coalesce(r.relname, c.object_identity) as name, n.nspname || '.' || r.relname as relation
    from pg_event_trigger_ddl_commands() c
    left join pg_policy p on c.classid = 'pg_policy'::regclass and p.oid = c.objid
    left join pg_trigger t on c.classid = 'pg_trigger'::regclass and t.oid = c.objid
    left join pg_constraint k on c.classid = 'pg_constraint'::regclass and k.oid = c.objid
    left join pg_index i on c.classid = 'pg_class'::regclass and i.indexrelid = c.objid
    left join pg_class r on r.oid = coalesce(p.polrelid, t.tgrelid, k.conrelid, i.indrelid,
                                             case when c.classid = 'pg_class'::regclass then c.objid end)
    left join pg_namespace n on n.oid = r.relnamespace
    left join pg_shdepend d on d.classid = c.classid and d.objid = c.objid and d.deptype = 'o'
    join pg_roles owner on owner.oid = coalesce(r.relowner, d.refobjid)
    where owner.rolname in ('supabase_auth_admin', 'supabase_storage_admin', 'supabase_realtime_admin')
  loop
    if done.classid <> 'pg_policy'::regclass or not sandbox_is_granted(done.relation) then
      raise insufficient_privilege using message = format('must be owner of %s %s',
        case when done.relation is null then done.object_type else 'table' end, done.name);
    end if;
  end loop;
end
$$;

create event trigger sandbox_lend on ddl_command_start
  when tag in ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'DROP TRIGGER', 'COMMENT', 'CREATE EXTENSION',
               'CREATE FOREIGN DATA WRAPPER', 'CREATE PUBLICATION', 'ALTER PUBLICATION')
  execute function pg_catalog.sandbox_lend();
create event trigger sandbox_check_drop on sql_drop
  when tag in ('DROP POLICY', 'DROP TRIGGER') execute function pg_catalog.sandbox_check_drop();
-- The name sorts last among the triggers of this event, so that the platform's own run first, as with supautils.
create event trigger sandbox_take_back on ddl_command_end
  when tag in ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'DROP TRIGGER', 'COMMENT', 'CREATE EXTENSION',
               'CREATE FOREIGN DATA WRAPPER', 'CREATE PUBLICATION', 'ALTER PUBLICATION')
  execute function pg_catalog.sandbox_take_back();
-- A restore works in replica mode, where ordinary event triggers sleep.
alter event trigger sandbox_lend enable always;
alter event trigger sandbox_check_drop enable always;
alter event trigger sandbox_take_back enable always;
