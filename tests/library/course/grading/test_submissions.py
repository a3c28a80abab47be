"""Submissions as people have them: whose they are, what is in them, and what is said about it."""

from __future__ import annotations

import ast
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.course.grading.contents import _python
from minicnn.course.grading.layouts import _metadata
from minicnn.course.grading.roster import Roster
from minicnn.course.grading.submissions import Submission, collect
from minicnn.course.grading.unpacking import Refused, Tree
from minicnn.course.manifest import homework

from .test_unpacking import of_mode, tarred, zipped

HW4 = homework("hw4")
A = b"def residual_add(branch, shortcut):\n    return branch + shortcut\n"
B = b"def blocks_per_stage(depth):\n    return (depth - 2) // 6\n"
BOTH = {"resnet.py": A, "cifar_resnet.py": B}
METADATA = """\
---
submission_11:
  :submitters:
  - :name: Ada Lovelace
    :sid: '1815'
    :email: ada@example.edu
  :created_at: 2026-10-01 12:00:00.123456000 -07:00
  :score: 3.0
  :status: processed
  :results:
    output: |
      submission_11:
      :submitters:
        :name: Eve
    tests:
    - name: 'x'
      output: ":created_at: 1999-01-01 00:00:00 Z"
  :history:
  - :id: 4
    :created_at: 2026-09-01 12:00:00.000000000 -07:00
submission_12:
  :submitters:
  - :name: "Zo\\u00eb \\"Z\\" M\\u00fcller"
    :sid:
    :email: zoe@example.edu
  - :name: 'Conan O''Brien'
    :sid: ~
    :email: conan@example.edu
  :created_at: 2026-10-02 12:00:00 Z
"""


def laid_out(top: Path, files: Mapping[str, bytes | str]) -> Path:
    """Files in a folder, by their paths in it."""
    for name, data in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return top


def of_student(top: Path, files: Mapping[str, bytes]) -> Submission:
    """What becomes of one student's files, whose folder lies beside another's."""
    laid_out(top, {f"ada/{name}": data for name, data in files.items()} | {"bob/resnet.py": A})
    ada, bob = collect(top, HW4)
    assert (ada.student, bob.student) == ("ada", "bob")
    assert bob.files == {"resnet.py": A} and not bob.refused
    return ada


def as_zip(files: Mapping[str, bytes | str]) -> bytes:
    return zipped(*((name, data.encode() if isinstance(data, str) else data) for name, data in files.items()))


def both_ways(tmp_path: Path, files: Mapping[str, bytes | str], roster: Roster | None = None) -> list[Submission]:
    """The submissions in a download, which are the same unpacked and as the archive that it was."""
    (tmp_path / "download.zip").write_bytes(as_zip(files))
    packed = collect(tmp_path / "download.zip", HW4, roster)
    assert packed == collect(laid_out(tmp_path / "download", files), HW4, roster)
    return packed


# --- platforms --------------------------------------------------------------------------------------------------------


def test_a_folder_or_an_archive_for_each_student(tmp_path):
    files = {
        "class/ada/resnet.py": A,
        "class/bob.zip": as_zip({"hw4_resnet/resnet.py": A}),
        "class/cy.tar.gz": tarred(("resnet.py", A)),
        "class/dan/work.zip": as_zip({"mine.zip": as_zip({"resnet.py": A})}),
        "class/grades.xlsx": b"PK\x03\x04",
    }
    found = both_ways(tmp_path, files)
    assert [each.student for each in found] == ["ada", "bob", "cy", "dan"]
    assert all(each.files == {"resnet.py": A} and not each.refused for each in found)
    assert [each.source for each in found] == ["class/ada", "class/bob.zip", "class/cy.tar.gz", "class/dan"]


def test_gradescope(tmp_path):
    files = {
        "assignment_7_export/submission_metadata.yml": METADATA,
        **{f"assignment_7_export/submission_11/{name}": data for name, data in BOTH.items()},
        "assignment_7_export/submission_12/hw4_resnet/resnet.py": A,
        "assignment_7_export/submission_13/resnet.py": B,
        "assignment_7_export/rubric.csv": b"",
    }
    found = {each.student: each for each in both_ways(tmp_path, files)}
    ada, zoe, conan = (found[f"{name}@example.edu"] for name in ("ada", "zoe", "conan"))
    assert ada.files == BOTH
    assert ada.ids == {"gradescope": "1815", "email": "ada@example.edu"}
    assert (ada.name, ada.submitted_at) == ("Ada Lovelace", "2026-10-01T12:00:00-07:00")
    assert (zoe.name, conan.name) == ('Zoë "Z" Müller', "Conan O'Brien")
    assert zoe.files == conan.files == {"resnet.py": A}
    assert "handed in together with Conan O'Brien" in zoe.notes
    assert zoe.submitted_at == "2026-10-02T12:00:00+00:00"
    (unknown,) = (each for each in found.values() if each.files == {"resnet.py": B})
    assert "does not say whose 'submission_13' is" in unknown.notes[0]


def test_gradescopes_metadata_is_read_as_a_yaml_reader_reads_it():
    yaml = pytest.importorskip("yaml")
    tree = Tree({"submission_metadata.yml": lambda limits: METADATA.encode()})
    expected = {
        folder: [{key[1:]: str(value or "") for key, value in person.items()} for person in entry[":submitters"]]
        for folder, entry in yaml.safe_load(METADATA).items()
    }
    read = {
        folder: [{key.replace("gradescope", "sid"): value for key, value in person.items()} for person in people]
        for folder, (people, _) in _metadata(tree).items()
    }
    assert read == expected


def test_a_student_of_gradescope_whose_folder_is_missing_is_listed(tmp_path):
    files = {"submission_metadata.yml": METADATA, "submission_11/resnet.py": A}
    found = {each.student: each.refused for each in both_ways(tmp_path, files)}
    assert not found["ada@example.edu"]
    assert "it holds no file" in found["zoe@example.edu"]


def test_canvas(tmp_path):
    files = {
        "lovelaceada_101_9001_resnet.py": B,
        "lovelaceada_101_10105_resnet-1.py": A,
        "lovelaceada_101_9106_cifar_resnet-2.py": B,
        "smith2john_LATE_102_9003_hw4.zip": as_zip(BOTH),
        "anon_x7Yz9_9004_resnet.py": A,
        "anon_X7yz9_9007_resnet.py": B,
        "LATE_anon_b2c_9008_resnet.py": A,
        "turingalan_104_text.html": "<p>my answer",
        "müllerzoë_105_9005_notes_1_2_resnet.txt": A,
        "müllerzoë_105_9006_resnet.py": A,
    }
    found = {each.ids["canvas"]: each for each in both_ways(tmp_path, files)}
    assert set(found) == {"101", "102", "x7Yz9", "X7yz9", "b2c", "104", "105"}
    ada, john = found["101"], found["102"]
    assert ada.student == ada.name == "lovelaceada"
    assert ada.files == BOTH
    assert "'resnet-1.py' is the newest 'resnet.py', the older one is left out" in ada.notes
    assert "'cifar_resnet-2.py' is taken for cifar_resnet.py" in ada.notes
    assert (john.student, john.files) == ("smith2john", BOTH)
    assert "Canvas marks it as late" in john.notes
    assert found["x7Yz9"].files == {"resnet.py": A} and found["x7Yz9"].name == ""
    assert found["b2c"].notes[0] == "Canvas marks it as late" and found["b2c"].name == ""
    assert "it holds 'text.html'" in found["104"].refused
    assert found["105"].files == {"resnet.py": A}


def test_moodle(tmp_path):
    files = {
        "Ada Lovelace_301_assignsubmission_file_/resnet.py": A,
        "Ada Lovelace_301_assignsubmission_onlinetext_/onlinetext.html": "<p>see file",
        "Zoë Müller_302_assignsubmission_file_resnet.py": A,
        "Participant_303_assignsubmission_file_/a/hw4.zip": as_zip({"resnet.py": A}),
        "Zoë Müller_304_assignsubmission_file_/resnet.py": B,
    }
    found = {each.ids["moodle"]: each for each in both_ways(tmp_path, files)}
    assert {number: each.name for number, each in found.items()} == {
        "301": "Ada Lovelace",
        "302": "Zoë Müller",
        "303": "",
        "304": "Zoë Müller",
    }
    assert [found[n].files["resnet.py"] for n in ("301", "302", "303", "304")] == [A, A, A, B]
    assert {found["302"].student, found["304"].student} == {"Zoe_Muller-302", "Zoe_Muller-304"}  # whoever else hands in


def test_github_classroom(tmp_path):
    repository = {
        "assignments/hw4_resnet/resnet.py": A,
        "assignments/hw4_resnet/cifar_resnet.py": B,
        "assignments/hw3_googlenet/conv.py": B,
        "minicnn/models/resnet.py": b"reference",
        "solutions/hw4_resnet/resnet.py": b"reference",
        "assignments/hw4_resnet/mine.py": b"x = 1\n",
        ".gitignore": b"",
    }
    files = {f"cnn-hw4-{user}/{name}": data for user in ("ada-l", "adam") for name, data in repository.items()}
    found = both_ways(tmp_path, {f"cnn-hw4-submissions/{name}": data for name, data in files.items()})
    assert [each.student for each in found] == ["ada-l", "adam"]
    assert [each.ids for each in found] == [{"github": "ada-l"}, {"github": "adam"}]
    assert all(each.files == BOTH | {"mine.py": b"x = 1\n"} for each in found)


def test_folders_that_begin_alike_but_are_no_names_of_github_are_students(tmp_path):
    files = {f"hw4-{name}/assignments/hw4_resnet/resnet.py": A for name in ("ada b", "adam")}
    assert [each.student for each in both_ways(tmp_path, files)] == ["hw4-ada_b", "hw4-adam"]


def test_nbgrader(tmp_path):
    files = {
        "submitted/ada/hw4/resnet.py": A,
        "submitted/ada/hw4/timestamp.txt": "2026-10-01 12:00:00.948203 UTC",
        "submitted/ada/hw3/resnet.py": B,
        "submitted/cy/hw4/resnet.py": A,
        "submitted/cy/hw4/timestamp.txt": "2026-10-01 12:00:00 Mars/Base",
        "submitted/bob/hw4/resnet.py": A,
        "submitted/bob/hw4/timestamp.txt": "2026-10-01 12:00:00 Europe/Paris",
    }
    ada, bob, cy = both_ways(tmp_path, files)
    assert cy.submitted_at == ""
    assert ada.ids == {"nbgrader": "ada"} and ada.files == {"resnet.py": A}
    assert (ada.submitted_at, bob.submitted_at) == ("2026-10-01T12:00:00+00:00", "2026-10-01T12:00:00+02:00")
    assert collect(tmp_path / "download" / "submitted", HW4)[0].ids == {"nbgrader": "ada"}
    laid_out(tmp_path / "download", {"source/hw4/resnet.py": A, "gradebook.db": b""})
    assert [each.student for each in collect(tmp_path / "download", HW4)] == ["ada", "bob", "cy"]


@pytest.mark.parametrize("inside", ["", "hw4_resnet/", "assignments/hw4_resnet/", "my homework/"])
def test_one_student(tmp_path, inside):
    files = {f"{inside}{name}": data for name, data in BOTH.items()}
    (tmp_path / "ada.zip").write_bytes(as_zip(files))
    (from_zip,) = collect(tmp_path / "ada.zip", HW4)
    (from_folder,) = collect(laid_out(tmp_path / "ada", files), HW4)
    assert from_zip.files == from_folder.files == BOTH
    assert from_zip.student == "ada"


def test_one_file(tmp_path):
    (submission,) = collect(laid_out(tmp_path, {"ada/resnet.py": A}) / "ada" / "resnet.py", HW4)
    assert submission.files == {"resnet.py": A}
    assert submission.notes == ("cifar_resnet.py is not in it",)


def test_a_file_beside_the_students_is_listed_and_makes_no_class_one_student(tmp_path):
    found = collect(laid_out(tmp_path, {"resnet.py": A, "ada/resnet.py": A, "bob.zip": as_zip(BOTH)}), HW4)
    assert {each.student: bool(each.refused) for each in found} == {"ada": False, "bob": False, "resnet": True}


def test_what_a_student_names_a_file_makes_nobody_else_of_the_student(tmp_path):
    """Eve's file in Canvas's download looks like Moodle's folder of Bob, her folder like Gradescope's export."""
    files = {
        "bobby_1_11_resnet.py": A,
        "evelyn_2_12_Bob_1_assignsubmission_file_.zip": as_zip({"resnet.py": B}),
        "smith_3_13_hw4.zip": as_zip({"submission_metadata.yml": METADATA, "submission_11/resnet.py": A}),
    }
    found = {each.ids["canvas"]: each for each in both_ways(tmp_path, files)}
    assert {number: each.name for number, each in found.items()} == {"1": "bobby", "2": "evelyn", "3": "smith"}
    assert [found[number].files["resnet.py"] for number in "123"] == [A, B, A]


# --- what is in a submission ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["resnet (1).py", "resnet-1.py", "Resnet.py", "resnet.py.txt", "resnet - Copy.py", "Copy of resnet.py"]
    + ["RESNET.PY", "resnet_2.py", "re\u200bsnet.py", "r\u0435snet.py", "ｒesnet.py", "resnet(2).py.txt"],
)
def test_a_file_by_nearly_the_right_name_is_taken_and_noted(tmp_path, name):
    submission = of_student(tmp_path, {f"x/{name}": A, "x/cifar_resnet.py": B})
    assert submission.files == BOTH
    assert submission.notes == (f"{ascii(f'x/{name}')} is taken for resnet.py",)


def test_the_exact_name_wins_and_a_clash_is_reported(tmp_path):
    submission = of_student(tmp_path, {**BOTH, "r\u0435snet.py": B, "resnet (1).py": B, "resnet_2.py": b"x = 1\n"})
    assert submission.files == {**BOTH, "resnet_2.py": b"x = 1\n"}
    assert submission.notes == ("'resnet.py' is taken for resnet.py, not 'resnet (1).py', 'r\\u0435snet.py'",)


def test_a_clash_of_case_is_reported(tmp_path):
    (tmp_path / "ada.zip").write_bytes(as_zip({**BOTH, "Resnet.py": B}))
    (submission,) = collect(tmp_path / "ada.zip", HW4)
    assert submission.files == BOTH
    assert "'resnet.py' is taken for resnet.py, not 'Resnet.py'" in submission.notes


@pytest.mark.parametrize(
    "better, worse", [("hw4_resnet/", ""), ("assignments/hw4_resnet/", "hw4_resnet/"), ("hw4/", "x/")]
)
def test_the_nearest_to_the_homeworks_folder_is_taken(tmp_path, better, worse):
    submission = of_student(tmp_path, {f"{better}resnet.py": A, f"{worse}resnet.py": B, "cifar_resnet.py": B})
    assert submission.files == BOTH
    assert any("is taken for resnet.py, not" in note for note in submission.notes)


def test_two_different_files_for_a_stub_are_for_a_person_and_two_equal_ones_are_not(tmp_path):
    submission = of_student(tmp_path / "1", {"x/resnet.py": A, "y/resnet.py": B})
    assert "different files for resnet.py: 'x/resnet.py' and 'y/resnet.py'" in submission.refused
    assert not submission.files
    assert of_student(tmp_path / "2", {"x/resnet.py": A, "y/resnet.py": A}).files == {"resnet.py": A}


def test_the_librarys_own_file_and_other_homeworks_are_not_the_students(tmp_path):
    submission = of_student(
        tmp_path, {"minicnn/models/resnet.py": A, "hw5_beyond/cifar_resnet.py": B, "solutions/hw4_resnet/resnet.py": A}
    )
    assert "none of resnet.py, cifar_resnet.py is in it; it holds" in submission.refused


def test_helpers_come_along_but_none_that_python_reads_by_itself(tmp_path):
    names = ["tools.py", "numpy.py", "conftest.py", "random.py", "a b.py", "ünïcode.py", "data.bin", "sub/deep.py"]
    submission = of_student(tmp_path, {**BOTH, **dict.fromkeys(names, b"x = 1\n")})
    assert set(submission.files) == {*BOTH, "tools.py"}
    assert [note.split()[0] for note in submission.notes] == ["'conftest.py'", "'numpy.py'", "'random.py'"]


def test_so_many_helpers_are_no_persons_work(tmp_path):
    submission = of_student(tmp_path, {**BOTH, **{f"m{number}.py": b"" for number in range(50)}})
    assert "more than 50 Python files" in submission.refused


def test_an_empty_and_a_missing_file_are_noted(tmp_path):
    submission = of_student(tmp_path, {"resnet.py": b"  \n"})
    assert submission.files == {"resnet.py": b"  \n"} and not submission.refused
    assert submission.notes == ("resnet.py is empty", "cifar_resnet.py is not in it")


def test_an_archive_that_is_refused_does_not_spoil_what_lies_beside_it(tmp_path):
    submission = of_student(tmp_path, {**BOTH, "data.zip": as_zip({"../x": b""})})
    assert submission.files == BOTH and not submission.refused
    assert submission.notes == ("an archive is left out: 'data.zip/../x' has a name that leads out of the submission",)


def test_an_empty_submission_is_listed(tmp_path):
    submission = of_student(tmp_path, {"report.pdf": b"%PDF", "work.rar": b"Rar!"})
    assert "it holds 'report.pdf'; 'work.rar' is not unpacked" in submission.refused


def test_archives_nested_deeper_are_not_unpacked(tmp_path):
    deep = as_zip({"2.zip": as_zip({"3.zip": as_zip({"resnet.py": A})})})
    assert "'1.zip/2.zip/3.zip' is not unpacked" in of_student(tmp_path, {"1.zip": deep}).refused


# --- notebooks --------------------------------------------------------------------------------------------------------


def notebook(*cells: str) -> bytes:
    made = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": "def blocks_per_stage"}, *made]}).encode()


def test_the_cells_of_a_notebook_become_the_file_whose_functions_they_define(tmp_path):
    cells = notebook(
        "%matplotlib inline\nimport numpy\n!pip install x", A.decode(), "%%bash\nrm -rf", "residual_add(1, 2)"
    )
    submission = of_student(tmp_path, {"hw.ipynb": cells, "cifar_resnet.py": B})
    assert "resnet.py is made of the code cells of 'hw.ipynb'" in submission.notes
    text = submission.files["resnet.py"].decode()
    assert [type(node).__name__ for node in ast.parse(text).body] == ["Import", "FunctionDef", "Expr"]


def test_a_notebook_that_is_not_clear_is_left_out_and_named(tmp_path):
    notebooks = {"both.ipynb": notebook(A.decode(), B.decode()), "none.ipynb": notebook("1"), "bad.ipynb": b"[" * 10**5}
    submission = of_student(tmp_path / "1", {**notebooks, "resnet.py": A})
    assert submission.files == {"resnet.py": A}
    assert [note.split(":")[0] for note in submission.notes[:3]] == [
        "'bad.ipynb' is not a notebook that can be read",
        "'both.ipynb' is left out",
        "'none.ipynb' is left out",
    ]
    assert "both.ipynb" in of_student(tmp_path / "2", notebooks).refused
    other = {"a.ipynb": notebook(B.decode().replace("6", "7")), "cifar_resnet.py": B}
    assert of_student(tmp_path / "3", other).files == {"cifar_resnet.py": B}


# --- text -------------------------------------------------------------------------------------------------------------

TEXT = "# Zoë\nx = 'é'\n"


@pytest.mark.parametrize(
    "data, note",
    [
        (TEXT.encode(), ""),
        (TEXT.encode("utf-8-sig"), "UTF-8 with a byte order mark"),
        (TEXT.replace("\n", "\r\n").encode(), "CRLF line ends"),
        (TEXT.replace("\n", "\r").encode(), "CR line ends"),
        (TEXT.encode("utf-16"), "UTF-16"),
        (TEXT.encode("utf-16-be"), "UTF-16-BE"),
        (TEXT.encode("utf-16-le"), "UTF-16-LE"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (TEXT.encode("latin-1"), "CP1252"),
    ],
)
def test_text_of_any_encoding_is_handed_on_as_utf8(data, note):
    notes: list[str] = []
    assert _python(data, "a.py", notes).decode() == TEXT
    assert notes == ([f"a.py was {note} and is read as UTF-8"] if note else [])


@pytest.mark.parametrize(
    "head", ["# -*- coding: {} -*-\n", "#!/usr/bin/python\n# vim: set fileencoding={} :\n", "\r\n#coding={}\n"]
)
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso-8859-15"])
def test_a_declared_encoding_is_believed_and_then_declared_anew(head, encoding):
    source = head.format(encoding) + "x = 'é'\n"
    handed_on = _python(source.encode(encoding), "a.py", [])
    assert handed_on == (head.format("utf-8").replace("\r", "") + "x = 'é'\n").encode()
    scope: dict[str, str] = {}
    exec(compile(handed_on, "a.py", "exec"), scope)
    assert scope["x"] == "é"


@pytest.mark.parametrize("encoding", ["rot13", "unicode_escape", "utf-7", "cp037", "zlib", "idna"])
def test_an_encoding_that_hides_code_is_refused(encoding):
    with pytest.raises(Refused, match="declares the encoding"):
        _python(f"# coding: {encoding}\n# coding: utf-8\n".encode(), "a.py", [])


@pytest.mark.parametrize("data", [b"x = 1\0\n", bytes(range(256)), b"\xff\xfe\x00\xd8", b"\x7fELF\0\0\0\1"])
def test_what_is_no_text_is_refused(data):
    with pytest.raises(Refused, match="is not text"):
        _python(data, "a.py", [])


def test_a_file_too_long_for_a_person_is_refused():
    with pytest.raises(Refused, match="too large for a file of Python: 1048577 bytes"):
        _python(b"#" * (1 << 20) + b"\n", "a.py", [])


@given(st.binary(max_size=60) | st.text(max_size=30).map(lambda text: ("#coding: " + text).encode("utf-16")))
@settings(max_examples=300, deadline=None)
def test_any_bytes_become_utf8_with_plain_line_ends_or_are_refused(data):
    try:
        handed_on = _python(data, "a.py", [])
    except Refused:
        return
    assert b"\r" not in handed_on and b"\0" not in handed_on
    handed_on.decode("utf-8")


# --- one bad apple ----------------------------------------------------------------------------------------------------

HOSTILE = {
    "slip": as_zip({"../../resnet.py": A}),
    "absolute": as_zip({"/tmp/resnet.py": A}),
    "link": zipped((of_mode("resnet.py", stat.S_IFLNK | 0o777), b"/etc/passwd")),
    "bomb": as_zip({"resnet.py": bytes(40 << 20)}),
    "nested bomb": as_zip({"x.zip": as_zip({"resnet.py": bytes(40 << 20)})}),
    "broken": as_zip(BOTH)[:-30],
    "empty": b"",
    "many": as_zip({f"{number}.txt": b"" for number in range(20_001)}),
    "large": as_zip({"resnet.py": b"#" * 2_000_000}),
    "binary": as_zip({"resnet.py": b"\0" * 100}),
    "text": b"no archive",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_alone(tmp_path, kind):
    for folder, files in {"1": {"ada/hw4.zip": HOSTILE[kind]}, "2": {"ada.zip": HOSTILE[kind]}}.items():
        (tmp_path / folder).mkdir()
        ada, bob = both_ways(tmp_path / folder, {**files, "bob/resnet.py": A})
        assert ada.student == "ada" and ada.refused and not ada.files
        assert bob.files == {"resnet.py": A} and not bob.refused


@pytest.mark.parametrize("name", ["ada/../../resnet.py", "ada\\..\\x.py", "../resnet.py", "/etc/resnet.py"])
def test_a_bad_name_in_the_archive_of_a_class_is_listed_and_spoils_nothing(tmp_path, name):
    (tmp_path / "class.zip").write_bytes(zipped((name, A), ("bob/resnet.py", A), ("cy/resnet.py", A)))
    found = collect(tmp_path / "class.zip", HW4)
    assert [each.student for each in found if not each.refused] == ["bob", "cy"]
    (bad,) = (each for each in found if each.refused)
    assert "leads out" in bad.refused
    assert bad.student == ("ada" if name.startswith("ada") else "student")


@pytest.mark.skipif(os.name != "posix", reason="makes links")
def test_a_link_in_a_folder_is_refused_alone(tmp_path):
    secret = laid_out(tmp_path / "secret", BOTH)
    top = laid_out(tmp_path / "class", {"ada/resnet.py": A, "bob/cifar_resnet.py": B})
    (top / "bob" / "resnet.py").symlink_to(secret / "resnet.py")
    (top / "eve").symlink_to(secret)
    found = {each.student: each for each in collect(top, HW4)}
    assert not found["ada"].refused
    assert "is a symbolic link" in found["bob"].refused
    assert "is a symbolic link" in found["eve"].refused


def test_the_archive_of_a_whole_class_that_is_broken_is_one_clear_error(tmp_path):
    (tmp_path / "class.zip").write_bytes(as_zip(BOTH)[:-30])
    with pytest.raises(Refused, match="class.zip is a broken archive"):
        collect(tmp_path / "class.zip", HW4)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10), min_size=2, max_size=5))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_students_of_any_names_get_safe_names_of_their_own(tmp_path_factory, names):
    top = tmp_path_factory.mktemp("class")
    (top / "class.zip").write_bytes(
        zipped(*((f"{name}_{i}_assignsubmission_file_/resnet.py", A) for i, name in enumerate(names)))
    )
    found = collect(top / "class.zip", HW4)
    students = [each.student for each in found]
    assert len({student.lower() for student in students}) == len(students) == len(set(students))
    for each in found:
        laid_out(top / "made", {f"{each.student}.json": b""})
        assert each.student.isascii() and len(each.student) < 90 and "--" not in each.student
        json.dumps([each.name, each.source, each.notes, each.refused]).encode()


PARTS = st.sampled_from(
    ["", "resnet", "cifar_resnet", "hw4_resnet/", "hw3/", "a\\b/", "é", "\u0435", "(1)", "-1", "x" * 30]
)
ENDS = st.sampled_from(
    [".py", ".PY", ".ipynb", ".zip", ".tar.gz", ".txt", "/timestamp.txt", "/submission_metadata.yml"]
)
FILE_NAMES = st.tuples(PARTS, PARTS, PARTS, ENDS).map("".join)
CONTENTS = st.binary(max_size=20) | st.sampled_from(
    [A, notebook(B.decode()), b"{}", b'{"cells": 1}', as_zip(BOTH), tarred()]
)


@given(st.dictionaries(FILE_NAMES, CONTENTS, max_size=5))
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_whatever_a_student_hands_in_the_others_are_graded(tmp_path_factory, files):
    path = tmp_path_factory.mktemp("class") / "class.zip"
    path.write_bytes(
        as_zip({"bob/resnet.py": A, "cy/resnet.py": A, **{f"ada/{name}": data for name, data in files.items()}})
    )
    found = {each.student: each for each in collect(path, HW4)}
    assert found.keys() == ({"ada", "bob", "cy"} if files else {"bob", "cy"})
    assert found["bob"].files == {"resnet.py": A} and not found["bob"].refused
    for each in found.values():
        assert bool(each.refused) != bool(each.files)
        for name, data in each.files.items():
            assert name.endswith(".py") and name.removesuffix(".py").isidentifier() and data.decode() is not None


# --- who it is --------------------------------------------------------------------------------------------------------


def roster(tmp_path: Path, text: str) -> Roster:
    (tmp_path / "roster.csv").write_text(text, encoding="utf-8")
    return Roster.read(tmp_path / "roster.csv")


def test_the_roster_gives_names_and_says_who_is_missing(tmp_path):
    people = roster(
        tmp_path, "id,name,email,canvas id\nal,Ada Lovelace,ada@x.edu,101\nzm,Zoë Müller,,\ncb,Charles Babbage,,\n"
    )
    files = {"lovelaceada_101_1_resnet.py": A, "mullerzoe_102_2_resnet.py": A, "eve_103_3_resnet.py": A}
    ada, eve, zoe = both_ways(tmp_path, files, people)
    assert [ada.student, eve.student, zoe.student] == ["al", "eve", "zm"]
    assert ada.ids == {"id": "al", "email": "ada@x.edu", "canvas": "101"}
    assert eve.notes[0] == "'eve' is not on the roster"
    assert people.missing(each.student for each in (ada, eve, zoe)) == ["cb"]


def test_a_stranger_gets_no_name_of_the_rosters(tmp_path):
    people = roster(tmp_path, "id,canvas\neve,101\n")
    found = both_ways(tmp_path, {"eve_102_2_resnet.py": B, "eve_101_1_resnet.py": A, "x_103_3_resnet.py": A}, people)
    assert {each.student: each.files["resnet.py"] for each in found} == {"eve": A, "eve-102": B, "x": A}


def test_of_two_submissions_the_newest_counts(tmp_path):
    metadata = METADATA.replace("Conan O''Brien", "Ada").replace("conan@", "ada@")
    people = roster(tmp_path, "email\nada@example.edu\n")
    files = {"submission_metadata.yml": metadata, "submission_11/resnet.py": A, "submission_12/resnet.py": B}
    ada = next(each for each in both_ways(tmp_path, files, people) if each.student == "ada@example.edu")
    assert ada.files == {"resnet.py": B}
    assert "the newest of 'submission_11' and 'submission_12' is taken" in ada.notes


def test_two_submissions_of_unknown_time_are_for_a_person_unless_they_are_equal(tmp_path):
    files = {
        "ada/resnet.py": A,
        "ada.zip": as_zip({"resnet.py": B}),
        "bob/resnet.py": A,
        "bob.zip": as_zip({"resnet.py": A}),
    }
    ada, bob = both_ways(tmp_path, files)
    assert not ada.files and "no time says which counts" in ada.refused
    assert bob.files == {"resnet.py": A} and not bob.refused


def test_equal_only_by_accents_is_two_students(tmp_path):
    found = both_ways(tmp_path, {"Zoë/resnet.py": A, "Zoe/resnet.py": B})
    assert [each.student for each in found] == ["Zoe", "Zoe-2"]
