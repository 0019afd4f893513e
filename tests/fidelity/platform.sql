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
