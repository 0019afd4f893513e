-- Rows of every type, and of every value that a dump has been known to bend. Run as postgres.
create schema vals;
set search_path = vals, public, extensions, pg_catalog;
create extension if not exists citext with schema extensions;
create extension if not exists hstore with schema public;
create type pair as (a int, b text);
create type nest as (p pair, ps pair[], m numeric);
create type mood as enum ('sad', 'ok', 'happy');
alter type mood add value 'meh' before 'ok';
alter type mood add value 'worst' before 'sad';
create domain positive as int check (value > 0) default 7 not null;
create domain words as text[] check (array_length(value, 1) < 10);
create type span as range (subtype = float8, multirange_type_name = spans);

create table every_type (
  n serial primary key,
  num numeric, num2 numeric(40, 20), small int2, big int8, r real, f double precision, b bool, cash money,
  t text, v varchar(10), c char(5), one "char", nm name, by bytea,
  d date, ti time, tiz time with time zone, ts timestamp, tsz timestamptz, iv interval,
  u uuid, j json, jb jsonb, x xml, bi bit(5), vb bit varying,
  ip inet, net cidr, mac macaddr, mac8 macaddr8,
  pt point, ln line, seg lseg, bx box, pa path, po polygon, ci circle,
  arr int[], arr2 text[][], moods mood[], pr pair, ne nest, dm positive, wd words,
  r4 int4range, r8 int8range, rn numrange, rt tstzrange, rd daterange, mr int4multirange, sp span, sps spans,
  tv tsvector, tq tsquery, ci_text extensions.citext, hs public.hstore, cls regclass, fn regprocedure, role regrole, typ regtype,
  o oid, l pg_lsn, ti2 tid, m mood,
  jp jsonpath, x8 xid8, snap pg_snapshot, ns regnamespace, op regoperator, coll regcollation, cfg regconfig, proc regproc,
  numbers int2vector, oids oidvector, t3 timestamp(3), iv2 interval day to second(2), doms positive[], ranges numrange[],
  noted timestamptz[], blank bpchar, cursor refcursor, secret bytea[]
);
insert into every_type (num, r, f, t, d, ts, tsz, iv, dm) values
  ('NaN', 'NaN', 'NaN', '', 'infinity', 'infinity', 'infinity', '178000000 years', 1),
  ('Infinity', 'Infinity', 'Infinity', E'tab\there', '-infinity', '-infinity', '-infinity', '-178000000 years', 2),
  ('-Infinity', '-Infinity', '-Infinity', E'line\nfeed', '4713-01-01 BC', '4713-01-01 00:00:00 BC',
   '4713-01-02 00:00:00+00 BC', '-1 years -2 mons +3 days -04:05:06.789', 3),
  (0, '-0', '-0', E'return\rhere', '5874897-12-31', '294276-12-31 23:59:59.999999',
   '294276-12-31 23:59:59.999999+00', '00:00:00.000001', 4),
  (repeat('9', 3000)::numeric, 3.4028235e38, 1.7976931348623157e308, E'back\\slash', '2000-02-29',
   '1969-12-31 23:59:59.999999', '2024-03-10 02:30:00 America/New_York', '1 mon -1 day', 5),
  (('0.' || repeat('0', 2000) || '1')::numeric, 1.17549435e-38, 5e-324, E'\\.', '0001-01-01', '0001-01-01',
   '0001-01-01 00:00:00 BC', '0', 6),
  (1.10, 0.1, 0.1::float8 + 0.2::float8, E'\\N', '1582-10-10', '1900-01-01', '1883-11-18 12:03:57.5-05', '1 day 24:00', 7),
  (-1e-100, 1.0000001, 2.2250738585072014e-308, 'NULL', null, null, null, null, 8),
  (null, null, null, null, null, null, null, null, 9),
  (123456789.123456789, 16777216, 9007199254740993, E'\u00e9\U0001F600 \u202E \u0001\u007f', 'epoch', 'epoch', 'epoch', 'P1Y2M3DT4H5M6.7S', 10);
insert into every_type (num2, small, big, b, cash, v, c, one, nm, by, ti, tiz, u, j, jb, x, bi, vb, ip, net, mac, mac8) values
  (12345678901234567890.12345678901234567890, -32768, 9223372036854775807, true, '-92233720368547758.08', 'é''"', 'a',
   'x', repeat('n', 63)::name, '\x00ff5c5c0a0d', '24:00:00', '23:59:59.999999+15:59', gen_random_uuid(),
   '{"a":1,  "a":2, "z":"\u0000", "n":1e400}', '{"b":{"a":[1.10,"\u00e9",null]},"n":12345678901234567890.1234567890}',
   '<a b="c">d</a>text<!-- c -->', B'10101', B'', '::ffff:1.2.3.4/100', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05'),
  (0, 32767, -9223372036854775808, false, '0', '', '', '', '', '', '00:00', '00:00-15:59', '00000000-0000-0000-0000-000000000000',
   ' null ', 'null', '', B'00000', repeat('10', 500)::varbit, '1.2.3.4', '::/0', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff');
insert into every_type (pt, ln, seg, bx, pa, po, ci, arr, arr2, moods, pr, ne, wd, r4, r8, rn, rt, rd, mr, sp, sps, tv, tq) values
  ('(1e-300,-0)', '{1,-1,0.1}', '[(0.1,0.2),(0.3,0.4)]', '((1,2),(3,4))', '[(0,0),(1,1)]', '((0,0),(0,1),(1,1))', '<(0.1,0.2),3>',
   '[-2:1]={1,NULL,3,4}', '{{"a,b","c\"d"},{NULL,"NULL"}}', '{worst,meh,NULL}', row(1, 'x,"y"\'), row(row(null, ''), array[row(1, E'a\nb')::pair, null], 'NaN'),
   '{}', '[1,5)', 'empty', '(,)', '["2024-01-01 00:00+00",infinity)', '[2024-01-01,)', '{[1,3),[5,7)}', '[0.1,0.3)', '{[1,2),[3,4)}',
   'a:1A b:2,3 ''it''''s'':4C', '!a & (b | c:*) <-> d');
insert into every_type (ci_text, hs, cls, fn, role, typ, o, l, ti2, m) values
  ('MiXeD', '"a b"=>"c\"d", e=>NULL', 'pg_class', 'pg_catalog.lower(text)', 'anon', 'vals.pair[]', 4294967295, '16/B374D848', '(1,2)', 'meh'),
  ('', '', null, null, null, null, 0, '0/0', '(0,0)', 'worst');

insert into every_type (jp, x8, snap, ns, op, coll, cfg, proc, numbers, oids, t3, iv2, doms, ranges, noted, blank, cursor, secret, x, cls, fn, t) values
  ('strict $."a b"[*] ? (@ > 1 && @.size() < 3)', '18446744073709551615', '10:20:10,14,15', 'vals', 'pg_catalog.+(integer,integer)', '"C"', 'pg_catalog.english', 'now',
   '1 -2 3', '1 4294967295', '2024-01-01 00:00:00.9996', '1 day 02:03:04.567', '{1,2}', '{"[1,2)",empty}', '[5:6]={infinity,2024-01-01 00:00:00+00}', 'a ', 'c',
   '{"\\x00","\\x5c"}', '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e "f">]><a>&e;</a>', 'vals.every_type', 'gen_random_uuid()', repeat(E'long \\\t\n', 300000));
insert into every_type (cls, fn, typ) values ('99999999', '99999999', '99999999');
-- What only one of the versions knows.
do $$ begin
  if current_setting('server_version_num')::int >= 170000 then
    insert into vals.every_type (iv) values ('infinity'), ('-infinity');
  end if;
  if exists (select from pg_available_extensions where name = 'vector') then
    create extension vector with schema extensions;
    create table vals.vectors (v extensions.vector(3), h extensions.halfvec(2), s extensions.sparsevec(5));
    insert into vals.vectors values ('[1,-0.1,1e-7]', '[1,2]', '{1:0.5,5:2}/5'), (null, null, null);
    create index on vals.vectors using hnsw (v extensions.vector_l2_ops);
  end if;
end $$;

-- Names that quoting must survive.
create schema "Odd ""Schema"" ü";
create table "Odd ""Schema"" ü"."T; drop table x; --" ("col ""q""" int, "a	tab" text, "new
line" text default E'd\n''x''', "100%s %I" text, "back\slash" text, "SELECT" int, "üñï" int);
insert into "Odd ""Schema"" ü"."T; drop table x; --" values (1, 'x', E'y\n', '%', '\', 3, 4);
create table "Odd ""Schema"" ü"."Quote'd $$ $supapy$ table" (id int primary key, "Ref" int references "Odd ""Schema"" ü"."Quote'd $$ $supapy$ table");
insert into "Odd ""Schema"" ü"."Quote'd $$ $supapy$ table" values (2, 1), (1, 2), (3, 3);
create table "Odd ""Schema"" ü"."nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn63" (x int);
create table public.same (a int); insert into public.same values (1);
create table vals.same (a text); insert into vals.same values ('other');
create table vals.case_ ("A" int, a int); insert into vals.case_ values (1, 2);

create table zero (); insert into zero default values; insert into zero default values;
create table all_generated (g int generated always as (42) stored); insert into all_generated default values;
create table no_key (a int, b text); insert into no_key select 1, 'same' from generate_series(1, 3);
create table dropped (a int, b text, c int); alter table dropped drop column b; insert into dropped values (1, 2);
alter table dropped add column d text default 'late';
create table generated (id bigint generated always as identity (start 100 increment 7), by_default int generated by default as identity,
  base numeric, twice numeric generated always as (base * 2) stored, note text);
insert into generated (base, note) select i, 'n' || i from generate_series(1, 5) i;
insert into generated (id, base) overriding system value values (5, 50);
create unlogged table fleeting (a int); insert into fleeting values (1);

create table ranged (id int, at date, payload text) partition by range (at);
create table ranged_old partition of ranged for values from (minvalue) to ('2020-01-01');
create table ranged_mid (payload text, at date, gone int, id int); alter table ranged_mid drop column gone;
alter table ranged attach partition ranged_mid for values from ('2020-01-01') to ('2024-01-01');
create table ranged_rest partition of ranged default partition by list (id);
create table ranged_rest_1 partition of ranged_rest for values in (1, null);
create table ranged_rest_x partition of ranged_rest default;
insert into ranged select i % 3, date '2019-06-01' + i * 200, 'p' || i from generate_series(1, 12) i;
create unique index ranged_once on ranged (at, id);
create index ranged_payload on only ranged (payload);
create table hashed (m mood, id int) partition by hash (m);
create table hashed_0 partition of hashed for values with (modulus 3, remainder 0);
create table hashed_1 partition of hashed for values with (modulus 3, remainder 1);
create table hashed_2 (id int, m mood);
alter table hashed attach partition hashed_2 for values with (modulus 3, remainder 2);
insert into hashed select m, i from generate_series(1, 20) i, unnest(enum_range(null::mood)) m;

create table parent (id int primary key, name text check (name <> ''));
create table child (extra text) inherits (parent);
create table grandchild (more text, name text) inherits (child);
insert into parent values (1, 'p'); insert into child values (2, 'c', 'x'); insert into grandchild values (3, 'g', 'x', 'm');

create table cycle_a (id int primary key, b int); create table cycle_b (id int primary key, a int references cycle_a deferrable initially deferred);
alter table cycle_a add foreign key (b) references cycle_b on delete set null;
insert into cycle_a values (1, null); insert into cycle_b values (1, 1); update cycle_a set b = 1;
create extension if not exists btree_gist with schema extensions;
create table booking (room int, during tsrange, exclude using gist (room with =, during with &&));
insert into booking values (1, '[2024-01-01,2024-01-02)'), (1, '[2024-01-02,2024-01-03)');
create table strict (id int primary key, at int, unique (at, id), unique nulls not distinct (at), unique (id, at) deferrable initially deferred,
  constraint own_only check (at <> 7) no inherit, constraint by_index exclude using btree (at with =) where (at > 10));
create table strict_child (extra int) inherits (strict); create table second_parent (a int, b text); create table two_parents (z int) inherits (strict_child, second_parent);
create table pointing (a int, b int, foreign key (a, b) references strict (id, at) match full on update cascade on delete set null (b));
insert into strict values (1, 1); insert into strict_child values (2, 7, 0); insert into two_parents (id, at, a, z) values (3, 7, 1, 2); insert into pointing values (1, 1), (null, null);
create type person as (name text, age int); comment on column person.age is 'years';
create table people of person (name with options not null default 'x', primary key (name)); insert into people values ('p', 1);
create table measures (id int, at date not null, primary key (id, at)) partition by range (at); create table measures_1 partition of measures default;
create table of_measures (id int, at date, foreign key (id, at) references measures); insert into measures values (1, '2024-01-01'); insert into of_measures values (1, '2024-01-01');
create table keyed (id int, n int, constraint own_number check (n > 0), constraint keyed_to foreign key (id) references parent) partition by list (n); create table keyed_1 partition of keyed for values in (1);
create table stored (big text compression pglz, key text); alter table stored set (toast.autovacuum_enabled = false, toast_tuple_target = 4096);
alter table stored alter key set not null; create unique index stored_key on stored (key desc nulls last) include (big) with (fillfactor = 80); alter table stored replica identity using index stored_key;
create index stored_by on stored (lower(big) text_pattern_ops, (length(key))) where key <> ''; alter index stored_by alter column 2 set statistics 300;
insert into stored select repeat('z', 100000), 'k';
create unlogged sequence fleeting_numbers; select nextval('fleeting_numbers');
create table numbered (id int default nextval('fleeting_numbers')); alter sequence fleeting_numbers owned by numbered.id; insert into numbered default values;
do $$ begin
  if current_setting('server_version_num')::int >= 170000 then
    create table vals.counted (id bigint generated always as identity (start 5), k int) partition by list (k);
    create table vals.counted_1 partition of vals.counted for values in (1);
    insert into vals.counted (k) values (1), (1);
  end if;
end $$;
create table lax (a int, b int); insert into lax values (-1, 99);
alter table lax add constraint lax_positive check (a > 0) not valid;
alter table lax add constraint lax_points foreign key (b) references parent not valid;
-- A check and an index whose functions read other tables: those must be loaded first.
create table z_lookup (id int primary key); insert into z_lookup values (5);
create function known(int) returns boolean language sql stable as $$ select exists (select from vals.z_lookup where id = $1) $$;
create table a_checked (id int, constraint is_known check (vals.known(id)));
insert into a_checked values (5);
create domain known_id as int check (vals.known(value));
create table a_domain (id known_id, ids known_id[]); insert into a_domain values (5, '{5}');
create function lookup_name(int) returns text language sql immutable as $$ select 'id ' || id from vals.z_lookup where id = $1 $$;
create index on a_checked (vals.lookup_name(id));
-- A function that finds its names by the usual search path only: in a check, a generated column, a materialized view.
create table public.ratings (name text primary key); insert into public.ratings values ('good');
create function public.is_rating(text) returns boolean language sql immutable as $$ select exists (select from ratings where name = $1) $$;
create table rated (r text check (public.is_rating(r)), ok boolean generated always as (public.is_rating(r)) stored);
insert into rated values ('good');
create materialized view rated_count as select count(*) from rated where public.is_rating(r) with no data;
do $$ begin
  if current_setting('server_version_num')::int < 170000 then
    create index rated_by on vals.rated (public.is_rating(r)); refresh materialized view vals.rated_count;
  end if;
end $$;
-- Orphans, as replica mode lets them in.
create table owner_of (id int primary key); create table owned_by (id int references owner_of);
set session_replication_role = replica; insert into owned_by values (77); set session_replication_role = origin;

create sequence odd increment -3 minvalue -100 maxvalue 50 start 20 cycle cache 5;
select setval('odd', -99, false);
create sequence used as smallint; select nextval('used'), nextval('used');
create sequence untouched start 1000;
create sequence top maxvalue 3; select setval('top', 3);

select lo_from_bytea(70001, decode(repeat('00ff5c', 400000), 'hex')); select lo_from_bytea(70002, '');
select lo_create(70003); select lo_put(70003, 5000000, '\x01');
comment on large object 70001 is 'it''s a "large" one';
