-- A stand-in for what switching Database Webhooks on makes in a project (F§4.6). It is no extension.
CREATE ROLE supabase_functions_admin LOGIN NOINHERIT CREATEROLE;
CREATE SCHEMA supabase_functions AUTHORIZATION supabase_functions_admin;
CREATE TABLE supabase_functions.migrations (version text PRIMARY KEY, inserted_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE supabase_functions.hooks (
  id bigserial PRIMARY KEY,
  hook_table_id integer NOT NULL,
  hook_name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  request_id bigint
);
CREATE FUNCTION supabase_functions.http_request() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = supabase_functions AS $$
BEGIN
  INSERT INTO hooks (hook_table_id, hook_name, request_id)
  VALUES (TG_RELID, TG_NAME, net.http_post(TG_ARGV[0], to_jsonb(coalesce(NEW, OLD)), headers => TG_ARGV[2]::jsonb));
  RETURN coalesce(NEW, OLD);
END
$$;
ALTER TABLE supabase_functions.migrations OWNER TO supabase_functions_admin;
ALTER TABLE supabase_functions.hooks OWNER TO supabase_functions_admin;
GRANT USAGE ON SCHEMA net TO supabase_functions_admin, postgres, anon, authenticated, service_role;
ALTER FUNCTION supabase_functions.http_request OWNER TO supabase_functions_admin;
GRANT USAGE ON SCHEMA supabase_functions TO postgres, anon, authenticated, service_role;
GRANT ALL ON ALL TABLES IN SCHEMA supabase_functions TO postgres, anon, authenticated, service_role;
GRANT ALL ON ALL SEQUENCES IN SCHEMA supabase_functions TO postgres, anon, authenticated, service_role;
GRANT ALL ON ALL FUNCTIONS IN SCHEMA supabase_functions TO postgres, anon, authenticated, service_role;
