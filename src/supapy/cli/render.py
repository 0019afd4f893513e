"""What a run came to, in words and tables and as JSON. Every problem and every omission is named once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from supapy.backup import Backup
from supapy.choice import COMPONENTS, Choice, in_part, included
from supapy.cli.screen import Screen
from supapy.cli.words import shown, size
from supapy.model import Difference, Json, Omission, Problem, Proof
from supapy.names import label_time, many
from supapy.restore import Outcome

# More differences than that are a flood; -v names them all.
MOST_DIFFERENCES_NAMED = 20
# Names after one thing that is left to do; -v has them all.
MOST_NAMED = 6
# What the parts of a backup are called where they are counted.
_PART_TITLES = {"tables": "tables_json"}
_AGES = ((365 * 86_400, "year"), (30 * 86_400, "month"), (86_400, "day"), (3600, "hour"), (60, "minute"))


def saved(screen: Screen, backup: Backup) -> None:
    """What is in a backup that was just made, and what isn't."""
    _, problems, omissions = backup.manifest
    screen.say()
    screen.table(
        ("", "saved", "files", "size"),
        [
            (_PART_TITLES.get(name, name), _counted(totals), f"{totals['entries']:,}", size(totals["bytes"]))
            for name, totals in backup.metadata["parts"].items()
        ],
        right=frozenset({2, 3}),
    )
    screen.say()
    not_saved(screen, problems)
    left_out(screen, omissions, "left out")
    if omissions:
        screen.say()
    taken = backup.metadata["stored_bytes"]
    stored = f", compressed to {size(taken)}" if taken != backup.metadata["bytes"] else ""
    whole = f"{backup.path}: {size(backup.metadata['bytes'])} of project {shown(backup.source_ref)}{stored}"
    if problems:
        screen.say(f"{whole}, {many(len(problems), 'problem')}", "bold yellow", always=True)
    else:
        screen.say(whole, "bold green")


def proved(screen: Screen, proofs: Sequence[Proof]) -> None:
    """What a comparison looked at and found equal."""
    before = ["", *(proof.part for proof in proofs)]
    rows = [
        ("" if proof.part == last else proof.part, f"{proof.count:,}", shown(proof.sort))
        for proof, last in zip(proofs, before, strict=False)
    ]
    screen.say()
    if rows:
        screen.table(("", "equal", ""), rows, right=frozenset({1}))
        screen.say()


def differing(screen: Screen, differences: Sequence[Difference]) -> None:
    """The first differences by name; the rest is counted."""
    named = differences if screen.verbose else differences[:MOST_DIFFERENCES_NAMED]
    for one in named:
        detail = f": {shown(one.detail)}" if one.detail else ""
        screen.say(f"{one.part} {shown(one.name)}{detail}", "yellow", lead=f"{one.kind}: ", always=True)
    if rest := len(differences) - len(named):
        screen.say(f"… and {many(rest, 'more difference')}; `supapy -v` names them all", "yellow", always=True)


def restored(screen: Screen, outcome_: Outcome) -> int:
    """What a restore came to, for people or programs; gives the exit code."""
    outcome(screen, outcome_)
    said = outcome_json(outcome_)
    screen.result(said)
    return int(said["exit_code"])


def outcome(screen: Screen, restored: Outcome) -> None:
    """What a restore proved, what it could not bring back, what differs, what is left to do, and the sum of it."""
    proved(screen, restored.proofs)
    not_restored(screen, restored.problems)
    differing(screen, restored.differences)
    _left_to_do(screen, restored)
    tables = "What was chosen of " if restored.plan.choice.names_tables else ""
    said = f"{tables}{restored.plan.label} is restored into project {shown(restored.plan.target_ref)}"
    if restored.is_whole and tables:
        screen.say(f"{said}, as it was saved", "bold green")
        return
    if restored.is_whole:
        but = ", but for what the plan said won't come back" if restored.plan.omissions else ""
        compared = scope(restored.plan.choice, restored.plan.saved_in_part)
        screen.say(f"{said}: the two are equal{compared}{but}", "bold green")
        return
    problems, differences = len(restored.problems), len(restored.differences)
    lacks = f"{many(problems, 'thing')} could not be brought back, {many(differences, 'difference')} found"
    screen.say(f"{said}, but not whole: {lacks}", "bold yellow", always=True)


def _left_to_do(screen: Screen, restored: Outcome) -> None:
    """What a person must still do, and where it can be read again."""
    if restored.duties:
        screen.say("What is left to do:", "bold")
    for number, duty in enumerate(restored.duties, 1):
        named = duty.names if screen.verbose else duty.names[:MOST_NAMED]
        more = f", and {len(duty.names) - len(named)} more" if len(named) < len(duty.names) else ""
        names = f": {', '.join(map(shown, named))}{more}" if named else ""
        screen.say(f"{shown(duty.text)}{names}", lead=f"{number:4}. ")
    if restored.report:
        screen.say(f"It stands in {restored.report} as well.", "dim")
    screen.say()


def outcome_json(restored: Outcome) -> Json:
    """What a restore came to as one object."""
    return {
        "label": restored.plan.label,
        "target": restored.plan.target_ref,
        "problems": items_json(restored.problems),
        "omissions": items_json(restored.plan.omissions),
        "differences": items_json(restored.differences),
        "proofs": proofs_json(restored.proofs),
        "cut_over": [duty.to_json() for duty in restored.duties],
        "report": restored.report,
        "exit_code": 0 if restored.is_whole else 3,
    }


def not_saved(screen: Screen, problems: Iterable[Problem]) -> None:
    """What a backup should have and hasn't."""
    _problems(screen, problems, "not saved")


def left_out(screen: Screen, omissions: Iterable[Omission], verb: str, *, always: bool = False) -> None:
    """What is known not to be saved, or not to come back, and what can be done about it."""
    for omission in omissions:
        screen.say(f"{shown(omission.name)}. {shown(omission.remedy)}", "dim", lead=f"{verb}: ", always=always)


def not_restored(screen: Screen, problems: Iterable[Problem]) -> None:
    """What could not be brought back."""
    _problems(screen, problems, "not restored")


def _problems(screen: Screen, problems: Iterable[Problem], verb: str) -> None:
    for problem in problems:
        name = f"{problem.part} {shown(problem.name)}"
        screen.say(f"{name}: {shown(problem.reason)}", "red", lead=f"{verb}: ", always=True)


def _counted(totals: Json) -> str:
    return ", ".join(many(number, shown(what).removesuffix("s")) for what, number in totals["counts"].items())


def scope(choice: Choice, saved_in_part: bool) -> str:
    """What a comparison was about, after "equal"; "" where that is all there is."""
    chosen, names = choice.narrowed_by, choice.components
    if len(names) == len(COMPONENTS) and not (chosen or saved_in_part):
        return ""
    how = [f"as chosen by {shown(chosen)}"] if chosen else []
    how += ["as far as it was saved"] if saved_in_part else []
    *most, last = names
    return ", ".join([f" in {', '.join(most)}{' and ' if most else ''}{last}", *how])


def age(label: str, now: datetime | None = None) -> str:
    """How long ago a label's backup was begun: "3 days"; empty for a folder with another name."""
    begun = label_time(label)
    if begun is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - begun).total_seconds()
    return next((many(int(seconds // length), unit) for length, unit in _AGES if seconds >= length), "just now")


def backup_json(backup: Backup) -> Json:
    """A backup as one object."""
    said = backup.metadata
    return {
        "label": backup.label,
        "path": backup.path,
        "timestamp": said.get("timestamp"),
        "source": backup.source_ref,
        "included": included(said),
        "in_part": in_part(said),
        "bytes": said.get("bytes"),
        "stored_bytes": said.get("stored_bytes"),
        "problems": said.get("problems"),
        "omissions": said.get("omissions"),
        "parts": said.get("parts"),
    }


def items_json(items: Iterable[Problem | Omission | Difference]) -> list[dict[str, Any]]:
    """Problems, omissions and differences as a list of objects."""
    return [one.to_json() for one in items]


def proofs_json(proofs: Iterable[Proof]) -> list[dict[str, Any]]:
    """Proofs as a list of objects."""
    return [{"part": one.part, "sort": one.sort, "count": one.count} for one in proofs]
