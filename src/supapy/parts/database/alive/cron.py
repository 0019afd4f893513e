"""Jobs of pg_cron: read, scheduled again by its own functions, put to sleep in the same statement (recipe §6.10)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from supapy.parts.database.alive.quiesced import CRON_JOB, letting_sleep, read_quiesced
from supapy.parts.database.sql.statements import over_rows
from supapy.project.moment import Moment
from supapy.project.schema import installed


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `database` is None for the project's own; `active` also while it sleeps, which `waiting` says."""

    number: int
    name: str | None
    schedule: str
    command: str
    database: str | None
    username: str
    active: bool
    waiting: bool

    @property
    def title(self) -> str:
        """What people call it: by its name, or else by the number it has here."""
        return f"cron job {self.name if self.name is not None else self.number}"

    @property
    def acts(self) -> bool:
        """Whether it runs at its times, and doesn't wait to be woken."""
        return self.active and not self.waiting


def read_jobs(moment: Moment) -> list[Job]:
    """All jobs, whoever's they are, by number."""
    if "pg_cron" not in installed(moment):
        return []
    asleep = {one.job for one in read_quiesced(moment) if one.sort == CRON_JOB}
    return [
        Job(number, name, at, command, database, role, active or number in asleep, not active and number in asleep)
        for number, name, at, command, database, role, active in moment.rows(_JOBS)
    ]


def cron_sql(jobs: Iterable[Job], moment: Moment) -> str:
    """Statements that schedule the jobs, asleep or awake as the setting `supapy.quiesce` says; asleep without it."""
    rows = [(j.number, j.name, j.schedule, j.command, j.database, j.username, j.active, j.waiting) for j in jobs]
    return over_rows("supapy_jobs", _COLUMNS, rows, letting_sleep("cron", source=moment.project.host)) if rows else ""


def inventory(jobs: Iterable[Job]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The jobs as they are compared: by name, those without one by what they do; numbers change in a restore."""
    twins: dict[str, int] = {}
    for job in jobs:
        what = f"cron job {job.name}"
        if job.name is None:
            sign = hashlib.sha256(f"{job.schedule}\0{job.command}".encode()).hexdigest()[:_SIGN_CHARS]
            what = f"cron job without a name ({job.schedule}, command {sign})"
        title = f"{what} of {job.username}"
        twins[title] = twins.get(title, 0) + 1
        yield (
            title if twins[title] == 1 else f"{title}, {twins[title]}",
            {"schedule": job.schedule, "command": job.command, "database": job.database, "active": job.active},
        )


# Enough to tell the commands of one project apart.
_SIGN_CHARS = 12
_COLUMNS = [
    *("number bigint", "name text", "schedule text", "command text", "database text", "username text"),
    *("active boolean", "waiting boolean"),
]
_JOBS = """
SELECT jobid, jobname::text, schedule, command, nullif(database, pg_catalog.current_database()), username, active
FROM cron.job ORDER BY jobid
"""
