-- A stand-in for pg_net, for tests: a request that is made stays in the queue, and nothing is ever sent.
CREATE SCHEMA net;
CREATE UNLOGGED TABLE net.http_request_queue (
  id bigint GENERATED ALWAYS AS IDENTITY,
  method text NOT NULL,
  url text NOT NULL,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer NOT NULL
);
CREATE FUNCTION net.http_post(
  url text, body jsonb DEFAULT '{}', params jsonb DEFAULT '{}',
  headers jsonb DEFAULT '{"Content-Type": "application/json"}', timeout_milliseconds integer DEFAULT 5000
) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$
  INSERT INTO net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  VALUES ('POST', url, headers, pg_catalog.convert_to(body::text, 'UTF8'), timeout_milliseconds) RETURNING id
$$;
GRANT SELECT ON net.http_request_queue TO PUBLIC;
