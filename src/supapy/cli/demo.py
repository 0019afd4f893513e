"""`supapy sandbox demo`: the whole job once, on two local projects."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supapy.cli.shell import Shell

if TYPE_CHECKING:
    from supapy.project.project import Project
    from supapy.sandbox.registry import Registry

SOURCE, TARGET = "demo-source", "demo-target"


@click.command(short_help="The whole job once, on two local projects.")
@click.option("--pg", "major", type=click.Choice(["15", "17"]), default="17", show_default=True, help="Its PostgreSQL.")
@click.option("--keep", is_flag=True, help="Leave both projects up, and the backup where it is, to look around.")
@click.pass_obj
def demo(shell: Shell, major: str, keep: bool) -> int:
    """Fill a local project with an app, back it up, restore it into a second one, and prove the two equal.

    Ends with 0 only when there is no difference. Both projects are new at every run, and gone after it.
    """
    from supapy.back_up import back_up
    from supapy.catalog import Catalog
    from supapy.cli import render
    from supapy.restore import restore
    from supapy.sandbox import demo as app
    from supapy.sandbox.registry import Registry
    from supapy.store.local import LocalStore

    screen = shell.screen
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(keep))
        registry = Registry(None if keep else folder / "sandboxes")
        screen.say(f"Starting two local projects with PostgreSQL {major}: {SOURCE} and {TARGET}", "bold")
        source, target = (
            stack.enter_context(_fresh(registry, name, int(major), folder, keep)) for name in (SOURCE, TARGET)
        )
        screen.say(f"Filling {SOURCE} with an app: users, rows, files, policies", "bold")
        app.fill(source)
        screen.say(f"Backing up {SOURCE}", "bold")
        with screen.progress() as listener:
            backup = back_up(source, Catalog(LocalStore(folder / "backups")), listener=listener)
        render.saved(screen, backup)
        screen.say(f"Restoring into {TARGET}, and comparing", "bold")
        with screen.progress() as listener:
            outcome = restore(backup, target, confirm=lambda plan: True, listener=listener)
        render.outcome(screen, outcome)
        signed_in = app.can_sign_in(target)
        screen.say(f"{app.EMAIL} {'signs' if signed_in else 'CANNOT sign'} in to {TARGET} with the old password")
        if keep:
            screen.say(f"Both projects stay up. Their settings and the backup are in {folder}")
    code = 0 if outcome.is_whole and signed_in and not backup.manifest[1] else 3
    screen.result(render.outcome_json(outcome) | {"signed_in": signed_in, "exit_code": code})
    return code


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="supapy-demo-"))
    # The servers may run under an account of their own, which must get to them; what is secret below is 0600.
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _fresh(registry: Registry, name: str, major: int, folder: Path, keep: bool) -> Iterator[Project]:
    """A new, empty project of that name, and its settings in a file in the folder."""
    from supapy.project.project import Project
    from supapy.sandbox import private
    from supapy.settings import load

    if any(sandbox.name == name for sandbox in registry.list()):
        registry.down(name, delete=True)
    environment = registry.up(name, major, load().pg_bin)
    try:
        file = folder / f"{name}.env"
        private.write(file, environment)
        with Project.of(load(file)) as project:
            yield project
    finally:
        if not keep:
            registry.down(name, delete=True)
