"""A backup whose process is killed, at each act in turn: it is listed nowhere, and nobody else is harmed."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.backups import FILES, make

from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.model import Entry
from supapy.store.local import LocalStore

# Makes one backup in the given folder, and kills itself without a word before the given act of the store.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.backups import make
from tests.stores import Watched
from supapy.catalog import Catalog
from supapy.store.local import LocalStore

left = int(sys.argv[2])

def before(act, path):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

make(Catalog(Watched(before, LocalStore(Path(sys.argv[1])))))
"""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def run(root: Path, acts: int) -> int:
    return subprocess.run([sys.executable, "-c", PROGRAM, str(root), str(acts)], timeout=60).returncode


def test_a_backup_that_is_killed_before_any_of_its_acts_is_never_listed_and_harms_no_other(tmp_path: Path) -> None:
    older = make(Catalog(LocalStore(tmp_path / "backups"), now=lambda: LONG_AGO)).label
    catalog = Catalog(LocalStore(tmp_path / "backups"))
    for acts in itertools.count():
        code = run(tmp_path / "backups", acts)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        for label in catalog.labels():
            assert all(isinstance(found, Entry) for found in catalog.open(label).damage()), f"killed before act {acts}"
    assert acts > 2 * len(FILES)
    # The ones that were killed stand about; the one that ended, and the oldest, are whole, and the next one is made.
    listed = catalog.labels()
    assert listed[-1] == older
    assert make(catalog).label > listed[0]
    assert all(isinstance(one, Backup) for one in catalog.backups())
