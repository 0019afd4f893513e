"""A restore that was cut short and is done again: what was sent is neither sent nor read once more."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.fidelity.whole import as_superuser, backed_up, opened, restored
from tests.projects import ProjectFactory
from tests.waiting import put

from supapy.backup import Backup
from supapy.choice import Choice
from supapy.errors import AccessDenied
from supapy.parts.storage.sent import MOST_UNNOTED
from supapy.project.project import Project
from supapy.project.saying import TUS_PIECE_BYTES
from supapy.restore import Outcome, restore
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject

STORAGE = Choice(database=False, auth=False)
OBJECTS = 4 * MOST_UNNOTED
SMALL = 32
LARGE = 3 * TUS_PIECE_BYTES + 5
AT_ONCE = 4

KILLED = """
import os, signal, sys
from pathlib import Path
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.events import Advanced
from supapy.project.project import Project
from supapy.restore import restore
from supapy.secret import Secret
from supapy.store.local import LocalStore

url, key, db_url, folder, label, after = sys.stdin.read().split()
sent = 0
def listen(event):
    global sent
    if isinstance(event, Advanced) and event.stage.startswith("bytes of"):
        sent += event.amount
        if sent >= int(after):
            os.kill(os.getpid(), signal.SIGKILL)
with Project(url, Secret(key), Secret(db_url), at_once=4) as project:
    backup = Catalog(LocalStore(Path(folder))).open(label)
    restore(backup, project, Choice(database=False, auth=False), into=project.ref, confirm=lambda plan: True,
        listener=listen)
"""


@pytest.fixture(scope="module")
def backup(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """Many small objects and a large one."""
    with ExitStack() as cleanup:
        source = ProjectFactory(server_folder, cleanup)("source")
        as_superuser(source, "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')")
        with opened(source) as project:
            for number in range(OBJECTS):
                put(project, "b", f"{number:04}", b"%032d" % number)
            put(project, "b", "z/large", bytes(LARGE))
        return backed_up(source, tmp_path_factory.mktemp("backups"), STORAGE)


def kill(backup: Backup, target: SandboxProject, after: int) -> None:
    """A restore that is killed once so many bytes were handed on."""
    folder = Path(backup.path).parent
    given = (target.url, target.service_key.reveal(), target.db_url.reveal(), folder, backup.label, after)
    run = subprocess.run([sys.executable, "-c", KILLED], input=" ".join(map(str, given)), text=True, check=False)
    assert run.returncode == -signal.SIGKILL


def again(backup: Backup, target: SandboxProject, *, by_sql: bool = True) -> Outcome:
    """Without the bytes' comparison, so that all that is read is read by the restore's own steps."""
    with Project(target.url, target.service_key, target.db_url if by_sql else None) as project:
        return restore(backup, project, STORAGE, into=target.ref, confirm=lambda plan: True, check_bytes=False)


def asked(target: SandboxProject, *methods: str) -> list[str]:
    """What was asked of the objects with these methods since the last look."""
    assert target.api
    found = [seen.raw_path for seen in target.api.requests if seen.method in methods and "able" in seen.raw_path]
    found += [seen.raw_path for seen in target.api.requests if seen.method in methods and "/b/" in seen.raw_path]
    return found


def cleared(target: SandboxProject) -> None:
    assert target.api
    target.api.requests.clear()


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_killed_restore_that_is_done_again_goes_on_from_there(
    backup: Backup, project_factory: ProjectFactory, part: float
) -> None:
    target = project_factory("target")
    number = int(OBJECTS * part)
    kill(backup, target, number * SMALL)
    cleared(target)
    assert again(backup, target).is_whole
    # Noted is what was sent, but for the last few; what isn't is read, to see whether it is there.
    assert len(asked(target, "GET")) <= MOST_UNNOTED + AT_ONCE
    assert len(asked(target, "POST")) <= OBJECTS + 1 - number + AT_ONCE
    assert restored(backup, target, STORAGE, into="target").is_whole


def test_a_restore_that_is_killed_twice_remembers_both(backup: Backup, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    kill(backup, target, OBJECTS // 2 * SMALL)
    kill(backup, target, OBJECTS * SMALL)
    cleared(target)
    assert again(backup, target).is_whole
    assert len(asked(target, "GET")) <= MOST_UNNOTED + AT_ONCE


def broken_off(backup: Backup, target: SandboxProject, pieces: int, *, by_sql: bool = True) -> None:
    """A restore that ends after so many pieces of the large object."""
    assert target.api
    target.api.faults.append(Fault(method="PATCH", path="resumable", times=pieces))
    target.api.faults.append(Fault(method="PATCH", path="resumable", status=403, body=b"no"))
    with pytest.raises(AccessDenied):
        again(backup, target, by_sql=by_sql)
    target.api.faults.clear()
    cleared(target)


@pytest.mark.parametrize(("pieces", "by_sql"), [(1, True), (3, True), (2, False)])
def test_a_large_object_goes_on_at_the_servers_offset(
    backup: Backup, project_factory: ProjectFactory, pieces: int, by_sql: bool
) -> None:
    target = project_factory("target")
    broken_off(backup, target, pieces, by_sql=by_sql)
    assert again(backup, target, by_sql=by_sql).is_whole
    assert len(asked(target, "HEAD")) == 1
    assert len(asked(target, "PATCH")) == 4 - pieces
    assert not [path for path in asked(target, "POST") if path.endswith("resumable")]
    if by_sql:
        assert restored(backup, target, STORAGE, into="target").is_whole


def test_a_large_object_whose_upload_has_expired_begins_anew(backup: Backup, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    broken_off(backup, target, 2)
    assert target.api
    target.api.faults.append(Fault(method="HEAD", path="resumable", status=410, body=b"gone"))
    assert again(backup, target).is_whole
    assert len(asked(target, "PATCH")) == 4
    assert restored(backup, target, STORAGE, into="target").is_whole


def test_an_object_that_was_replaced_since_is_sent_again(backup: Backup, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    broken_off(backup, target, 1)
    with opened(target) as project:
        put(project, "b", "0007", b"y" * SMALL)
    assert again(backup, target).is_whole
    assert restored(backup, target, STORAGE, into="target").is_whole


NONSENSE = b'\xff\n[]\n{}\n[[1]]\n["whole"]\n["whole",1]\n["begun","x"]\n' + b"[" * 100_000


def test_a_damaged_journal_harms_nothing(backup: Backup, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    journal = Path(backup.path).parent / "restoring_target.jsonl"
    journal.write_bytes(NONSENSE)
    assert again(backup, target).is_whole
    assert not journal.exists()


def test_an_address_that_leads_elsewhere_is_not_asked(backup: Backup, project_factory: ProjectFactory) -> None:
    target = project_factory("target")
    broken_off(backup, target, 1)
    journal = Path(backup.path).parent / "restoring_target.jsonl"
    notes = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [note[0] for note in notes].count("begun") == 1
    astray = [[*note[:2], "../../bucket"] if note[0] == "begun" else note for note in notes]
    journal.write_text("".join(json.dumps(note) + "\n" for note in astray))
    assert again(backup, target).is_whole
    assert asked(target, "HEAD") == []
