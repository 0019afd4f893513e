"""Ages, floods of differences, and the sum of a restore."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from supapy.choice import Choice
from supapy.cli import render
from supapy.cli.screen import Screen
from supapy.model import Difference, Problem, Proof
from supapy.restore import Outcome, Plan


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=61), "1 minute"),
        (timedelta(minutes=119), "1 hour"),
        (timedelta(days=3, hours=23), "3 days"),
        (timedelta(days=59), "1 month"),
        (timedelta(days=800), "2 years"),
        (timedelta(seconds=-5), "just now"),
    ],
)
def test_an_age_is_told_in_its_largest_whole_unit(ago: timedelta, words: str) -> None:
    begun = datetime(2026, 11, 22, 7, 15, tzinfo=UTC)
    assert render.age("backup_20261122_071500", begun + ago) == words


def test_a_folder_with_another_name_has_no_age() -> None:
    assert render.age("my copy") == ""


def test_a_flood_of_differences_is_counted_and_named_whole_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    flood = [Difference("storage", f"object b/{n}", "changed", "its bytes") for n in range(25)]
    render.differing(Screen(json=False, quiet=True, verbose=False), flood)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "changed: storage object b/0: its bytes"
    assert lines[20:] == ["… and 5 more differences; `supapy -v` names them all"]
    render.differing(Screen(json=False, quiet=False, verbose=True), flood)
    assert len(capsys.readouterr().out.splitlines()) == 25


def test_a_restore_that_is_not_whole_says_what_is_wrong_even_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan("backup_20261122_071500", "a", "b", Choice(), [], [], [], [], None)
    outcome = Outcome(
        plan,
        [Problem("storage", "b/x", "too large")],
        [Difference("auth", "u", "missing")],
        [Proof("auth", "users", 2)],
    )
    render.outcome(Screen(json=False, quiet=True, verbose=False), outcome)
    restored, missing, verdict = capsys.readouterr().out.splitlines()
    assert restored == "not restored: storage b/x: too large"
    assert missing == "missing: auth u"
    assert verdict.startswith("backup_20261122_071500 is restored into project b, but not whole: ")


def test_what_was_proved_is_told_part_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    proofs = [Proof("auth", "users", 1203), Proof("storage", "bucket rows", 3), Proof("storage", "files", 0)]
    render.proved(Screen(json=False, quiet=False, verbose=False), proofs)
    assert [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines() if line] == [
        ["equal"],
        ["auth", "1,203", "users"],
        ["storage", "3", "bucket rows"],
        ["0", "files"],
    ]
