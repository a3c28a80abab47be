"""What a run leaves: the table that a student reads, and the JSON file that tools read (``docs/course-results.md``)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import minicnn

from .. import terminal
from ..serialization.atomic import replacing
from .execution import State
from .judging import state_of_task
from .manifest import Homework, Task, homework

SCHEMA = "minicnn/homework-result/1"
GOOD, BAD, OPEN = "green", "red", "yellow"
#: What a state looks like on a terminal, besides its word.
COLORS = {
    **dict.fromkeys(State, BAD),
    State.PASS: GOOD,
    **dict.fromkeys((State.NOT_ATTEMPTED, State.BLOCKED, State.NOT_RUN), OPEN),
}


@dataclass(frozen=True)
class CheckResult:
    """One check of a run, in values that JSON holds.

    ``mistake`` is the name of the mistake that explains it; ``hidden`` says that only cases which students do not have
    went wrong.
    """

    task: str
    test: str
    property: str
    points: int
    max_points: int
    state: str
    message: str = ""
    case: int | None = None
    mistake: str | None = None
    blocked_by: str | None = None
    hidden: bool = False


@dataclass(frozen=True)
class TaskResult:
    """A task: the sum of its checks' points, and the worst of their states."""

    task: Task
    checks: tuple[CheckResult, ...]

    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks)

    @property
    def max_points(self) -> int:
        return sum(check.max_points for check in self.checks)

    @property
    def state(self) -> State:
        return state_of_task([State(check.state) for check in self.checks])

    @property
    def worst(self) -> CheckResult:
        """The first check in the state of the task."""
        return next(check for check in self.checks if check.state == self.state)


def collected(ran: Iterable[tuple[str, CheckResult]], chosen: Iterable[CheckResult] = ()) -> list[CheckResult]:
    """One result per check.

    Args:
        ran: the test's id and its result: the last counts where a test ran again (pytest-rerunfailures), the worst
            where a check has several tests (pytest-repeat).
        chosen: what stands for the checks that did not get to run (``pytest -x``).
    """
    found = {(result.task, result.test): result for result in chosen}
    for result in dict(ran).values():
        before = found.get((result.task, result.test))
        if before is None or before.state == State.NOT_RUN or result.points < before.points:
            found[result.task, result.test] = result
    return list(found.values())


def by_homework(results: Iterable[CheckResult]) -> dict[Homework, list[TaskResult]]:
    """The checks of a run, sorted into homework and tasks; a task is here if one of its checks ran."""
    kept = list(results)
    found = {}
    for name in sorted({result.task.partition(".")[0] for result in kept}):
        owner = homework(name)
        tasks = [(task, tuple(r for r in kept if r.task == task.id)) for task in owner.tasks]
        found[owner] = [TaskResult(task, checks) for task, checks in tasks if checks]
    return found


def table(
    owner: Homework, tasks: Sequence[TaskResult], impl: str, paint: Callable[[str, str], str] | None = None
) -> list[str]:
    """The table of one homework: for each task its points, its state, and below it what to do next.

    Args:
        paint: shows a text in a colour.
    """
    states = {result.task.id: result.state for result in tasks}
    rows: list[tuple[str, ...]] = []
    for result in tasks:
        step = next_step(owner, result, states, impl)
        if result.state is State.IMPORT_ERROR and any(step == row[-1] for row in rows):
            step = "as above"
        score = f"{result.points}/{result.max_points}"
        rows.append((result.task.id, result.task.title, score, painted(result), step))
    rows.append(("total", "", f"{sum(r.points for r in tasks)}/{sum(r.max_points for r in tasks)}", "", ""))
    heading = terminal.fill(f"{owner.id}  {owner.title}  {terminal.whole(f'({impl}/{owner.folder})')}", hang="     ")
    return [*heading.splitlines(), *terminal.table(rows, "<<><<", "  ", paint, below=True)]


def painted(result: TaskResult) -> terminal.Painted:
    """The state of a task as the table says it."""
    text = f"BLOCKED BY {result.worst.blocked_by}" if result.state is State.BLOCKED else str(result.state)
    return terminal.Painted(text, COLORS[result.state])


def next_step(owner: Homework, result: TaskResult, states: Mapping[str, State], impl: str = "assignments") -> str:
    """What the student does next about a task."""
    if result.state is State.PASS:
        return ""
    if result.state is State.NOT_ATTEMPTED:
        begun = result.worst.message and "not written yet" not in result.worst.message
        return f"write {result.worst.message}" if begun else f"read {result.task.id} in {owner.handout}"
    if result.state is State.BLOCKED:
        return f"write {result.worst.blocked_by} first"
    if result.state is State.IMPORT_ERROR:
        return result.worst.message
    behind = [need for need in result.task.needs if states.get(need, State.PASS) not in (State.PASS,)]
    if behind:
        return f"mend {behind[0]} first: this builds on it"
    named = next((check.mistake for check in result.checks if check.mistake), None)
    where = "" if impl == "assignments" else f" --impl {shlex.quote(impl)}"
    return f"{named}: " * bool(named) + terminal.whole(f"minicnn hw check {result.task.id}{where}")


def as_json(results: Iterable[CheckResult], impl: str, case_seed: int = 0) -> dict[str, Any]:
    """The run as ``docs/course-results.md`` describes it."""
    assignments = []
    for owner, tasks in by_homework(results).items():
        assignments.append(
            {
                "id": owner.id,
                "title": owner.title,
                "points": sum(result.points for result in tasks),
                "max_points": sum(task.points for task in owner.tasks),
                "complete": _is_complete(owner, tasks),
                "tasks": [_task(result) for result in tasks],
            }
        )
    head = {"schema": SCHEMA, "minicnn": minicnn.__version__, "impl": impl, "case_seed": case_seed}
    return {**head, "homework": assignments}


def _is_complete(owner: Homework, tasks: Sequence[TaskResult]) -> bool:
    """Whether every check of the homework ran."""
    all_ran = all(check.state != State.NOT_RUN for result in tasks for check in result.checks)
    return all_ran and [(r.task, r.max_points) for r in tasks] == [(task, task.points) for task in owner.tasks]


def _task(result: TaskResult) -> dict[str, Any]:
    checks = [{key: value for key, value in asdict(check).items() if key != "task"} for check in result.checks]
    return {
        "id": result.task.id,
        "title": result.task.title,
        "points": result.points,
        "max_points": result.task.points,
        "state": str(result.state),
        "checks": checks,
    }


def write(path: str | Path, results: Iterable[CheckResult], impl: str, case_seed: int = 0) -> None:
    """Write the JSON file, whole or not at all."""
    text = json.dumps(as_json(results, impl, case_seed), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(Path(path)) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "backslashreplace"))  # a path may hold what is no text
