"""Labels, and SQL that says what it is meant to say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from supapy.names import label_at, label_time, literal, qualified, quoted


def test_a_label_is_the_time_in_utc_and_back() -> None:
    there = datetime(2026, 11, 22, 9, 15, 7, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert label_at(there) == "backup_20261122_071507"
    assert label_time("backup_20261122_071507") == datetime(2026, 11, 22, 7, 15, 7, tzinfo=UTC)


def test_labels_sort_as_their_times_do() -> None:
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=37 * n, seconds=n) for n in range(100)]
    assert sorted(map(label_at, times)) == list(map(label_at, times))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "backup",
            "backup_20261122",
            "backup_20261122_071500.tmp",
            "xbackup_20261122_071500",
            "backup_20261322_071500",
        ),
        *("backup_20261122_246060", "BACKUP_20261122_071500", "backup_20261122_071500\n", "backup_٢٠٢٦١١٢٢_٠٧١٥٠٠"),
    ],
)
def test_anything_else_is_no_label(name: str) -> None:
    assert label_time(name) is None


def test_an_identifier_is_always_in_quotes_with_its_own_doubled() -> None:
    assert quoted('say "hi"') == '"say ""hi"""'
    assert qualified("a.b", "C") == '"a.b"."C"'


def test_a_literal_of_nothing_is_null() -> None:
    assert literal(None) == "NULL"
