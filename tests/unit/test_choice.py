"""What a restore was asked for, as it is written down: all that changes what it writes, and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from supapy.choice import Choice
from supapy.cli.main import ended
from supapy.parts.auth import People
from supapy.parts.database.alive.quiesced import Quiesce
from supapy.parts.storage import Selection
from supapy.project.patterns import Patterns

USUAL = Choice()
# One choice for each thing that can be said, by the field that says it.
OTHERS = {
    "database": Choice(database=False),
    "storage": Choice(storage=False),
    "auth": Choice(auth=False),
    "only.buckets": Choice(only=Selection(buckets=("a",))),
    "only.prefixes": Choice(only=Selection(prefixes=("a",))),
    "only.excluded": Choice(only=Selection(excluded=("a",))),
    "only.to_bucket": Choice(only=Selection(buckets=("a",), to_bucket="b")),
    "tables.schemas": Choice(tables=Patterns(schemas=("a",))),
    "tables.tables": Choice(tables=Patterns(tables=("a",))),
    "tables.excluded": Choice(tables=Patterns(excluded=("a",))),
    "tables.without_rows": Choice(tables=Patterns(without_rows=("a",))),
    "people.users": Choice(people=People(users=("a",))),
    "people.on_conflict": Choice(people=People(on_conflict="skip")),
    "people.sessions": Choice(people=People(sessions=False)),
    "people.audit_log": Choice(people=People(audit_log=True)),
    "people.via": Choice(people=People(via="api")),
    "vault_root_key": Choice(vault_root_key=True),
    "quiesce": Choice(quiesce=Quiesce.NONE),
    "into_schema": Choice(into_schema="a"),
    "from_json": Choice(from_json=True),
}
# A backup has it, a restore doesn't ask.
OF_BACKUPS = {"vault_plaintext"}
# Found, not said.
FOUND = {"people.staying"}


def test_what_is_usual_is_not_written_down() -> None:
    assert USUAL.options == {}


@pytest.mark.parametrize("field", OTHERS)
def test_all_that_changes_a_restore_is_written_down_by_an_option_that_there_is(
    field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = OTHERS[field].options
    assert options
    # Not `run`, which ignores signals at its end: so would every process that a later test here starts.
    assert ended(["restore", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in options)


def test_nothing_that_can_be_said_is_forgotten() -> None:
    said = {"only": Selection, "tables": Patterns, "people": People}
    there = {
        f"{field.name}.{one.name}" if field.name in said else field.name
        for field in fields(Choice)
        for one in (fields(said[field.name]) if field.name in said else (field,))
    }
    assert there - OF_BACKUPS - FOUND == set(OTHERS)
    assert len({str(choice.options) for choice in OTHERS.values()}) == len(OTHERS)


def test_in_which_order_it_was_said_is_all_the_same() -> None:
    some = Choice(only=Selection(buckets=("b", "a", "a")), tables=Patterns(tables=("y", "x")))
    other = replace(some, only=Selection(buckets=("a", "b")), tables=Patterns(tables=("x", "y")))
    assert some.options == other.options == {"--bucket": ["a", "b"], "--table": ["x", "y"]}


def test_the_targets_place_is_taken_by_what_is_whole() -> None:
    some_files, some_users = Selection(prefixes=("a",)), People(users=("a",))
    assert USUAL.takes_the_place
    assert Choice(only=some_files).takes_the_place
    assert Choice(people=some_users).takes_the_place
    assert not Choice(database=False, auth=False, only=some_files).takes_the_place
    assert not Choice(database=False, storage=False, people=some_users).takes_the_place
    assert not Choice(tables=Patterns(tables=("a",))).takes_the_place
