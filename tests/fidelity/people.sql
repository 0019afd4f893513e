-- A user and a file, which rows of the app point to: what the auth and the storage part bring back. Run as postgres.
insert into auth.users (instance_id, id, aud, role, email, encrypted_password, raw_user_meta_data) values
  ('00000000-0000-0000-0000-000000000000', '11111111-1111-1111-1111-111111111111', 'authenticated', 'authenticated', 'a@example.com', '$2a$10$x', '{"n": "\u00e9"}');
insert into auth.refresh_tokens (instance_id, token, user_id) values ('00000000-0000-0000-0000-000000000000', 't', '11111111-1111-1111-1111-111111111111');
insert into storage.buckets (id, name, public, allowed_mime_types, created_at, updated_at) values
  ('b', 'b', true, '{image/*}', '2024-01-01 00:00:00.000001+00', '2024-01-02');
insert into storage.objects (id, bucket_id, name, metadata, created_at, updated_at, last_accessed_at) values
  ('22222222-2222-2222-2222-222222222222', 'b', 'a/b c.txt', '{"size": 3}', '2024-01-01', '2024-01-02', '2024-01-03');
