"""One submission against the checks of its homework, computed in a cell and judged here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..answers import expected_outcomes, reference_seconds
from ..checks import Check, checks_of
from ..execution import Failure, Name, Outcome, State, alike
from ..judging import Verdict, conclude, untouched_holes
from ..manifest import Homework
from ..naming import identify
from ..results import CheckResult
from ..supervision import Supervisor, Workplace

SECONDS = 600.0  # by the clock, for one submission
NAMING_SECONDS = 2.0  # for one check
#: What a hidden case may tell: no value of the case, and no text of the student's that could hold one.
HIDDEN = "{state}  {task} {title}: {what}  (0/{points} points)\n  in a case that is not shown"


@dataclass(frozen=True)
class Seeds:
    """Of the cases that students have, and of those that nobody but the grader knows."""

    public: int
    hidden: int | None = None


Ran = Mapping[int, Outcome]  # by the number of the case


def mark(
    owner: Homework, folder: Path, seeds: Seeds, workplace: Workplace, earlier: Mapping[str, Path]
) -> list[CheckResult]:
    """Grade the files in ``folder``, which holds the homework's folder.

    Args:
        earlier: files of the student's earlier homework (``hw2/conv``), which minicnn calls in the place of its own.

    Raises:
        WorkerFailed: if no worker starts here.
    """
    supervisor = Supervisor(folder / owner.folder, workplace, earlier)
    ends = time.monotonic() + SECONDS
    try:
        return [result for task in owner.tasks for result in _task(task.id, folder, seeds, supervisor, ends)]
    finally:
        supervisor.close()


def _task(task: str, folder: Path, seeds: Seeds, supervisor: Supervisor, ends: float) -> Iterator[CheckResult]:
    """A check has its points if it passes in all cases, the public and the hidden ones."""
    checks = checks_of(task)
    ran = {check: _run(check, seeds, folder, supervisor, ends) for check in checks}
    public = {check: outcomes for check, (outcomes, _) in ran.items()}
    hidden = {check: outcomes for check, (_, outcomes) in ran.items()}
    for check in checks:
        verdict = conclude(check, public[check], folder, seeds.public)
        is_hidden, outcomes, seed = False, public, seeds.public
        if verdict.state is State.PASS and seeds.hidden is not None:
            again = conclude(check, hidden[check], folder, seeds.hidden)
            if again.state is not State.PASS or len(hidden[check]) < check.size:
                verdict, is_hidden, outcomes, seed = _without_values(check, again), True, hidden, seeds.hidden
        name = _name(check, verdict, outcomes, seed)
        yield CheckResult(
            check.task_id, check.name, check.what, verdict.points, check.points, str(verdict.state),
            _told(verdict, name), None if is_hidden else verdict.case, name.name if name else None,
            verdict.blocked_by or None, is_hidden,
        )  # fmt: skip


def _run(check: Check, seeds: Seeds, folder: Path, supervisor: Supervisor, ends: float) -> tuple[Ran, Ran]:
    """What was done in the public cases, and in the hidden ones; these are numbered on."""
    cases = check.draw(seeds.public) + (check.draw(seeds.hidden) if seeds.hidden is not None else [])
    if time.monotonic() > ends:
        return {0: Failure(State.TIMEOUT, f"the homework had taken {SECONDS:g} s before this check's turn")}, {}

    def reference() -> float:
        return sum(reference_seconds(check, seed) for seed in (seeds.public, seeds.hidden) if seed is not None)

    begun = not untouched_holes(check, folder)
    outcomes = supervisor.run(check, dict(enumerate(cases)), reference, begun).outcomes
    public = {number: outcome for number, outcome in outcomes.items() if number < check.size}
    return public, {number - check.size: each for number, each in outcomes.items() if number >= check.size}


def _without_values(check: Check, verdict: Verdict) -> Verdict:
    text = HIDDEN.format(
        state=verdict.state, task=check.task_id, title=check.task.title, what=check.what, points=check.points
    )
    return Verdict(verdict.state, 0, text, blocked_by=verdict.blocked_by)


def _name(check: Check, verdict: Verdict, outcomes: Mapping[Check, Mapping[int, Outcome]], seed: int) -> Name | None:
    """The planted mistake behind a failed check, by all cases of all checks of the task that ran through."""
    if verdict.state not in (State.WRONG, State.ERROR):
        return None
    whole = {other: [run[n] for n in range(other.size)] for other, run in outcomes.items() if len(run) == other.size}
    if check not in whole or alike(whole[check], expected_outcomes(check, seed)):
        return None
    return identify(check, whole[check], seed, whole, NAMING_SECONDS, by_mutants=False)


def _told(verdict: Verdict, name: Name | None) -> str:
    if name is None:
        return verdict.message
    return "\n".join(
        [verdict.message, f"  This is a known mistake, {name.name}: {name.diagnosis}", f"  Hint: {name.hint}"]
    )
