"""What benchmarks have in common: a server with data in it, contenders who take turns, and a board that holds what was
measured against what it may be."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psycopg

from supapy.project.pgtools import PgTools
from supapy.project.postgres import environment
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret

MAJOR = 17
# Where there is room, so that it isn't the disk that is measured.
MEMORY = Path("/dev/shm")
BYTES_A_ROW = 281

Contender = Callable[[], object]


@dataclass
class Board:
    """What was measured, printed as it comes. Ratios may be larger by a factor of `slack`."""

    slack: float
    held: int = 0
    short: int = 0

    def row(self, work: str, against: str, ratio: float, at_most: float, detail: str) -> None:
        """A ratio, held against what it may be."""
        at_most *= self.slack
        self._say(f"{work:<44} {against:<24} {ratio:6.2f} x  at most {at_most:g}", ratio <= at_most, detail)

    def amount(self, work: str, found: float, at_most: float, unit: str) -> None:
        """An amount, held against what it may be."""
        self._say(f"{work:<44} {'':<24} {found:6.0f} {unit} at most {at_most:g}", found <= at_most, "")

    def _say(self, text: str, holds: bool, detail: str) -> None:
        self.held += holds
        self.short += not holds
        print(f"{'held ' if holds else 'SHORT'}  {text}  {detail}".rstrip(), flush=True)


class Times(dict[str, float]):
    """The median time of each contender, in seconds."""

    def __init__(self, taken: dict[str, list[float]]) -> None:
        super().__init__({name: median(times) for name, times in taken.items()})
        self._taken = taken

    def ratio(self, one: str, other: str) -> float:
        """The median of the rounds' ratios: within a round the machine is about as fast for one as for the other, from
        one round to the next it may not be."""
        return median(mine / theirs for mine, theirs in zip(self._taken[one], self._taken[other], strict=True))


def turns(contenders: Mapping[str, Contender], rounds: int, between: Contender = lambda: None) -> Times:
    """How long each takes; in every round each has its turn, and each round begins with another one. What is done
    `between` two turns isn't counted."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(rounds):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            between()
            begin = time.perf_counter()
            contenders[name]()
            times[name].append(time.perf_counter() - begin)
    return Times(times)


def program(tools: PgTools, db_url: Secret, *arguments: str | Path) -> Contender:
    """One of PostgreSQL's programs; its output is thrown away where it isn't told to write a file."""

    def run() -> None:
        subprocess.run(
            [tools.path(str(arguments[0])), *arguments[1:]],
            env={**tools.environment, **environment(db_url)},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    return run


def fill(connection: psycopg.Connection, table: str, megabytes: int) -> None:
    """A table of about that size as COPY's text: keys, times, numbers, short and longer texts, arrays, JSON."""
    connection.execute(
        f"""
        CREATE TABLE {table} AS
        SELECT i AS id, gen_random_uuid() AS owner, now() - i * interval '1 second' AS at, i * 1.25 AS amount,
            'name ' || i AS name, repeat(md5(i::text), 4) AS note, ARRAY['a', i::text] AS tags,
            jsonb_build_object('n', i, 'deep', jsonb_build_array(i, NULL)) AS body
        FROM generate_series(1, {megabytes * 1_000_000 // BYTES_A_ROW}) i
        """.encode()
    )


@contextmanager
def server(folder: Path, tools: PgTools, name: str) -> Iterator[tuple[Cluster, psycopg.Connection]]:
    """A fresh project's database."""
    root = folder / name
    root.mkdir()
    cluster = Cluster(root, tools)
    cluster.create()
    cluster.start()
    try:
        with psycopg.connect(cluster.dsn.reveal(), autocommit=True) as connection:
            connection.execute("SET search_path = public, extensions")
            # The role's own two minutes are too few for filling a table beside other work.
            connection.execute("SET statement_timeout = 0")
            yield cluster, connection
    finally:
        cluster.stop()
        shutil.rmtree(root)


def peak_mb() -> float:
    """The most memory that this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 / (1024 if sys.platform == "darwin" else 1)
