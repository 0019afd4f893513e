"""A backup after a backup moves what has changed and nothing else; one after a kill, what was unfinished."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fidelity.whole import as_superuser, backed_up, differences, opened, restored
from tests.projects import ProjectFactory
from tests.waiting import put

from supapy.back_up import back_up
from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.errors import CatalogError, NoSuchBackup, RestoreRefused, UsageError
from supapy.extract import extract
from supapy.model import Entry
from supapy.parts.storage import Selection
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.store.local import LocalStore

STORAGE = Choice(database=False, auth=False)
OBJECTS = 40
# The version that objects have until their bytes are there.
WAITING = "md5(bucket_id || '/' || name || ' waits for its bytes')::uuid::text"
LARGE = 7_000_000


def fill(sandbox: SandboxProject) -> None:
    as_superuser(sandbox, "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b'), ('other', 'other')")
    with opened(sandbox) as project:
        for number in range(OBJECTS):
            put(project, "b", f"folder/{number}", f"content {number}".encode())
        put(project, "other", "large", b"x" * LARGE)


@pytest.fixture
def source(project_factory: ProjectFactory) -> SandboxProject:
    sandbox = project_factory("source")
    fill(sandbox)
    return sandbox


def downloads(sandbox: SandboxProject) -> list[str]:
    """The objects fetched since the last look."""
    assert sandbox.api
    found = [seen.raw_path for seen in sandbox.api.requests if seen.method == "GET" and "/object/" in seen.raw_path]
    sandbox.api.requests.clear()
    return [path.partition("/authenticated/")[2] for path in found]


def uploads(sandbox: SandboxProject) -> list[str]:
    assert sandbox.api
    found = [
        seen.raw_path for seen in sandbox.api.requests if seen.method in ("POST", "PATCH") and "b/" in seen.raw_path
    ]
    sandbox.api.requests.clear()
    return found


def whole(backup: Backup) -> bool:
    return all(isinstance(found, Entry) for found in backup.damage())


def test_a_second_backup_fetches_nothing_and_is_complete_without_the_first(
    source: SandboxProject, tmp_path: Path
) -> None:
    first = backed_up(source, tmp_path, STORAGE)
    assert len(downloads(source)) >= OBJECTS + 1
    second = backed_up(source, tmp_path, STORAGE)
    assert downloads(source) == []
    assert second.entries("storage") == first.entries("storage")
    shutil.rmtree(tmp_path / first.label)
    assert whole(second)
    assert differences(second, source, STORAGE) == []


def test_only_what_is_new_or_was_replaced_is_fetched_and_what_was_deleted_is_gone(
    source: SandboxProject, tmp_path: Path
) -> None:
    backed_up(source, tmp_path, STORAGE)
    with opened(source) as project:
        put(project, "b", "folder/3", b"content 3")
        put(project, "b", "folder/4", b"another")
        put(project, "b", "new", b"new")
    as_superuser(
        source, "SET session_replication_role = replica", "DELETE FROM storage.objects WHERE name = 'folder/5'"
    )
    downloads(source)
    second = backed_up(source, tmp_path, STORAGE)
    assert sorted(downloads(source)) == ["b/folder/3", "b/folder/4", "b/new"]
    assert not second.has("storage/b/folder/5")
    assert whole(second)


def test_full_fetches_everything(source: SandboxProject, tmp_path: Path) -> None:
    backed_up(source, tmp_path, STORAGE)
    downloads(source)
    with opened(source) as project:
        back_up(project, Catalog(LocalStore(tmp_path)), STORAGE, full=True)
    assert len(downloads(source)) >= OBJECTS + 1


def test_a_saved_file_that_was_cut_or_is_gone_is_fetched_again(source: SandboxProject, tmp_path: Path) -> None:
    first = backed_up(source, tmp_path, STORAGE)
    (tmp_path / first.label / "storage/b/folder/1").write_bytes(b"cut")
    (tmp_path / first.label / "storage/b/folder/2").unlink()
    # Alone in its folder.
    (tmp_path / first.label / "storage/other/large").write_bytes(b"cut")
    downloads(source)
    second = backed_up(source, tmp_path, STORAGE)
    assert sorted(downloads(source)) == ["b/folder/1", "b/folder/2", "other/large"]
    assert whole(second)


def test_a_damaged_manifest_is_not_believed(source: SandboxProject, tmp_path: Path) -> None:
    first = backed_up(source, tmp_path, STORAGE)
    manifest = tmp_path / first.label / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes().replace(b"folder/1", b"folder/2", 1))
    downloads(source)
    assert whole(backed_up(source, tmp_path, STORAGE))
    assert len(downloads(source)) >= OBJECTS + 1


def test_another_projects_backup_is_of_no_use(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backed_up(source, tmp_path, STORAGE)
    other = project_factory("other")
    fill(other)
    downloads(other)
    assert whole(backed_up(other, tmp_path, STORAGE))
    assert len(downloads(other)) >= OBJECTS + 1


def test_a_restored_projects_next_backup_moves_nothing_that_is_the_same(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    first = backed_up(source, tmp_path, STORAGE)
    target = project_factory("target")
    assert restored(first, target, STORAGE).is_whole
    with opened(target) as project:
        put(project, "b", "folder/7", b"changed since")
    downloads(target)
    second = backed_up(target, tmp_path, STORAGE)
    assert downloads(target) == ["b/folder/7"]
    assert whole(second)
    assert differences(second, target, STORAGE) == []


@pytest.mark.parametrize("memory", [b"", b"\xff\n[]\n{}\n", b'["backup_20200101_000000","storage","b/x","../y","z"]\n'])
def test_a_damaged_memory_of_a_restore_harms_nothing(source: SandboxProject, tmp_path: Path, memory: bytes) -> None:
    (tmp_path / "restored_source.jsonl").write_bytes(memory)
    assert whole(backed_up(source, tmp_path, STORAGE))
    assert Catalog(LocalStore(tmp_path)).labels() != []


# --- resume ----------------------------------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
from pathlib import Path
from supapy.back_up import back_up
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.events import Saved
from supapy.project.project import Project
from supapy.secret import Secret
from supapy.store.local import LocalStore

url, key, db_url, folder, after = sys.stdin.read().split()
saved = []
def listen(event):
    if isinstance(event, Saved):
        saved.append(event)
        if len(saved) == int(after):
            os.kill(os.getpid(), signal.SIGKILL)
with Project(url, Secret(key), Secret(db_url), at_once=4) as project:
    resume = "--resume" in sys.argv
    back_up(project, Catalog(LocalStore(Path(folder))), Choice(database=False, auth=False), listen, resume=resume)
"""


def killed(source: SandboxProject, folder: Path, after: int, *arguments: str) -> Path:
    """A backup that is killed when it has saved so many things; gives the folder it leaves."""
    given = " ".join((source.url, source.service_key.reveal(), source.db_url.reveal(), str(folder), str(after)))
    run = subprocess.run([sys.executable, "-c", KILLED, *arguments], input=given, text=True, check=False)
    assert run.returncode == -signal.SIGKILL
    (left,) = (path for path in folder.iterdir() if path.is_dir() and not (path / "metadata.json").exists())
    return left


def resumed(source: SandboxProject, folder: Path, choice: Choice = STORAGE) -> Backup:
    with opened(source) as project:
        return back_up(project, Catalog(LocalStore(folder)), choice, resume=True)


@pytest.mark.parametrize("after", [2, OBJECTS // 2, OBJECTS])
def test_a_killed_backup_that_is_resumed_fetches_what_was_unfinished(
    source: SandboxProject, tmp_path: Path, after: int
) -> None:
    left = killed(source, tmp_path, after)
    done = set(downloads(source))
    backup = resumed(source, tmp_path)
    again = downloads(source)
    # What was under way may be fetched again, and what was whole may be noted a moment too late: four at once.
    assert len(again) <= OBJECTS + 1 - (after - 1) + 4
    assert {f"b/folder/{n}" for n in range(OBJECTS)} | {"other/large"} <= done | set(again)
    assert whole(backup)
    assert not left.exists()
    assert Catalog(LocalStore(tmp_path)).labels() == [backup.label]
    uninterrupted = backed_up(source, tmp_path / "other", STORAGE)
    assert backup.manifest == uninterrupted.manifest


def test_what_a_crash_has_torn_is_fetched_again(source: SandboxProject, tmp_path: Path) -> None:
    left = killed(source, tmp_path, OBJECTS)
    journal = (left / ".journal").read_bytes()
    saved = [json.loads(line)["path"] for line in journal.splitlines()]
    (left / saved[0]).write_bytes(b"")
    (left / saved[1]).write_bytes(b"\0" * (left / saved[1]).stat().st_size)
    (left / ".journal").write_bytes(journal[:-20])
    downloads(source)
    backup = resumed(source, tmp_path)
    assert {path.removeprefix("storage/") for path in (*saved[:2], saved[-1])} <= set(downloads(source))
    assert whole(backup)


def test_nothing_to_resume_is_told(source: SandboxProject, tmp_path: Path) -> None:
    with pytest.raises(NoSuchBackup, match="cut short"):
        resumed(source, tmp_path)


def test_what_was_begun_otherwise_is_not_taken_up(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    left = killed(source, tmp_path, 10)
    other = project_factory("other")
    with pytest.raises(CatalogError, match="another"):
        resumed(other, tmp_path)
    with pytest.raises(CatalogError, match="another"):
        resumed(source, tmp_path, Choice(database=False, auth=True))
    with pytest.raises(CatalogError, match="another"):
        resumed(source, tmp_path, Choice(database=False, auth=False, only=Selection(buckets=("b",))))
    assert (left / ".draft").exists()


def test_a_run_that_is_still_writing_is_not_taken_up(source: SandboxProject, tmp_path: Path) -> None:
    left = killed(source, tmp_path, 10)
    store = LocalStore(tmp_path)
    with store.hold(f"{left.name}/.draft") as held, pytest.raises(CatalogError):
        assert held
        resumed(source, tmp_path)


def test_a_resumed_run_that_is_killed_as_well_is_resumed_with_what_both_have(
    source: SandboxProject, tmp_path: Path
) -> None:
    first = killed(source, tmp_path, 10)
    given = (source.url, source.service_key.reveal(), source.db_url.reveal(), str(tmp_path), "25")
    run = subprocess.run([sys.executable, "-c", KILLED, "--resume"], input=" ".join(given), text=True, check=False)
    assert run.returncode == -signal.SIGKILL
    shutil.rmtree(first)
    downloads(source)
    assert whole(resumed(source, tmp_path))
    assert len(downloads(source)) <= OBJECTS + 1 - 24 + 4


def test_a_plain_backup_after_a_kill_succeeds_at_once(source: SandboxProject, tmp_path: Path) -> None:
    killed(source, tmp_path, 10)
    assert whole(backed_up(source, tmp_path, STORAGE))


# --- a restore done again --------------------------------------------------------------------------------------------


def test_a_restore_that_broke_off_sends_only_what_was_unfinished_when_it_is_done_again(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = backed_up(source, tmp_path, STORAGE)
    target = project_factory("target")
    assert target.api
    broken = Fault(method="POST", path="/object/b/folder/9$", times=100, status=403, body=b'{"statusCode":"403"}')
    target.api.faults.append(broken)
    with pytest.raises(Exception, match="refused the key"):
        restored(backup, target, STORAGE)
    there = {
        name for (name,) in as_superuser(target, "SELECT name FROM storage.objects WHERE metadata ? 'httpStatusCode'")
    }
    target.api.faults.clear()
    sent_before = len(uploads(target))
    assert restored(backup, target, STORAGE, into=target.ref).is_whole
    sent = uploads(target)
    assert sent
    assert sent_before + len(sent) <= OBJECTS + 1 + 32 + 4
    assert there


def test_a_restore_over_its_own_result_sends_nothing(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = backed_up(source, tmp_path, STORAGE)
    target = project_factory("target")
    restored(backup, target, STORAGE)
    uploads(target)
    assert restored(backup, target, STORAGE, into=target.ref).is_whole
    assert uploads(target) == []


TEENS = [f"b/folder/{n}" for n in range(10, 20)]


# --- choosing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "taken"),
    [
        (Selection(buckets=("other",)), {"other/large"}),
        (Selection(prefixes=("folder/1",)), {"b/folder/1", *TEENS}),
        (Selection(excluded=("b/*", "*/none")), {"other/large"}),
        (Selection(buckets=("b",), prefixes=("folder/3",), excluded=("*3?",)), {"b/folder/3"}),
    ],
)
def test_a_backup_of_some_has_these_and_no_other_and_is_restored_as_such(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path, only: Selection, taken: set[str]
) -> None:
    choice = Choice(database=False, auth=False, only=only)
    backup = backed_up(source, tmp_path, choice)
    assert {entry.name for entry in backup.entries("storage")} - {"buckets", "objects"} == taken
    assert differences(backup, source, STORAGE) == []
    target = project_factory("target")
    assert restored(backup, target, STORAGE).is_whole
    rows = as_superuser(target, "SELECT bucket_id || '/' || name FROM storage.objects")
    assert {name for (name,) in rows} == taken


def test_a_part_of_a_backup_is_restored_and_the_rest_left_alone(source: SandboxProject, tmp_path: Path) -> None:
    backup = backed_up(source, tmp_path, STORAGE)
    with opened(source) as project:
        put(project, "b", "folder/1", b"spoilt")
        put(project, "b", "folder/2", b"newer")
    as_superuser(source, "UPDATE storage.buckets SET public = true WHERE id = 'b'")
    uploads(source)
    only = Choice(database=False, auth=False, only=Selection(buckets=("b",), prefixes=("folder/1",)))
    assert restored(backup, source, only, into=source.ref).is_whole
    assert [path.rpartition("/object/")[2] for path in uploads(source)] == ["b/folder/1"]
    changed = {one.name for one in differences(backup, source, STORAGE)}
    assert changed == {"bucket b", "object b/folder/2"}


def test_objects_are_restored_into_another_bucket_of_the_same_project(source: SandboxProject, tmp_path: Path) -> None:
    backup = backed_up(source, tmp_path, STORAGE)
    only = Choice(database=False, auth=False, only=Selection(buckets=("b",), prefixes=("folder/1",), to_bucket="other"))
    assert restored(backup, source, only, into=source.ref).is_whole
    assert as_superuser(source, "SELECT count(*) FROM storage.objects WHERE bucket_id = 'other'") == [(12,)]
    assert [one for one in differences(backup, source, STORAGE) if one.kind != "extra"] == []


def test_a_bucket_to_restore_into_must_be_there(source: SandboxProject, tmp_path: Path) -> None:
    backup = backed_up(source, tmp_path, STORAGE)
    only = Choice(database=False, auth=False, only=Selection(buckets=("b",), to_bucket="nowhere"))
    with pytest.raises(RestoreRefused, match="no bucket nowhere"):
        restored(backup, source, only, into=source.ref)
    with pytest.raises(UsageError):
        Selection(to_bucket="other")


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (("b/folder/1",), ["b/folder/1"]),
        (
            ("b/folder/1", "b/folder/1*", "other/"),
            ["b/folder/1", *(f"b/folder/{n}" for n in range(10, 20)), "other/large"],
        ),
    ],
)
def test_files_are_taken_out_of_a_backup_without_a_project(
    source: SandboxProject, tmp_path: Path, wanted: tuple[str, ...], names: list[str]
) -> None:
    backup = backed_up(source, tmp_path / "backups", STORAGE)
    source.down()
    written = list(extract(backup, wanted, LocalStore(tmp_path / "out")))
    assert [key for key, _ in written] == names
    for key, path in written:
        digest = hashlib.sha256((tmp_path / "out" / path).read_bytes()).hexdigest()
        assert digest == backup.sha256(f"storage/{key}")


def test_what_a_backup_has_not_is_told_before_anything_is_written(source: SandboxProject, tmp_path: Path) -> None:
    backup = backed_up(source, tmp_path / "backups", STORAGE)
    with pytest.raises(UsageError, match="b/nothing"):
        list(extract(backup, ["b/folder/1", "b/nothing"], LocalStore(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
