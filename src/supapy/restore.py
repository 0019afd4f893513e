"""Restoring: check the backup, make a plan that only reads, ask, apply its steps, and prove the result equal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from supapy.backup import Backup
from supapy.choice import Choice, to_restore
from supapy.errors import RestoreRefused, StoreError
from supapy.events import Advanced, Finished, Listener, Noted, Started, ignore
from supapy.known import remember
from supapy.model import Difference, Match, Omission, Problem, Proof, Step
from supapy.parts.base import Obstacle
from supapy.project.project import Project
from supapy.verify import check_files, hold_against


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore would do: nothing has been written yet. `obstacles` are what the named target holds already,
    `omissions` what is known not to come back."""

    label: str
    source_ref: str
    target_ref: str
    choice: Choice
    steps: list[Step]
    obstacles: list[Obstacle]
    saved_problems: list[Problem]
    omissions: list[Omission]


@dataclass(slots=True)
class Outcome:
    """What a restore came to. It is whole when nothing failed to come back and the comparison found no difference."""

    plan: Plan
    problems: list[Problem] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.problems and not self.differences


def make_plan(backup: Backup, project: Project, choice: Choice, into: str | None = None) -> Plan:
    """The plan for restoring into the project. Reads only.

    Raises RestoreRefused when the target isn't empty or is the backup's own source, unless `into` names it by its
    ref; and always when something stands in the way that would have to be overwritten.
    """
    choice = choice.within(backup.metadata)
    choice.check(project)
    source_ref = str(backup.metadata.get("source", {}).get("ref"))
    if into is not None and into != project.ref:
        raise RestoreRefused(
            f"the settings lead to project {project.ref}, not to {into}", "Choose its settings with --env-file FILE."
        )
    parts = to_restore(choice)
    with project.moment() as moment:
        obstacles = [obstacle for part in parts for obstacle in part.obstacles(backup, moment)]
    final = [obstacle for obstacle in obstacles if obstacle.final]
    if into is None and project.ref == source_ref:
        raise RestoreRefused(
            f"project {project.ref} is the one this backup was made of",
            f"Choose another target with --env-file FILE, or say that you mean it: --into {project.ref}",
        )
    if final:
        raise RestoreRefused(
            f"project {project.ref} can't take this backup: {_texts(final)}",
            "Nothing was written. Mend that first, or choose an empty target with --env-file FILE.",
        )
    if into is None and obstacles:
        raise RestoreRefused(
            f"project {project.ref} isn't empty: it holds {_texts(obstacles)}",
            f"Choose an empty target with --env-file FILE, or say that you mean it: --into {project.ref}",
        )
    loaded = [one for part in parts for one in part.load(backup, project)]
    steps = [one for one in loaded if isinstance(one, Step)]
    omissions = [one for one in loaded if isinstance(one, Omission)]
    return Plan(backup.label, source_ref, project.ref, choice, steps, obstacles, backup.manifest[1], omissions)


def restore(
    backup: Backup,
    project: Project,
    choice: Choice | None = None,
    *,
    into: str | None = None,
    confirm: Callable[[Plan], bool],
    check_bytes: bool = True,
    listener: Listener = ignore,
) -> Outcome:
    """Bring the backup into the project and compare. `confirm` is shown the plan and has the last word.

    Raises IntegrityError before anything is sent when a file isn't what was saved, RestoreRefused before anything is
    written when the target isn't one. Running it again after a failure is safe once the target is named.
    """
    check_files(backup, listener)
    plan = make_plan(backup, project, choice or Choice(), into)
    if not confirm(plan):
        raise RestoreRefused("not confirmed", "Nothing was written.")
    outcome = Outcome(plan)
    for step in plan.steps:
        listener(Started(step.title, step.total, step.unit))
        for problem in step.apply(lambda amount, title=step.title: listener(Advanced(title, amount))):  # type: ignore[misc]
            outcome.problems.append(problem)
            listener(Noted(problem))
        listener(Finished(step.title))
    matches: list[Match] = []
    for finding in hold_against(backup, project, plan.choice, check_bytes=check_bytes, listener=listener):
        if isinstance(finding, Proof):
            outcome.proofs.append(finding)
        elif isinstance(finding, Match):
            matches.append(finding)
        elif finding.kind != "extra" or not plan.obstacles:
            # In a target that held something already, what is extra was known before and named in the plan.
            outcome.differences.append(finding)
    if matches:
        # It saves the next backup of the target work; where backups can only be read it doesn't.
        with suppress(StoreError):
            remember(backup.store, project.ref, backup.label, matches)
    return outcome


def _texts(obstacles: list[Obstacle]) -> str:
    return ", ".join(obstacle.text for obstacle in obstacles)
