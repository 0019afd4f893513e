"""Where the id of a saved row is found, and users who come again."""

from __future__ import annotations

import pytest

from supapy.errors import IntegrityError
from supapy.parts.auth.document import each_once, id_of

ALICE, BOB = (f"{digit * 8}-0000-4000-8000-00000000000a" for digit in "12")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f'{{"id":"{ALICE}","email":"a"}}', ALICE),
        (f'{{"id":"{ALICE}"}}', ALICE),
        (f'{{"id": "{ALICE.upper()}", "email": "a"}}', ALICE),
        (f'{{"email":"a","id":"{ALICE}"}}', ALICE),
        (f'{{"raw":{"[" * 2000}{"]" * 2000},"id":"{ALICE}"}}', ALICE),
        ('{"id":41,"token":"x"}', "41"),
        ('{"token":"x","id":-41}', "-41"),
    ],
)
def test_a_rows_id_is_found_wherever_it_stands(line: str, expected: str) -> None:
    assert id_of(line.encode()) == expected


@pytest.mark.parametrize("line", ['{"email":"a"}', '{"id":"hello"}', '{"id":null}', '{"id":true}', "{hello}", "{}"])
def test_a_row_without_an_id_is_an_error(line: str) -> None:
    with pytest.raises(IntegrityError, match="a row has no id"):
        id_of(line.encode())


def test_a_user_who_comes_again_is_named_before_he_does() -> None:
    lines = [f'{{"id":"{user}"}}'.encode() for user in (ALICE, BOB, ALICE)]
    users = each_once(lines)
    assert [next(users), next(users)] == lines[:2]
    with pytest.raises(IntegrityError, match=f"user {ALICE} stands in it more than once"):
        next(users)
