"""The database part by itself: its files written to a folder, and read from there as those of a backup are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.projects import DEFAULT_MAJOR, tools

from supapy.journal import Journal
from supapy.model import Difference, Entry, Item, Json, Omission, Problem, Step
from supapy.parts.database.part import DatabasePart
from supapy.project.moment import Moment
from supapy.project.postgres import environment
from supapy.project.project import Project
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret
from supapy.store.memory import MemoryStore


def project_of(cluster: Cluster, major: int) -> Project:
    """A project with that database; its URL leads nowhere, and nothing here asks it for anything."""
    return Project("http://127.0.0.1:9", Secret("sb_secret_unused"), cluster.dsn, pg_bin=tools(major).bin)


@contextmanager
def moment_of(cluster: Cluster, major: int) -> Iterator[Moment]:
    """An open moment of a cluster's database."""
    with project_of(cluster, major) as project, project.moment() as moment:
        yield moment


@dataclass
class Saved:
    """What a dump gave, its files in a folder: a Source."""

    folder: Path
    omissions: list[Omission] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    metadata: Json = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def source_ref(self) -> str:
        return ""

    @property
    def script(self) -> Path:
        return self.folder / "database.sql"

    def entries(self, part: str) -> list[Entry]:
        return []

    def has(self, path: str) -> bool:
        return (self.folder / path).exists()

    def count(self, part: str, what: str) -> int:
        return self.counts.get((part, what), 0)

    def size(self, path: str) -> int:
        return (self.folder / path).stat().st_size

    def read(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        yield (self.folder / path).read_bytes()[start:end]

    def read_json(self, path: str) -> Json:
        said: Json = json.loads((self.folder / path).read_text())
        return said


def save(cluster: Cluster, major: int, folder: Path, part: DatabasePart | None = None) -> Saved:
    """Dump a cluster's database into a folder."""
    saved = Saved(folder)
    with moment_of(cluster, major) as moment:
        for one in (part or DatabasePart()).dump(moment):
            match one:
                case Item():
                    with (folder / one.path).open("wb") as file:
                        file.writelines(one.open())
                    saved.counts |= {(one.part, what): number for what, number in one.counts.items()}
                case Omission():
                    saved.omissions.append(one)
                case Problem():
                    saved.problems.append(one)
    return saved


def steps_of(saved: Saved, project: Project, part: DatabasePart | None = None) -> list[Step]:
    """What the part would do to bring it back."""
    loaded = (part or DatabasePart()).load(saved, project, Journal(MemoryStore(), project.ref))
    return [one for one in loaded if isinstance(one, Step)]


def loaded(
    saved: Saved, cluster: Cluster, major: int = DEFAULT_MAJOR, part: DatabasePart | None = None
) -> list[Problem]:
    """Bring it back; gives the problems."""
    with project_of(cluster, major) as project:
        return [one for step in steps_of(saved, project, part) for one in step.apply(lambda _: None)]


def differences(
    saved: Saved, cluster: Cluster, major: int = DEFAULT_MAJOR, part: DatabasePart | None = None
) -> list[Difference]:
    """What isn't in the cluster as it was saved."""
    with moment_of(cluster, major) as moment:
        return [one for one in (part or DatabasePart()).compare(saved, moment) if isinstance(one, Difference)]


def psql(cluster: Cluster, major: int, script: Path, *, admin: bool = False) -> subprocess.CompletedProcess[str]:
    """What a person without supapy does: `psql -v ON_ERROR_STOP=1 -f script`."""
    found = tools(major)
    return subprocess.run(
        [found.path("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script],
        env={**found.environment, **environment(cluster.admin_dsn if admin else cluster.dsn)},
        capture_output=True,
        text=True,
        check=False,
    )
