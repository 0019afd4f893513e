"""A database.sql that somebody has changed is refused, and no command for psql in it is ever obeyed, whatever was
'mended' beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.doors.commands import Commands, settings_of
from tests.projects import ProjectFactory, few_locks, superuser

from supapy.draft import sealed
from supapy.sandbox.project import SandboxProject

# What a script can have psql do to the machine it runs on.
COMMANDS = (
    "\\! touch obeyed",
    "\\copy (SELECT 1) TO 'obeyed'",
    "\\o obeyed\nSELECT 1;",
    "SELECT 'x' \\g obeyed",
    "SELECT '\\! touch obeyed' \\gexec",
    "\\i obeyed.sql",
    "\\connect postgres",
    "\\unrestrict key\n\\! touch obeyed",
)


def forged(saved: Path, folder: Path, change: Callable[[dict[str, Any]], bytes], *, toc: bool) -> Path:
    """A copy of the backup with those bytes at the end of a segment, and with all digests right; `change` is asked for
    each segment. The table of contents is put right, too, or left as it was."""
    copy = folder / saved.name
    shutil.copytree(saved, copy)
    contents = json.loads((copy / "database.toc.json").read_text())
    script, changed, moved = (saved / "database.sql").read_bytes(), b"", 0
    for segment in contents["segments"]:
        end = segment["offset"] + segment["length"]
        text = script[segment["offset"] : end]
        more = change(segment)
        if more and segment["kind"] == "data":
            # Among the rows, so that what the table of contents says of their bytes and number stays right.
            text = more + text[len(more) :]
        elif more:
            text += more
        for statement in contents["statements"]:
            if segment["offset"] <= statement["offset"] - moved < end:
                statement["offset"] += len(changed) - segment["offset"] - moved
        changed += text
        segment |= {"length": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    at = 0
    for segment in contents["segments"]:
        segment["offset"] = at
        at += segment["length"]
    (copy / "database.sql").write_bytes(changed)
    if toc:
        (copy / "database.toc.json").write_text(json.dumps(contents))
    return resealed(copy)


def resealed(copy: Path) -> Path:
    """Manifest and metadata as if the files had always been what they are."""
    lines = [json.loads(line) for line in (copy / "manifest.jsonl").read_text().splitlines()]
    for line in lines:
        if line["kind"] == "entry":
            content = (copy / line["path"]).read_bytes()
            line |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = "".join(json.dumps(line) + "\n" for line in lines).encode()
    (copy / "manifest.jsonl").write_bytes(manifest)
    said = json.loads((copy / "metadata.json").read_text())
    said.pop("sha256")
    said["manifest"] |= {"size": len(manifest), "sha256": hashlib.sha256(manifest).hexdigest()}
    (copy / "metadata.json").write_bytes(sealed(said))
    return copy


@pytest.fixture(scope="module")
def target(server_folder: Path) -> Any:
    """A project that no refused restore changes."""
    from contextlib import ExitStack

    with ExitStack() as cleanup:
        yield ProjectFactory(server_folder, cleanup)("target")


def at_the_end_of(name: str, text: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda segment: text.encode() if segment["name"] == name else b""


def tables(project: SandboxProject) -> object:
    with superuser(project.database) as connection:
        found = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        return connection.execute(found).fetchone()


def test_a_changed_script_is_refused_though_its_digests_are_right(
    saved: Path, target: SandboxProject, tmp_path: Path
) -> None:
    supapy = Commands(tmp_path, settings_of(target))
    copy = forged(saved, tmp_path, at_the_end_of("roles", "CREATE ROLE intruder;\n"), toc=False)
    ran = supapy("restore", copy, "--yes", "--no-storage", "--no-auth")
    assert ran.code == 50
    assert "database.sql was changed since it was saved" in ran.err
    assert "Nothing was applied" in ran.err
    with superuser(target.database) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'supapy_restore'").fetchall() == []


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_for_psql_is_obeyed_though_all_is_put_right(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path, command: str
) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target))
    copy = forged(saved, tmp_path, at_the_end_of("grants", f"{command}\n"), toc=True)
    ran = supapy("restore", copy, "--yes", "--no-storage", "--no-auth")
    assert ran.code == 50, ran.err
    assert "a command for psql" in ran.err
    assert not list(tmp_path.glob("obeyed*"))
    assert tables(target) == (0,)


def test_nor_is_one_in_what_goes_by_other_connections(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    few_locks(target.database)
    supapy = Commands(tmp_path, settings_of(target))
    copy = forged(saved, tmp_path, at_the_end_of("post-data", "\\! touch obeyed\n"), toc=True)
    ran = supapy("restore", copy, "--yes", "--no-storage", "--no-auth")
    assert ran.code in (27, 50), ran.err
    assert not list(tmp_path.glob("obeyed*"))
