-- Roles, schemas, grants, default privileges and settings of a new hosted project (F§4.2, §4.3, §4.7, §6).
-- Run as supabase_admin, the bootstrap superuser, in database postgres.

create role postgres login createdb createrole replication bypassrls inherit;
create role anon nologin inherit;
create role authenticated nologin inherit;
create role service_role nologin inherit bypassrls;
create role authenticator login noinherit;
create role dashboard_user nologin inherit createrole createdb replication;
create role pgbouncer login;
create role supabase_auth_admin login noinherit;
create role supabase_storage_admin login noinherit createrole;
create role supabase_realtime_admin login noinherit createrole replication;
create role supabase_replication_admin login replication;
create role supabase_read_only_user login bypassrls;
create role supabase_etl_admin login replication;
create role supabase_privileged_role nologin;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres with admin option;
grant authenticator to supabase_storage_admin;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
grant pg_read_all_data to supabase_read_only_user, supabase_etl_admin;
grant supabase_privileged_role to postgres, supabase_etl_admin;
do $$
begin
  if current_setting('server_version_num')::int >= 160000 then
    grant pg_create_subscription to postgres;
    grant authenticator to postgres with admin option;
  end if;
end
$$;

-- The backslash is really there on hosted projects, so search_path names a schema that doesn't exist: keep the trap.
alter role postgres set search_path to "\$user", public, extensions;
alter role supabase_admin set search_path to "$user", public, auth, extensions;
alter role supabase_admin set log_statement to 'none';
alter role supabase_auth_admin set search_path to auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout to 60000;
alter role supabase_storage_admin set search_path to storage;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter database postgres set statement_timeout = '2min';
alter database postgres owner to postgres;

grant all on schema public to postgres;
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;

create schema extensions;
grant all on schema extensions to postgres;
grant usage on schema extensions to anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema extensions
  grant all on tables to postgres with grant option;
alter default privileges for role supabase_admin in schema extensions
  grant all on routines to postgres with grant option;
alter default privileges for role supabase_admin in schema extensions
  grant all on sequences to postgres with grant option;

create schema auth;
grant usage on schema auth to postgres, anon, authenticated, service_role, dashboard_user;
grant all on schema auth to supabase_auth_admin, dashboard_user;
alter default privileges for role supabase_auth_admin in schema auth grant all on tables to postgres, dashboard_user;
alter default privileges for role supabase_auth_admin in schema auth grant all on sequences to postgres, dashboard_user;
alter default privileges for role supabase_auth_admin in schema auth grant all on routines to postgres, dashboard_user;

create schema storage;
grant all on schema storage to supabase_storage_admin;
grant usage on schema storage to anon, authenticated, service_role, dashboard_user;
grant usage on schema storage to postgres with grant option;
alter default privileges for role postgres in schema storage
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema storage
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema storage
  grant all on sequences to postgres, anon, authenticated, service_role;

create schema realtime;
grant usage on schema realtime to postgres with grant option;
grant usage on schema realtime to anon, authenticated, service_role;
grant all on schema realtime to supabase_realtime_admin;
alter default privileges for role supabase_admin in schema realtime grant all on tables to postgres, dashboard_user;
alter default privileges for role supabase_admin in schema realtime grant all on routines to postgres, dashboard_user;
alter default privileges for role supabase_admin in schema realtime grant all on sequences to postgres, dashboard_user;

create schema graphql;
create schema graphql_public;
create schema vault;
create schema pgbouncer;
grant usage on schema graphql, graphql_public, vault to postgres;

-- Made by postgres, so that it may comment on, move and drop them, as supautils lets it.
set role postgres;
create extension pgcrypto with schema extensions;
-- A server of the user's own may lack it or its library.
do $$
begin
  create extension "uuid-ossp" with schema extensions;
exception when undefined_file or feature_not_supported then
  raise notice 'uuid-ossp is not available on this server';
end
$$;
reset role;
create extension pg_stat_statements with schema extensions;
-- Later than the functions, so that pg_dump writes them: a naive restore trips over these grants.
grant all on all routines in schema extensions to postgres with grant option;
grant all on all routines in schema extensions to dashboard_user;
grant all on all tables in schema extensions to postgres with grant option;

create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;

-- The platform's event triggers: names, owner and home as hosted, bodies as far as a plain server can need them.
create function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_event_trigger_ddl_commands() where schema_name is distinct from 'pg_temp') then
    notify pgrst, 'reload schema';
  end if;
end
$$;
create function extensions.pgrst_drop_watch() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_event_trigger_dropped_objects() where not is_temporary) then
    notify pgrst, 'reload schema';
  end if;
end
$$;
create function extensions.grant_pg_cron_access() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_event_trigger_ddl_commands() c join pg_extension e on e.oid = c.objid and e.extname = 'pg_cron')
  then
    grant usage on schema cron to postgres with grant option;
    grant all on all functions in schema cron to postgres with grant option;
    grant select on table cron.job to postgres with grant option;
  end if;
end
$$;
create function extensions.grant_pg_net_access() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_event_trigger_ddl_commands() c join pg_extension e on e.oid = c.objid and e.extname = 'pg_net')
  then
    grant usage on schema net to postgres, anon, authenticated, service_role;
  end if;
end
$$;
create function extensions.grant_pg_graphql_access() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_event_trigger_ddl_commands() where object_identity = 'graphql.resolve') then
    grant all on function graphql.resolve to postgres, anon, authenticated, service_role;
  end if;
end
$$;
create function extensions.set_graphql_placeholder() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_event_trigger_dropped_objects()
             where object_type = 'extension' and object_name = 'pg_graphql') then
    raise notice 'pg_graphql was dropped';
  end if;
end
$$;

create event trigger issue_pg_cron_access on ddl_command_end when tag in ('CREATE EXTENSION')
  execute function extensions.grant_pg_cron_access();
create event trigger issue_pg_net_access on ddl_command_end when tag in ('CREATE EXTENSION')
  execute function extensions.grant_pg_net_access();
create event trigger issue_pg_graphql_access on ddl_command_end when tag in ('CREATE FUNCTION')
  execute function extensions.grant_pg_graphql_access();
create event trigger issue_graphql_placeholder on sql_drop when tag in ('DROP EXTENSION')
  execute function extensions.set_graphql_placeholder();
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_drop_watch();
