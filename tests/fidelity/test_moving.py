"""Objects that are replaced, deleted, moved or put anew while they are saved: what is stored is one whole version, and
what isn't the one that was listed is a problem by its name. With a database and without one, in one request and in
several."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fidelity.whole import as_superuser, fetched, once, posted
from tests.projects import ProjectFactory
from tests.waiting import put

from supapy.back_up import back_up
from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.events import Advanced, Event
from supapy.project.project import Project
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.store.local import LocalStore

FILES = Choice(database=False, auth=False)
LARGE = random.Random(4).randbytes(3 * 1024 * 1024)
OTHER = random.Random(5).randbytes(3 * 1024 * 1024)
CUT_AT = 2 * 1024 * 1024

Change = Callable[[SandboxProject, Project, str], object]


def replace(_sandbox: SandboxProject, project: Project, key: str) -> None:
    put(project, "b", key, OTHER if key == "large" else b"other")


def delete(sandbox: SandboxProject, _project: Project, key: str) -> None:
    assert fetched(sandbox, f"/storage/v1/object/b/{key}", method="DELETE")[0] == 200


def delete_and_put(sandbox: SandboxProject, project: Project, key: str) -> None:
    delete(sandbox, project, key)
    replace(sandbox, project, key)


def move(sandbox: SandboxProject, _project: Project, key: str) -> None:
    body = {"bucketId": "b", "sourceKey": key, "destinationKey": f"{key} moved"}
    assert posted(sandbox, "/storage/v1/object/move", body)[0] == 200


def put_the_same(_sandbox: SandboxProject, project: Project, key: str) -> None:
    put(project, "b", key, LARGE if key == "large" else b"small")


@pytest.fixture
def sandbox(project_factory: ProjectFactory) -> SandboxProject:
    made = project_factory("moving")
    as_superuser(made, "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')")
    with Project(made.url, made.service_key) as project:
        put(project, "b", "first", b"first")
        put(project, "b", "large", LARGE)
        put(project, "b", "small", b"small")
        put(project, "b", "still", b"still")
    return made


def served(sandbox: SandboxProject) -> Project:
    return Project(sandbox.url, sandbox.service_key)


def saved(sandbox: SandboxProject, folder: Path, change: Change, key: str, *, by_sql: bool) -> Backup:
    """A backup in which the change is made once the list is there: of the large object, when a part of it has come.

    The large object's begin arrives, the rest has to be asked for by a range, and comes when the change is made.
    """
    assert sandbox.api
    path, changed = "/object/authenticated/b/large$", threading.Event()
    sandbox.api.faults += [
        Fault(method="GET", path=path, cut_after_bytes=CUT_AT),
        Fault(method="GET", path=path, after=changed),
    ]
    db_url = sandbox.db_url if by_sql else None
    # One after the other: when bytes of the first come, no other is asked for yet.
    with Project(sandbox.url, sandbox.service_key, db_url, at_once=1) as project, served(sandbox) as other:
        act = once(lambda: (change(sandbox, other, key), changed.set()))

        def listener(event: Event) -> None:
            if isinstance(event, Advanced) and event.name == ("b/large" if key == "large" else "b/first"):
                act()

        return back_up(project, Catalog(LocalStore(folder)), FILES, listener)


def contents(backup: Backup) -> dict[str, str]:
    entries = (entry for entry in backup.entries("storage") if entry.name.startswith("b/"))
    return {entry.name: hashlib.sha256(b"".join(backup.read(entry.path))).hexdigest() for entry in entries}


WHOLE = {
    f"b/{key}": hashlib.sha256(content).hexdigest()
    for key, content in (("first", b"first"), ("large", LARGE), ("small", b"small"), ("still", b"still"))
}


@pytest.mark.parametrize("by_sql", [True, False], ids=["sql", "list"])
@pytest.mark.parametrize("key", ["small", "large"])
@pytest.mark.parametrize("change", [replace, delete, delete_and_put, move])
def test_an_object_that_is_not_the_one_listed_any_more_is_a_problem_and_never_half_saved(
    sandbox: SandboxProject, tmp_path: Path, change: Change, key: str, by_sql: bool
) -> None:
    backup = saved(sandbox, tmp_path, change, key, by_sql=by_sql)
    assert [problem.name for problem in backup.manifest[1]] == [f"b/{key}"]
    assert contents(backup) == {name: digest for name, digest in WHOLE.items() if name != f"b/{key}"}
    rows = [json.loads(line) for line in b"".join(backup.read("storage/objects.jsonl")).splitlines()]
    assert [row["name"] for row in rows] == ["first", "large", "small", "still"]


@pytest.mark.parametrize("by_sql", [True, False], ids=["sql", "list"])
@pytest.mark.parametrize("key", ["small", "large"])
def test_an_object_that_is_put_again_with_the_same_bytes_is_saved(
    sandbox: SandboxProject, tmp_path: Path, key: str, by_sql: bool
) -> None:
    backup = saved(sandbox, tmp_path, put_the_same, key, by_sql=by_sql)
    assert backup.manifest[1] == []
    assert contents(backup) == WHOLE
