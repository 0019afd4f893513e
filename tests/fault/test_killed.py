"""A backup whose process is killed, at each act in turn: it is listed nowhere, and nobody else is harmed."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.backups import FILES, make

from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.model import Entry
from supapy.store.local import LocalStore

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
# For each number on its standard input it makes a backup in the given folder, by a child that kills itself without a
# word before that act of the store, and tells how the child ended. Each is made a minute later than the one before.
PROGRAM = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tests.backups import make
from tests.stores import Watched
from supapy.catalog import Catalog
from supapy.store.local import LocalStore

def before(act, path):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

for line in sys.stdin:
    left = int(line)
    now = datetime(2021, 1, 1, tzinfo=UTC) + timedelta(minutes=left)
    child = os.fork()
    if child == 0:
        make(Catalog(Watched(before, LocalStore(Path(sys.argv[1]))), now=lambda: now))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextmanager
def running(root: Path) -> Iterator[Callable[[int], int]]:
    """What makes a backup that is killed before its act of that number, and gives how it ended."""
    command = [sys.executable, "-c", PROGRAM, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin and child.stdout
        asked, told = child.stdin, child.stdout

        def run(acts: int) -> int:
            print(acts, file=asked, flush=True)
            return int(told.readline())

        yield run
        asked.close()


def test_a_backup_that_is_killed_before_any_of_its_acts_is_never_listed_and_harms_no_other(tmp_path: Path) -> None:
    older = make(Catalog(LocalStore(tmp_path / "backups"), now=lambda: LONG_AGO)).label
    catalog = Catalog(LocalStore(tmp_path / "backups"))
    with running(tmp_path / "backups") as run:
        for acts in itertools.count():
            code = run(acts)
            if code == 0:
                break
            assert code == -signal.SIGKILL
            for label in catalog.labels():
                found = list(catalog.open(label).damage())
                assert all(isinstance(one, Entry) for one in found), f"killed before act {acts}"
    assert acts > 2 * len(FILES)
    # The ones that were killed stand about; the one that ended, and the oldest, are whole, and the next one is made.
    listed = catalog.labels()
    assert listed[-1] == older
    assert make(catalog).label > listed[0]
    assert all(isinstance(one, Backup) for one in catalog.backups())
