-- Objects of every kind, with the grants, owners and settings that a dump has been known to lose. Run as postgres.
create role app_owner; create role app_reader; create role "Odd Role ""x""" login connection limit 5 valid until '2031-01-01 00:00:00+00';
create role app_login login password 'app-secret' createdb noinherit; create role nested_group;
grant app_reader to app_login; grant app_reader to authenticated; grant nested_group to app_reader with admin option;
grant app_owner to authenticator; grant service_role to app_owner;
comment on role app_reader is 'reads; it''s all';
alter role app_login set statement_timeout = '7s'; alter role app_login set search_path = "My Schema", public;
alter role anon set statement_timeout = '4s'; alter role authenticated in database postgres set work_mem = '5MB';
alter database postgres set datestyle = 'German'; alter database postgres set timezone = 'Asia/Tokyo';
alter role postgres set work_mem = '6MB'; alter role postgres set quote_all_identifiers = on; alter role postgres set array_nulls = off;
alter role postgres set standard_conforming_strings = off; alter role postgres set transform_null_equals = on; alter role authenticator set pgrst.db_schemas = 'public, "My Schema"';
alter role authenticated reset statement_timeout; alter role service_role set search_path = '';
create role app_md5 login password 'md5a3556571e93b0d20722ba62be61e8c2d' valid until 'infinity';
select current_setting('server_version_num')::int >= 170000 as modern \gset
\if :modern
create role app_strong login createrole bypassrls replication; grant app_strong to app_login with inherit false, set false;
grant nested_group to app_md5 with inherit true, set false, admin true;
\endif
comment on database postgres is 'the "database"';

create schema app authorization postgres; create schema "My Schema"; comment on schema app is 'app';
comment on schema public is 'ours';
set search_path = app, public, extensions, pg_catalog;

create table customers (id bigint generated always as identity primary key, auth_id uuid references auth.users on delete cascade,
  email text not null unique, tags text[] default '{}', meta jsonb default '{"a": 1}', photo uuid references storage.objects);
create table orders (id int primary key, customer bigint references customers, total numeric(10, 2) check (total >= 0), status text);
alter table orders replica identity full; alter table orders cluster on orders_pkey;
alter table customers alter email set statistics 500, alter meta set storage external, alter email set (n_distinct = -0.5);
alter table orders set (autovacuum_enabled = false, fillfactor = 70);
create index orders_by_total on orders using brin (total) with (pages_per_range = 16);
create unique index orders_lower on orders (lower(status)) include (total) where total > 0;
create statistics order_stats (dependencies, mcv) on customer, status from orders; alter statistics order_stats set statistics 200;
comment on column orders.total is E'with a\nline'; comment on index orders_lower is 'i'; comment on constraint orders_total_check on orders is 'k';
comment on statistics order_stats is 's'; comment on table orders is '';
insert into customers (auth_id, email, photo) values ('11111111-1111-1111-1111-111111111111', 'a@example.com', '22222222-2222-2222-2222-222222222222');
insert into orders values (1, 1, 9.99, 'new'), (2, 1, 0, null);

create function body_keeper(a int, b text default 'x''y', variadic c text[] default '{}') returns table (n int, "T" text)
language plpgsql security definer set search_path = '' cost 7 rows 3 parallel safe as $body$
-- a comment line
<<"GRANT">>
begin
  -- GRANT ALL ON TABLE x TO y;
  execute 'select 1 /*
CREATE TABLE not_really (x int);
-- ALTER DEFAULT PRIVILEGES
\restrict nonsense
\unrestrict nonsense
*/';
  return query select 1, E'back\\slash	tab';
end $body$;
create function added(a int, b int) returns int language sql immutable return a + b;
create function atomic() returns setof int begin atomic select id from app.orders; select total::int from app.orders where id > 1; end;
create procedure settle(inout x int) language plpgsql as $$ begin x := x + 1; commit; end $$;
create function "Odd ""Function"" %s"("p q" int) returns int language sql as 'select $1';
create aggregate product(int) (sfunc = int4mul, stype = int, initcond = '1');
create function stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create function crlf() returns text language sql as E'select 1::text\r\n -- \r\n';
comment on function body_keeper is 'f'; comment on procedure settle is 'p'; comment on aggregate product(int) is 'a';

create view plain_view with (security_invoker = true, security_barrier) as select id, total as "T o t" from orders where total > 1 with local check option;
create view on_view as select v.id, c.email from plain_view v join customers c on c.id = v.id;
create recursive view counting (n) as values (1) union all select n + 1 from counting where n < 5;
create view with_default as select * from orders; alter view with_default alter status set default 'from view';
create materialized view mat as select count(*) as n, sum(total) as t from on_view right join orders using (id);
create materialized view a_mat_on_mat as select n * 2 as twice from mat; create unique index on a_mat_on_mat (twice);
create materialized view mat_empty as select 1 as one with no data;
comment on view on_view is 'v'; comment on materialized view mat is 'm'; comment on column plain_view.id is 'vc';
create table logbook (what text, at timestamptz default now());
create rule note_delete as on delete to orders do also insert into app.logbook values ('deleted');
create rule shield as on update to on_view do instead nothing; alter table orders disable rule note_delete;

create table noted (a int, constraint shape check (a > 0)); create sequence noted_numbers;
comment on rule note_delete on orders is 'ru'; comment on sequence noted_numbers is 'sq'; comment on column mat.n is 'mc'; comment on constraint shape on noted is 'ch';

create trigger t_row before insert or update of total on orders for each row when (new.total > 5) execute function stamp('a', 'b''c');
create trigger t_off after insert on orders for each statement execute function stamp(); alter table orders disable trigger t_off;
create trigger t_always after delete on orders referencing old table as gone for each statement execute function stamp();
alter table orders enable always trigger t_always;
create trigger t_replica after insert on customers for each row execute function stamp(); alter table customers enable replica trigger t_replica;
create constraint trigger t_constraint after insert on customers deferrable initially deferred for each row execute function stamp();
create trigger on_auth_user after insert on auth.users for each row execute function stamp();
create trigger on_object before update on storage.objects for each row execute function stamp();
comment on trigger t_row on orders is 't';
alter table orders enable row level security; alter table customers enable row level security; alter table customers force row level security;
create policy own_rows on customers as permissive for all to authenticated, app_reader using (auth.uid() = auth_id) with check (email <> '');
create policy no_anon on orders as restrictive for select to public using ((select count(*) from app.customers) > 0);
create policy "Read %s ""pics""" on storage.objects for select to anon, authenticated using (bucket_id = 'b' and (storage.foldername(name))[1] = 'a');
create policy topic_read on realtime.messages for select to authenticated using (realtime.topic() like 'room:%');
create policy on_users on auth.users for select to app_reader using (true);
comment on policy own_rows on customers is 'po'; comment on policy "Read %s ""pics""" on storage.objects is 'sp';

create publication changes for table orders (id, total) where (total > 3), customers with (publish = 'insert, update', publish_via_partition_root);
create publication whole_schema for tables in schema app; create publication everything for all tables;
alter publication supabase_realtime add table orders, storage.objects; alter publication supabase_realtime set (publish = 'insert, update');
comment on publication changes is 'pub';
create policy buckets_read on storage.buckets for select to app_reader using (public); create policy parts on storage.s3_multipart_uploads_parts using (false);
create trigger t_partition after insert on vals.ranged for each row execute function stamp(); create trigger t_instead instead of insert on on_view for each row execute function stamp();
create trigger t_truncate before truncate on logbook execute function stamp();

comment on trigger t_partition on vals.ranged_old is 'of a piece'; comment on constraint own_number on vals.keyed_1 is 'of a piece'; comment on constraint keyed_to on vals.keyed_1 is 'of a piece';
comment on type vals.spans is 'of a piece'; comment on type vals.parent is 'of a piece'; comment on type vals.mood[] is 'of a piece'; comment on rule "_RETURN" on on_view is 'of a piece';

create text search dictionary plain_dict (template = pg_catalog.simple, stopwords = english);
create text search configuration english_plain (copy = pg_catalog.english); alter text search configuration english_plain alter mapping for asciiword with plain_dict;
create collation "C_like" (provider = libc, locale = 'C');
select exists (select from pg_collation where collname = 'de-x-icu') as has_icu \gset
\if :has_icu
create collation ignoring (provider = icu, locale = 'und-u-ks-level2', deterministic = false); comment on collation ignoring is 'ic';
\endif
create conversion latin for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create text search dictionary words_of (template = pg_catalog.synonym, synonyms = 'synonym_sample');
comment on text search configuration english_plain is 'tc'; comment on text search dictionary plain_dict is 'td'; comment on collation "C_like" is 'co'; comment on conversion latin is 'cv';
create function text_eq_ci(text, text) returns boolean language sql immutable as 'select lower($1) = lower($2)';
create operator === (leftarg = text, rightarg = text, function = text_eq_ci, commutator = ===);
create operator !=== (leftarg = text, rightarg = text, function = text_eq_ci, negator = ====, restrict = neqsel, join = neqjoinsel);
create operator ==== (leftarg = text, rightarg = text, function = text_eq_ci, negator = !===, hashes); create operator <~ (rightarg = text, function = length);
comment on operator === (text, text) is 'op';
create aggregate moving (int) (sfunc = int4pl, stype = int, msfunc = int4pl, minvfunc = int4mi, mstype = int, initcond = '0', minitcond = '0', parallel = safe, combinefunc = int4pl);
create function last_of(text[], text) returns text[] language sql as 'select $1 || $2'; create function pick(text[], float8) returns text language sql as 'select $1[1]';
create aggregate ranked (float8 order by text) (sfunc = last_of, stype = text[], finalfunc = pick, finalfunc_modify = read_only);
create function any_of(anycompatible, variadic anycompatiblearray) returns anycompatible language sql stable strict as 'select $1';
create type shade as enum ('dark', 'li''ght'); create type money_pair as (amount numeric(5, 2), unit text collate "C");
create function shade_of(money_pair) returns shade language sql immutable as $$ select 'dark'::app.shade $$;
create cast (money_pair as shade) with function shade_of(money_pair) as assignment;
create domain email as text collate "C" constraint has_at check (value ~ '@') ; comment on domain email is 'd'; comment on type shade is 'ty';
comment on constraint has_at on domain email is 'dc'; comment on column money_pair.unit is 'at'; comment on cast (money_pair as shade) is 'ca';
create extension pg_trgm with schema extensions; create extension unaccent with schema "My Schema"; comment on extension pg_trgm is 'changed';
create extension postgres_fdw with schema extensions;
create server "far away" type 't' version '1' foreign data wrapper postgres_fdw options (host 'example.invalid', dbname 'x=y');
create user mapping for postgres server "far away" options (user 'u', password 'p=''q"');
create user mapping for public server "far away" options (user 'nobody'); create user mapping for app_login server "far away" options (user 'w', password 'z');
create foreign table far (id int options (column_name 'ID'), v text) server "far away" options (table_name 'remote');
comment on server "far away" is 'srv'; comment on foreign table far is 'ft'; comment on column far.v is 'fc';
alter foreign table far add constraint near check (id > 0); create foreign data wrapper bare options (a 'b=c'); comment on foreign data wrapper bare is 'fdw';
create server on_bare foreign data wrapper bare; create user mapping for app_reader server on_bare;

-- In the schema for extensions, where users put things too; and in one named like an extension's.
create table extensions.own (id serial primary key, what text default 'x'); insert into extensions.own (what) values ('y');
create function extensions.own_helper() returns int language sql as 'select 1'; create view extensions.own_view as select * from extensions.own;
alter table extensions.own enable row level security; create policy own on extensions.own using (true);
create trigger own after insert on extensions.own for each row execute function stamp(); revoke all on extensions.own from anon;
create schema net; create table net.http_request_queue (id int); insert into net.http_request_queue values (1); create schema cron; create table cron.job (jobid int);

create schema supabase_migrations;
create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text, created_by text);
insert into supabase_migrations.schema_migrations values ('20240101', array['create table x (a int);', E'-- c\n'], 'init', 'me');
create table supabase_migrations.seed_files (path text primary key, hash text not null);

-- Grants.
revoke all on orders from anon; grant select (id, total), update (status) on orders to anon; grant select on customers to app_reader with grant option;
revoke all on customers from anon, authenticated, service_role; revoke all on function body_keeper from public, anon, authenticated, service_role;
revoke execute on function stamp() from public; grant execute on function added(int, int) to app_reader;
revoke usage on type shade from public; grant usage on type email to app_login;
revoke all on schema public from service_role; grant usage, create on schema app to app_reader; grant usage on schema "My Schema" to anon;
grant usage on foreign server "far away" to app_reader; grant select on large object 70001 to app_reader;
grant connect, temporary on database postgres to app_reader; revoke temporary on database postgres from public;
grant usage on schema storage to app_reader; grant select on storage.objects to app_reader;
grant usage on sequence customers_id_seq to anon; revoke all on mat from anon, authenticated;
\if :modern
grant maintain on orders to app_reader with grant option; grant maintain on mat to anon; alter default privileges in schema app grant maintain on tables to app_login;
\endif
revoke usage on type money_pair from public; grant all on function crlf() to app_login with grant option; revoke execute on procedure settle(int) from public;
grant execute on function product(int) to app_reader; revoke all on foreign data wrapper bare from postgres; grant update on sequence noted_numbers to anon;
grant select (name), references (id) on storage.buckets to app_reader; grant references, trigger, truncate on noted to authenticated;
revoke connect on database postgres from public; grant usage on foreign data wrapper postgres_fdw to app_reader with grant option;
alter default privileges revoke usage on types from public; alter default privileges in schema public grant usage on sequences to public;
create table revoked_from_all (a int); revoke all on revoked_from_all from postgres, anon, authenticated, service_role;
alter default privileges in schema public revoke all on tables from anon; alter default privileges in schema public revoke execute on functions from authenticated;
alter default privileges in schema app grant select on tables to app_reader with grant option; alter default privileges revoke execute on functions from public;
alter default privileges grant usage on schemas to app_reader; alter default privileges grant usage on types to anon;
create table after_defaults (a int); create function after_defaults() returns int language sql as 'select 1';
create table public.after_defaults (a int);

-- Owners; and grants that roles of the user's pass on.
grant usage, create on schema app to app_owner; grant app_owner to postgres; grant app_reader to postgres;
create table theirs (id serial, v text); insert into theirs (v) values ('x'); create view their_view as select * from theirs; create function their_function(a int) returns int language sql as 'select $1';
create type their_type as enum ('x'); alter type their_type owner to app_owner; alter function their_function(int) owner to app_owner;
alter table theirs owner to app_owner; alter view their_view owner to app_owner; alter large object 70002 owner to app_owner;
create schema theirs; create table theirs.t (a int); grant create on database postgres to app_owner; grant usage, create on schema theirs to app_owner;
alter table theirs.t owner to app_owner; alter schema theirs owner to app_owner;
create table for_service (a int); grant create on schema app to service_role; alter table for_service owner to service_role; revoke create on schema app from service_role;
set role app_owner; grant select on app.theirs to app_reader with grant option; alter default privileges in schema app grant insert on tables to app_reader; reset role;
set role app_reader; grant select on app.theirs to anon; grant select on app.customers to app_login; reset role;
revoke create on schema app from app_owner; revoke app_owner from postgres;
