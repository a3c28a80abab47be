"""nbgrader: the table that ``nbgrader export`` writes, with names in quotes."""

from __future__ import annotations

from pathlib import Path

from ..grades import Grades
from .form import Exported, Format, Options, left_out, write_table

COLUMNS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
)


def write(grades: Grades, out: Path, options: Options) -> Exported:
    """Write the table of those who have a grade. Written questions are in the raw score."""
    rows: list[tuple[object, ...]] = [COLUMNS]
    for result in grades.results:
        first, _, last = result.name.rpartition(" ") if "," not in result.name else result.name.partition(",")[::-1]
        who = (result.ids.get("nbgrader", result.student), last.strip(), first.strip(), result.ids.get("email", ""))
        scores = (result.total + result.late, result.late, result.total, result.max_total)
        rows.append(
            (options.assignment or grades.homework, options.due, result.submitted_at, *who, *map(float, scores))
        )
    return Exported((write_table(out, rows),), left_out(grades))


FORMAT = Format("nbgrader", "the table that nbgrader export writes", False, write)
