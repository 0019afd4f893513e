"""A small project that the tests of one module share, and the command in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.doors.commands import Commands, fill, settings_of
from tests.projects import ProjectFactory

from supapy.sandbox.project import SandboxProject


@pytest.fixture(scope="module")
def source(server_folder: Path) -> Iterator[SandboxProject]:
    """A project with a small app in it, which the tests leave as it is."""
    with ExitStack() as cleanup:
        project = ProjectFactory(server_folder, cleanup)("source")
        fill(project)
        yield project


@pytest.fixture
def supapy(source: SandboxProject, tmp_path: Path) -> Commands:
    """The command, set up for that project."""
    return Commands(tmp_path, settings_of(source))


@pytest.fixture(scope="module")
def saved(source: SandboxProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one backup of that project, which the tests leave as it is."""
    folder = tmp_path_factory.mktemp("saved")
    commands = Commands(folder, settings_of(source))
    assert commands("backup").code == 0
    return folder / "backups" / commands.labels[0]
