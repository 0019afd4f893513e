"""Restoring: check the backup, make a plan that only reads, ask, apply its steps, and prove the result equal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from supapy import __version__
from supapy.backup import Backup
from supapy.choice import Choice, in_part, to_restore, typed
from supapy.cutover import Duty, cut_over
from supapy.errors import RestoreRefused, StoreError, SupapyError
from supapy.events import Advanced, Finished, Listener, Noted, Started, ignore
from supapy.journal import Journal
from supapy.known import remember
from supapy.model import Difference, Match, Omission, Problem, Proof, Step
from supapy.names import component
from supapy.parts.base import Obstacle
from supapy.project.mark import Mark, Options, under_way, unfinished
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.store.base import Store
from supapy.verify import check_files, hold_against

# The form of a restore's report.
REPORT_FORMAT = 1
# An earlier run may have written something: so much is true also where the target hasn't been asked.
UNTOUCHED = "This run wrote nothing."
_MEND = "Mend that first, or choose an empty target with --env-file FILE."


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore would do: nothing has been written yet.

    `obstacles` are what the named target holds already; where the plan `goes_on` with a restore that didn't come to its
    end, what it held before. `omissions` are known not to come back. `mark` is what the target says
    meanwhile, where it can. The backup may have been `saved_in_part` only.
    """

    label: str
    source_ref: str
    target_ref: str
    choice: Choice
    steps: list[Step]
    obstacles: list[Obstacle]
    saved_problems: list[Problem]
    omissions: list[Omission]
    mark: Mark | None
    goes_on: bool = False
    saved_in_part: bool = False

    @property
    def users(self) -> int | None:
        """How many users it brings; None where a part of them may have come by the run that it goes on with."""
        return None if self.goes_on else sum(step.total or 0 for step in self.steps if step.part == "auth")

    @property
    def untouched(self) -> str:
        """What is said of the target when a run ends before it has written anything."""
        if self.goes_on:
            return f"{UNTOUCHED} {self.cut_short}"
        # Without a database nothing tells what is an earlier run's and what isn't.
        return UNTOUCHED if self.obstacles else "Nothing was written."

    @property
    def cut_short(self) -> str:
        """What is said of the target when a run ends before it has come to its end."""
        if self.choice.names_tables:
            return "The database is as it was before."
        if self.mark:
            return "The target is half restored: run the same command again, and it goes on where it was."
        return (
            "The target holds a part of the backup: run the same command with "
            f"--into {shlex.quote(self.target_ref)}, and it goes on where it was."
        )


@dataclass(slots=True)
class Outcome:
    """What a restore came to. It is whole when nothing failed to come back and the comparison found no difference.

    `duties` are what is left to a person; `report` is where all this was written down, None where nothing can be."""

    plan: Plan
    problems: list[Problem] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    duties: list[Duty] = field(default_factory=list)
    report: str | None = None

    @property
    def is_whole(self) -> bool:
        return not self.problems and not self.differences


def make_plan(
    backup: Backup,
    project: Project,
    choice: Choice,
    journal: Journal,
    into: str | None = None,
    *,
    jobs: int | None = None,
    listener: Listener = ignore,
) -> Plan:
    """The plan for restoring into the project, or for going on with that. Reads only.

    Raises RestoreRefused when the target isn't empty or is the backup's own source, unless `into` names it by its
    ref; and always when something stands in the way that would have to be overwritten.
    """
    source_ref = backup.source_ref
    choice = choice.within(backup.metadata).into(same_project=project.ref == source_ref)
    choice.check(project)
    if into is not None and into != project.ref:
        raise RestoreRefused(
            f"the settings lead to project {project.ref}, not to {into}", "Choose its settings with --env-file FILE."
        )
    parts = to_restore(choice, jobs=jobs, listener=listener, journal=journal)
    mark = Mark(backup.label, source_ref, str(backup.metadata["manifest"].get("sha256")), choice.options)
    with project.moment() as moment:
        begun = _begun(moment, mark) if project.has_database else None
        obstacles = [obstacle for part in parts for obstacle in part.obstacles(backup, moment)]
    choice = choice.having_met(parts)
    if begun:
        # What is there by now is its own work; what was there before has been said.
        obstacles = [one for one in obstacles if not one.held] + [Obstacle(*held) for held in begun.held]
    _check_target(project.ref, source_ref, obstacles, into)
    mark = replace(mark, held=tuple((one.part, one.text) for one in obstacles))
    loaded = [one for part in parts for one in part.load(backup, project, journal)]
    return Plan(
        label=backup.label,
        source_ref=source_ref,
        target_ref=project.ref,
        choice=choice,
        steps=[one for one in loaded if isinstance(one, Step)],
        obstacles=obstacles,
        saved_problems=backup.manifest[1],
        omissions=[one for one in loaded if isinstance(one, Omission)],
        mark=mark if project.has_database and not choice.names_tables else None,
        goes_on=bool(begun),
        saved_in_part=bool(in_part(backup.metadata)),
    )


def _begun(moment: Moment, mark: Mark) -> Mark | None:
    """The same restore that was begun before and hasn't come to its end. Raises RestoreRefused for another one."""
    begun = unfinished(moment)
    if begun and not begun.is_the_same_as(mark):
        raise _half_restored(moment.project.ref, begun, mark)
    if begun:
        # It may have made the target one that takes no changes, as its source is.
        moment.project.insist()
    return begun


def _check_target(ref: str, source_ref: str, obstacles: list[Obstacle], into: str | None) -> None:
    """Raises RestoreRefused unless it can take the backup, and is empty and not the source or was named."""
    final = [obstacle for obstacle in obstacles if obstacle.final]
    if into is None and ref == source_ref:
        raise RestoreRefused(
            f"project {ref} is the one this backup was made of",
            f"Choose another target with --env-file FILE, or say that you mean it: --into {ref}",
        )
    if final:
        raise RestoreRefused(
            f"project {ref} can't take this backup: {_texts(final)}",
            " ".join(dict.fromkeys([UNTOUCHED, *(one.hint or _MEND for one in final)])),
        )
    if into is None and obstacles:
        raise RestoreRefused(
            f"project {ref} isn't empty: it holds {_texts(obstacles)}",
            f"Choose an empty target with --env-file FILE, or say that you mean it: --into {ref}",
        )


def _half_restored(ref: str, begun: Mark, wanted: Mark) -> RestoreRefused:
    how, finish = "", f"with the command it was begun with (supapy restore {begun.label} …)"
    if begun.options is None:
        how, finish = ", by another version of supapy", "with that version"
    elif begun.digest == wanted.digest:
        how = f", with other options ({'; '.join(_other_options(begun.options, wanted.options or {}))})"
        finish = f"with: supapy restore {' '.join([begun.label, *map(typed, begun.options.items())])}"
    return RestoreRefused(
        f"project {ref} is half restored: {begun} was on its way in{how}, and the run didn't come to its end",
        f"{UNTOUCHED} Finish that first {finish}, or choose an empty target with --env-file FILE.",
    )


def _other_options(then: Options, now: Options) -> Iterator[str]:
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            before, after = (typed((name, one[name])) if name in one else "without" for one in (then, now))
            yield f"then {before}, now {after}"


def restore(
    backup: Backup,
    project: Project,
    choice: Choice | None = None,
    *,
    into: str | None = None,
    confirm: Callable[[Plan], bool],
    check_bytes: bool = True,
    jobs: int | None = None,
    scan_urls: bool = False,
    listener: Listener = ignore,
) -> Outcome:
    """Bring the backup into the project and compare. `confirm` is shown the plan and has the last word.

    Raises IntegrityError before anything is sent when a file isn't what was saved, RestoreRefused before anything is
    written when the target isn't one. A run that broke off is finished by running it again: until then the target
    says that it is half restored.
    """
    check_files(backup, listener)
    journal = Journal(backup.store, project.ref)
    plan = make_plan(backup, project, choice or Choice(), journal, into, jobs=jobs, listener=listener)
    if not confirm(plan):
        raise RestoreRefused("not confirmed", plan.untouched)
    outcome = Outcome(plan)
    with closing(journal), under_way(project, plan.mark) if plan.mark else nullcontext():
        for step in plan.steps:
            try:
                outcome.problems += _applied(step, listener)
            except SupapyError as error:
                if plan.goes_on or not isinstance(error, RestoreRefused):
                    error.hint = f"{error.hint} {plan.cut_short}" if error.hint else plan.cut_short
                raise
    matches = _compared(outcome, backup, project, check_bytes, listener)
    # It has been compared: what differs all the same is looked at anew by the next run.
    journal.drop()
    if matches:
        # It saves the next backup of the target work; where backups can only be read it doesn't.
        with suppress(StoreError):
            remember(backup.store, project.ref, backup.label, matches)
    outcome.duties = cut_over(backup, project, plan.choice, users=plan.users, scan_urls=scan_urls)
    outcome.report = write_report(backup.store, outcome)
    return outcome


def _compared(outcome: Outcome, backup: Backup, project: Project, check_bytes: bool, listener: Listener) -> list[Match]:
    """Hold the two against each other, and note in the outcome what was found but for the matches."""
    matches: list[Match] = []
    # In a target that held something already, what is extra was known before and named in the plan.
    extras = not outcome.plan.obstacles
    choice = outcome.plan.choice
    for finding in hold_against(backup, project, choice, check_bytes=check_bytes, extras=extras, listener=listener):
        if isinstance(finding, Proof):
            outcome.proofs.append(finding)
        elif isinstance(finding, Match):
            matches.append(finding)
        else:
            outcome.differences.append(finding)
    return matches


def write_report(store: Store, outcome: Outcome) -> str | None:
    """Write what a restore came to beside the backups, for later; gives where. None where backups can only be read."""
    plan = outcome.plan
    said = {
        "format": REPORT_FORMAT,
        "metadata": {
            "label": plan.label,
            "source": plan.source_ref,
            "target": plan.target_ref,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "supapy": __version__,
            "quiesce": plan.choice.quiesce.value if plan.choice.quiesce else None,
            "cut_over": [duty.to_json() for duty in outcome.duties],
        },
        "problems": [one.to_json() for one in outcome.problems],
        "omissions": [one.to_json() for one in plan.omissions],
        "differences": [one.to_json() for one in outcome.differences],
        "proofs": [asdict(one) for one in outcome.proofs],
    }
    path = f"restore_{plan.label}_into_{component(plan.target_ref)}.json"
    try:
        store.put(path, [json.dumps(said, ensure_ascii=False, indent=1).encode("utf-8", "replace") + b"\n"])
    except StoreError:
        return None
    return f"{store.place}/{path}"


def _applied(step: Step, listener: Listener) -> list[Problem]:
    """Do one step; gives what could not be brought back."""
    problems = []
    listener(Started(step.title, step.total, step.unit))
    for problem in step.apply(lambda amount: listener(Advanced(step.title, amount))):
        problems.append(problem)
        listener(Noted(problem))
    listener(Finished(step.title))
    return problems


def _texts(obstacles: list[Obstacle]) -> str:
    return ", ".join(obstacle.text for obstacle in obstacles)
