"""Where results go: words and tables for a person, one JSON object a line for a program."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from supapy.events import Listener, ignore

# On a pipe a line is as long as it needs to be.
PIPE_WIDTH_CHARS = 10_000


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # `supapy restore … | head`: the reader has gone, the work goes on.
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Screen:
    """Standard output. With `json` only objects go there, with `quiet` only what `always` asks for."""

    def __init__(self, *, json: bool, quiet: bool, verbose: bool) -> None:
        self._json = json
        self._quiet = quiet
        self.verbose = verbose
        self._console = _Console(highlight=False, markup=False, emoji=False)
        if not self._console.is_terminal:
            self._console = _Console(highlight=False, markup=False, emoji=False, width=PIPE_WIDTH_CHARS)

    def say(self, text: str = "", style: str = "", *, lead: str = "", always: bool = False) -> None:
        """One line for a person. Where a terminal folds it, the rest stands below the text, not below the `lead`."""
        if self._json or (self._quiet and not always):
            return
        if not self._console.is_terminal:
            self._console.print(Text(lead + text, style), soft_wrap=True)
            return
        if not lead:
            self._console.print(Text(text, style))
            return
        row = Table.grid()
        row.add_column(width=len(lead))
        row.add_column(overflow="fold")
        row.add_row(Text(lead, style), Text(text, style))
        self._console.print(row)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset()) -> None:
        """Rows under their heads; the columns in `right` are numbers. Folded to the terminal's width, but for the first
        column."""
        if self._json or self._quiet:
            return
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        for index, title in enumerate(head):
            table.add_column(
                Text(title), justify="right" if index in right else "left", no_wrap=not index, overflow="fold"
            )
        for row in rows:
            table.add_row(*map(Text, row))
        with self._console.capture() as captured:
            self._console.print(table)
        for line in captured.get().splitlines():
            self._console.out(line.rstrip(), highlight=False)

    def tell(self, what: dict[str, Any]) -> None:
        """One object for a program."""
        if self._json:
            self._console.out(json.dumps(what, ensure_ascii=False), highlight=False)

    def result(self, what: Any) -> None:
        """The last object of a run."""
        self.tell({"result": what})

    @contextmanager
    def progress(self) -> Iterator[Listener]:
        """A listener that shows what happens: bars on a terminal, a line for each stage on a pipe, events as JSON."""
        from supapy.cli import progress

        if self._json:
            yield progress.events(self.tell)
        elif self._quiet:
            yield ignore
        elif self._console.is_terminal:
            with progress.bars(self._console) as listener:
                yield listener
        else:
            yield progress.lines(self.say)
