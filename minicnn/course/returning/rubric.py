"""The written questions: a sheet to mark them in, and its points in the grades.

Questions, points and rubrics are read from the worked solution, where they stand as ``### hw4.W1 Title (10 points)``
and ``*Rubric.* …``, or as ``**hw3.W1** …`` and ``*Rubric (6): …*``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import FileFormatError
from ..manifest import Homework
from .formats.form import shown, write_table
from .grades import Grades
from .guarding import line

QUESTION = re.compile(r"^(?:### |\*\*)(hw\d+\.W\d+)\b(.*)$", re.MULTILINE)
POINTS = re.compile(r"\((\d+) points\)|\*Rubric \((\d+)\)")
RUBRIC = re.compile(r"\*Rubric(?:\.\*| \(\d+\):)\s*(.*?)\*?\s*(?:\n\n|\Z)", re.DOTALL)
COLUMN = re.compile(r"(hw\d+\.W\d+) \((\d+)\)")
TOLD = "(rubric)"

Marks = dict[str, dict[str, tuple[float, float]]]  # student -> question -> points, of how many


@dataclass(frozen=True)
class Question:
    """A written question: its most points, and what they are given for."""

    id: str
    points: int
    rubric: str


def questions(homework: Homework, root: Path) -> list[Question]:
    """The written questions of a homework, from ``root/solutions``.

    Raises:
        FileNotFoundError: if the worked solution is not there.
        FileFormatError: for a question without points or rubric.
    """
    path = root / "solutions" / homework.folder / "README.md"
    text = path.read_text(encoding="utf-8")
    starts = [match for match in QUESTION.finditer(text) if match[1].startswith(f"{homework.id}.")]
    found = []
    for match, following in zip(starts, [*(each.start() for each in starts[1:]), len(text)], strict=True):
        part = text[match.start() : following]
        points, rubric = POINTS.search(part), RUBRIC.search(part)
        if points is None or rubric is None:
            raise FileFormatError(f"{path}: {match[1]}: expected its points and a rubric")
        found.append(Question(match[1], int(points[1] or points[2]), line(rubric[1])))
    return found


def sheet(homework: Homework, students: Mapping[str, str], out: str | Path, root: Path) -> Path:
    """Write the sheet to mark in: a row for each student (id -> name), a column for each question."""
    asked = questions(homework, root)
    rows = [["student", "name", *(f"{question.id} ({question.points})" for question in asked)]]
    rows.append([TOLD, "", *(question.rubric for question in asked)])
    rows += [[student, name, *[""] * len(asked)] for student, name in students.items()]
    return write_table(Path(out), rows)


def read(path: str | Path) -> Marks:
    """The points of a sheet.

    Raises:
        FileFormatError: if it is no such sheet, or for a cell that is no number of points from 0 to the question's.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(Path(path).read_text(encoding="utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"{path}: expected a CSV table in UTF-8, {error}") from error
    columns = {name: COLUMN.fullmatch(name or "") for name in (rows[0] if rows else ())}
    asked = {name: (match[1], float(match[2])) for name, match in columns.items() if match}
    if "student" not in columns or not asked:
        raise FileFormatError(f"{path}: expected the columns 'student' and 'hw4.W1 (10)', got {list(columns)}")
    marks: Marks = {}
    for number, row in enumerate(rows, 2):
        student = (row["student"] or "").strip().removeprefix("'")
        if student in marks:
            raise FileFormatError(f"{path}: row {number}: {student} has two rows")
        if student and student != TOLD:
            where = f"{path}: row {number}: {student}"
            marks[student] = {
                name: (_points(row[at], most, f"{where}: {name}"), most) for at, (name, most) in asked.items()
            }
    return marks


def _points(text: str | None, most: float, where: str) -> float:
    if not (text or "").strip():
        raise FileFormatError(f"{where} is not marked yet; write 0 for no points")
    if not re.fullmatch(r"\d{1,6}([.,]\d{1,6})?", str(text).strip()) or float(str(text).replace(",", ".")) > most:
        raise FileFormatError(f"{where}: expected points from 0 to {shown(most)}, got {text!r}")
    return float(str(text).replace(",", "."))


def merge(grades: Grades, marks: Marks) -> Grades:
    """The grades with the points of the written questions.

    Raises:
        ValueError: for marks of another homework, of nobody in the batch, of somebody who has no grade to add them to,
            and for a graded student without marks.
    """
    graded = {result.student for result in grades.results}
    others = {each.student for each in grades.ungraded}
    strange = {name for row in marks.values() for name in row if not name.startswith(f"{grades.homework}.")}
    _none(strange, f"expected questions of {grades.homework}, got")
    _none(marks.keys() - graded - others, "the sheet has marks for students who are not in these grades:")
    lost = {student for student in others - graded if any(got for got, _ in marks.get(student, {}).values())}
    _none(lost, "these have marks, but no grade to add them to; enter them by hand and take their rows out:")
    _none(graded - marks.keys(), "the sheet has no row for")
    return replace(grades, results=tuple(replace(result, written=marks[result.student]) for result in grades.results))


def _none(names: Iterable[str], complaint: str) -> None:
    if found := sorted(names):
        raise ValueError(f"{complaint} {', '.join(found)}")
