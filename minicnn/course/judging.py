"""From a check and a module to a verdict: run all cases here and on the reference, compare, and say what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .checks import Case, Check
from .comparison import Difference, differences, same
from .execution import SEVERITY, Failure, Outcome, State, execute
from .holes import is_untouched
from .loading import Modules, reference_modules

NAMED = 6  # wrong answers that a message names


@dataclass(frozen=True)
class Name:
    """What a wrong answer is called. ``planted``: whether by a planted mistake's name, or by a sentence of a mutant."""

    name: str
    diagnosis: str
    hint: str
    planted: bool


@dataclass(frozen=True)
class Verdict:
    """What became of one check. ``case`` is the number of the case that is told about in ``message``."""

    state: State
    points: int
    message: str = ""
    case: int | None = None
    mistake: Name | None = None
    blocked_by: str = ""


def judge(check: Check, modules: Modules, impl: Path | None = None, seed: int = 0, only: int | None = None) -> Verdict:
    """Grade one check. All points or none.

    Args:
        modules: the modules under test, by stub file.
        impl: the folder that they come from, to see which holes are still as they were handed out.
        seed: of the cases.
        only: the number of a single case to run.
    """
    cases = check.draw(seed)
    if only is not None and not 0 <= only < len(cases):
        raise ValueError(f"{check.name} has cases 0 to {len(cases) - 1}, got case {only}")
    for number in range(len(cases)) if only is None else [only]:
        outcome = execute(check, modules, cases[number])
        if isinstance(outcome, Failure):
            return _failed(check, outcome, number, cases[number], impl)
        right = expected_outcomes(check, seed)[number]
        if found := differences(outcome, right):
            return Verdict(State.WRONG, 0, _wrong(check, found, len(right), number, cases[number]), number)
    return Verdict(State.PASS, check.points)


@cache
def expected_outcomes(check: Check, seed: int) -> tuple[Any, ...]:
    """What the reference answers, case by case.

    Raises:
        RuntimeError: if the reference fails: the check itself is at fault.
    """
    reference = reference_modules(check.homework)
    outcomes = tuple(execute(check, reference, case) for case in check.draw(seed))
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, Failure):
            raise RuntimeError(f"the reference fails {check.name}, case {number}: {outcome.kind}: {outcome.text}")
    return outcomes


def alike(one: Sequence[Outcome], other: Sequence[Outcome]) -> bool:
    """Whether two implementations did the same in every case: equal answers, or the same failure word for word."""
    return len(one) == len(other) and all(map(_alike, one, other))


def _alike(one: Outcome, other: Outcome) -> bool:
    if isinstance(one, Failure) or isinstance(other, Failure):
        if not isinstance(one, Failure) or not isinstance(other, Failure):
            return False
        return (one.state, one.kind, one.text) == (other.state, other.kind, other.text)
    return same(one, other)


def state_of_task(states: Sequence[State]) -> State:
    """The worst of the states of a task's checks."""
    return min(states, key=SEVERITY.index)


def _failed(check: Check, failure: Failure, number: int, case: Case, impl: Path | None) -> Verdict:
    """The verdict on a driver that did not get to its answers."""
    if failure.state is State.BLOCKED:
        if failure.unwritten == check.task_id or _has_untouched_holes(check, impl):
            return Verdict(State.NOT_ATTEMPTED, 0, failure.text)
        message = f"blocked by {failure.unwritten}, which is not written yet: {failure.text.partition(': ')[0]}"
        return Verdict(State.BLOCKED, 0, message, blocked_by=failure.unwritten)
    if failure.state is State.IMPORT_ERROR:
        return Verdict(State.IMPORT_ERROR, 0, failure.text)
    text = f"{failure.kind}: {failure.text}" if failure.state is State.ERROR else failure.text
    lines = [_headline(check, failure.state), f"  {_case(number, case)}:", f"    {text}"]
    lines += [f"      {frame}" for frame in failure.frames]
    return Verdict(failure.state, 0, "\n".join(lines), number)


def _has_untouched_holes(check: Check, impl: Path | None) -> bool:
    if impl is None:
        return False
    for hole in check.task.holes:
        path = impl / check.homework.folder / f"{hole.stem}.py"
        if path.is_file() and is_untouched(path.read_text(encoding="utf-8", errors="replace"), hole):
            return True
    return False


def _wrong(check: Check, found: Sequence[Difference], answers: int, number: int, case: Case) -> str:
    """The message for wrong answers: the first in full, the others by name."""
    first, *others = found
    head, *rest = first.text.split("\n")
    lines = [_headline(check, State.WRONG), f"  {_case(number, case)}:", f"    {first.name}: {head}"]
    lines += [f"    {line}" for line in rest]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        lines.append(f"    also wrong: {', '.join(other.name for other in others[:NAMED])}{more}")
    if answers > len(found):
        lines.append(f"    right: {answers - len(found)} of the {answers} answers")
    return "\n".join(lines)


def _headline(check: Check, state: State) -> str:
    return f"{state}  {check.task_id} {check.task.title}: {check.what}  (0/{check.points} points)"


def _case(number: int, case: Case) -> str:
    """``case 3 (x (2, 4, 7, 5) float32, stride=2)``."""
    told = ", ".join(f"{name} {_value(value)}" if isinstance(value, np.ndarray) else f"{name}={value!r}"
                     for name, value in case.items())  # fmt: skip
    return f"case {number} ({told})" if told else f"case {number}"


def _value(array: np.ndarray) -> str:
    return f"{array.shape} {array.dtype}"
