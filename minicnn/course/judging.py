"""From a check and a module to a verdict: run all cases here and on the reference, compare, and say what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import holes as holes_module
from .answers import expected_outcomes
from .checks import Case, Check
from .comparison import Difference, differences
from .execution import SEVERITY, Failure, Name, Outcome, State, execute
from .holes import is_untouched, leftover_raise
from .loading import Modules
from .manifest import Hole, reference_source

FEW = 5  # changes outside the holes; with more, the file is no longer the stub
NAMED = 6  # wrong answers that a message names


@dataclass(frozen=True)
class Verdict:
    """What became of one check. ``case`` is the number of the case that ``message`` is about."""

    state: State
    points: int
    message: str = ""
    case: int | None = None
    mistake: Name | None = None
    blocked_by: str = ""
    error: BaseException | None = None  # the student's, where it was raised in this process


def judge(check: Check, modules: Modules, impl: Path | None = None, seed: int = 0, only: int | None = None) -> Verdict:
    """Grade one check on modules in this process. All points or none.

    Args:
        modules: the modules under test, by stub file.
        impl: the folder that they come from, to see which holes are still as they were handed out.
        seed: of the cases.
        only: the number of a single case to run.
    """
    cases = check.draw(seed)
    if only is not None and not 0 <= only < len(cases):
        raise ValueError(f"{check.name} has cases 0 to {len(cases) - 1}, got case {only}")
    outcomes: dict[int, Outcome] = {}
    for number in range(len(cases)) if only is None else [only]:
        outcomes[number] = execute(check, modules, cases[number])
        verdict = conclude(check, outcomes, impl, seed)
        if verdict.state is not State.PASS:
            return verdict
    return Verdict(State.PASS, check.points)


def conclude(check: Check, outcomes: Mapping[int, Outcome], impl: Path | None = None, seed: int = 0) -> Verdict:
    """The verdict on what an implementation did in some of a check's cases, by their numbers: that of the first wrong.

    Args:
        impl: the folder that it comes from, to see which holes are still as they were handed out.
    """
    cases = check.draw(seed)
    for number, outcome in outcomes.items():
        case = cases[number]
        if isinstance(outcome, Failure):
            return _failed(check, outcome, number, case, impl)
        right = expected_outcomes(check, seed)[number]
        if found := differences(outcome, right):
            return Verdict(State.WRONG, 0, _wrong(check, found, len(right), number, case), number)
    return Verdict(State.PASS, check.points)


def state_of_task(states: Sequence[State]) -> State:
    """The worst of the states of a task's checks."""
    return min(states, key=SEVERITY.index)


def _failed(check: Check, failure: Failure, number: int, case: Case, impl: Path | None) -> Verdict:
    """The verdict on a driver that did not get to its answers."""
    state, text = failure.state, failure.text
    if state is State.IMPORT_ERROR:
        return Verdict(state, 0, text)
    if state is State.BLOCKED:
        if line := _leftover(failure.text, check, impl):
            state, text = State.ERROR, f"the stub's `raise NotImplementedError` is still there, {line}: take it out"
        elif failure.unwritten == check.task_id or untouched_holes(check, impl):
            return Verdict(State.NOT_ATTEMPTED, 0, _left_to_write(check, impl) or text)
        else:
            message = f"blocked by {failure.unwritten}, which is not written yet: {failure.text.partition(': ')[0]}"
            return Verdict(state, 0, message, blocked_by=failure.unwritten)
    elif state is State.ERROR:
        text = f"{failure.kind}: {text}"
    lines = [_headline(check, state), f"  {_case(number, case)}:", f"    {text}"]
    lines += [f"      {frame}" for frame in failure.frames]
    return Verdict(state, 0, "\n".join(lines), number, error=failure.error)


def _leftover(message: str, check: Check, impl: Path | None) -> str:
    """Where in a written function the stub's ``raise`` has been left: ``conv.py:88``; empty if it is the whole body."""
    for source, path, hole in _sources(check.homework.holes(), check, impl):
        if message.startswith(f"{hole.task} {hole.qualname}:") and (line := leftover_raise(source, hole)):
            return f"{path.name}:{line} in {hole.qualname}"
    return ""


def untouched_holes(check: Check, impl: Path | None) -> list[Hole]:
    """The holes of the check's task that are as they were handed out."""
    return [hole for source, _, hole in _sources(check.task.holes, check, impl) if is_untouched(source, hole)]


def changed_outside(check: Check, impl: Path) -> list[str]:
    """A sentence for each file of the check in which code was changed that was given."""
    said = []
    for stem in check.stems:
        holes = check.homework.holes(stem)
        for source, path, _ in _sources(holes[:1], check, impl):
            with contextlib.suppress(*holes_module.UNREADABLE):  # reported as an import error
                names = holes_module.changed_outside(source, reference_source(check.homework.modules[stem]), holes)
                if names and len(names) <= FEW:
                    said.append(f"{path.name} is changed outside its holes: {', '.join(names)}")
    return said


def _left_to_write(check: Check, impl: Path | None) -> str:
    """Which holes of a task that has been begun are left; empty if it has not been begun."""
    left = untouched_holes(check, impl)
    return "" if len(left) == len(check.task.holes) else ", ".join(f"{hole.stem}.py: {hole.qualname}" for hole in left)


def _sources(holes: Sequence[Hole], check: Check, impl: Path | None) -> Iterator[tuple[bytes, Path, Hole]]:
    """The bytes of the file that each hole is in, where there is one."""
    for hole in holes if impl is not None else ():
        path = Path(impl or "") / check.homework.folder / f"{hole.stem}.py"
        if path.is_file():
            yield path.read_bytes(), path, hole


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
    values = ", ".join(f"{name} {_value(value)}" if isinstance(value, np.ndarray) else f"{name}={value!r}"
                       for name, value in case.items())  # fmt: skip
    return f"case {number} ({values})" if values else f"case {number}"


def _value(array: np.ndarray) -> str:
    return f"{array.shape} {array.dtype}"
