-- A stand-in for Supabase's vault, for tests: its names, columns, functions and privileges (F§4.6). Nothing is encrypted,
-- but what is sealed can be opened with the same root key, id and nonce only, and shows the value to no one who looks.
CREATE FUNCTION vault._tag(message bytea, additional bytea, nonce bytea) RETURNS bytea LANGUAGE sql
  SECURITY DEFINER SET search_path = '' AS $$
  SELECT pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.pg_read_file('root_key'), 'utf8') || additional || nonce || message)
$$;
CREATE FUNCTION vault._mirrored(message bytea) RETURNS bytea LANGUAGE sql SET search_path = '' AS $$
  SELECT coalesce(pg_catalog.string_agg(pg_catalog.substr(message, n, 1), '' ORDER BY n DESC), '')
  FROM pg_catalog.generate_series(1, pg_catalog.length(message)) n
$$;
CREATE FUNCTION vault._crypto_aead_det_encrypt(
  message bytea, additional bytea, key_id bigint, context bytea DEFAULT 'pgsodium', nonce bytea DEFAULT NULL
) RETURNS bytea LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$
  SELECT vault._tag(message, additional, nonce) || vault._mirrored(message)
$$;
CREATE FUNCTION vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint, context bytea DEFAULT 'pgsodium', nonce bytea DEFAULT NULL
) RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
  opened bytea := vault._mirrored(pg_catalog.substr(message, 33));
BEGIN
  IF vault._tag(opened, additional, nonce) IS DISTINCT FROM pg_catalog.substr(message, 1, 32) THEN
    RAISE EXCEPTION 'pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext' USING ERRCODE = '22000';
  END IF;
  RETURN opened;
END
$$;
CREATE TABLE vault.secrets (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text,
  description text NOT NULL DEFAULT '',
  secret text NOT NULL,
  key_id uuid,
  nonce bytea DEFAULT decode(md5(random()::text), 'hex'),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX secrets_name_idx ON vault.secrets (name) WHERE name IS NOT NULL;
CREATE VIEW vault.decrypted_secrets AS
  SELECT id, name, description, secret, convert_from(vault._crypto_aead_det_decrypt(
      decode(secret, 'base64'), convert_to(id::text, 'utf8'), 0, 'pgsodium'::bytea, nonce), 'utf8') AS decrypted_secret,
    key_id, nonce, created_at, updated_at
  FROM vault.secrets;

CREATE FUNCTION vault._sealed(value text, id uuid, nonce bytea) RETURNS text LANGUAGE sql SET search_path = '' AS $$
  SELECT pg_catalog.encode(vault._crypto_aead_det_encrypt(pg_catalog.convert_to(value, 'utf8'),
    pg_catalog.convert_to(id::text, 'utf8'), 0, 'pgsodium'::bytea, nonce), 'base64')
$$;
CREATE FUNCTION vault.create_secret(
  new_secret text, new_name text DEFAULT NULL, new_description text DEFAULT '', new_key_id uuid DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
  made vault.secrets;
BEGIN
  INSERT INTO vault.secrets (secret, name, description) VALUES (new_secret, new_name, new_description) RETURNING * INTO made;
  UPDATE vault.secrets s SET secret = vault._sealed(made.secret, s.id, s.nonce) WHERE s.id = made.id;
  RETURN made.id;
END
$$;
CREATE FUNCTION vault.update_secret(
  secret_id uuid, new_secret text DEFAULT NULL, new_name text DEFAULT NULL, new_description text DEFAULT NULL,
  new_key_id uuid DEFAULT NULL
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$
  UPDATE vault.secrets s SET secret = coalesce(vault._sealed(new_secret, s.id, s.nonce), secret),
    name = coalesce(new_name, name), description = coalesce(new_description, description), updated_at = now()
  WHERE s.id = secret_id
$$;

ALTER TABLE vault.secrets OWNER TO supabase_admin;
ALTER VIEW vault.decrypted_secrets OWNER TO supabase_admin;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vault FROM PUBLIC;
GRANT USAGE ON SCHEMA vault TO postgres, service_role;
GRANT SELECT, DELETE ON vault.secrets, vault.decrypted_secrets TO postgres WITH GRANT OPTION;
GRANT SELECT, DELETE ON vault.secrets, vault.decrypted_secrets TO service_role;
GRANT EXECUTE ON FUNCTION vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt TO postgres WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt TO service_role;
