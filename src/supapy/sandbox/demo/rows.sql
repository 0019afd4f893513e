-- Users with a password of their own, and what they did. Random-looking, but the same at every run.

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values
    ('photos', 'photos', true, 5000000, '{image/*}'),
    ('documents', 'documents', false, null, null),
    ('maps', 'Maps & plans', null, null, '{}');

insert into auth.users (
    instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
    created_at, updated_at, confirmation_token, recovery_token, email_change_token_new, email_change
)
select '00000000-0000-0000-0000-000000000000', md5('user ' || n)::uuid, 'authenticated', 'authenticated',
    format('user%s@example.com', n),
    case when n <= 3 then extensions.crypt('demo password ' || n, extensions.gen_salt('bf', 6))
         else '$2a$06$' || translate(encode(sha256(('hash ' || n)::bytea), 'base64'), '+=/', './.') || 'abcdefgh.' end,
    timestamptz '2025-01-01' + n * interval '1 hour', '{"provider": "email", "providers": ["email"]}',
    jsonb_build_object('full_name', format('Person %s Ünlü', n), 'score', n / 7.0), timestamptz '2025-01-01' + n * interval '1 hour',
    timestamptz '2025-06-01' + n * interval '1 minute 0.000001 second', '', '', '', ''
from generate_series(1, 1203) n;

insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
select id::text, id, jsonb_build_object('sub', id, 'email', email, 'email_verified', true), 'email', null, created_at, created_at
from auth.users;
insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
select 'github-' || md5(id::text), id, jsonb_build_object('sub', 'github-' || md5(id::text), 'email', email), 'github', null, created_at, created_at
from auth.users where right(id::text, 1) = '7';
insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)
select md5('factor ' || id)::uuid, id, 'phone', 'totp', 'verified', created_at, created_at, upper(md5(id::text))
from auth.users where right(id::text, 1) = '3';

update public.profiles set plan = (array['free', 'pro', 'team'])[1 + abs(hashtext(handle)) % 3]::public.plan, joined_at = '2025-02-03 04:05:06.789012+00';

insert into public.trips (owner_id, title, during, budget, tags, extra)
select id, 'Trip to ' || chr(65 + n % 26) || E' \\ "quotes"\tand\nlines', daterange(date '2025-01-01' + n, date '2025-01-01' + n + 1 + n % 30),
    n * 3.17, array['tag ' || n % 5, null, 'a,b{}"\'], case n % 3 when 0 then null when 1 then 'null' else jsonb_build_object('n', n, 'big', 12345678901234567890.123456789) end
from auth.users, generate_series(1, 5) n;
delete from public.trips where id % 11 = 0;

insert into public.notes (trip_id, written_on, body, attachment)
select t.id, date '2024-06-01' + (t.id * 7 % 900)::integer, repeat('note ', 1 + n), decode(md5(t.id::text), 'hex')
from public.trips t, generate_series(1, 4) n;

insert into public.readings
select timestamptz '2026-01-01' + n * interval '13 seconds', (array['A', 'b', '\', '"'])[1 + n % 4]::"char",
    case n % 50 when 0 then 'NaN' when 1 then 'Infinity' when 2 then '-0' else n / 3.0 end,
    case n % 40 when 0 then 'NaN' else n::numeric / 7 end, format('{"n": %s,  "n": "twice"}', n)::json
from generate_series(1, 20000) n;
insert into public.readings values ('infinity', 'z', '1e-310', 1e-1000, null), ('0044-03-15 12:00:00+00 BC', 'y', 1.7976931348623157e308, 10::numeric ^ 3000, '[]');

insert into billing.invoices (customer, total, issued_at) select id, budget, timestamptz '2026-03-01' + row_number() over (order by id) * interval '1 second'
from (select p.id, sum(t.budget) as budget from public.profiles p join public.trips t on t.owner_id = p.id group by p.id) sums;
insert into billing."Odd ""Name"" %" values (E'\\.', 1), (null, null), ('\N', 2);
select setval('billing.invoice_numbers', 123456, false);
select lo_from_bytea(471100, decode(repeat('00ff', 5000), 'hex'));
refresh materialized view public.trips_per_plan;
