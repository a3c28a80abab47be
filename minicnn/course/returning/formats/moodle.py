"""Moodle: the offline grading worksheet of an assignment, filled. Its columns are as in ``importgradeslib.php``."""

from __future__ import annotations

from pathlib import Path

from ..grades import Grades
from ..guarding import cell, markup
from .form import Exported, Format, Options, People, Sheet, points, shown

NEEDED = {
    "Identifier": "Participant 123",
    "Grade": "what is filled",
    "Last modified (grade)": "what guards newer grades",
}
FEEDBACK = "Feedback comments"


def write(grades: Grades, out: Path, options: Options) -> Exported:
    """Fill the worksheet that Moodle gave, which alone knows its participants' numbers. Feedback is text, in HTML.

    Raises:
        ValueError: without a template, or if the assignment has other points.
        FileFormatError: for a template that is no worksheet in English.
    """
    if options.template is None:
        raise ValueError("expected Moodle's offline grading worksheet (--template): only it knows the participants")
    sheet = Sheet.read(options.template, NEEDED)
    people, notes = People(grades.results), []
    for row in filter(None, sheet.rows):
        identifier = sheet.get(row, "Identifier")
        number = identifier.removeprefix("Participant").strip()
        who = [("moodle", number), ("moodle", identifier), ("email", sheet.get(row, "Email address"))]
        who += [(kind, sheet.get(row, "ID number")) for kind in ("sis", "student")]
        result = people.find([*who, ("name", sheet.get(row, "Full name"))])
        if result is None:
            notes.append(f"{sheet.get(row, 'Full name') or identifier} has no grade here; the row is as it was")
            continue
        most = sheet.get(row, "Maximum grade").replace(",", ".")
        if most and float(most) != grades.max_total:
            raise ValueError(
                f"{identifier}: Moodle has {most} points at most, and these grades {shown(grades.max_total)}"
            )
        sheet.set(row, "Grade", points(result.total))
        if FEEDBACK in sheet.header:
            tasks = [
                f"{task.id} {task.title}: {shown(task.points)}/{shown(task.max_points)} {task.state}"
                for task in result.tasks
            ]
            sheet.set(row, FEEDBACK, cell("<br>".join(markup(text) for text in [*tasks, result.late_sentence] if text)))
    notes += people.unmatched(str(options.template))
    if FEEDBACK not in sheet.header:
        notes.append(f"there is no column {FEEDBACK!r}: switch that feedback on in Moodle to have the tasks in it")
    return Exported((sheet.write(out, exact=("Identifier",)),), tuple(notes))


FORMAT = Format("moodle", "the offline grading worksheet, filled; give Moodle's as a template", False, write)
