"""A restore ends with what a person must still do, found out and not recited."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doors.commands import Commands, settings_of
from tests.doors.test_activate import MAJOR, projects
from tests.extensions import has_cron
from tests.fidelity.alive import fill
from tests.fidelity.whole import posted
from tests.projects import owner, superuser

from supapy.catalog import open_path
from supapy.choice import Choice
from supapy.cutover import cut_over
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.project.project import Project
from supapy.sandbox.project import SandboxProject

PEOPLE = """
INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES
  ('11111111-1111-4111-8111-111111111111', 'ada@example.com', '{{"avatar": "{url}/storage/v1/object/public/a.png"}}'),
  ('22222222-2222-4222-8222-222222222222', 'bob@example.com', '{{}}');
INSERT INTO auth.identities (provider_id, user_id, identity_data, provider) VALUES
  ('1', '11111111-1111-4111-8111-111111111111', '{{}}', 'google'),
  ('2', '22222222-2222-4222-8222-222222222222', '{{}}', 'email');
CREATE TABLE public.links (id int, href text, more jsonb, "odd ""name" text[]);
INSERT INTO public.links SELECT n, '{url}/rest/' || n, '{{"u": "{url}"}}', ARRAY['x'] FROM generate_series(1, 5) n;
INSERT INTO public.links VALUES (6, 'https://elsewhere.example', NULL, ARRAY['{url}/a']);
INSERT INTO auth.oauth_clients
    (id, registration_type, redirect_uris, grant_types, client_name, token_endpoint_auth_method)
    VALUES (gen_random_uuid(), 'manual', 'https://app.example', 'authorization_code', 'The App', 'none');
INSERT INTO auth.sso_providers (id, resource_id) VALUES (gen_random_uuid(), 'corp');
INSERT INTO auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at)
    VALUES (gen_random_uuid(), '11111111-1111-4111-8111-111111111111', '', 'phone', 'verified', now(), now());
CREATE FUNCTION public.asks() RETURNS text LANGUAGE sql AS $$ SELECT '{url}/functions/v1/asked' $$;
CREATE VIEW public.pictures AS SELECT '{url}/a.png' || id AS href FROM public.links;
CREATE TABLE public.drawn (href text DEFAULT '{url}/none');
CREATE FUNCTION public.builds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN EXECUTE format('SELECT %I.%I(%L)', 'net', 'http_post', 'https://example.com'); RETURN NEW; END $$;
CREATE TRIGGER built AFTER INSERT ON public.links FOR EACH ROW EXECUTE FUNCTION public.builds();
CREATE FUNCTION public.built(statement text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE statement; END $$;
CREATE RULE "built too" AS ON DELETE TO public.links DO ALSO SELECT public.built('SELECT 1');
CREATE RULE "built, but off" AS ON UPDATE TO public.links DO ALSO SELECT public.built('SELECT 1');
ALTER TABLE public.links DISABLE RULE "built, but off";
CREATE FUNCTION public.grants() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN GRANT EXECUTE ON FUNCTION public.asks() TO postgres; RETURN NEW; END $$;
CREATE TRIGGER granted AFTER INSERT ON public.drawn FOR EACH ROW EXECUTE FUNCTION public.grants();
CREATE FUNCTION public.knocks() RETURNS text LANGUAGE sql AS $$ SELECT 'Bearer {key}' $$;
CREATE FUNCTION public.others() RETURNS text LANGUAGE sql AS $$ SELECT 'Bearer {other}' $$;
CREATE POLICY ours ON public.drawn USING (href LIKE '{url}%') WITH CHECK (true);
CREATE POLICY theirs ON public.drawn USING (href LIKE 'https://elsewhere.example%');
CREATE TABLE public.checked (href text CHECK (href LIKE '{url}%'));
CREATE DOMAIN public.picture AS text DEFAULT '{url}/none';
CREATE TRIGGER touched AFTER INSERT ON public.drawn FOR EACH ROW WHEN (NEW.href = '{url}')
    EXECUTE FUNCTION public.grants();
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{host}');
"""
EVER = """
CREATE FUNCTION public.builds_also() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM public.built('SELECT 1'); END $$;
CREATE EVENT TRIGGER built_ever ON ddl_command_end WHEN TAG IN ('CREATE RULE') EXECUTE FUNCTION public.builds_also();
CREATE EVENT TRIGGER built_never ON sql_drop EXECUTE FUNCTION public.builds_also();
ALTER EVENT TRIGGER built_never DISABLE;
"""
THERE = Choice(quiesce=Quiesce.ALL)
# Of another project than the one that is saved.
OTHER = ".".join(
    base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=")
    for one in ({"alg": "x"}, {"ref": "third"}, 1)
)


@pytest.fixture(scope="module")
def source(server_folder: Path) -> Iterator[SandboxProject]:
    with projects(server_folder, "source") as (project,):
        fill(project.database, jobs=has_cron(MAJOR))
        with owner(project.database) as connection:
            connection.execute("CREATE EXTENSION postgres_fdw SCHEMA extensions")
            key, host = project.service_key.reveal(), project.url.removeprefix("http://")
            connection.execute(PEOPLE.format(url=project.url, key=key, host=host, other=OTHER).encode())
        yield project


@pytest.fixture(scope="module")
def saved(source: SandboxProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    commands = Commands(tmp_path_factory.mktemp("saved"), settings_of(source))
    assert commands("backup", "--vault-plaintext").code == 0
    return commands.folder / "backups" / commands.labels[0]


def test_the_sheet_says_what_is_left_and_nothing_else(
    source: SandboxProject, saved: Path, server_folder: Path, tmp_path: Path
) -> None:
    with projects(server_folder, "target") as (target,):
        commands, url = Commands(tmp_path, settings_of(target)), target.url
        ran = commands("--json", "restore", saved, "--yes", "--scan-urls")
        assert ran.code == 0, ran.err
        duties = {one["sort"]: one for one in ran.result["cut_over"]}
        with superuser(target.database) as connection:
            ((new,),) = connection.execute("SELECT id::text FROM vault.secrets WHERE name = 'stripe'").fetchall()
    assert url in duties["keys"]["text"]
    assert "trigger welcome on auth.users" in duties["asleep"]["names"]
    assert duties["sessions"]["text"].startswith("Users sign in anew")
    assert duties["providers"]["names"] == ["SSO (0 users)", "google (1 user)", "second factor by phone (1 user)"]
    assert duties["oauth clients"]["names"] == ["The App"]
    assert duties["definitions"]["names"] == [
        "constraint checked_href_check on table public.checked",
        "default value for column href of table public.drawn",
        "function public.asks()",
        "function public.knocks()",
        "policy ours on table public.drawn",
        "server far",
        "trigger touched on table public.drawn",
        "type public.picture",
        "view public.pictures",
    ]
    assert duties["unseen"]["names"] == [
        'rule "built too" on public.links',
        "trigger built on public.links",
    ]
    called = {"asked", "mail", "told", "welcome"} | ({"digest"} if has_cron(MAJOR) else set())
    assert set(duties["functions"]["names"]) == called
    (moved,) = duties["vault"]["names"]
    assert moved.startswith("stripe: ")
    assert moved.endswith(new)
    assert duties["addresses"]["names"] == [
        "public.links.href: 5 rows",
        "public.links.more: 5 rows",
        'public.links.odd "name: 1 row',
        "auth.users.raw_user_meta_data: 1 row",
    ]
    assert set(duties) == {
        *(
            "definitions",
            "keys",
            "asleep",
            "unseen",
            "sessions",
            "providers",
            "oauth clients",
            "auth settings",
            "functions",
            "vault",
        ),
        "addresses",
    }
    report = json.loads(Path(ran.result["report"]).read_text())
    assert report["metadata"]["cut_over"] == ran.result["cut_over"]
    assert (report["metadata"]["source"], report["metadata"]["target"]) == ("source", "target")
    for secret in ("s3cret-value", "sb_secret_oldkey", target.service_key.reveal(), source.service_key.reveal()):
        assert secret not in Path(ran.result["report"]).read_text()
    assert Commands(saved.parent.parent, settings_of(source))("list").code == 0


def test_event_triggers_that_build_statements_as_text_are_told_too(
    saved: Path, server_folder: Path, tmp_path: Path
) -> None:
    with projects(server_folder, "target") as (target,):
        assert Commands(tmp_path, settings_of(target))("restore", saved, "--yes").code == 0
        with superuser(target.database) as connection:
            # Hosted projects let postgres make event triggers.
            connection.execute("ALTER ROLE postgres SUPERUSER")
        with owner(target.database) as connection:
            connection.execute(EVER)
        with Project(target.url, target.service_key, target.db_url) as project:
            (unseen,) = [one for one in cut_over(open_path(saved), project, THERE) if one.sort == "unseen"]
    assert [name for name in unseen.names if name.startswith("event")] == ["event trigger built_ever"]


def test_what_cannot_be_found_out_is_told_by_itself_and_hides_nothing_else(
    saved: Path, server_folder: Path, tmp_path: Path
) -> None:
    with projects(server_folder, "target") as (target,):
        assert Commands(tmp_path, settings_of(target))("restore", saved, "--yes").code == 0
        backup, choice = open_path(saved), Choice()
        with Project(target.url, target.service_key, target.db_url) as project:
            whole = {one.sort for one in cut_over(backup, project, choice, scan_urls=True)}
            with superuser(target.database) as connection:
                connection.execute("ALTER TABLE _supapy.quiesced RENAME COLUMN statement TO no_longer")
                connection.execute("ALTER TABLE auth.identities RENAME COLUMN provider TO no_longer")
            duties = cut_over(backup, project, choice, scan_urls=True)
    untold = [one.text for one in duties if one.sort == "unknown"]
    assert [text.partition(". It could not be found out: ")[0] for text in untold] == [
        "Find out by hand: what sleeps",
        "Find out by hand: ways to sign in",
        "Find out by hand: Edge Functions that are called",
        *(["Find out by hand: what is defined with the old address"] if has_cron(MAJOR) else []),
    ]
    assert all("does not exist" in text for text in untold)
    hidden = {"asleep", "providers", "functions"} | ({"definitions"} if has_cron(MAJOR) else set())
    assert {one.sort for one in duties} == (whole - hidden) | {"unknown"}


def test_people_read_it_at_the_end_and_without_a_scan_no_rows_are_looked_at(
    saved: Path, server_folder: Path, tmp_path: Path
) -> None:
    with projects(server_folder, "target") as (target,):
        with superuser(target.database) as connection:
            connection.execute("DROP SCHEMA supabase_functions CASCADE")
        ran = Commands(tmp_path, settings_of(target))("restore", saved, "--yes")
    assert "What is left to do:" in ran.out
    assert "Switch Database Webhooks on" in ran.out
    assert "asleep" in ran.out
    assert "still name the old project" not in ran.out


def test_rows_and_plain_copies_take_nobodys_place_and_leave_nothing_to_do(
    saved: Path, server_folder: Path, tmp_path: Path
) -> None:
    with projects(server_folder, "target") as (target,):
        commands = Commands(tmp_path, settings_of(target))
        with owner(target.database) as connection:
            connection.execute('CREATE TABLE public.links (id int, href text, more jsonb, "odd ""name" text[])')
        copied = commands(
            "--json", "restore", saved, "--yes", "--table", "links", "--into-schema", "look", "--into", "target"
        )
        filled = commands("--json", "restore", saved, "--yes", "--table", "links", "--from-json", "--into", "target")
        with_urls = commands(
            *("--json", "restore", saved, "--yes", "--table", "links", "--from-json", "--into", "target", "--scan-urls")
        )
    assert (copied.code, filled.code, with_urls.code) == (0, 0, 0), copied.err + filled.err + with_urls.err
    assert (copied.result["cut_over"], filled.result["cut_over"]) == ([], [])
    assert {one["sort"] for one in with_urls.result["cut_over"]} == {"addresses"}


def test_some_users_alone_or_none_take_nobodys_place_and_only_whose_session_ends_signs_in_anew(
    server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ada, bob = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
    with projects(server_folder, "source", "target") as (source, target):
        for one, name in ((ada, "ada"), (bob, "bob")):
            assert posted(source, "/auth/v1/admin/users", {"id": one, "email": f"{name}@example.com"})[0] == 200
        with owner(source.database) as connection:
            connection.execute(
                "INSERT INTO auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at) "
                f"VALUES ('1', '{ada}', '{{}}', 'google', now(), now())".encode()
            )
            connection.execute(f"INSERT INTO auth.sessions (id, user_id) VALUES (gen_random_uuid(), '{ada}')")
        saving = Commands(tmp_path_factory.mktemp("saved"), settings_of(source))
        assert saving("backup").code == 0
        saved = saving.folder / "backups" / saving.labels[0]
        commands = Commands(tmp_path_factory.mktemp("target"), settings_of(target))

        def duties(*arguments: str) -> set[str]:
            users = ("--no-database", "--no-storage", "--yes", "--into", "target", *arguments)
            ran = commands("--json", "restore", saved, *users)
            assert ran.code == 0, ran.out + ran.err
            return {one["sort"] for one in ran.result["cut_over"]}

        assert duties("--user", bob) == set()
        assert duties("--user", ada) == {"sessions", "providers"}
        assert duties("--user", ada, "--on-conflict", "skip") == set()
        assert duties("--user", ada, "--on-conflict", "skip", "--via", "api") == set()
        assert duties("--on-conflict", "skip") == set()
        assert duties("--on-conflict", "replace", "--user", bob, "--via", "api") == set()
        with owner(target.database) as connection:
            connection.execute("TRUNCATE auth.users CASCADE")
        assert duties() == {"keys", "sessions", "providers", "auth settings"}
        with owner(target.database) as connection:
            connection.execute("TRUNCATE auth.users CASCADE")
        without = {name: value for name, value in settings_of(target).items() if name != "SUPABASE_DB_URL"}
        commands = Commands(tmp_path_factory.mktemp("by-api"), without)
        assert duties("--via", "api") == {"keys", "sessions", "auth settings"}


def test_into_its_own_project_only_what_applies_there_is_said(server_folder: Path, tmp_path: Path) -> None:
    with projects(server_folder, "own") as (project,):
        commands = Commands(tmp_path, settings_of(project))
        with owner(project.database) as connection:
            connection.execute("CREATE TABLE t (a int)")
        assert commands("backup").code == 0
        with owner(project.database) as connection:
            connection.execute("DROP TABLE t")
        ran = commands("--json", "restore", "--latest", "--yes", "--into", "own")
        assert ran.code == 0, ran.err
        assert ran.result["cut_over"] == []
