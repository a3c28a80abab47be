"""PrairieLearn: ``results.json`` of an external grader, whose score is a share of 1."""

from __future__ import annotations

from typing import Any

from ..grades import PASS, Result
from ..guarding import line, plain
from .form import Format, Options, cut_off, each_student, within_limit


def payload(result: Result, length: int = 20_000) -> dict[str, Any]:
    """The object; messages have ``length`` characters at most."""
    tests = [
        {
            "name": line(f"{task.id} {task.title}"),
            "description": line(check.what),
            "points": check.points,
            "max_points": check.max_points,
            "message": "" if check.state == PASS else check.state,
            "output": cut_off(check.told, length),
        }
        for task, check in result.checks
    ]
    said = plain("\n".join(filter(None, [*result.notes, result.late_sentence])))
    score = min(1.0, max(0.0, result.total / result.max_total)) if result.max_total else 0.0
    return {"gradable": True, "score": score, "message": cut_off(said, 10 * length), "output": "", "tests": tests}


def text(result: Result, options: Options | None = None) -> str:
    """The file, at most 1 MB."""
    return within_limit(lambda length: payload(result, length))


FORMAT = Format("prairielearn", "results.json of each student", True, each_student("results.json", text))
