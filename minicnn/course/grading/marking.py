"""One submission against the checks of its homework, computed in a cell and judged here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..answers import expected_outcomes, reference_seconds
from ..checks import Check, checks_of
from ..execution import Failure, Name, Outcome, State, alike
from ..judging import Verdict, conclude, untouched_holes
from ..manifest import Homework
from ..naming import identify
from ..results import CheckResult
from ..supervision import Supervisor
from .cell import Cell

SECONDS = 600.0  # by the clock, for one submission
NAMING_SECONDS = 2.0  # for one check
TOLD = 4000  # characters of a message
#: What a hidden case may tell: no value of the case, and no text of the student's that could hold one.
HIDDEN = "{state}  {task} {title}: {what}  (0/{points} points)\n  in a case that is not shown"


@dataclass(frozen=True)
class Seeds:
    """Of the cases that students have, and of those that nobody but the grader knows."""

    public: int
    hidden: int | None = None


Runs = Mapping[Check, Mapping[int, Outcome]]


def mark(owner: Homework, folder: Path, seeds: Seeds, cell: Cell, earlier: Mapping[str, Path]) -> list[CheckResult]:
    """Grade the files in ``folder``, which holds the homework's folder.

    Args:
        earlier: files of the student's earlier homework (``hw2/conv``), which minicnn calls in the place of its own.

    Raises:
        WorkerFailed: if no worker starts here.
    """
    checks = [check for task in owner.tasks for check in checks_of(task.id)]
    ends = time.monotonic() + SECONDS

    def run(chosen: Sequence[Check], seed: int, cell: Cell) -> Runs:
        supervisor = Supervisor(folder / owner.folder, cell, earlier)
        try:
            return {check: _run(check, seed, folder, supervisor, ends) for check in chosen}
        finally:
            supervisor.close()

    public = run(checks, seeds.public, cell)
    verdicts = {check: _verdict(check, outcomes, folder, seeds.public) for check, outcomes in public.items()}
    hidden: Runs = {}
    passed = [check for check in checks if verdicts[check].state is State.PASS]
    if passed and seeds.hidden is not None:  # in workers of their own: no public check comes after, to tell of them
        # That all compiles, the public cases have shown; what goes wrong without, gets the benefit of the doubt.
        hidden = run(passed, seeds.hidden, replace(cell, compiles=False))
        doubted = [
            check for check in passed if _verdict(check, hidden[check], folder, seeds.hidden).state is not State.PASS
        ]
        if doubted:
            hidden = {**hidden, **run(doubted, seeds.hidden, cell)}
    return [
        result
        for task in owner.tasks
        for result in _results(checks_of(task.id), verdicts, public, hidden, folder, seeds)
    ]


def _verdict(check: Check, outcomes: Mapping[int, Outcome], folder: Path, seed: int) -> Verdict:
    verdict = conclude(check, outcomes, folder, seed)
    if verdict.state is State.PASS and len(outcomes) < check.size:
        return Verdict(State.CRASH, 0, "it answered only a part of the cases")
    return verdict


def _results(
    checks: Sequence[Check], verdicts: Mapping[Check, Verdict], public: Runs, hidden: Runs, folder: Path, seeds: Seeds
) -> Iterator[CheckResult]:
    """The checks of one task: hidden cases count where the public ones pass."""
    public, hidden = ({check: runs[check] for check in checks if check in runs} for runs in (public, hidden))
    for check in checks:
        verdict, is_hidden, outcomes, seed = verdicts[check], False, public, seeds.public
        if check in hidden and seeds.hidden is not None:
            again = _verdict(check, hidden[check], folder, seeds.hidden)
            if again.state is not State.PASS:
                verdict, is_hidden, outcomes, seed = _without_values(check, again), True, hidden, seeds.hidden
        name = _name(check, verdict, outcomes, seed)
        yield CheckResult(
            check.task_id, check.name, check.what, verdict.points, check.points, str(verdict.state),
            _told(verdict, name), None if is_hidden else verdict.case, name.name if name else None,
            verdict.blocked_by or None, is_hidden,
        )  # fmt: skip


def _run(check: Check, seed: int, folder: Path, supervisor: Supervisor, ends: float) -> Mapping[int, Outcome]:
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
    message = verdict.message if len(verdict.message) <= TOLD else f"{verdict.message[:TOLD]} ..."
    if name is None:
        return message
    return "\n".join([message, f"  This is a known mistake, {name.name}: {name.diagnosis}", f"  Hint: {name.hint}"])
