"""Which of the places where rows were found are believed."""

from __future__ import annotations

import pytest

from supapy.parts.auth.windows import ascending


@pytest.mark.parametrize(
    ("found", "believed"),
    [
        ([], []),
        ([3, 5, 5, 9], [3, 5, 5, 9]),
        ([3, 900, 5, 9, 1, 12], [3, 3, 5, 9, 9, 12]),
        ([900, 3, 5], [0, 3, 5]),
        ([9, 8, 7], [0, 0, 7]),
    ],
)
def test_as_many_places_as_ascend_are_believed_and_those_between_taken_for_the_ones_before(
    found: list[int], believed: list[int]
) -> None:
    assert ascending(found) == believed
