-- What uploads with the service key can't say: owners, own metadata, times; and rows that hang on files.
set session_replication_role = replica;
update storage.objects set
    owner_id = md5('user ' || abs(hashtext(name)) % 1203 + 1)::uuid::text,
    owner = md5('user ' || abs(hashtext(name)) % 1203 + 1)::uuid,
    created_at = timestamptz '2025-05-05 05:05:05.000001+00', updated_at = '2025-06-06 06:06:06.654321+00',
    last_accessed_at = '2025-07-07 07:07:07.1+00',
    user_metadata = case abs(hashtext(name)) % 3 when 0 then null when 1 then '{}' else jsonb_build_object('taken by', owner, 'stars', 4.50) end;
reset session_replication_role;
update public.trips t set cover = o.id
from (select id, row_number() over (order by name) as n from storage.objects where bucket_id = 'photos') o where o.n = t.id;
