"""How fast the files move, against bare loops and other programs: `python benchmarks/storage.py [--quick]`.

It starts its own server, runs the contenders in turn, several times, and prints the medians of the rounds' ratios. Ends
with 1 when one falls short.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from measuring import Times
from server import ID_SQL, KEY_SQL

from supapy import settings
from supapy.project import pgtools
from supapy.sandbox.cluster import Cluster

HERE = Path(__file__).parent
MAJOR = 17
MIB, GIB = 1024**2, 1024**3


@dataclass(frozen=True)
class Run:
    """What one run took: seconds, and the most memory in MB where that is known."""

    seconds: float
    memory_mb: float = 0.0


@dataclass(frozen=True)
class Sizes:
    """How much work there is. The small uploads take a second, in which the machine's own speed shows: they have more
    rounds."""

    rounds: int
    upload_rounds: int
    downloads: int
    large: int
    unchanged: int
    uploads: int
    upload_large: int
    huge: int


FULL = Sizes(5, 15, 20_000, 2 * GIB, 100_000, 5_000, GIB, 5 * GIB)
QUICK = Sizes(3, 5, 2_000, 512 * MIB, 5_000, 1_000, 96 * MIB, GIB)


class Table:
    """The lines of the result. What can't be measured counts as short."""

    def __init__(self) -> None:
        self.held = self.short = 0
        print(f"{'work':48} {'against':16} {'measured':>22} {'at least':>10}")

    def line(self, work: str, against: str, measured: str, needed: str, held: bool) -> None:
        """One comparison."""
        self.held += held
        self.short += not held
        print(f"{work:48} {against:16} {measured:>22} {needed:>10} {'' if held else '  SHORT'}", flush=True)


@contextmanager
def server(listed: int) -> Iterator[str]:
    """The address of a fresh server that lists so many objects."""
    with subprocess.Popen([sys.executable, HERE / "server.py", str(listed)], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def contender(name: str, url: str, folder: Path, number: int, given: str = "") -> Run:
    """One of `contenders.py`."""
    command: list[str | Path] = [sys.executable, HERE / "contenders.py", name, url, folder, str(number)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return Run(*map(float, done.stdout.split()))


def program(*command: str | Path) -> Run:
    """Another program, with its start."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Run(time.perf_counter() - begun)


def in_turn(rounds: int, contenders: Mapping[str, Callable[[], Run]]) -> Times:
    """How long each takes. They take turns, so that what else the machine does hits all alike."""
    runs = [{name: run() for name, run in contenders.items()} for _ in range(rounds)]
    return Times({name: [one[name].seconds for one in runs] for name in contenders})


class Folders:
    """Fresh folders, gone when the next is asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0

    def fresh(self) -> Path:
        """One that isn't there yet. What the runs before have written is on the disk, so that it hinders no other."""
        for path in self._root.glob("run-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        os.sync()
        self._count += 1
        return self._root / f"run-{self._count}"


def small_downloads(table: Table, sizes: Sizes, url: str, folders: Folders) -> None:
    """Many small objects, against the bare loop and rclone."""
    number = sizes.downloads
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    copy = ("copy", "--config", "", "--http-url", f"{url}/files/{number}/", "--http-no-head", "--transfers", "32")
    contenders = {
        "ours": lambda: contender("download", url, folders.fresh(), number),
        "bare": lambda: contender("bare-download", url, folders.fresh(), number),
    }
    if rclone:
        contenders["rclone"] = lambda: program(rclone, *copy, ":http:", folders.fresh())
    found = in_turn(sizes.rounds, contenders)
    work = f"download {number:,} x 4 KiB, durable and hashed"
    ratio(table, work, "bare loop, fsync", found, "bare", 0.7, number)
    if rclone:
        ratio(table, work, "rclone, no fsync", found, "rclone", 1.0, number)
    else:
        table.line(work, "rclone", "skipped: not there", "1.0 x", held=False)


def ratio(table: Table, work: str, against: str, found: Times, theirs: str, needed: float, number: int) -> None:
    """Our rate by theirs."""
    times = found.ratio(theirs, "ours")
    table.line(work, against, f"{times:.2f} x ({number / found['ours']:,.0f}/s)", f"{needed} x", held=times >= needed)


def large_download(table: Table, sizes: Sizes, url: str, folders: Folders) -> None:
    """One large object, against curl."""
    size = sizes.large
    address = f"{url}/storage/v1/object/authenticated/files/{size}-bytes"
    found = in_turn(
        sizes.rounds,
        {
            "ours": lambda: contender("download-large", url, folders.fresh(), size),
            "curl": lambda: program("curl", "-s", "-o", folders.fresh(), address),
        },
    )
    ratio(table, f"download one object of {size // MIB:,} MiB, in MiB/s", "curl -o", found, "curl", 0.8, size // MIB)


def uploads(table: Table, sizes: Sizes, url: str, folders: Folders) -> None:
    """Small files and a large one, against the bare loop."""
    source = folders.fresh()
    source.mkdir()
    for one in range(sizes.uploads):
        (source / f"4k-{one}").write_bytes(b"x" * 4096)
    with (source / "large").open("wb") as file:
        file.truncate(sizes.upload_large)
    for name, title, number, unit, rounds in (
        ("upload", f"upload {sizes.uploads:,} x 4 KiB", sizes.uploads, 1, sizes.upload_rounds),
        (
            "upload-large",
            f"upload one of {sizes.upload_large // MIB:,} MiB by TUS, in MiB/s",
            sizes.upload_large,
            MIB,
            sizes.rounds,
        ),
    ):
        who = {"ours": name, "bare": f"bare-{name}"}
        found = in_turn(rounds, {one: partial(contender, what, url, source, number) for one, what in who.items()})
        ratio(table, title, "bare loop", found, "bare", 0.7, number // unit)


def again(table: Table, sizes: Sizes, url: str, folders: Folders) -> None:
    """A backup of objects none of which has changed since the last."""
    root, target = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)), folders.fresh()
    root.chmod(0o755)
    cluster = Cluster(root, pgtools.find_or_install(MAJOR, bin_dir=settings.load().pg_bin))
    number = sizes.unchanged
    try:
        cluster.create()
        cluster.start()
        with psycopg.connect(cluster.admin_dsn.reveal(), autocommit=True) as connection:
            connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('files', 'files')")
            rows = (
                "INSERT INTO storage.objects (bucket_id, name, id, version, metadata) "
                f"SELECT 'files', {KEY_SQL}, {ID_SQL}, gen_random_uuid(), '{{\"size\": 4096}}' "
                f"FROM generate_series(1, {number}) n"
            )
            connection.execute(rows.encode())
        contender("back-up", url, target, number, cluster.dsn.reveal())
        before = fetched(url)
        run = contender("back-up", url, target, number, cluster.dsn.reveal())
        work = f"back up again, {number:,} unchanged objects"
        gets, rate = fetched(url) - before, number / run.seconds
        table.line(work, "GETs", f"{gets:,}", "0", held=gets == 0)
        table.line(work, "objects/s", f"{rate:,.0f}", "8,000", held=rate >= 8_000)
        table.line(work, "memory", f"{run.memory_mb:.0f} MB", "<= 150 MB", held=run.memory_mb <= 150)
    finally:
        cluster.stop()
        shutil.rmtree(root)


def fetched(url: str) -> int:
    """How many objects the server has handed out."""
    with urllib.request.urlopen(f"{url}/fetched") as answer:
        return int(answer.read())


def memory(table: Table, sizes: Sizes, url: str, folders: Folders) -> None:
    """The most memory that one very large object takes."""
    run = contender("download-large", url, folders.fresh(), sizes.huge)
    work = f"peak memory, one object of {sizes.huge // GIB} GiB"
    table.line(work, "", f"{run.memory_mb:.0f} MB", "<= 250 MB", held=run.memory_mb <= 250)


def main() -> int:
    """All comparisons; the last line counts them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less work, under a minute; the ratios scatter more")
    parser.add_argument("--only", choices=["small", "large", "upload", "again", "memory"], help="one of them")
    chosen = parser.parse_args()
    sizes = QUICK if chosen.quick else FULL
    every = {
        "small": small_downloads,
        "large": large_download,
        "upload": uploads,
        "again": again,
        "memory": memory,
    }
    table = Table()
    root = Path(tempfile.mkdtemp(prefix="supapy-benchmark-"))
    try:
        with server(sizes.unchanged) as url:
            for name, compare in every.items():
                if chosen.only in (None, name):
                    compare(table, sizes, url, Folders(root))
    finally:
        shutil.rmtree(root)
    print(f"{table.held} held, {table.short} short")
    return 1 if table.short else 0


if __name__ == "__main__":
    sys.exit(main())
