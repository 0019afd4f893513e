"""The whole project without some of its users: what refers to them is told, and what refers to nobody is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.commands import ADA, Commands, Ran, fill, settings_of
from tests.fidelity.whole import as_superuser
from tests.projects import ProjectFactory, owner

from supapy.sandbox.project import SandboxProject

BOB = ADA.replace("11111111-1111", "22222222-1111").replace("ada@", "bob@")
OTHER_ADA = ADA.replace("11111111-1111", "33333333-1111")
SESSION = "INSERT INTO auth.sessions (id, user_id) SELECT id, id FROM auth.users"
PARTED = """
CREATE TABLE public.likes (id int, who uuid REFERENCES auth.users) PARTITION BY LIST (id);
CREATE TABLE public.likes_1 PARTITION OF public.likes FOR VALUES IN (1);
CREATE TABLE public.notes (who uuid REFERENCES auth.users);
INSERT INTO public.likes SELECT 1, id FROM auth.users;
INSERT INTO public.notes SELECT id FROM auth.users WHERE email = 'bob@example.com';
"""
STOPS, LIKES = (
    "fk constraint stops stops_owner_fkey in schema public",
    "fk constraint likes likes_who_fkey in schema public",
)


@pytest.fixture
def saved(project_factory: ProjectFactory, tmp_path: Path) -> Path:
    """A backup of a project in which Ada's and Bob's id stand in other tables."""
    source = project_factory("source")
    fill(source)
    as_superuser(source, BOB, SESSION)
    with owner(source.database) as connection:
        connection.execute(PARTED)
    commands = Commands(tmp_path / "source", settings_of(source))
    commands.folder.mkdir()
    assert commands("backup").code == 0
    return commands.folder / "backups" / commands.labels[0]


def check(ran: Ran, target: SandboxProject) -> None:
    """Ada isn't there: two foreign keys say so, the third one is as it was, and no row was lost."""
    assert ran.code == 3, ran.err
    said = {one["name"]: one["reason"] for one in ran.result["problems"]}
    absent = 'Key ({})=(11111111-1111-4111-8111-111111111111) is not present in table "users"'
    assert said == {
        STOPS: f"some rows point to nothing, so it was added NOT VALID: {absent.format('owner')}",
        LIKES: f"some rows point to nothing, so it was left out: {absent.format('who')}",
    }
    assert {(one["name"], one["change"]) for one in ran.result["differences"]} == {
        ("table public.stops: constraint stops_owner_fkey", "changed"),
        ("table public.likes: constraint likes_who_fkey", "missing"),
    }
    keys = """SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f'
        AND confrelid = 'auth.users'::regclass AND connamespace = 'public'::regnamespace ORDER BY 1"""
    assert as_superuser(target, keys) == [("notes_who_fkey", True), ("stops_owner_fkey", False)]
    assert as_superuser(target, "SELECT count(*) FROM stops WHERE owner::text LIKE '1111%'") == [(20,)]


def test_who_is_not_chosen_is_missed_where_rows_refer_to_him(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    check(Commands(tmp_path, settings_of(target))("--json", "restore", saved, "--yes", "--user", "bob@*"), target)


def test_who_is_skipped_is_missed_too_and_the_one_who_is_there_keeps_his_session_to_himself(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    as_superuser(target, OTHER_ADA, SESSION)
    commands = Commands(tmp_path, settings_of(target))
    ran = commands("restore", saved, "--yes", "--on-conflict", "skip", "--into", "target")
    assert ran.code == 3
    assert "won't come back: 1 session. " in ran.out, "Bob's; Ada stays"
    assert "comparing auth: equal" in ran.out
    assert "sign in anew, with their old passwords: no session came back" in ran.out
    again = project_factory("again")
    as_superuser(again, OTHER_ADA, SESSION)
    ran = Commands(tmp_path, settings_of(again))(
        *("--json", "restore", saved, "--yes", "--on-conflict", "skip", "--into", "again", "--sessions")
    )
    check(ran, again)
    (duty,) = [one["text"] for one in ran.result["cut_over"] if one["sort"] == "sessions"]
    assert duty.startswith("1 session came back"), "Bob's; there are two"
