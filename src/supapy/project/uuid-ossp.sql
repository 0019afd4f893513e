-- The functions of extension uuid-ossp without its library, which few machines have: put beside downloaded servers.
-- Same names, arguments and answers. Where the original takes the network card's address, this takes random bits.

CREATE FUNCTION uuid_nil() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;

-- The four name spaces of RFC 9562.
CREATE FUNCTION uuid_ns_dns() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid $$;
CREATE FUNCTION uuid_ns_url() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::uuid $$;
CREATE FUNCTION uuid_ns_oid() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT '6ba7b812-9dad-11d1-80b4-00c04fd430c8'::uuid $$;
CREATE FUNCTION uuid_ns_x500() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT '6ba7b814-9dad-11d1-80b4-00c04fd430c8'::uuid $$;

CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
AS $$ SELECT pg_catalog.gen_random_uuid() $$;

-- Tenths of a microsecond since 15 October 1582, then 14 random bits, then a random node with the multicast bit set.
DO $script$
DECLARE
  function name;
BEGIN
  FOREACH function IN ARRAY ARRAY['uuid_generate_v1', 'uuid_generate_v1mc'] LOOP
    EXECUTE format($create$
      CREATE FUNCTION %I() RETURNS uuid LANGUAGE plpgsql VOLATILE STRICT PARALLEL SAFE AS $$
      DECLARE
        now_s numeric := extract(epoch FROM clock_timestamp());
        ticks text := lpad(to_hex(122192928000000000 + (now_s * 10000000)::bigint), 16, '0');
        bits text := replace(gen_random_uuid()::text, '-', '');
      BEGIN
        RETURN (substr(ticks, 9) || substr(ticks, 5, 4) || '1' || substr(ticks, 2, 3)
                || substr(bits, 17, 4) || '03' || substr(bits, 23, 10))::uuid;
      END
      $$ $create$, function);
  END LOOP;
END
$script$;

CREATE FUNCTION uuid_generate_v3(namespace uuid, name text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
  SELECT overlay(overlay(hash PLACING '3' FROM 13) PLACING
                 to_hex(8 | (('x' || substr(hash, 17, 1))::bit(4)::int & 3)) FROM 17)::uuid
  FROM pg_catalog.md5(pg_catalog.uuid_send(namespace) || convert_to(name, 'UTF8')) AS hash
$$;
-- PostgreSQL has SHA-1 only in pgcrypto.
CREATE FUNCTION uuid_generate_v5(namespace uuid, name text) RETURNS uuid LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  home name := (SELECT extnamespace::regnamespace FROM pg_catalog.pg_extension WHERE extname = 'pgcrypto');
  hash text;
BEGIN
  IF home IS NULL THEN
    RAISE undefined_function USING MESSAGE = 'uuid_generate_v5 needs extension pgcrypto on this server';
  END IF;
  EXECUTE format('SELECT encode(%s.digest($1, $2), ''hex'')', home)
    INTO hash USING pg_catalog.uuid_send(namespace) || convert_to(name, 'UTF8'), 'sha1';
  RETURN overlay(overlay(substr(hash, 1, 32) PLACING '5' FROM 13) PLACING
                 to_hex(8 | (('x' || substr(hash, 17, 1))::bit(4)::int & 3)) FROM 17)::uuid;
END
$$;
