"""The processes that a process has started."""

from __future__ import annotations

import os
from pathlib import Path


def children(pid: int | None = None) -> dict[int, str]:
    """The processes that a process (this one where none is named) has started, from whichever thread, and not yet
    waited for, by their ids; with what is to be seen of each in the list of processes."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            # It has ended meanwhile.
            continue
        if int(stat.rpartition(")")[2].split()[1]) == (pid or os.getpid()):
            found[int(folder.name)] = arguments
    return found
