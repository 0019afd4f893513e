"""The command as a user runs it, with an environment and a working folder of its own.

Most tests run it in this process, which saves the second that its imports take; what is about processes, signals, pipes
and terminals starts a process.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.waiting import put

from supapy.cli.main import ended
from supapy.project.project import Project
from supapy.sandbox.project import SandboxProject
from supapy.secret import Secret

OURS = ("SUPABASE_", "SUPAPY_CONFORMANCE_", "BACKUP_DIR", "NO_COLOR", "COLUMNS", "PYTHONWARNINGS")
SUPAPY = (sys.executable, "-m", "supapy")


@dataclass(frozen=True)
class Ran:
    """How a run ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What `--json` printed, line by line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> Any:
        """The last object of `--json`."""
        return self.objects[-1]["result"]


def settings_of(project: SandboxProject) -> dict[str, str]:
    """What the environment must say to mean that project."""
    return {
        "SUPABASE_URL": project.url,
        "SUPABASE_KEY": project.service_key.reveal(),
        "SUPABASE_DB_URL": project.db_url.reveal(),
    }


def env_file(project: SandboxProject, folder: Path) -> Path:
    """The same as a file for `--env-file`."""
    file = folder / f"{project.ref}.env"
    file.write_text(project.env_text())
    return file


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, without what would name a project, and with `more`."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    return {**plain, "PYTHONWARNINGS": "error", **more}


def run(command: tuple[str | Path, ...], settings: Mapping[str, str], cwd: Path, stdin: str = "") -> Ran:
    """Run a process to its end, its three streams being pipes."""
    done = subprocess.run(
        [str(piece) for piece in command],
        env=environment(settings),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Commands:
    """`supapy` with these settings, in this folder: `commands("backup", "--no-auth")`."""

    folder: Path
    settings: Mapping[str, str]

    def __call__(self, *arguments: str | Path, **more: str) -> Ran:
        """Run it to its end in this process."""
        out, err, before = io.StringIO(), io.StringIO(), dict(os.environ)
        wanted = environment({**self.settings, **more})
        os.environ.clear()
        os.environ.update(wanted)
        try:
            with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = ended([*map(str, arguments)])
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Ran(code, out.getvalue(), err.getvalue())

    def process(self, *arguments: str | Path, stdin: str = "", **more: str) -> Ran:
        """Run it to its end as a process."""
        return run((*SUPAPY, *arguments), {**self.settings, **more}, self.folder, stdin)

    @property
    def labels(self) -> list[str]:
        """The folders in ./backups that are there, whole or not, newest first."""
        folder = self.folder / "backups"
        return sorted((one.name for one in folder.iterdir()), reverse=True) if folder.exists() else []

    @contextmanager
    def started(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """The same, still running, and ended at the end of the block if it isn't by then."""
        child = subprocess.Popen(
            [*SUPAPY, *map(str, arguments)],
            env=environment(self.settings),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        try:
            yield child
        finally:
            child.kill()
            child.communicate()


def fill(project: SandboxProject) -> None:
    """A small app: two tables, a user, a bucket with three files."""
    with Project(project.url, project.service_key, Secret(project.db_url.reveal())) as live:
        with live.session() as session:
            session.execute(SCHEMA + ADA + ROWS)
        for key, content in FILES.items():
            put(live, "photos", key, content, "image/png")


FILES = {"a.png": b"one", "trip/b.png": b"two" * 1000, "empty.png": b""}
# As the Auth server itself writes a row: it reads none whose texts are NULL (F§2.6).
ADA = """
INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, created_at,
    updated_at, confirmation_token, recovery_token, email_change_token_new, email_change)
VALUES ('00000000-0000-0000-0000-000000000000', '11111111-1111-4111-8111-111111111111', 'authenticated',
    'authenticated', 'ada@example.com', '', now(), now(), now(), '', '', '', '');
"""
SCHEMA = """
CREATE TABLE public.trips (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE public.stops (id int PRIMARY KEY, trip int REFERENCES public.trips, owner uuid REFERENCES auth.users);
CREATE TYPE public.mood AS ENUM ('good', 'bad');
CREATE VIEW public.names AS SELECT name FROM public.trips;
CREATE INDEX stops_by_owner ON public.stops (owner);
"""
ROWS = """
INSERT INTO public.trips SELECT n, 'trip ' || n FROM generate_series(1, 20) n;
INSERT INTO public.stops SELECT n, n, '11111111-1111-4111-8111-111111111111' FROM generate_series(1, 20) n;
INSERT INTO storage.buckets (id, name) VALUES ('photos', 'photos');
"""
