-- A stand-in for pgmq up to 1.5, for tests: its tables, and of its functions those that make, fill and empty a queue.
-- A queue's tables become members of the extension, so that no dump has them (F§4.6).
CREATE TABLE pgmq.meta (
  queue_name varchar PRIMARY KEY,
  is_partitioned boolean NOT NULL,
  is_unlogged boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
SELECT pg_catalog.pg_extension_config_dump('pgmq.meta', '');

CREATE FUNCTION pgmq._make(queue_name text, unlogged boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  persistence text := CASE WHEN unlogged THEN 'UNLOGGED' ELSE '' END;
BEGIN
  IF EXISTS (SELECT FROM pgmq.meta m WHERE m.queue_name = $1) THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE %s TABLE pgmq.%I (msg_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    read_ct int NOT NULL DEFAULT 0, enqueued_at timestamptz NOT NULL DEFAULT now(), vt timestamptz NOT NULL,
    message jsonb)', persistence, lower('q_' || queue_name));
  EXECUTE format('CREATE TABLE pgmq.%I (msg_id bigint PRIMARY KEY, read_ct int NOT NULL DEFAULT 0,
    enqueued_at timestamptz NOT NULL DEFAULT now(), archived_at timestamptz NOT NULL DEFAULT now(),
    vt timestamptz NOT NULL, message jsonb)', lower('a_' || queue_name));
  EXECUTE format('CREATE INDEX %I ON pgmq.%I (vt ASC)', lower('q_' || queue_name) || '_vt_idx', lower('q_' || queue_name));
  EXECUTE format('CREATE INDEX %I ON pgmq.%I (archived_at)', lower('archived_at_idx_' || queue_name), lower('a_' || queue_name));
  EXECUTE format('ALTER EXTENSION pgmq ADD TABLE pgmq.%I', lower('q_' || queue_name));
  EXECUTE format('ALTER EXTENSION pgmq ADD TABLE pgmq.%I', lower('a_' || queue_name));
  INSERT INTO pgmq.meta VALUES (queue_name, false, unlogged);
END
$$;
CREATE FUNCTION pgmq.create_non_partitioned(queue_name text) RETURNS void LANGUAGE sql AS
  $$ SELECT pgmq._make(queue_name, false) $$;
CREATE FUNCTION pgmq.create_unlogged(queue_name text) RETURNS void LANGUAGE sql AS
  $$ SELECT pgmq._make(queue_name, true) $$;
CREATE FUNCTION pgmq.create(queue_name text) RETURNS void LANGUAGE sql AS $$ SELECT pgmq._make(queue_name, false) $$;

-- Partitioned, as pg_partman makes it: the partitions themselves belong to nobody but their maker.
CREATE FUNCTION pgmq.create_partitioned(queue_name text, partition_interval text DEFAULT '10000') RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  part text;
BEGIN
  EXECUTE format('CREATE TABLE pgmq.%I (msg_id bigint GENERATED ALWAYS AS IDENTITY, read_ct int NOT NULL DEFAULT 0,
    enqueued_at timestamptz NOT NULL DEFAULT now(), vt timestamptz NOT NULL, message jsonb) PARTITION BY RANGE (msg_id)',
    lower('q_' || queue_name));
  EXECUTE format('CREATE TABLE pgmq.%I (msg_id bigint NOT NULL, read_ct int NOT NULL DEFAULT 0,
    enqueued_at timestamptz NOT NULL DEFAULT now(), archived_at timestamptz NOT NULL DEFAULT now(),
    vt timestamptz NOT NULL, message jsonb) PARTITION BY RANGE (msg_id)', lower('a_' || queue_name));
  EXECUTE format('ALTER EXTENSION pgmq ADD TABLE pgmq.%I', lower('q_' || queue_name));
  EXECUTE format('ALTER EXTENSION pgmq ADD TABLE pgmq.%I', lower('a_' || queue_name));
  EXECUTE format('CREATE INDEX %I ON pgmq.%I (msg_id)', lower('q_' || queue_name) || '_part_idx', lower('q_' || queue_name));
  EXECUTE format('CREATE INDEX %I ON pgmq.%I (archived_at)', lower('archived_at_idx_' || queue_name), lower('a_' || queue_name));
  FOREACH part IN ARRAY ARRAY[lower('q_' || queue_name), lower('a_' || queue_name)] LOOP
    EXECUTE format('CREATE TABLE pgmq.%I PARTITION OF pgmq.%I FOR VALUES FROM (0) TO (%L)', part || '_p0', part, partition_interval);
    EXECUTE format('CREATE TABLE pgmq.%I PARTITION OF pgmq.%I DEFAULT', part || '_default', part);
    EXECUTE format('ALTER TABLE pgmq.%I ADD PRIMARY KEY (msg_id)', part || '_p0');
  END LOOP;
  INSERT INTO pgmq.meta VALUES (queue_name, true, false);
END
$$;

CREATE FUNCTION pgmq.send(queue_name text, msg jsonb, delay int DEFAULT 0) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE format('INSERT INTO pgmq.%I (vt, message) VALUES (clock_timestamp() + %L, $1) RETURNING msg_id',
    lower('q_' || queue_name), make_interval(secs => delay)) USING msg;
END
$$;
CREATE FUNCTION pgmq.archive(queue_name text, msg_id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('WITH gone AS (DELETE FROM pgmq.%I q WHERE q.msg_id = $1 RETURNING q.msg_id, vt, read_ct, enqueued_at, message)
    INSERT INTO pgmq.%I (msg_id, vt, read_ct, enqueued_at, message) SELECT * FROM gone',
    lower('q_' || queue_name), lower('a_' || queue_name)) USING msg_id;
  RETURN FOUND;
END
$$;
-- Hosted, postgres has all of it.
GRANT ALL ON SCHEMA pgmq TO postgres;
GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO postgres;
