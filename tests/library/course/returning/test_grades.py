"""A folder of grades is read whole, or refused with the file and the key that are wrong."""

from __future__ import annotations

import json

import pytest

from minicnn.course.returning.grades import read, with_lateness
from minicnn.errors import FileFormatError

from .made import SECRET, check, folder, grades, hidden, result


def test_a_folder_is_read(tmp_path):
    refused = [
        {
            "student": "eve",
            "name": "Eve",
            "ids": {"email": "e@x"},
            "source": "eve.zip",
            "why": "a zip that leaves its folder",
        }
    ]
    found = grades(
        tmp_path,
        [result("bob"), result("ada", [check("a"), check("b", "WRONG", mistake="add-broadcasts")])],
        refused=refused,
        infrastructure=[{"student": "kim", "why": "no space left"}],
        missing=["max"],
    )
    assert [(each.student, each.total) for each in found.results] == [("ada", 96), ("bob", 100)]
    assert [(each.student, each.state) for each in found.ungraded] == [
        ("eve", "refused"),
        ("kim", "infrastructure"),
        ("max", "missing"),
    ]
    assert [each.mistake for _, each in found.results[0].checks if each.mistake] == ["add-broadcasts"]


def test_a_hidden_check_tells_its_property_only(tmp_path):
    (found,) = grades(tmp_path, [result("ada", [hidden(), check("b")])]).results
    told = [each.told for _, each in found.checks if each.state != "PASS"]
    assert told == ["Fails on cases that are not shown: what test_hidden is about."]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": "other/1"}, "expected the schema 'minicnn/grade/1', got 'other/1'"),
        ({"homework": "hw5"}, "expected the homework 'hw4'"),
        ({"points": 101}, "points: expected a number from 0 to 100, got 101"),
        ({"points": True}, "points: expected a number"),
        ({"points": None}, "points: expected a number"),
        ({"seconds": float("nan")}, "NaN is no number"),
        ({"seconds": float("inf")}, "Infinity is no number"),
        ({"tasks": "none"}, "tasks: expected list, got 'none'"),
        ({"tasks": [1]}, "tasks: expected a list of objects"),
        ({"student": {"id": "bob", "name": "", "ids": {}}}, "expected the student 'ada'"),
        ({"own_stack": {"points": "x"}}, "own_stack: points: expected a number"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, change, complaint):
    root = folder(tmp_path, [result("ada")])
    (path,) = root.glob("results/*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileFormatError, match=r"results/ada|ada--") as caught:
        read(root)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"schema": 1}', "\x00", '{"seconds": 1e999}'])
def test_a_damaged_file_is_named(tmp_path, text):
    root = folder(tmp_path, [result("ada")])
    (root / "batch.json").write_text(text)
    with pytest.raises(FileFormatError, match=r"batch\.json"):
        read(root)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    root = folder(tmp_path, [result("ada")])
    (root / "batch.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(FileFormatError, match=r"batch\.json"):
        read(root)


@pytest.mark.parametrize(
    "graded", [{"ada": "../ada.json"}, {"../ada": "results/ada--aaaaaaaaaaaa.json"}, {"": "results/x.json"}]
)
def test_nothing_outside_the_folder_is_read_or_named(tmp_path, graded):
    root = folder(tmp_path / "grades", [result("ada")], graded=graded)
    (tmp_path / "ada.json").write_text(json.dumps(result("ada")))
    with pytest.raises(FileFormatError, match="graded: expected a name and a file below"):
        read(root)


def test_a_folder_without_grades_is_no_folder_of_grades(tmp_path):
    with pytest.raises(FileNotFoundError, match="minicnn grade"):
        read(tmp_path)


def test_a_check_that_passes_says_nothing(tmp_path):
    passing = check("a", hidden=True, message=SECRET)
    (found,) = grades(tmp_path, [result("ada", [passing])]).results
    assert {each.told for _, each in found.checks} == {""}


class Half:
    """Takes half of the points of everybody without an extension."""

    def apply(self, points, max_points, submitted_at, extension):
        return (points, 0, "In time.") if extension else (points / 2, points / 2, f"Late: {submitted_at[:10]}.")


def test_a_late_policy_is_applied(tmp_path):
    found = with_lateness(grades(tmp_path, [result("ada"), result("bob")]), Half(), {"bob": 2})
    assert [(each.total, each.late, each.late_sentence) for each in found.results] == [
        (50, 50, "Late: 2026-10-01."),
        (100, 0, "In time."),
    ]
