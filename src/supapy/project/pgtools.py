"""PostgreSQL's own programs: where the ones of a fitting version stand.

A dump must be written by a pg_dump that is at least as new as the server, and not newer than need be: 17's output has a
line that 15 refuses (F§4.9). A folder the caller names wins, then whichever of the system's and the downloaded ones is
closest.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from supapy.errors import ToolMissing
from supapy.project import pgdownload

CLIENT_PROGRAMS = ("pg_dump", "pg_restore", "psql")
SERVER_PROGRAMS = ("postgres", "initdb", *CLIENT_PROGRAMS)

# Where packages put them: Debian and Ubuntu, Red Hat, Homebrew on both kinds of Mac, Postgres.app.
SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/opt/homebrew/opt/libpq/bin",
    "/usr/local/opt/libpq/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
# A program that says its version does so at once; one on a dead network drive must not hang everything.
VERSION_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class PgTools:
    """Programs of one version in one folder. `environment` is what they need set in addition to the usual."""

    bin: Path
    version: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """The major version, 17 for 17.11."""
        return int(self.version.partition(".")[0])

    def path(self, program: str) -> Path:
        """The file of one program."""
        return self.bin / program


def find(
    major: int, programs: Sequence[str] = CLIENT_PROGRAMS, *, exact: bool = False, bin_dir: Path | None = None
) -> PgTools:
    """The programs for a server of this major: of the same one or else of the next higher (`exact`: only the same).

    `bin_dir` (SUPAPY_PG_BIN) is taken if it fits at all, before closer ones elsewhere. Raises ToolMissing.
    """
    if bin_dir is not None and (tools := _look(bin_dir, programs)) and _fits(tools, major, exact):
        return tools
    fitting = [tools for tools in _all(programs) if _fits(tools, major, exact)]
    if not fitting:
        can_be_had = [known for known in pgdownload.SERVERS if known == major or (known > major and not exact)]
        raise ToolMissing(
            f"no {', '.join(programs)} of PostgreSQL {major}{'' if exact else ' or newer'} on this machine",
            (f"Run `supapy pg install {can_be_had[0]}`" if can_be_had else "Install it with the system's packages")
            + ", or set SUPAPY_PG_BIN to the folder that has them.",
        )
    return min(fitting, key=lambda tools: tools.major)


def find_or_install(major: int, *, bin_dir: Path | None = None) -> PgTools:
    """A whole server of exactly this major with its client programs, downloaded if this machine has none."""
    try:
        return find(major, SERVER_PROGRAMS, exact=True, bin_dir=bin_dir)
    except ToolMissing:
        return install(major)


def install(major: int) -> PgTools:
    """Download the programs of a major into the cache, once. Raises ToolMissing where that can't be or doesn't run."""
    folder = pgdownload.install(major, check=lambda bin_: [version_of(bin_ / program) for program in SERVER_PROGRAMS])
    tools = _look(folder, SERVER_PROGRAMS)
    if tools is None:
        raise ToolMissing(f"the PostgreSQL programs in {folder} don't run", f"Remove {folder.parent} and try again.")
    return tools


def installed(programs: Sequence[str] = CLIENT_PROGRAMS) -> list[PgTools]:
    """All that this machine has, by version."""
    found = {tools.bin: tools for tools in _all(programs)}
    return sorted(found.values(), key=lambda tools: [int(number) for number in tools.version.split(".")])


def version_of(program: Path) -> str:
    """What a program says its version is, 17.11. Raises ToolMissing with its own words if it doesn't run."""
    try:
        return _said_version(program, program.stat().st_mtime_ns)
    except OSError as error:
        raise ToolMissing(f"{program} doesn't run: {error}") from None


# Asked once of a file, as long as it isn't replaced: a backup looks for its programs several times.
@lru_cache
def _said_version(program: Path, _changed_ns: int) -> str:
    try:
        answer = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            env=_environment(program.parent) or None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissing(f"{program} doesn't run: {error}") from None
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", answer.stdout)
    if answer.returncode != 0 or found is None:
        raise ToolMissing(f"{program} doesn't run: {(answer.stderr or answer.stdout).strip()}")
    return found[1]


def _environment(bin_: Path) -> dict[str, str]:
    """What the programs in a folder need set: a movable build finds its own libraries only when told where they are."""
    own = bin_.parent / "lib"
    return {"LD_LIBRARY_PATH": str(own)} if (own / "libpq.so.5").exists() else {}


def _fits(tools: PgTools, major: int, exact: bool) -> bool:
    return tools.major == major or (not exact and tools.major > major)


def _look(folder: Path, programs: Sequence[str]) -> PgTools | None:
    """The programs in a folder, if all are there and the first one runs."""
    if not all(shutil.which(program, path=str(folder)) for program in programs):
        return None
    try:
        return PgTools(folder, version_of(folder / programs[0]), _environment(folder))
    except ToolMissing:
        return None


def _all(programs: Sequence[str]) -> Iterator[PgTools]:
    """Every folder that has the programs, the system's before the downloaded ones."""
    for folder in _folders(programs[0]):
        if tools := _look(folder, programs):
            yield tools


def _folders(program: str) -> Iterator[Path]:
    for pattern in SYSTEM_FOLDERS:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))
    # Packagers' links are followed to the real folder; Debian's pg_wrapper leads to one without the programs.
    if on_path := shutil.which(program):
        yield Path(on_path).resolve().parent
    yield from pgdownload.folders()
