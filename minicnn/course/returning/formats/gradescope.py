"""Gradescope: ``results.json`` of each student, as its autograder specification says."""

from __future__ import annotations

from typing import Any

from ..grades import PASS, Result
from ..guarding import line, plain
from .form import Format, Options, cut_off, each_student, within_limit

HIDDEN = "after_published"


def payload(result: Result, length: int = 20_000) -> dict[str, Any]:
    """The object. Checks on hidden cases are shown when the grades are published, and never with values.

    Args:
        length: characters of each message, at most.
    """
    tests: list[dict[str, Any]] = [
        {
            "number": task.id.removeprefix("hw"),
            "name": line(f"{task.title}: {check.what}"),
            "score": check.points,
            "max_score": check.max_points,
            "status": "passed" if check.state == PASS else "failed",
            "output": cut_off("" if check.state == PASS else f"{check.state}\n{check.told}".strip(), length),
            "output_format": "text",
            "visibility": HIDDEN if check.hidden else "visible",
        }
        for task, check in result.checks
    ]
    for question, (got, most) in result.written.items():
        tests.append(
            {"number": question.removeprefix("hw"), "name": "Written question", "score": got, "max_score": most}
        )
    said = [*result.notes, result.late_sentence]
    return {
        "score": result.total,
        "execution_time": result.seconds,
        "output": cut_off(plain("\n".join(filter(None, said))), 10 * length),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"minicnn": {"key": result.key, "digest": result.digest}},
    }


def failed(why: str) -> dict[str, Any]:
    """What is written when there is no grade: no score and no tests, so Gradescope says that the autograder failed."""
    return {"output": plain(f"The autograder failed, and nothing was graded: {why}"), "output_format": "text"}


def text(result: Result, options: Options | None = None) -> str:
    """The file: at most 1 MB, no NaN, Unix newlines."""
    return within_limit(lambda length: payload(result, length))


FORMAT = Format("gradescope", "results.json of each student", True, each_student("results.json", text))
