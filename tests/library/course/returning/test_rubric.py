"""The sheet of the written questions, and its points in the grades."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from minicnn.course.manifest import homework, homework_ids
from minicnn.course.returning import rubric
from minicnn.errors import FileFormatError

from .made import OWNER, grades, result

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("name", homework_ids())
def test_every_homework_has_three_written_questions(name):
    found = rubric.questions(homework(name), ROOT)
    assert [question.id for question in found] == [f"{name}.W{number}" for number in (1, 2, 3)]
    assert all(question.points in (6, 10) and len(question.rubric) > 20 for question in found)


def marked(path: Path, **marks: list[str]) -> Path:
    """The sheet as a teacher fills it in."""
    rubric.sheet(OWNER, dict.fromkeys(marks, "=x"), path, ROOT)
    rows = list(csv.reader(io.StringIO(path.read_text())))
    rows[2:] = [[row[0], row[1], *marks[row[0]]] for row in rows[2:]]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_marks_are_added(tmp_path):
    marks = rubric.read(marked(tmp_path / "sheet.csv", ada=["10", "7.5", "0"], bob=["0", "0,5", "1"]))
    found = rubric.merge(grades(tmp_path, [result("ada"), result("bob")], missing=["max"]), marks)
    assert [(each.total, each.max_total) for each in found.results] == [(117.5, 130), (101.5, 130)]
    assert found.max_total == 130


@pytest.mark.parametrize(
    ("mark", "complaint"),
    [
        ("", "not marked yet"),
        ("11", "from 0 to 10, got '11'"),
        ("-1", "from 0 to 10"),
        ("nan", "from 0"),
        ("=9", "from 0"),
    ],
)
def test_a_wrong_mark_is_named(tmp_path, mark, complaint):
    path = marked(tmp_path / "sheet.csv", ada=["10", mark, "0"])
    with pytest.raises(FileFormatError, match=rf"row 3: ada: hw4\.W2.*{complaint}"):
        rubric.read(path)


@pytest.mark.parametrize(
    ("students", "complaint"),
    [
        (["ada", "eve"], "not in these grades: eve"),
        ([], "expected the columns"),
        (["max", "ada"], "no grade to add them to; enter them by hand and take their rows out: max"),
    ],
)
def test_students_must_fit(tmp_path, students, complaint):
    path = tmp_path / "sheet.csv"
    marked(path, **{student: ["1", "1", "1"] for student in students})
    if not students:
        path.write_text("name,points\nada,3\n")
    with pytest.raises((ValueError, FileFormatError), match=complaint):
        rubric.merge(grades(tmp_path, [result("ada")], missing=["max"]), rubric.read(path))


def test_two_rows_of_one_student_are_refused(tmp_path):
    path = marked(tmp_path / "sheet.csv", ada=["1", "1", "1"])
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    with pytest.raises(FileFormatError, match="row 4: ada has two rows"):
        rubric.read(path)


def test_nobody_is_forgotten(tmp_path):
    marks = rubric.read(marked(tmp_path / "sheet.csv", ada=["1", "1", "1"]))
    with pytest.raises(ValueError, match="no row for bob"):
        rubric.merge(grades(tmp_path, [result("ada"), result("bob")]), marks)


def test_a_sheet_of_another_homework_is_refused(tmp_path):
    rubric.sheet(homework("hw3"), {"ada": ""}, tmp_path / "s.csv", ROOT)
    text = (tmp_path / "s.csv").read_text().replace('"ada","","","",""', '"ada","","1","1","1"')
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ValueError, match="expected questions of hw4, got hw3.W1"):
        rubric.merge(grades(tmp_path, [result("ada")]), rubric.read(tmp_path / "s.csv"))
