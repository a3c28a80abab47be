"""One submission against the checks of its homework, computed in a cell and judged here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
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


Outcomes = Mapping[Check, Sequence[Outcome]]


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
    """Public cases first; hidden ones of those checks that pass."""
    checks = checks_of(task)
    public = {check: _run(check, checks, seeds.public, folder, supervisor, ends) for check in checks}
    verdicts = {check: conclude(check, run, folder, seeds.public) for check, run in public.items()}
    passed = [check for check in checks if verdicts[check].state is State.PASS]
    hidden: dict[Check, Mapping[int, Outcome]] = {}
    if seeds.hidden is not None:
        hidden = {check: _run(check, checks, seeds.hidden, folder, supervisor, ends) for check in passed}
    for check in checks:
        verdict, is_hidden, outcomes, seed = verdicts[check], False, public, seeds.public
        if check in hidden and seeds.hidden is not None:
            again = conclude(check, hidden[check], folder, seeds.hidden)
            if again.state is not State.PASS:
                verdict, is_hidden, outcomes, seed = _without_values(check, again), True, hidden, seeds.hidden
        name = _name(check, verdict, outcomes, seed)
        yield CheckResult(
            check.task_id, check.name, check.what, verdict.points, check.points, str(verdict.state),
            _told(verdict, name), None if is_hidden else verdict.case, name.name if name else None,
            verdict.blocked_by or None, is_hidden,
        )  # fmt: skip


def _run(
    check: Check, others: Sequence[Check], seed: int, folder: Path, supervisor: Supervisor, ends: float
) -> Mapping[int, Outcome]:
    cases = dict(enumerate(check.draw(seed)))
    if time.monotonic() > ends:
        late = Failure(
            State.TIMEOUT, f"the homework had taken {SECONDS:g} s before it was this check's turn", "Timeout"
        )
        return {0: late}
    begun = not untouched_holes(check, folder)
    return supervisor.run(check, cases, lambda: reference_seconds(check, seed), begun).outcomes


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
