"""Everything in a backup is of one instant, however much is written while it is made."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import psycopg
import pytest
from tests.fidelity.whole import as_superuser, backed_up, fetched, opened, restored
from tests.projects import MAJORS, ProjectFactory, superuser
from tests.waiting import put

from supapy.choice import Choice
from supapy.events import Event, Started
from supapy.sandbox.project import SandboxProject

ALL = Choice()
SCHEMA = """
CREATE TABLE public.purse (id int PRIMARY KEY, amount numeric NOT NULL);
CREATE TABLE public.chest (id int PRIMARY KEY, amount numeric NOT NULL);
CREATE TABLE public.turns (number int NOT NULL);
CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users, turn int NOT NULL);
INSERT INTO public.purse SELECT g, 1000.50 FROM generate_series(1, 20) g;
INSERT INTO public.chest SELECT g, 0 FROM generate_series(1, 20) g;
INSERT INTO public.turns VALUES (0);
CREATE FUNCTION public.user_of(turn int) RETURNS uuid LANGUAGE sql AS
  $$ SELECT ('00000000-0000-4000-8000-' || lpad(turn::text, 12, '0'))::uuid $$;
INSERT INTO storage.buckets (id, name) VALUES ('b', 'b');
"""
# One transaction: money from one table to the other, one more user with his profile, one more object, and a change to
# those that are there.
TURN = """
UPDATE public.turns SET number = number + 1;
UPDATE public.purse SET amount = amount - 1.25;
UPDATE public.chest SET amount = amount + 1.25;
INSERT INTO auth.users (id) SELECT public.user_of(number) FROM public.turns;
INSERT INTO public.profiles SELECT public.user_of(number), number FROM public.turns;
INSERT INTO storage.objects (bucket_id, name) SELECT 'b', 'turn ' || number FROM public.turns;
UPDATE storage.objects SET owner_id = (SELECT number::text FROM public.turns);
"""
TURNS_BEFORE = 3


class Writer:
    """Takes a turn whenever something happens, from whichever thread."""

    def __init__(self, sandbox: SandboxProject) -> None:
        self.connection: psycopg.Connection = superuser(sandbox.database)
        self.lock = threading.Lock()
        self.turns: list[str] = []

    def __call__(self, event: Event) -> None:
        with self.lock:
            self.turns.append(f"before {event.stage}" if isinstance(event, Started) else type(event).__name__)
            with self.connection.transaction():
                self.connection.execute(TURN)


def total(rows: list[dict[str, str]]) -> list[str]:
    return sorted({row["amount"] for row in rows})


@pytest.mark.parametrize("pg_major", MAJORS)
def test_a_backup_made_while_everything_changes_holds_one_instant(
    project_factory: ProjectFactory, pg_major: int, tmp_path: Path
) -> None:
    source, target = project_factory("source", pg_major), project_factory("target", pg_major)
    as_superuser(source, SCHEMA)
    with opened(source) as project:
        for number in range(5):
            put(project, "b", f"file {number}", b"x", "a/b")
    # Objects without bytes from before the moment would be problems: these turns are without any.
    before = TURN.partition("INSERT INTO storage.objects")[0]
    as_superuser(source, *[before] * TURNS_BEFORE)
    writer = Writer(source)
    try:
        backup = backed_up(source, tmp_path / "backups", ALL, writer)
    finally:
        writer.connection.close()
    assert {"before database", "before tables", "before auth", "before storage"} <= set(writer.turns)
    assert len(writer.turns) > 20

    def saved(path: str) -> bytes:
        return b"".join(backup.read(path))

    purse, chest = (json.loads(saved(f"tables_json/{name}.json")) for name in ("purse", "chest"))
    assert (total(purse), total(chest)) == (["996.75"], ["3.75"])
    assert json.loads(saved("tables_json/turns.json")) == [{"number": TURNS_BEFORE}]
    users = {user["id"] for user in json.loads(saved("auth_users.json"))["users"]}
    assert users == {row["id"] for row in json.loads(saved("tables_json/profiles.json"))}
    assert len(users) == TURNS_BEFORE
    objects = [json.loads(line) for line in saved("storage/objects.jsonl").splitlines()]
    assert [row["name"] for row in objects] == [f"file {number}" for number in range(5)]
    assert {row["owner_id"] for row in objects} == {None}
    assert backup.manifest[1] == [], "objects that came later are not missed"

    outcome = restored(backup, target, ALL)
    assert outcome.is_whole, (outcome.problems, outcome.differences)
    assert as_superuser(target, "SELECT number FROM public.turns") == [(TURNS_BEFORE,)]
    amounts = "SELECT DISTINCT p.amount || '/' || c.amount FROM public.purse p JOIN public.chest c USING (id)"
    assert as_superuser(target, amounts) == [("996.75/3.75",)]
    assert as_superuser(target, "SELECT count(*) FROM auth.users u JOIN public.profiles USING (id)") == [
        (TURNS_BEFORE,)
    ]
    assert fetched(target, "/storage/v1/object/authenticated/b/file%204") == (200, b"x")
