-- What a project may hold that postgres could not make again. Run as the superuser, last.
create table public.old_owner (a int); insert into public.old_owner values (1); grant select on public.old_owner to anon;
alter table public.old_owner owner to supabase_admin;
create table auth.mine (id int primary key, note text); alter table auth.mine owner to postgres;
create function auth.my_claim() returns text language sql as 'select 1::text'; alter function auth.my_claim() owner to postgres;
create view public.on_lost as select * from auth.mine; alter view public.on_lost owner to postgres;
create view public.on_on_lost as select * from public.on_lost; alter view public.on_on_lost owner to postgres;
create trigger disabled_one after insert on auth.users for each row execute function app.stamp(); alter table auth.users disable trigger disabled_one;
comment on trigger disabled_one on auth.users is 'gone';
create operator family app.family using btree;
create function app.in_c() returns int language internal as 'pg_backend_pid';
alter role app_login set app.custom = 'a=b, ''c'''; alter database postgres set app.settings.jwt_secret = 'the source''s';
-- What only a superuser makes, of the time when postgres was one.
create role app_super superuser login; grant supabase_storage_admin to app_login; grant app_reader to supabase_auth_admin; grant pg_read_server_files to app_reader;
grant set on parameter log_statement to app_reader; create cast (bigint as point) with inout; create text search template app.tmpl (lexize = dsimple_lexize);
create function app.leaky(int) returns int language sql leakproof as 'select 1'; alter function app.leaky(int) owner to postgres;
update pg_index set indisvalid = false where indexrelid = 'app.orders_by_total'::regclass;
-- And on the platform's tables, of the time when postgres was in the roles that own them.
alter table auth.users add nickname text default 'none', add constraint nickname_short check (length(nickname) < 9); create index users_by_nickname on auth.users (nickname);
create index objects_by_owner on storage.objects (owner_id); create rule quiet as on delete to auth.sessions do also nothing; create statistics app.of_users on email, phone from auth.users;
create view app.nicknames as select nickname from auth.users; alter view app.nicknames owner to postgres; create policy own_nickname on auth.users using (nickname = 'x');
grant select on auth.users to app_reader; grant select (id), insert (id) on auth.identities to authenticated; grant insert on auth.users to app_reader;
create policy not_listed on auth.custom_oauth_providers using (true);
-- What would let people do more, were it postgres's.
create function app.as_auth() returns int language sql security definer as 'select 1'; alter function app.as_auth() owner to supabase_auth_admin;
create view app.of_auth as select 1 as one; alter view app.of_auth owner to supabase_auth_admin; create function app.harmless() returns int language sql as 'select 1'; alter function app.harmless() owner to supabase_auth_admin;
create policy closed on app.orders as restrictive for select to authenticated, app_reader using (auth.my_claim() = 'a'); create policy closed on storage.objects as restrictive for insert with check (auth.my_claim() = 'a');
