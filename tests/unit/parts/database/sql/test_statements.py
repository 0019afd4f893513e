"""Values that become SQL text come out of the server as they went in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supapy.parts.database.sql.statements import comment, copy_line, do_block


@given(st.lists(st.none() | st.text(), min_size=1))
def test_a_copy_line_is_one_line_that_says_the_same(values: list[str | None]) -> None:
    line = copy_line(values)
    assert line.count("\n") == 1
    assert [_read(piece) for piece in line.rstrip("\n").split("\t")] == values


def _read(piece: str) -> str | None:
    """What PostgreSQL's documentation says of a field in the text format."""
    if piece == "\\N":
        return None
    letters = iter(piece)
    special = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
    return "".join(special[next(letters)] if letter == "\\" else letter for letter in letters)


def test_booleans_are_the_servers_own() -> None:
    assert copy_line([True, False, 7]) == "t\tf\t7\n"


@given(st.text(alphabet="$supay_ x"))
def test_nothing_breaks_out_of_a_do_block(body: str) -> None:
    block = do_block(body)
    tag = block.removeprefix("DO ").partition("\n")[0]
    assert block.count(tag) == 2
    assert block.endswith(f"\n{tag};\n")


@given(st.text())
def test_a_comment_stays_on_its_line(text: str) -> None:
    assert comment(text).startswith("-- ")
    assert len(comment(text).splitlines()) == 1
