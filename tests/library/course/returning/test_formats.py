"""Each format has what its platform documents: fields, types, limits; and nothing hidden."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import jsonschema
import pytest

from minicnn.course.returning.formats import FORMATS, Options, export
from minicnn.course.returning.formats.gradescope import failed
from minicnn.errors import FileFormatError

from .made import SECRET, check, grades, hidden, result

NASTY = '=HYPERLINK("http://evil")\x1b[31m</td><script>]]>\ud800\x00'
VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
TEXT_FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
TEST = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "score": {"type": "number"},
        "max_score": {"type": "number"},
        "status": {"enum": ["passed", "failed"]},
        "name": {"type": "string"},
        "name_format": TEXT_FORMAT,
        "number": {"type": "string", "pattern": r"^\d+\.(W?\d+)$"},
        "output": {"type": "string"},
        "output_format": TEXT_FORMAT,
        "tags": {"type": "array", "items": {"type": "string"}},
        "visibility": VISIBILITY,
        "extra_data": {"type": "object"},
    },
}
GRADESCOPE = {  # from Gradescope's "Autograder Specifications"
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        **dict.fromkeys(("output_format", "test_output_format", "test_name_format"), TEXT_FORMAT),
        "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY,
        "extra_data": {"type": "object"},
        "tests": {"type": "array", "items": TEST},
        "leaderboard": {"type": "array"},
    },
    "anyOf": [{"required": ["score"]}, {"required": ["tests"]}],
}


@pytest.fixture
def some(tmp_path):
    """Ada has two of three checks of hw4.1, one of them failed on hidden cases; eve's name is hostile."""
    checks = [check("a", points=2), hidden("test_b"), check("c", "WRONG", points=2, message=NASTY)]
    checks[1]["max_points"] = 4
    ada = result("ada", checks, submission={"notes": ["the file was in a folder"], "flags": ["imports os"]})
    ada["student"]["ids"] |= {"canvas": "1", "moodle": "501", "github": "ada-l"}
    eve = result("eve", submission={"notes": [NASTY]})
    eve["student"]["name"] = NASTY
    eve["student"]["ids"] |= {"sis": "S2", "moodle": "502"}
    return grades(tmp_path / "grades", [ada, eve], missing=["max"])


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_shows_a_hidden_value_a_control_or_half_a_character(some, tmp_path, name):
    out = tmp_path / "out"
    options = Options(create=True)
    if name == "moodle":
        options = Options(template=tmp_path / "sheet.csv")
        options.template.write_text("Identifier,Grade,Last modified (grade),Feedback comments\nParticipant 502,,-,\n")
    exported = export(some, name, out, options)
    assert exported.files and all(file.is_file() for file in exported.files)
    for file in exported.files:
        text = file.read_bytes().decode()
        if text.startswith("result="):
            text = base64.b64decode(text.removeprefix("result=")).decode()
        assert SECRET not in text
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|\\u00[01]|\\ud8", text)


def test_a_void_batch_is_not_exported(tmp_path):
    void = grades(tmp_path / "g", [result("ada")], void="the stub has 3 points")
    with pytest.raises(ValueError, match="void, and none of its grades may be used: the stub has 3 points"):
        export(void, "csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_an_unknown_format_is_named(some, tmp_path):
    with pytest.raises(ValueError, match="no format 'excel'; expected one of canvas, moodle"):
        export(some, "excel", tmp_path / "out")


class TestGradescope:
    def test_the_schema(self, some, tmp_path):
        export(some, "gradescope", tmp_path)
        for student, score in (("ada", 94), ("eve", 100)):
            data = json.loads((tmp_path / student / "results.json").read_text())
            jsonschema.validate(data, GRADESCOPE)
            assert data["score"] == score
            assert sum(test["score"] for test in data["tests"]) == score
            assert data["tests"][0]["number"] == "4.1"

    def test_hidden_checks_wait_until_grades_are_published(self, some, tmp_path):
        export(some, "gradescope", tmp_path)
        tests = json.loads((tmp_path / "ada" / "results.json").read_text())["tests"]
        assert [test["visibility"] for test in tests if "test_b" in test["name"]] == ["after_published"]
        assert {test["visibility"] for test in tests if "test_b" not in test["name"]} == {"visible"}

    def test_no_more_than_a_megabyte(self, tmp_path):
        checks = [check(f"t{n}", "WRONG", points=0, message="∑" * 100_000) for n in range(40)]
        export(grades(tmp_path / "g", [result("ada", checks)]), "gradescope", tmp_path)
        text = (tmp_path / "ada" / "results.json").read_bytes()
        assert 100_000 < len(text) <= 1_000_000
        assert "98006 more characters" in text.decode()

    def test_a_failure_is_no_grade(self):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(failed("no sandbox"), GRADESCOPE)
        assert failed("no sandbox")["output"].endswith("no sandbox")


class TestCanvas:
    HEAD = "Student,ID,SIS User ID,SIS Login ID,Section,Homework 3 (77),Homework 4 (123),Current Score\n"
    POSSIBLE = "    Points Possible,,,,,10.0,100.0,(read only)\n"
    ROWS = (
        '"Lovelace, Ada",1,,,A,9.0,,9.0\n"E, V",2,S2,=eve,A,,,\n"Else, Who",3,,,A,1.0,5.0,\n"+cmd, x",9,,,A,1.0,EX,\n'
    )

    def fill(self, some, tmp_path, text, assignment="123"):
        (tmp_path / "book.csv").write_text(text, encoding="utf-8-sig")
        options = Options(template=tmp_path / "book.csv", assignment=assignment)
        return export(some, "canvas", tmp_path / "out.csv", options)

    @pytest.mark.parametrize("assignment", ["123", "Homework 4", "Homework 4 (123)"])
    def test_an_export_is_filled(self, some, tmp_path, assignment):
        exported = self.fill(some, tmp_path, self.HEAD + self.POSSIBLE + self.ROWS, assignment)
        rows = table(tmp_path / "out.csv")
        assert ",".join(rows[0]) == self.HEAD.strip()
        assert [row["Homework 4 (123)"] for row in rows] == ["100.0", "94.00", "100.00", "5.0", "EX"]
        assert [row["Homework 3 (77)"] for row in rows] == ["10.0", "9.0", "", "1.0", "1.0"]
        assert [row["Student"] for row in rows][-1] == "'+cmd, x" and rows[2]["SIS Login ID"] == "=eve"
        assert any("Else, Who has no grade here" in note for note in exported.notes)
        assert any("excused" in note for note in exported.notes)

    def test_who_is_not_in_it_is_said(self, some, tmp_path):
        exported = self.fill(some, tmp_path, self.HEAD + self.POSSIBLE + self.ROWS.splitlines(keepends=True)[0])
        assert [note for note in exported.notes if note.startswith("eve (")]

    def test_a_grade_is_given_once(self, some, tmp_path):
        row = self.ROWS.splitlines(keepends=True)[0]
        exported = self.fill(some, tmp_path, self.HEAD + self.POSSIBLE + row + row)
        assert [row["Homework 4 (123)"] for row in table(tmp_path / "out.csv")] == ["100.0", "94.00", ""]
        assert exported.notes[0].startswith("Lovelace, Ada has no grade here")

    def test_semicolons_and_a_comma_in_the_points(self, some, tmp_path):
        text = (self.HEAD + self.POSSIBLE).replace(",", ";").replace("100.0", "100,0") + '"Ada";1;;;A;;;\n'
        self.fill(some, tmp_path, text)
        assert table(tmp_path / "out.csv")[1]["Homework 4 (123)"] == "94.00"

    @pytest.mark.parametrize(
        ("text", "assignment", "complaint"),
        [
            (HEAD + POSSIBLE, "Homework 5", "no assignment 'Homework 5', and Canvas would make a new one"),
            (HEAD + POSSIBLE.replace("100.0", "50.0"), "123", "has 50.0 points in Canvas, and these grades 100"),
            (HEAD + POSSIBLE.replace("100.0", "(read only)"), "123", "read only in Canvas"),
            ("Name,Grade\n", "123", "expected the columns 'Student'"),
            ("", "123", "expected a CSV table"),
            (HEAD + POSSIBLE + "Ada,1\n", "123", "row 3: expected 8 cells"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, some, tmp_path, text, assignment, complaint):
        with pytest.raises((ValueError, FileFormatError), match=re.escape(complaint)):
            self.fill(some, tmp_path, text, assignment)
        assert not (tmp_path / "out.csv").exists()

    def test_two_people_of_one_name_are_not_guessed(self, tmp_path):
        ada, other = result("ada1"), result("ada2")
        ada["student"]["name"] = other["student"]["name"] = "Ada L"
        (tmp_path / "book.csv").write_text(self.HEAD + self.POSSIBLE + '"L, Ada",,,,A,,,\n"L, Ada",,,,A,,,\n')
        options = Options(template=tmp_path / "book.csv", assignment="123")
        exported = export(grades(tmp_path / "g", [ada, other]), "canvas", tmp_path / "out.csv", options)
        assert [row["Homework 4 (123)"] for row in table(tmp_path / "out.csv")][1:] == ["", ""]
        assert len(exported.notes) == 4

    def test_a_new_table_has_canvas_form_and_makes_no_assignment_unasked(self, some, tmp_path):
        export(some, "canvas", tmp_path / "out.csv", Options(assignment="Homework 4 (123)"))
        rows = table(tmp_path / "out.csv")
        assert list(rows[0]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Homework 4 (123)"]
        assert "Points Possible" in rows[0]["Student"] and rows[0]["Homework 4 (123)"] == "100.00"
        assert rows[1]["ID"] == "1" and rows[2]["SIS User ID"] == "S2" and rows[2]["Student"].startswith("'=")
        for options in (Options(), Options(assignment="Homework 4")):
            with pytest.raises(ValueError, match="would make a new assignment"):
                export(some, "canvas", tmp_path / "no.csv", options)
        made = export(some, "canvas", tmp_path / "new.csv", Options(create=True))
        assert made.notes[0] == "Canvas will make a new assignment 'Residual networks'"


class TestMoodle:
    HEAD = "Identifier,Full name,Email address,Status,Grade,Maximum grade,Last modified (grade),Feedback comments\n"
    ROWS = 'Participant 501,Ada,x@y,Yes,,100.00,-,\nParticipant 7,Eve,eve@example.edu,S,-,100.00,"Monday, 1 June",\n'

    def test_the_worksheet_is_filled(self, some, tmp_path):
        (tmp_path / "sheet.csv").write_text(self.HEAD + self.ROWS)
        exported = export(some, "moodle", tmp_path / "out.csv", Options(template=tmp_path / "sheet.csv"))
        ada, eve = table(tmp_path / "out.csv")
        assert (ada["Grade"], eve["Grade"], eve["Last modified (grade)"]) == ("94.00", "100.00", "Monday, 1 June")
        assert ada["Identifier"] == "Participant 501" and ada["Last modified (grade)"] == "-"
        assert ada["Feedback comments"].startswith("hw4.1 The residual addition: 2/8 WRONG<br>hw4.2")
        assert exported.notes == ()

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            (HEAD.replace("Grade,", "Bewertung,"), "expected the columns 'Grade'"),
            (HEAD + ROWS.replace("100.00", "10.00"), "Moodle has 10.00 points at most, and these grades 100"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, some, tmp_path, text, complaint):
        (tmp_path / "sheet.csv").write_text(text)
        with pytest.raises((ValueError, FileFormatError), match=re.escape(complaint)):
            export(some, "moodle", tmp_path / "out.csv", Options(template=tmp_path / "sheet.csv"))

    def test_without_a_worksheet_there_is_nothing_to_fill(self, some, tmp_path):
        with pytest.raises(ValueError, match="offline grading worksheet"):
            export(some, "moodle", tmp_path / "out.csv")


class TestGitHub:
    def test_what_the_reporter_reads(self, some, tmp_path):
        export(some, "github", tmp_path)
        name, _, encoded = (tmp_path / "ada" / "result.txt").read_text().strip().partition("=")
        data = json.loads(base64.b64decode(encoded, validate=True))
        assert name == "result" and data["version"] == 1 and data["status"] == "fail" and data["max_score"] == 100
        assert sum(test["score"] for test in data["tests"]) == 94
        fields = {"name", "status", "message", "test_code", "filename", "line_no", "duration", "score"}
        assert all(set(test) == fields and test["status"] in ("pass", "fail") for test in data["tests"])

    def test_the_grades_have_classrooms_columns(self, some, tmp_path):
        export(some, "github", tmp_path, Options(assignment="hw4"))
        ada, _ = table(tmp_path / "grades.csv")
        assert ",".join(ada) == (
            "assignment_name,assignment_url,starter_code_url,github_username,roster_identifier,student_repository_name,"
            "student_repository_url,submission_timestamp,points_awarded,points_available"
        )
        assert (ada["assignment_name"], ada["github_username"], ada["points_awarded"]) == ("hw4", "ada-l", "94")

    def test_half_a_point_is_rounded_up_and_the_scores_add_up(self, some, tmp_path):
        late = replace(some.results[0], late=0.5, late_sentence="Late.", written={"hw4.W1": (2, 10)})
        export(replace(some, results=(late,)), "github", tmp_path)
        (ada,) = table(tmp_path / "grades.csv")
        assert (ada["points_awarded"], ada["points_available"]) == ("96", "110")
        encoded = (tmp_path / "ada" / "result.txt").read_text().removeprefix("result=")
        assert sum(test["score"] for test in json.loads(base64.b64decode(encoded))["tests"]) == 95.5

    def test_classroom50s_contract(self, some, tmp_path):
        run = {"CLASSROOM": "cnn", "COMMIT_URL": "https://c", "SUBMISSION_TAG": "submit/1", "RELEASE_URL": "https://r"}
        export(some, "github", tmp_path, Options(context=run))
        data = json.loads((tmp_path / "ada" / "result.json").read_text())
        assert data["schema"] == "classroom50/result/v1" and data["datetime"] == "2026-10-01T10:00:00Z"
        texts = ("classroom", "assignment", "assignment_type", "owner", "submission", "commit", "release", "review")
        assert all(isinstance(data[key], str) and data[key] for key in texts)
        assert (data["classroom"], data["review"], data["owner"]) == ("cnn", "https://c", "ada-l")
        assert (
            (data["score"], data["max-score"])
            == (94, 100)
            == tuple(sum(test[key] for test in data["tests"]) for key in ("score", "max-score"))
        )
        assert all(set(test) == {"test-name", "passed", "score", "max-score"} for test in data["tests"])


class TestNbgrader:
    COLUMNS = (
        "assignment,duedate,timestamp,student_id,last_name,first_name,email,"
        "raw_score,late_submission_penalty,score,max_score"
    )

    def test_a_comma_in_a_name_breaks_nothing(self, tmp_path):
        ada = result("ada")
        ada["student"]["name"] = "Lovelace, Ada King"
        export(
            grades(tmp_path / "g", [ada, result("bob")]), "nbgrader", tmp_path / "out.csv", Options(due="2026-10-02")
        )
        first, second = table(tmp_path / "out.csv")
        assert list(first) == self.COLUMNS.split(",")
        assert (first["last_name"], first["first_name"], first["raw_score"]) == ("Lovelace", "Ada King", "100.0")
        assert (second["last_name"], second["first_name"], second["duedate"]) == ("Bob", "", "2026-10-02")

    def test_nbgrader_writes_the_same_columns(self, tmp_path):
        api = pytest.importorskip("nbgrader.api")
        plugins = pytest.importorskip("nbgrader.plugins.export")
        book = api.Gradebook(f"sqlite:///{tmp_path}/gradebook.db")
        book.add_assignment("hw4")
        book.add_student("ada")
        plugins.CsvExportPlugin(to=str(tmp_path / "theirs.csv")).export(book)
        book.close()
        export(grades(tmp_path / "g", [result("ada")]), "nbgrader", tmp_path / "ours.csv")
        assert list(table(tmp_path / "ours.csv")[0]) == list(table(tmp_path / "theirs.csv")[0])


def test_the_flat_table_has_everybody(some, tmp_path):
    export(some, "csv", tmp_path / "out.csv")
    ada, eve, missing = table(tmp_path / "out.csv")
    assert (ada["total"], ada["hw4.1 points"], ada["hw4.1 state"], ada["flags"]) == ("94", "2", "WRONG", "imports os")
    assert eve["name"].startswith("'=HYPERLINK") and eve["total"] == "100"
    assert (missing["student"], missing["grade"], missing["total"]) == ("max", "missing", "")


class TestJUnit:
    def test_it_has_what_the_schema_requires(self, tmp_path):
        checks = [check("a"), check("b", "WRONG"), check("c", "TIMEOUT"), check("d", "NOT ATTEMPTED", message=NASTY)]
        export(grades(tmp_path / "g", [result("ada", checks), result("bob")]), "junit", tmp_path / "out.xml")
        root = ElementTree.parse(tmp_path / "out.xml").getroot()
        assert root.tag == "testsuites" and not root.attrib
        for number, suite in enumerate(root):
            required = {
                "name",
                "package",
                "id",
                "timestamp",
                "hostname",
                "tests",
                "failures",
                "errors",
                "skipped",
                "time",
            }
            assert required <= set(suite.attrib) and suite.get("id") == str(number)
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
            order = [child.tag for child in suite]
            assert order == ["properties", *["testcase"] * (len(order) - 3), "system-out", "system-err"]
            assert all({"name", "classname", "time"} <= set(case.attrib) for case in suite.iter("testcase"))
            assert all("type" in problem.attrib for kind in ("failure", "error") for problem in suite.iter(kind))
        assert [root[0].get(key) for key in ("tests", "failures", "errors", "skipped")] == ["11", "1", "1", "1"]


def test_autolabs_last_line_is_the_scores(some, tmp_path):
    export(some, "autolab", tmp_path)
    shown, last = (tmp_path / "ada" / "stdout").read_text().splitlines()
    scores = json.loads(last)["scores"]
    assert scores["hw4.1"] == 2 and sum(scores.values()) == 94
    data = json.loads(shown)
    assert data["_presentation"] == "semantic" and all(set(data[stage]) for stage in data["stages"])
    assert data["hw4.1"]["a"] == {"passed": True, "hint": ""}
    assert data["hw4.1"]["test_b"]["passed"] is False and "not shown" in data["hw4.1"]["test_b"]["hint"]


def test_prairielearns_score_is_a_share(some, tmp_path):
    export(some, "prairielearn", tmp_path)
    data = json.loads((tmp_path / "ada" / "results.json").read_text())
    assert data["score"] == 0.94 and data["gradable"] is True
    assert all({"name", "points", "max_points", "output"} <= set(test) for test in data["tests"])
