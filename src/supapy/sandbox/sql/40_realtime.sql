-- As much of schema realtime as users lean on: the table their policies are written for, and the server's bookkeeping.
create table realtime.schema_migrations (version bigint not null primary key, inserted_at timestamp(0));
create table realtime.subscription (
  id bigint generated always as identity primary key,
  subscription_id uuid not null,
  entity regclass not null,
  claims jsonb not null,
  created_at timestamp not null default timezone('utc', now())
);
grant select on realtime.schema_migrations, realtime.subscription to anon, authenticated, service_role;
insert into realtime.schema_migrations values (20211116024918, now()), (20250905041441, now());

set role supabase_realtime_admin;
create table realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp not null default now(),
  inserted_at timestamp not null default now(),
  id uuid not null default gen_random_uuid(),
  primary key (id, inserted_at)
) partition by range (inserted_at);
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;
grant all on realtime.messages to postgres, dashboard_user;
create function realtime.topic() returns text language sql stable as $$
  select nullif(current_setting('realtime.topic', true), '')
$$;
reset role;
