"""What is shown of a run while it runs."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rich.console import Console

from supapy.cli import progress
from supapy.events import (
    Advanced,
    Event,
    Expected,
    Finished,
    Listener,
    Noted,
    Retrying,
    Saved,
    Started,
    TableBegun,
    TableEnded,
    TableMoved,
)
from supapy.model import Difference, Entry, Problem, Proof

ENTRY = Entry("storage", "b/a", "storage/b/a", 1500, "0" * 64)


def hear(listener: Listener, events: Iterable[Event]) -> None:
    for event in events:
        listener(event)


@pytest.mark.parametrize(
    ("events", "line"),
    [
        ([Started("storage", unit="bytes"), Advanced("storage", 1500), Saved(ENTRY)], "storage: 1 file, 1.5 kB"),
        ([Started("checking files", 9, "bytes"), Advanced("checking files", 9)], "checking files: 9 bytes"),
        ([Started("1,200 users", 1200, "users"), Advanced("1,200 users", 1200)], "1,200 users: 1,200 users"),
        ([Started("limits of the buckets")], "limits of the buckets: done"),
        ([Started("comparing auth"), Noted(Proof("auth", "users", 3))], "comparing auth: equal"),
        (
            [Started("comparing auth"), Noted(Difference("auth", "u", "missing")), Noted(Proof("auth", "users", 3))],
            "comparing auth: 1 difference",
        ),
        ([Started("a\x1b[2Jb"), Noted(Problem("auth", "u", "why"))], "a\\x1b[2Jb: done"),
    ],
)
def test_a_pipe_gets_one_line_for_each_stage(events: list[Event], line: str) -> None:
    said: list[str] = []
    listener = progress.lines(said.append)
    hear(listener, events)
    assert said == []
    listener(Finished("whatever"))
    assert said == [line]


def test_what_a_stage_came_to_does_not_leak_into_the_next() -> None:
    said: list[str] = []
    stage = [Started("storage", unit="bytes"), Saved(ENTRY), Finished("storage")]
    hear(progress.lines(said.append), [*stage, *stage])
    assert said == ["storage: 1 file, 1.5 kB"] * 2


def test_a_program_hears_every_event_but_the_pieces_of_a_transfer_together() -> None:
    told: list[dict[str, Any]] = []
    listener = progress.events(told.append)
    listener(Started("storage", unit="bytes"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: listener(Advanced("storage", 10)), range(1000)))
    hear(listener, [Saved(ENTRY), Finished("storage")])
    moved = [one for one in told if one["event"] == "advanced"]
    assert sum(one["amount"] for one in moved) == 10_000
    assert len(moved) < 1000
    assert [one["event"] for one in told if one["event"] != "advanced"] == ["started", "saved", "finished"]
    assert told[-1]["event"] == "finished"


def test_a_program_hears_of_every_table_and_of_its_rows_together() -> None:
    told: list[dict[str, Any]] = []
    listener = progress.events(told.append)
    hear(listener, [Started("database"), Expected("database", 2000)])
    for name in ("public.a", "public.b"):
        moved = [TableMoved("database", name, 2, 50, 100)] * 10
        hear(listener, [TableBegun("database", name), *moved, TableEnded("database", name, 20, 500)])
    listener(Finished("database"))
    table_b = [one for one in told if one.get("table") == "public.b"]
    assert table_b == [
        {"event": "tablebegun", "stage": "database", "table": "public.b"},
        {"event": "tablemoved", "stage": "database", "table": "public.b", "rows": 20, "bytes": 500, "done": 1000},
        {"event": "tableended", "stage": "database", "table": "public.b", "rows": 20, "bytes": 500},
    ]


def test_a_bar_over_tables_shows_the_table_its_share_and_what_has_moved() -> None:
    screen = io.StringIO()
    with progress.bars(Console(file=screen, force_terminal=True, width=120)) as listener:
        hear(listener, [Started("database", unit="bytes"), Expected("database", 2000)])
        hear(
            listener, [TableBegun("database", "public.a\x1b"), TableMoved("database", "public.a\x1b", 1200, 5500, 500)]
        )
        hear(listener, [Advanced("database", 10**9), Finished("database")])
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    (last, *_) = [line for line in reversed(plain.splitlines()) if "rows" in line]
    assert re.search(r"database .* 25% .* 1,200 rows, 5\.5 kB public\.a\\x1b", last)


@pytest.mark.parametrize("width", [60, 72, 200])
def test_on_a_narrow_terminal_the_share_and_the_time_left_stay(width: int) -> None:
    screen, name = io.StringIO(), "the database's 2 tables with 1,700,100 rows"
    with progress.bars(Console(file=screen, force_terminal=True, width=width)) as listener:
        hear(listener, [Started(name, unit="bytes"), Expected(name, 2000), TableBegun(name, "public.a_long_name")])
        hear(listener, [TableMoved(name, "public.a_long_name", 1148187, 213_000_000, 500), Finished(name)])
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    shows = [line for line in re.split(r"[\r\n]", plain) if " 25% " in line]
    assert shows
    assert all(re.search(r" 25% (-:--:--|\d:\d\d:\d\d) ", line) and len(line) <= width for line in shows)


@pytest.mark.parametrize(
    "started",
    [
        Started("storage", unit="bytes"),
        Started("checking files", 1500, "bytes"),
        Started("users", 1500, "users"),
        Started("rows"),
    ],
)
def test_a_terminal_gets_a_bar_and_then_a_line_and_its_cursor_back(started: Started) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with progress.bars(console) as listener:
        hear(listener, [started, Advanced(started.stage, 1500)])
        assert "\x1b[?25l" in screen.getvalue()
        listener(Finished(started.stage))
    assert started.stage in screen.getvalue()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert plain.splitlines()[-1].startswith(f"{started.stage}: ")
    assert screen.getvalue().count("\x1b[?25h") == screen.getvalue().count("\x1b[?25l")


def test_a_bar_that_is_cut_short_gives_the_cursor_back() -> None:
    screen = io.StringIO()
    with pytest.raises(KeyboardInterrupt), progress.bars(Console(file=screen, force_terminal=True)) as listener:
        listener(Started("storage"))
        raise KeyboardInterrupt
    assert screen.getvalue().rfind("\x1b[?25h") > screen.getvalue().rfind("\x1b[?25l") >= 0


def test_a_server_that_does_not_answer_is_told_while_it_is_tried_again() -> None:
    event, said = Retrying("no connection to a\x1b[2Jb"), "no connection to a\\x1b[2Jb: it is tried again"
    on_a_pipe, on_a_terminal = list[str](), io.StringIO()
    hear(progress.lines(on_a_pipe.append), [event])
    with progress.bars(Console(file=on_a_terminal, force_terminal=True, width=200)) as listener:
        hear(listener, [event, Started("files", 2), event, Finished("files")])
    objects: list[dict[str, Any]] = []
    hear(progress.events(objects.append), [event])
    assert [text.startswith(said) for text in on_a_pipe] == [True]
    assert on_a_terminal.getvalue().count(said) == 2
    assert objects == [{"event": "retrying", "reason": "no connection to a\x1b[2Jb"}]
