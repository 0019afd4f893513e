"""Databases with things in them that act by themselves: jobs, webhooks, queues, secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.extensions import STANDINS, extended_tools, has_cron, preload_cron
from tests.projects import owner, superuser

from supapy.sandbox.cluster import Cluster

# A job of another role, one without a name, one that is switched off; queues; a secret; webhooks of every kind: on a
# table, by a function of the user's, by a function that calls it, disabled, always, on the platform's table, on a view,
# of one name on two partitioned tables, by dblink; rules of as many kinds.
APP = """
CREATE EXTENSION pgmq;
SELECT pgmq.create('mail'), pgmq.create_unlogged('Fast');
SELECT pgmq.send('mail', '{"to": "ada"}', 3600), pgmq.send('mail', '{"to": "bob"}'), pgmq.send('fast', '[1]');
SELECT pgmq.archive('mail', 1);
SELECT vault.create_secret('s3cret-value', 'stripe', 'for payments'), vault.create_secret('nameless-value');
CREATE TABLE public.orders (id int PRIMARY KEY, total int);
CREATE TABLE public.parts (id int) PARTITION BY RANGE (id);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (1) TO (100);
CREATE TRIGGER "on order" AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION supabase_functions.http_request(
    'https://oldoldoldoldoldoldol.supabase.co/functions/v1/mail', 'POST',
    '{"Authorization": "Bearer sb_secret_oldkey_1234567890"}', '{}', '1000');
COMMENT ON TRIGGER "on order" ON public.orders IS 'sends mails';
CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM net.http_post('https://oldoldoldoldoldoldol.supabase.co/functions/v1/told', to_jsonb(NEW));
  RETURN NEW;
END $$;
CREATE FUNCTION public.tells() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN public.told(NEW.id); END $$;
CREATE FUNCTION public.told(id int) RETURNS record LANGUAGE plpgsql AS $$
BEGIN PERFORM net.http_post('https://example.com/hook'); RETURN NULL; END $$;
CREATE FUNCTION public.quiet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.total = 7; RETURN NEW; END $$;
CREATE TRIGGER teller AFTER UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.tell();
CREATE TRIGGER through AFTER DELETE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.tells();
CREATE TRIGGER harmless BEFORE INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION public.quiet();
CREATE TRIGGER off_already AFTER UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.tell();
ALTER TABLE public.orders DISABLE TRIGGER off_already;
CREATE TRIGGER whatever_comes AFTER UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.tell();
ALTER TABLE public.orders ENABLE ALWAYS TRIGGER whatever_comes;
CREATE TRIGGER on_parts AFTER INSERT ON public.parts FOR EACH ROW EXECUTE FUNCTION public.tell();
ALTER TABLE public.parts_1 DISABLE TRIGGER on_parts;
CREATE TABLE public.pieces (id int) PARTITION BY RANGE (id);
CREATE TABLE public.pieces_1 PARTITION OF public.pieces FOR VALUES FROM (1) TO (100);
CREATE TRIGGER on_parts AFTER INSERT ON public.pieces FOR EACH ROW EXECUTE FUNCTION public.tell();
CREATE VIEW public.totals AS SELECT id, total FROM public.orders;
CREATE FUNCTION public."Tell Far"(id int) RETURNS bigint LANGUAGE sql AS $$
  SELECT net.http_post('https://example.com/far') $$;
CREATE FUNCTION public.tells_far() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM Public."Tell Far"(NEW.id); RETURN NEW; END $$;
CREATE TRIGGER on_total INSTEAD OF INSERT ON public.totals FOR EACH ROW EXECUTE FUNCTION public.tells_far();
CREATE FUNCTION public.mirrors() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM extensions.dblink_exec('host=elsewhere.example', 'SELECT 1'); RETURN NEW; END $$;
COMMENT ON TRIGGER on_total ON public.totals IS 'tells "far"; isn''t there yet';
CREATE TRIGGER mirror AFTER TRUNCATE ON public.orders FOR EACH STATEMENT EXECUTE FUNCTION public.mirrors();
CREATE TRIGGER welcome AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION supabase_functions.http_request(
    'https://oldoldoldoldoldoldol.supabase.co/functions/v1/welcome', 'POST', '{}', '{}', '1000');
CREATE MATERIALIZED VIEW public."Fetched" AS SELECT public."Tell Far"(1) AS sent;
CREATE VIEW public.fetching AS SELECT sent FROM public."Fetched";
CREATE MATERIALIZED VIEW public.a_count AS SELECT count(*) FROM public.fetching;
CREATE MATERIALIZED VIEW public.never_filled AS SELECT public."Tell Far"(2) AS sent WITH NO DATA;
CREATE MATERIALIZED VIEW public.harmless AS SELECT 1 AS n;
CREATE TABLE public.notes (id int);
CREATE RULE "tell all" AS ON INSERT TO public.notes DO ALSO
    SELECT net.http_post('https://oldoldoldoldoldoldol.supabase.co/functions/v1/told', to_jsonb(NEW.id));
COMMENT ON RULE "tell all" ON public.notes IS 'tells all';
CREATE RULE tell_far AS ON UPDATE TO public.notes DO ALSO SELECT public."Tell Far"(NEW.id);
ALTER TABLE public.notes ENABLE ALWAYS RULE tell_far;
CREATE RULE off_already AS ON INSERT TO public.notes DO ALSO SELECT net.http_post('https://example.com/off');
ALTER TABLE public.notes DISABLE RULE off_already;
CREATE RULE harmless AS ON DELETE TO public.notes DO INSTEAD NOTHING;
CREATE RULE far AS ON DELETE TO public.totals DO INSTEAD SELECT public."Tell Far"(OLD.id);
COMMENT ON RULE far ON public.totals IS 'tells far';
CREATE ROLE "the clerk" LOGIN;
GRANT "the clerk" TO postgres;
GRANT CREATE ON SCHEMA public TO "the clerk";
CREATE TABLE public.ledger (id int);
ALTER TABLE public.ledger OWNER TO "the clerk";
GRANT USAGE ON SCHEMA net TO "the clerk";
CREATE TRIGGER booked AFTER INSERT ON public.ledger FOR EACH ROW EXECUTE FUNCTION public.tell();
CREATE CONSTRAINT TRIGGER "always booked" AFTER DELETE ON public.ledger FOR EACH ROW
    EXECUTE FUNCTION supabase_functions.http_request('https://example.com/booked', 'POST', '{}', '{}', '1000');
ALTER TABLE public.ledger ENABLE ALWAYS TRIGGER "always booked";
COMMENT ON TRIGGER "always booked" ON public.ledger IS 'books always';
"""
ASLEEP_TRIGGERS = {
    'trigger "on order" on public.orders',
    "trigger teller on public.orders",
    "trigger through on public.orders",
    "trigger whatever_comes on public.orders",
    "trigger on_parts on public.parts",
    "trigger on_parts on public.parts_1",
    "trigger on_parts on public.pieces",
    "trigger on_total on public.totals",
    "trigger mirror on public.orders",
    "trigger welcome on auth.users",
    "trigger booked on public.ledger",
    'trigger "always booked" on public.ledger',
    'rule "tell all" on public.notes',
    "rule tell_far on public.notes",
    "rule far on public.totals",
    'materialized view public."Fetched"',
    "materialized view public.a_count",
}
JOBS = """
CREATE EXTENSION pg_cron;
GRANT USAGE ON SCHEMA cron TO "the clerk";
SELECT cron.schedule('nightly', '0 3 * * *',
    $$SELECT net.http_post('https://oldoldoldoldoldoldol.supabase.co/functions/v1/digest')$$);
SELECT cron.schedule('5 * * * *', 'VACUUM');
SELECT cron.alter_job(cron.schedule('off', '0 4 * * *', 'SELECT 1'), active := false);
SET ROLE "the clerk";
SELECT cron.schedule('books', '0 5 * * *', 'SELECT 2');
RESET ROLE;
"""
ASLEEP_JOBS = {"cron job nightly", "cron job books"}


@contextmanager
def extended(folder: Path, majors: list[int]) -> Iterator[list[Cluster]]:
    """Running databases of new projects that know the extensions and have Database Webhooks switched on."""
    with ExitStack() as cleanup:
        clusters = []
        for major in majors:
            root = Path(mkdtemp(dir=folder))
            root.chmod(0o755)
            cluster = Cluster(root, extended_tools(major))
            cluster.create()
            cleanup.callback(cluster.stop)
            if has_cron(major):
                preload_cron(cluster)
            cluster.start()
            switch_on(cluster)
            clusters.append(cluster)
        yield clusters


def switch_on(cluster: Cluster, *, webhooks: bool = True) -> None:
    """What the platform makes, or makes when a switch of the dashboard is turned."""
    with superuser(cluster) as connection:
        connection.execute("CREATE EXTENSION supabase_vault; CREATE EXTENSION pg_net")
        if webhooks:
            connection.execute((STANDINS / "webhooks.sql").read_text().encode())


def fill(cluster: Cluster, *, jobs: bool) -> None:
    with owner(cluster) as connection:
        connection.execute(APP)
        if jobs:
            connection.execute(JOBS)
