"""CSV: everything about everybody in one flat table, those without a grade too."""

from __future__ import annotations

from pathlib import Path

from ..grades import Grades
from .form import Exported, Format, Options, shown, write_table


def write(grades: Grades, out: Path, options: Options) -> Exported:
    """Write one row for each student: points, what they are made of, points and state of each task, mistakes, flags."""
    tasks = {task.id: None for result in grades.results for task in result.tasks}
    head = ["student", "name", "email", "grade", "total", "of", "points", "late", "written", "submitted_at", "seconds"]
    head += [f"{task} {what}" for task in tasks for what in ("points", "state")]
    rows: list[list[object]] = [[*head, "mistakes", "notes", "flags", "digest"]]
    for result in grades.results:
        written = sum(got for got, _ in result.written.values())
        row: list[object] = [result.student, result.name, result.ids.get("email", ""), "graded"]
        row += map(shown, (result.total, result.max_total, result.points, result.late, written))
        row += [result.submitted_at, shown(result.seconds)]
        found = {task.id: (shown(task.points), task.state) for task in result.tasks}
        row += [value for task in tasks for value in found.get(task, ("", ""))]
        mistakes = dict.fromkeys(check.mistake for _, check in result.checks if check.mistake)
        rows.append([*row, " ".join(mistakes), " ".join(result.notes), "; ".join(result.flags), result.digest])
    for each in grades.ungraded:
        who = [each.student, each.name, each.ids.get("email", ""), each.state]
        rows.append([*who, *[""] * (len(rows[0]) - len(who) - 3), each.why, "", ""])
    return Exported((write_table(out, rows),))


FORMAT = Format("csv", "one flat table of everything", False, write)
