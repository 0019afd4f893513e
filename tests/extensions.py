"""Servers that know the extensions of a hosted project: pg_cron where the system has it, stand-ins for the others.

A server finds extensions beside its own programs, so a copy of it is made, once, with the files of `standins` in it.
That needs no rights, and leaves the copied server alone.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from tests.projects import tools

from supapy.project.pgdownload import cache_folder, locked
from supapy.project.pgtools import PgTools
from supapy.sandbox.cluster import Cluster

STANDINS = Path(__file__).parent / "standins"
# Debian's packages keep what programs share in a tree of their own; others keep it beside the programs.
DEBIAN = Path("/usr/lib/postgresql")


@cache
def extended_tools(major: int) -> PgTools:
    """The server of this major, copied, with the stand-ins among its extensions."""
    found = tools(major)
    files = sorted(STANDINS.glob("*--*.sql")) + sorted(STANDINS.glob("*.control"))
    sign = hashlib.sha256(f"{found.bin} {found.version} {has_cron(major)}".encode())
    for file in files:
        sign.update(file.read_bytes())
    home = cache_folder() / "tests"
    target = home / f"{major}-{sign.hexdigest()[:16]}"
    is_debians = found.bin.is_relative_to(DEBIAN)
    with locked(home):
        if not target.exists():
            work = Path(tempfile.mkdtemp(dir=home, prefix=".incoming-"))
            work.chmod(0o755)
            if is_debians:
                shutil.copytree(found.bin.parent, work / "lib/postgresql" / str(major), symlinks=True)
                shutil.copytree(f"/usr/share/postgresql/{major}", work / "share/postgresql" / str(major))
            else:
                shutil.copytree(found.bin.parent, work, symlinks=True, dirs_exist_ok=True)
            (plpgsql,) = work.glob("share/**/plpgsql.control")
            for file in files:
                shutil.copy(file, plpgsql.parent)
            work.rename(target)
    return replace(found, bin=target / "lib/postgresql" / str(major) / "bin" if is_debians else target / "bin")


@cache
def has_cron(major: int) -> bool:
    """Whether that server has pg_cron."""
    share = Path(f"/usr/share/postgresql/{major}/extension/pg_cron.control")
    return tools(major).bin.is_relative_to(DEBIAN) and share.exists()


def preload_cron(cluster: Cluster) -> None:
    """Let a server load pg_cron at its next start; jobs run within the server, which needs no password."""
    with (cluster.root / "data/postgresql.conf").open("a") as configuration:
        configuration.write(
            "shared_preload_libraries = 'pg_stat_statements, pg_cron'\ncron.use_background_workers = on\n"
        )
