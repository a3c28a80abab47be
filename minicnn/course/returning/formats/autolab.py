"""Autolab: the last lines that a grader prints, points by task. Nothing that a student printed may follow them."""

from __future__ import annotations

import json

from ..grades import PASS, Result
from .form import Format, Options, cut_off, each_student


def text(result: Result, options: Options | None = None) -> str:
    """Two lines of JSON: the tests of each task with their hints, and the scores."""
    stages = {
        task.id: {
            check.test: {"passed": check.state == PASS, "hint": cut_off(check.told, 2_000)} for check in task.checks
        }
        for task in result.tasks
    }
    scores = {task.id: task.points for task in result.tasks} | {name: got for name, (got, _) in result.written.items()}
    scores |= {"late": -result.late} if result.late else {}
    shown = {"_presentation": "semantic", "stages": list(stages), **stages}
    return "".join(json.dumps(value, allow_nan=False) + "\n" for value in (shown, {"scores": scores}))


FORMAT = Format(
    "autolab", "the last two lines of a grader's output, for each student", True, each_student("stdout", text)
)
