"""GitHub: Classroom's grades as CSV, the ``result=`` of its graders, and Classroom 50's ``result.json``.

Classroom's reporter adds the tests' scores for the number that it stores; its log shows the share of passed tests.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..grades import PASS, Grades, Result
from ..guarding import line, plain
from .form import Exported, Format, Options, as_json, cut_off, left_out, within_limit, write_table, write_text

GRADES = (
    "assignment_name",
    "assignment_url",
    "starter_code_url",
    "github_username",
    "roster_identifier",
    "student_repository_name",
    "student_repository_url",
    "submission_timestamp",
    "points_awarded",
    "points_available",
)
RUN = {"submission": "SUBMISSION_TAG", "commit": "COMMIT_URL", "release": "RELEASE_URL", "review": "REVIEW_URL"}


def whole(value: float) -> int:
    """Points as the whole number that GitHub keeps, a half upwards."""
    return int(value + 0.5)


def grader_result(result: Result, length: int = 2_000) -> dict[str, Any]:
    """What a grader's step puts out. Lateness and written questions are tests, too, so that the scores add up."""
    tests = [
        _test(
            f"{task.id} {check.what}",
            check.state == PASS,
            check.told,
            check.points,
            length,
        )
        for task, check in result.checks
    ]
    tests += [_test(question, got == most, "", got, length) for question, (got, most) in result.written.items()]
    tests += [_test("lateness", False, result.late_sentence, -result.late, length)] if result.late else []
    status = "pass" if result.total == result.max_total else "fail"
    return {"version": 1, "status": status, "max_score": result.max_total, "tests": tests}


def _test(name: str, passed: bool, message: str, score: float, length: int) -> dict[str, Any]:
    nowhere = {"test_code": "", "filename": "", "line_no": 0, "duration": 0}
    status = "pass" if passed else "fail"
    return {"name": line(name), "status": status, "message": cut_off(plain(message), length), **nowhere, "score": score}


def output_line(result: Result) -> str:
    """The line for ``$GITHUB_OUTPUT``: ``result=`` and JSON in base64."""
    found = within_limit(lambda length: grader_result(result, min(length, 2_000)), limit=500_000)
    return f"result={base64.b64encode(json.dumps(json.loads(found)).encode()).decode()}\n"


def classroom50(result: Result, options: Options) -> dict[str, Any]:
    """Classroom 50's object. What its runner knows stands in ``options.context`` under the runner's names."""
    known = options.context
    tests = [
        {
            "test-name": line(f"{task.id} {check.what}"),
            "passed": check.state == PASS,
            "score": whole(check.points),
            "max-score": whole(check.max_points),
        }
        for task, check in result.checks
    ]
    moment = result.submitted_at or datetime.now(UTC).isoformat()
    return {
        "schema": "classroom50/result/v1",
        "classroom": known.get("CLASSROOM", "") or "unknown",
        "assignment": known.get("ASSIGNMENT", "") or options.assignment or "unknown",
        "assignment_type": "individual",
        "owner": result.ids.get("github", "") or result.student,
        **{key: known.get(name, "") or known.get("COMMIT_URL", "") or "unknown" for key, name in RUN.items()},
        "datetime": datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": whole(result.total),
        "max-score": whole(result.max_total),
        "tests": tests,
    }


def write(grades: Grades, out: Path, options: Options) -> Exported:
    """Write ``grades.csv``, and for each student ``result.txt`` and ``result.json``."""
    rows: list[tuple[object, ...]] = [GRADES]
    files = []
    for result in grades.results:
        github = result.ids.get("github", "")
        who = (github, result.student, result.ids.get("repository", ""), result.ids.get("repository_url", ""))
        awarded = (result.submitted_at, whole(result.total), whole(result.max_total))
        rows.append((options.assignment or grades.title, "", "", *who, *awarded))
        files.append(write_text(out / result.student / "result.txt", output_line(result)))
        files.append(write_text(out / result.student / "result.json", as_json(classroom50(result, options))))
    return Exported((write_table(out / "grades.csv", rows), *files), left_out(grades))


FORMAT = Format("github", "Classroom's grades.csv, result= and Classroom 50's result.json of each student", True, write)
