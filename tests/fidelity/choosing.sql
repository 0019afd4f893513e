-- A shop of which only parts are saved or brought back. Run as postgres.
create role app_clerk; create role app_reader login;
grant app_clerk to postgres;
create schema shop; create schema log; create schema "My Schema";
grant usage on schema shop to app_reader;
create extension if not exists citext with schema extensions;
create type shop.state as enum ('new', 'paid');
create function shop.stamp() returns trigger language plpgsql as $$ begin new.changed := now(); return new; end $$;
create function shop.double(int) returns int language sql immutable as $$ select $1 * 2 $$;
create sequence shop.numbers start 100;
create table shop.customers (id int generated always as identity primary key, mail extensions.citext unique);
insert into shop.customers (mail) values ('Ada@example.com'), ('bob@example.com');
create table shop.orders (
  id bigint primary key default nextval('shop.numbers'), customer int references shop.customers, state shop.state not null,
  twice int generated always as (shop.double(customer)) stored, changed timestamptz, owner uuid references auth.users
);
insert into shop.orders (customer, state) values (1, 'new'), (2, 'paid');
select nextval('shop.numbers');
create trigger stamps before update on shop.orders for each row execute function shop.stamp();
alter table shop.orders enable row level security;
create policy clerks on shop.orders to app_clerk using (true);
create policy own on shop.orders using (exists (select from shop.customers where id = customer));
create index by_state on shop.orders (state);
comment on table shop.orders is 'what was ordered';
comment on index shop.by_state is 'an index';
grant select (id), insert on shop.orders to app_reader;
grant usage, create on schema shop to app_clerk;
alter table shop.orders owner to app_clerk;
create view shop.open as select id from shop.orders where state = 'new';
create materialized view shop.totals as select state, count(*) from shop.orders group by state;
create table shop.prices (day date, price numeric) partition by range (day);
create table shop.prices_old partition of shop.prices for values from (minvalue) to ('2020-01-01');
create table shop.prices_new partition of shop.prices for values from ('2020-01-01') to (maxvalue);
insert into shop.prices values ('2019-01-01', 1.10), ('2021-01-01', 'NaN'), ('2022-01-01', 3);
create table log.events (n int primary key, what text); insert into log.events select i, 'e' || i from generate_series(1, 50) i;
create table log.copies (like log.events); insert into log.copies values (1, 'x');
create view log.seen as select what from log.events;
create table public.notes (id serial primary key, body text, j jsonb, f float8);
insert into public.notes (body, j, f) values ('a', 'null', '-0'), (E'b\t\n\\', null, 'NaN'), ('c', '{"a": [1.10, null]}', 0.1);
create table public."Mixed Case" (id int); insert into public."Mixed Case" values (1);
create table "My Schema".orders (id int primary key, "of" bigint references shop.orders); insert into "My Schema".orders values (1, 100);
alter publication supabase_realtime add table shop.orders, log.events;
alter default privileges for role postgres grant select on tables to app_reader;
select lo_from_bytea(4711, '\x00ff');
alter database postgres set work_mem to '5MB';
