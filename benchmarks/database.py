"""The database part against PostgreSQL's own programs: ratios of times measured in one run, turn by turn, and memory.

    python benchmarks/database.py [--quick] [--rounds N] [--only NAME]

It makes its own data on a local project. Every figure is a median, a ratio the median of the rounds' ratios; the last
line is `H held, F short`, and the exit code is 1 when any ratio is above what it may be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from database_load import large_load
from measuring import MAJOR, MEMORY, Board, Contender, fill, peak_mb, program, server, turns

from supapy.catalog import Catalog
from supapy.frames import LEVEL
from supapy.parts.database.part import DatabasePart
from supapy.project.pgtools import PgTools, find_or_install
from supapy.project.project import Project
from supapy.project.pumps import usual_jobs
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret
from supapy.store.local import LocalStore

LINE_BYTES_PER_SECOND = 10_000_000
LINE_JOBS = 8


@dataclass(frozen=True)
class Size:
    """How much there is to do; and by what factor ratios may be larger, where so little is done that what each program
    needs to begin weighs more. What takes a fifth of a second needs more rounds."""

    rounds: int
    small_rounds: int
    large_mb: int
    line_mb: int
    load_mb: int
    huge_mb: int | None
    slack: float


FULL = Size(rounds=5, small_rounds=15, large_mb=600, line_mb=240, load_mb=600, huge_mb=2000, slack=1)
QUICK = Size(rounds=1, small_rounds=3, large_mb=150, line_mb=60, load_mb=100, huge_mb=None, slack=2)
SMALL_TABLES = 500
# Few enough rows that only statements count, and so many that the rows do as well.
ROWS_A_SMALL_TABLE = (20, 1000)


def dump(db_url: Secret, tools: PgTools, folder: Path, jobs: int) -> None:
    """A backup of the database, as `supapy backup --compress` makes it but for the JSON tables: files written, counted,
    hashed and durable, and removed again."""
    project = Project("http://127.0.0.1:9", Secret("sb_secret_unused"), db_url, pg_bin=tools.bin)
    catalog = Catalog(LocalStore(folder / "backups"))
    with project, project.moment() as moment, catalog.draft(compress=True) as draft:
        with closing(DatabasePart(jobs=jobs, compress=True).dump(moment)) as dumped:
            draft.take_all(dumped)
        draft.commit({})
    catalog.discard(draft.label)


def pg_dump(tools: PgTools, db_url: Secret, folder: Path, *options: str) -> Contender:
    """pg_dump of all into one place, which it finds empty."""
    target = folder / "pg_dump"

    def run() -> None:
        program(tools, db_url, "pg_dump", f"--compress=zstd:{LEVEL}", f"--file={target}", *options)()
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()

    return run


@contextmanager
def line(cluster: Cluster) -> Iterator[Secret]:
    """The same database over a line that gives each connection so much and no more."""
    script = Path(__file__).with_name("throttle.py")
    command = [sys.executable, str(script), str(cluster.port), str(LINE_BYTES_PER_SECOND)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        port = proxy.stdout.readline().strip()
        yield Secret(cluster.dsn.reveal().replace(f":{cluster.port}/", f":{port}/"))
        assert proxy.stdin
        proxy.stdin.close()


def large_table(board: Board, folder: Path, tools: PgTools, size: Size) -> None:
    """One large table, nothing between."""
    with server(folder, tools, "large") as (cluster, connection):
        fill(connection, "large", size.large_mb)
        found = turns(
            {
                "ours": lambda: dump(cluster.dsn, tools, folder, usual_jobs()),
                "pg_dump": pg_dump(tools, cluster.dsn, folder, "--format=custom"),
                "limit": program(tools, cluster.dsn, "psql", "-X", "-q", "-c", "COPY public.large TO STDOUT"),
            },
            size.rounds,
        )
    detail = "{ours:.2f} s, {pg_dump:.2f} s; one psql COPY to nowhere {limit:.2f} s".format(**found)
    board.row(
        f"dump of one {size.large_mb} MB table", "pg_dump -Fc, zstd", found.ratio("ours", "pg_dump"), 0.95, detail
    )


def over_a_line(board: Board, folder: Path, tools: PgTools, size: Size) -> None:
    """One large table over a line that is slow for each connection."""
    with server(folder, tools, "line") as (cluster, connection):
        fill(connection, "large", size.line_mb)
        with line(cluster) as db_url:
            found = turns(
                {
                    "ours": lambda: dump(db_url, tools, folder, LINE_JOBS),
                    "one": pg_dump(tools, db_url, folder, "--format=custom"),
                    "many": pg_dump(tools, db_url, folder, "--format=directory", f"--jobs={LINE_JOBS}"),
                },
                size.rounds,
            )
    work = f"{size.line_mb} MB, 10 MB/s a connection, --jobs {LINE_JOBS}"
    detail = "{ours:.2f} s, {one:.2f} s, {many:.2f} s".format(**found)
    board.row(work, "pg_dump -Fc, zstd", found.ratio("ours", "one"), 0.16, detail)
    board.row(work, f"pg_dump -Fd -j{LINE_JOBS}, zstd", found.ratio("ours", "many"), 0.16, "")


def small_tables(board: Board, folder: Path, tools: PgTools, size: Size) -> None:
    """Many tables with a few rows each, and with more."""
    for rows in ROWS_A_SMALL_TABLE:
        _small_tables(board, folder, tools, size, rows)


def _small_tables(board: Board, folder: Path, tools: PgTools, size: Size, rows: int) -> None:
    with server(folder, tools, "small") as (cluster, connection):
        for number in range(SMALL_TABLES):
            connection.execute(
                f"CREATE TABLE t{number} (id int PRIMARY KEY, name text, at timestamptz DEFAULT now()); "
                f"INSERT INTO t{number} SELECT i, 'name ' || i FROM generate_series(1, {rows}) i".encode()
            )
        found = turns(
            {
                "ours": lambda: dump(cluster.dsn, tools, folder, usual_jobs()),
                "pg_dump": pg_dump(tools, cluster.dsn, folder, "--format=custom"),
            },
            size.small_rounds,
        )
    detail = "{ours:.2f} s, {pg_dump:.2f} s".format(**found)
    work = f"dump of {SMALL_TABLES} tables of {rows} rows"
    board.row(work, "pg_dump -Fc, zstd", found.ratio("ours", "pg_dump"), 1.1, detail)


def loaded_table(board: Board, folder: Path, tools: PgTools, size: Size) -> None:
    """One large table, back into a project."""
    large_load(board, folder, tools, size.load_mb, size.rounds)


def memory(board: Board, folder: Path, tools: PgTools, megabytes: int) -> None:
    """The largest amount of memory that a dump by eight connections takes, in a process that does nothing else."""
    with server(folder, tools, "huge") as (cluster, connection):
        fill(connection, "huge", megabytes)
        command = [sys.executable, __file__, "--memory-of", str(LINE_JOBS), str(folder)]
        ran = subprocess.run(
            command, input=cluster.dsn.reveal(), env=dict(os.environ), capture_output=True, text=True, check=True
        )
    board.amount(f"peak memory, {megabytes} MB table, --jobs {LINE_JOBS}", float(ran.stdout), 200, "MB")


def memory_of(jobs: int, folder: Path) -> None:
    """Dump the database whose connection string comes by standard input; print the memory that took, in MB."""
    dump(Secret(sys.stdin.read()), find_or_install(MAJOR), folder, jobs)
    print(peak_mb())


def run(size: Size, only: str | None = None) -> int:
    """Measure all, or one of them; gives the exit code."""
    tools = find_or_install(MAJOR)
    print(f"PostgreSQL {tools.version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores, {size.rounds} rounds")
    board = Board(size.slack)
    needed = 3 * max(size.large_mb, size.huge_mb or 0) * 1_000_000
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > needed
    folder = Path(tempfile.mkdtemp(prefix="supapy-benchmark-", dir=MEMORY if in_memory else None))
    # The server's account must get in.
    folder.chmod(0o755)
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder)
        for name, measure in (
            ("large", large_table),
            ("line", over_a_line),
            ("small", small_tables),
            ("load", loaded_table),
        ):
            if only in (None, name):
                measure(board, folder, tools, size)
        if size.huge_mb and only in (None, "memory"):
            memory(board, folder, tools, size.huge_mb)
    print(f"{board.held} held, {board.short} short")
    return 1 if board.short else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less data, one round, wider bounds, under a minute")
    parser.add_argument("--rounds", type=int, metavar="N", help="so many rounds of each, for trying")
    parser.add_argument("--only", choices=("large", "line", "small", "load", "memory"), help="one of them")
    parser.add_argument("--memory-of", nargs=2, metavar=("JOBS", "FOLDER"), help=argparse.SUPPRESS)
    said = parser.parse_args(arguments)
    if said.memory_of:
        memory_of(int(said.memory_of[0]), Path(said.memory_of[1]))
        return 0
    size = QUICK if said.quick else FULL
    if said.rounds:
        size = replace(size, rounds=said.rounds, small_rounds=said.rounds)
    return run(size, said.only)


if __name__ == "__main__":
    sys.exit(main())
