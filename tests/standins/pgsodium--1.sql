CREATE TABLE pgsodium.key (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), status text DEFAULT 'valid', name text UNIQUE);
SELECT pg_catalog.pg_extension_config_dump('pgsodium.key', '');
CREATE FUNCTION pgsodium.create_key() RETURNS pgsodium.key LANGUAGE sql AS $$
  INSERT INTO pgsodium.key DEFAULT VALUES RETURNING *
$$;
