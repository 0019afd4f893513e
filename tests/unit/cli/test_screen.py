"""What is printed: numbers in words, names that can do no harm, tables, and silence."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from supapy.cli.screen import Screen
from supapy.cli.words import shown, size
from supapy.names import many


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (21_150_000, "21.1 MB"),
        (5_000_000_000, "5.0 GB"),
        (7_123_000_000_000_000, "7123.0 TB"),
    ],
)
def test_sizes_are_told_in_decimal_units(number: int, words: str) -> None:
    assert size(number) == words


def test_a_number_agrees_with_its_noun() -> None:
    assert (many(0, "file"), many(1, "file"), many(1126, "file")) == ("0 files", "1 file", "1,126 files")
    assert (many(1, "policy", "policies"), many(2, "policy", "policies")) == ("1 policy", "2 policies")


@pytest.mark.parametrize("nasty", ["\x1b[2J", "a\nb", "a\rb", "\x9b31m", "\u202egpj.exe", "\u2066", "\x00", "\ud800"])
def test_a_name_can_neither_move_the_cursor_nor_turn_the_text_round(nasty: str) -> None:
    said = shown(nasty)
    assert said.isprintable()
    assert said.encode("ascii").decode() == said


def test_a_plain_name_is_shown_as_it_is() -> None:
    assert shown("Ünï cödé/✓ [bold] a.png") == "Ünï cödé/✓ [bold] a.png"


def a_screen(*, json: bool = False, quiet: bool = False) -> Screen:
    return Screen(json=json, quiet=quiet, verbose=False)


def test_a_table_on_a_pipe_is_as_wide_as_it_needs_to_be_and_ends_at_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    a_screen().table(("name", "size"), [("x" * 150, "1"), ("[red]y[/red]", "22")], right=frozenset({1}))
    head, long, tagged = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "size"]
    assert long == "x" * 150 + "      1"
    assert tagged.startswith("[red]y[/red] ")
    assert tagged.endswith(" 22")


def test_a_line_is_not_broken_on_a_pipe_and_markup_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    a_screen().say("[bold]" + "word " * 100, "bold red")
    assert capsys.readouterr().out == "[bold]" + "word " * 100 + "\n"


def test_json_says_objects_only_and_quiet_what_matters_only(capsys: pytest.CaptureFixture[str]) -> None:
    everything: list[Callable[[Screen], None]] = [
        lambda screen: screen.say("plain"),
        lambda screen: screen.say("loud", always=True),
        lambda screen: screen.table(("head",), [("cell",)]),
        lambda screen: screen.result({"name": "ä\n"}),
    ]
    for screen, said in (
        (a_screen(json=True), '{"result": {"name": "ä\\n"}}\n'),
        (a_screen(quiet=True), "loud\n"),
        (a_screen(), "plain\nloud\nhead\ncell\n"),
    ):
        for act in everything:
            act(screen)
        assert capsys.readouterr().out == said


def test_the_result_is_one_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    a_screen(json=True).result(["x" * 20_000])
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"result": ["x" * 20_000]}
