"""A backup that ends before its end, by an error or by hand: what it had fetched is there for the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.backups import item
from tests.fidelity.test_incremental import OBJECTS, STORAGE, downloads, fill, whole
from tests.fidelity.whole import backed_up, opened
from tests.projects import ProjectFactory

from supapy.back_up import back_up
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.errors import AccessDenied, StoreFull
from supapy.events import Event, Left
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.store.local import LocalStore
from supapy.store.memory import MemoryStore

EVERY = {f"b/folder/{number}" for number in range(OBJECTS)} | {"other/large"}


@pytest.fixture
def source(project_factory: ProjectFactory) -> SandboxProject:
    sandbox = project_factory("source")
    fill(sandbox)
    return sandbox


def refused(source: SandboxProject, folder: Path, choice: Choice = STORAGE) -> tuple[Path, set[str]]:
    """A backup whose key is taken back when it comes to one object; gives what it leaves, and what it had fetched."""
    assert source.api
    source.api.faults.append(Fault(path="/b/folder/9$", status=403, body=b'{"statusCode":"403"}'))
    downloads(source)
    heard: list[Event] = []
    with opened(source) as project, pytest.raises(AccessDenied):
        back_up(project, Catalog(LocalStore(folder)), choice, heard.append)
    (left,) = (event for event in heard if isinstance(event, Left))
    journal = (folder / left.label / ".journal").read_text().splitlines()
    assert left.files == len(journal) > 0
    return folder / left.label, set(downloads(source)) - {"b/folder/9"}


def test_what_was_fetched_before_an_error_is_not_fetched_again_by_the_next_backup(
    source: SandboxProject, tmp_path: Path
) -> None:
    left, asked = refused(source, tmp_path)
    backup = backed_up(source, tmp_path, STORAGE)
    again = set(downloads(source))
    # What was under way when the error came is neither whole nor noted down.
    assert len(asked & again) <= 32
    assert asked | again >= EVERY
    assert not again >= EVERY
    assert whole(backup)
    assert not left.exists()
    assert backup.manifest == backed_up(source, tmp_path / "other", STORAGE).manifest


def test_a_full_backup_fetches_everything_and_removes_what_was_left(source: SandboxProject, tmp_path: Path) -> None:
    left, _ = refused(source, tmp_path)
    with opened(source) as project:
        backup = back_up(project, Catalog(LocalStore(tmp_path)), STORAGE, full=True)
    assert set(downloads(source)) == EVERY
    assert whole(backup)
    assert not left.exists()


def test_of_rows_and_users_nothing_is_left_and_of_files_only_whole_ones(source: SandboxProject, tmp_path: Path) -> None:
    left, _ = refused(source, tmp_path, Choice())
    files = {path.relative_to(left).as_posix() for path in left.rglob("*") if path.is_file()}
    assert files >= {".draft", ".journal"}
    assert {path.removeprefix("storage/") for path in files - {".draft", ".journal"}} <= EVERY
    journal = (left / ".journal").read_text()
    assert all(f'"{path}"' in journal for path in files - {".draft", ".journal"})
    assert Catalog(LocalStore(tmp_path)).labels() == []


def test_other_components_leave_it_alone(source: SandboxProject, tmp_path: Path) -> None:
    left, _ = refused(source, tmp_path)
    backed_up(source, tmp_path, Choice(database=False, storage=False))
    assert (left / ".journal").exists()


def test_a_store_that_is_full_gets_its_room_back() -> None:
    catalog = Catalog(MemoryStore())
    with pytest.raises(StoreFull), catalog.draft() as draft:
        draft.take_all([item("storage/a", b"a", fingerprint="1")])
        raise StoreFull("no space left")
    assert list(catalog.store.list()) == []


def test_a_run_that_had_fetched_nothing_leaves_nothing() -> None:
    catalog = Catalog(MemoryStore())
    with pytest.raises(KeyboardInterrupt), catalog.draft() as draft:
        draft.take_all([item("database.sql", b"a")])
        raise KeyboardInterrupt
    assert list(catalog.store.list()) == []
