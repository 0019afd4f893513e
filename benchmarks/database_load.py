"""The other way: a large table with indexes loaded into an empty project, against psql and pg_restore."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from measuring import MAJOR, Board, Contender, Times, fill, peak_mb, program, server

from supapy.journal import Journal
from supapy.model import Entry, Item, Step
from supapy.parts.database.part import DatabasePart
from supapy.project.mark import Mark, under_way
from supapy.project.pgtools import PgTools, find_or_install
from supapy.project.project import Project
from supapy.project.pumps import usual_jobs
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret
from supapy.store.memory import MemoryStore

INDEXES = """
ALTER TABLE large ADD PRIMARY KEY (id);
CREATE INDEX large_owner ON large (owner);
CREATE INDEX large_at ON large (at);
"""
# The same for all: a server with the usual settings stops for a checkpoint every gigabyte of its log and vacuums what
# came in, now in one's turn, now in another's.
SETTINGS = ("max_wal_size = '16GB'", "checkpoint_timeout = '1h'", "autovacuum = off")
MARK = Mark("backup_20261122_071500", "source", "digest", {})
PIECE_BYTES = 256 * 1024


class Folder:
    """The files of a dump as a backup gives them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.metadata: dict[str, Any] = {}
        self.source_ref = ""

    def entries(self, part: str) -> list[Entry]:
        return []

    def has(self, path: str) -> bool:
        return (self._path / path).exists()

    def count(self, part: str, what: str) -> int:
        return 0

    def size(self, path: str) -> int:
        return (self._path / path).stat().st_size

    def sha256(self, path: str) -> str:
        return ""

    def read(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with (self._path / path).open("rb") as file:
            file.seek(start)
            left = (self.size(path) if end is None else end) - start
            while left and (piece := file.read(min(left, PIECE_BYTES))):
                left -= len(piece)
                yield piece

    def read_json(self, path: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads((self._path / path).read_bytes())
        return said


def load(db_url: Secret, tools: PgTools, folder: Path, jobs: int) -> None:
    """What a restore does for this part, with its mark."""
    with project_of(db_url, tools) as project, under_way(project, MARK):
        for step in DatabasePart(jobs=jobs).load(Folder(folder), project, Journal(MemoryStore(), "ref")):
            assert isinstance(step, Step)
            problems = [*step.apply(lambda _: None)]
            assert not problems, problems


def save(db_url: Secret, tools: PgTools, folder: Path) -> None:
    """The files of a backup, not compressed, as they are unless told otherwise."""
    with project_of(db_url, tools) as project, project.moment() as moment:
        for one in DatabasePart().dump(moment):
            if isinstance(one, Item):
                with (folder / one.path).open("wb") as file:
                    file.writelines(one.open())  # type: ignore[arg-type]


def project_of(db_url: Secret, tools: PgTools) -> Project:
    """A project of which only the database is there."""
    return Project("http://127.0.0.1:9", Secret("sb_secret_unused"), db_url, pg_bin=tools.bin)


def large_load(board: Board, folder: Path, tools: PgTools, megabytes: int, rounds: int) -> None:
    """One large table with three indexes."""
    plain, archive = folder / "plain.sql", folder / "archive"
    with server(folder, tools, "source") as (cluster, connection):
        fill(connection, "large", megabytes)
        connection.execute(INDEXES.encode())
        save(cluster.dsn, tools, folder)
        for form, file in (("plain", plain), ("directory", archive)):
            dump = ("pg_dump", "--table=public.large", "--compress=0", f"--format={form}", f"--file={file}")
            program(tools, cluster.dsn, *dump)()
    with server(folder, tools, "target") as (cluster, _):
        _settle(cluster)
        # First, since whoever loads first into a new server waits for the files of its log to be made.
        peak = _memory(cluster, folder)
        restore = ("pg_restore", "--exit-on-error", "--dbname=postgres", "--jobs=2")
        found = _turns(
            {
                "ours": lambda: load(cluster.dsn, tools, folder, usual_jobs()),
                "psql": program(tools, cluster.dsn, "psql", "-X", "-q", "-f", plain),
                "pg_restore": program(tools, cluster.dsn, *restore, archive),
            },
            rounds,
            cluster,
        )
    work = f"load of one {megabytes} MB table, 3 indexes"
    for name, peer, at_most in (("psql", "psql -f", 0.75), ("pg_restore", "pg_restore -Fd -j2", 0.8)):
        alike = found["ours"] / (found[name] + found["analyze"])
        detail = f"{found['ours']:.2f} s, {found[name]:.2f} s; with its ANALYZE, which ours has, {alike:.2f} x"
        board.row(work, peer, found.ratio("ours", name), at_most, detail)
    board.amount(f"peak memory of it, --jobs {usual_jobs()}", peak, 200, "MB")
    plain.unlink()
    shutil.rmtree(archive)


def _settle(cluster: Cluster) -> None:
    with psycopg.connect(cluster.admin_dsn.reveal(), autocommit=True) as connection:
        for setting in SETTINGS:
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        connection.execute("SELECT pg_reload_conf()")


def _turns(contenders: dict[str, Contender], rounds: int, cluster: Cluster) -> Times:
    """As for dumps; each finds the project empty and the server's log written out. Also how long it takes `analyze`,
    which is a part of ours and left to a person by the others."""
    times: dict[str, list[float]] = {name: [] for name in (*contenders, "analyze")}
    order = list(contenders)
    for number in range(rounds):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            _empty(cluster)
            begin = time.perf_counter()
            contenders[name]()
            times[name].append(time.perf_counter() - begin)
            if name != "ours":
                times["analyze"].append(_analyze(cluster))
    return Times(times)


def _analyze(cluster: Cluster) -> float:
    with psycopg.connect(cluster.admin_dsn.reveal(), autocommit=True) as connection:
        begin = time.perf_counter()
        connection.execute("ANALYZE public.large")
        return time.perf_counter() - begin


def _empty(cluster: Cluster) -> None:
    with psycopg.connect(cluster.admin_dsn.reveal(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS public.large")
        connection.execute("CHECKPOINT")


def _memory(cluster: Cluster, folder: Path) -> float:
    _empty(cluster)
    command = [sys.executable, __file__, str(usual_jobs()), str(folder)]
    ran = subprocess.run(
        command, input=cluster.dsn.reveal(), env=dict(os.environ), capture_output=True, text=True, check=True
    )
    return float(ran.stdout)


def main(arguments: Sequence[str]) -> None:
    """Load what a folder has into the database whose connection string comes by standard input; print the memory."""
    load(Secret(sys.stdin.read()), find_or_install(MAJOR), Path(arguments[1]), int(arguments[0]))
    print(peak_mb())


if __name__ == "__main__":
    main(sys.argv[1:])
