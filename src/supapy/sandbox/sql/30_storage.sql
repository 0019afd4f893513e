-- Schema storage as the Storage server's migrations leave it (F§1.9). Owner of everything: supabase_storage_admin.
set role supabase_storage_admin;
set search_path = storage;

create type buckettype as enum ('STANDARD', 'ANALYTICS', 'VECTOR');

create table migrations (
  id integer not null primary key,
  name varchar(100) not null unique,
  hash varchar(40) not null,
  executed_at timestamp default current_timestamp
);

create table buckets (
  id text not null primary key,
  name text not null,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  public boolean default false,
  avif_autodetection boolean default false,
  file_size_limit bigint,
  allowed_mime_types text[],
  owner_id text,
  type buckettype not null default 'STANDARD',
  versioning_status text not null default 'DISABLED',
  constraint buckets_versioning_status_check check (versioning_status in ('DISABLED', 'ENABLED', 'SUSPENDED')),
  constraint buckets_versioning_standard_only_check check (type = 'STANDARD' or versioning_status = 'DISABLED'),
  constraint buckets_versioning_dark_check check (versioning_status = 'DISABLED')
);
create unique index bname on buckets (name);

create table objects (
  id uuid not null default gen_random_uuid() primary key,
  bucket_id text constraint "objects_bucketId_fkey" references buckets,
  name text,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now(),
  metadata jsonb,
  path_tokens text[] generated always as (string_to_array(name, '/')) stored,
  version text,
  owner_id text,
  user_metadata jsonb,
  archived_at timestamptz,
  is_delete_marker boolean not null default false,
  is_versioned boolean not null default false
);
create unique index bucketid_objname on objects (bucket_id, name);
create index idx_objects_bucket_id_name on objects (bucket_id, name collate "C");
create index idx_objects_bucket_id_name_lower on objects (bucket_id, lower(name) collate "C");
create index name_prefix_search on objects (name text_pattern_ops);

create table s3_multipart_uploads (
  id text not null primary key,
  in_progress_size bigint not null default 0,
  upload_signature text not null,
  bucket_id text not null references buckets,
  key text collate "C" not null,
  version text not null,
  owner_id text,
  created_at timestamptz not null default now(),
  user_metadata jsonb,
  metadata jsonb
);
create index idx_multipart_uploads_list on s3_multipart_uploads (bucket_id, key, created_at);

create table s3_multipart_uploads_parts (
  id uuid not null default gen_random_uuid() primary key,
  upload_id text not null references s3_multipart_uploads on delete cascade,
  size bigint not null default 0,
  part_number integer not null,
  bucket_id text not null references buckets,
  key text collate "C" not null,
  etag text not null,
  owner_id text,
  version text not null,
  created_at timestamptz not null default now()
);

create table buckets_analytics (
  name text not null,
  type buckettype not null default 'ANALYTICS',
  format text not null default 'ICEBERG',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  id uuid not null default gen_random_uuid() primary key,
  deleted_at timestamptz
);
create unique index buckets_analytics_unique_name_idx on buckets_analytics (name) where deleted_at is null;

create table buckets_vectors (
  id text not null primary key,
  type buckettype not null default 'VECTOR',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table vector_indexes (
  id text not null default gen_random_uuid() primary key,
  name text collate "C" not null,
  bucket_id text not null references buckets_vectors,
  data_type text not null,
  dimension integer not null,
  distance_metric text not null,
  metadata_configuration jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index vector_indexes_name_bucket_id_idx on vector_indexes (name, bucket_id);

-- Functions that policies use.
create function foldername(name text) returns text[] language sql immutable as $$
  select (string_to_array(name, '/'))[1:array_length(string_to_array(name, '/'), 1) - 1]
$$;
create function filename(name text) returns text language sql immutable as $$
  select (string_to_array(name, '/'))[array_length(string_to_array(name, '/'), 1)]
$$;
create function extension(name text) returns text language sql immutable as $$
  select reverse(split_part(reverse(storage.filename(name)), '.', 1))
$$;
create function operation() returns text language sql stable as $$
  select current_setting('storage.operation', true)
$$;
create function allow_any_operation(expected_operations text[]) returns boolean language sql stable as $$
  select coalesce(replace(storage.operation(), 'storage.', '')
                  = any (select replace(wanted, 'storage.', '') from unnest(expected_operations) wanted), false)
$$;
create function allow_only_operation(expected_operation text) returns boolean language sql stable as $$
  select storage.allow_any_operation(array[expected_operation])
$$;
create function get_size_by_bucket() returns table (size bigint, bucket_id text) language sql stable as $$
  select sum((o.metadata ->> 'size')::bigint)::bigint, o.bucket_id from storage.objects o group by o.bucket_id
$$;
create function can_insert_object(bucketid text, name text, owner uuid, metadata jsonb) returns void
language plpgsql as $$
begin
  insert into storage.objects (bucket_id, name, owner, metadata) values (bucketid, name, owner, metadata);
  raise sqlstate 'PT200' using message = 'ROLLBACK', detail = 'rollback successful insert';
end
$$;
-- One level of a bucket: its folders as rows without id, then its objects; names are relative to the prefix.
create function search(
  prefix text, bucketname text, limits integer default 100, levels integer default 1, offsets integer default 0,
  search text default '', sortcolumn text default 'name', sortorder text default 'asc')
returns table (name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb)
language plpgsql stable as $$
declare
  direction text := case when lower(sortorder) = 'desc' then 'desc' else 'asc' end;
  ordering text := case when sortcolumn in ('name', 'updated_at', 'created_at', 'last_accessed_at') then sortcolumn else 'name' end;
begin
  return query execute format($q$
    with inside as (
      select o.*, o.path_tokens[$3] as step, array_length(o.path_tokens, 1) > $3 as deeper
      from storage.objects o where o.bucket_id = $2 and lower(o.name) like lower(replace(replace(replace($1 || $4, '\', '\\'), '%%', '\%%'), '_', '\_')) || '%%'
    ), level as (
      select distinct i.step as name, null::uuid as id, null::timestamptz as updated_at, null::timestamptz as created_at,
             null::timestamptz as last_accessed_at, null::jsonb as metadata from inside i where i.deeper
      union all
      select i.step, i.id, i.updated_at, i.created_at, i.last_accessed_at, i.metadata from inside i where not i.deeper
    )
    select l.name, l.id, l.updated_at, l.created_at, l.last_accessed_at, l.metadata from level l
    order by (l.id is null) desc, l.%I %s, l.name limit $5 offset $6 $q$, ordering, direction)
  using prefix, bucketname, levels, search, least(limits, 1500), offsets;
end
$$;
create function search_v2(
  prefix text, bucket_name text, limits integer default 100, levels integer default 1, start_after text default '')
returns table (key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb)
language sql stable as $$
  select o.path_tokens[levels], o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata
  from storage.objects o
  where o.bucket_id = bucket_name and starts_with(o.name, prefix) and o.name collate "C" > start_after
  order by o.name collate "C" limit least(limits, 1000)
$$;

-- The four triggers.
create function update_updated_at_column() returns trigger language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end
$$;
create function enforce_bucket_name_length() returns trigger language plpgsql as $$
begin
  if length(new.name) > 100 then
    raise exception 'bucket name "%" is too long (% characters). Max is 100.', new.name, length(new.name);
  end if;
  return new;
end
$$;
create function protect_delete() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' then
    raise exception 'Direct deletion from storage tables is not allowed. Use the Storage API instead.'
      using errcode = '42501', hint = 'This prevents accidental data loss from orphaned objects.';
  end if;
  return null;
end
$$;
create trigger update_objects_updated_at before update on objects for each row execute function update_updated_at_column();
create trigger enforce_bucket_name_length_trigger before insert or update of name on buckets
  for each row execute function enforce_bucket_name_length();
create trigger protect_buckets_delete before delete on buckets for each statement execute function protect_delete();
create trigger protect_objects_delete before delete on objects for each statement execute function protect_delete();

alter table buckets enable row level security;
alter table objects enable row level security;
alter table migrations enable row level security;
alter table s3_multipart_uploads enable row level security;
alter table s3_multipart_uploads_parts enable row level security;
alter table buckets_analytics enable row level security;
alter table buckets_vectors enable row level security;
alter table vector_indexes enable row level security;

grant all on buckets, objects to postgres with grant option;
grant all on buckets, objects to anon, authenticated, service_role;
grant all on s3_multipart_uploads, s3_multipart_uploads_parts to service_role;
grant select on s3_multipart_uploads, s3_multipart_uploads_parts to anon, authenticated;
grant all on buckets_analytics to anon, authenticated, service_role;
grant select on buckets_vectors, vector_indexes to anon, authenticated, service_role;

-- The first, some known and the last of the server's own steps; the hashes are of their names.
insert into migrations (id, name, hash)
  select n, name, encode(sha224(convert_to(name, 'UTF8')), 'hex')::varchar(40)
  from (values (0, 'create-migrations-table'), (1, 'initialmigration'), (37, 'add-bucket-name-length-trigger'),
               (45, 'vector-buckets'), (50, 'search-v2-optimised'), (55, 'prevent-direct-deletes'),
               (62, 'object-versioning-core'), (63, 'fix-search-name-relative-to-prefix')) step (n, name);

reset search_path;
reset role;
