"""Projects, a backup of one and a restore into another: what the tests of single parts are made on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.projects import asked

from supapy.back_up import back_up
from supapy.backup import Backup
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.events import Listener, ignore
from supapy.model import Difference, Finding
from supapy.project.project import Project
from supapy.restore import Outcome, restore
from supapy.sandbox.project import SandboxProject
from supapy.store.local import LocalStore
from supapy.verify import hold_against


@dataclass
class Pair:
    """A filled project, its backup in a folder, and the project it was restored into."""

    source: SandboxProject
    backup: Backup
    target: SandboxProject
    outcome: Outcome
    folder: Path


@contextmanager
def opened(sandbox: SandboxProject) -> Iterator[Project]:
    with Project(sandbox.url, sandbox.service_key, sandbox.db_url) as project:
        yield project


def backed_up(sandbox: SandboxProject, folder: Path, choice: Choice, listener: Listener = ignore) -> Backup:
    with opened(sandbox) as project:
        return back_up(project, Catalog(LocalStore(folder)), choice, listener)


def restored(backup: Backup, sandbox: SandboxProject, choice: Choice, into: str | None = None) -> Outcome:
    with opened(sandbox) as project:
        return restore(backup, project, choice, into=into, confirm=lambda plan: True)


def compared(backup: Backup, sandbox: SandboxProject, choice: Choice) -> list[Finding]:
    with opened(sandbox) as project:
        return list(hold_against(backup, project, choice))


def differences(backup: Backup, sandbox: SandboxProject, choice: Choice) -> list[Difference]:
    return [one for one in compared(backup, sandbox, choice) if isinstance(one, Difference)]


def as_superuser(sandbox: SandboxProject, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as nobody but the platform may; gives the rows of the last."""
    return asked(sandbox.database, *statements)


def fetched(sandbox: SandboxProject, path: str, **options: Any) -> tuple[int, bytes]:
    """Ask the project's server without any of supapy's code."""
    key = sandbox.service_key.reveal()
    headers = {"apikey": key, "Authorization": f"Bearer {key}", **options.pop("headers", {})}
    request = urllib.request.Request(sandbox.url + path, headers=headers, **options)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def posted(sandbox: SandboxProject, path: str, body: Any) -> tuple[int, Any]:
    data = json.dumps(body).encode()
    status, said = fetched(sandbox, path, data=data, headers={"Content-Type": "application/json"})
    return status, json.loads(said)


def once(act: Callable[[], object]) -> Callable[[], None]:
    """The act, the first time it is asked for."""
    left = [act]

    def first() -> None:
        while left:
            left.pop()()

    return first
