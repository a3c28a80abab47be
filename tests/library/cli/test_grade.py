"""minicnn grade: what it refuses before it grades, and what it says of it."""

from __future__ import annotations

import zipfile

import pytest

from minicnn.cli import main
from minicnn.course.grading import records, sandbox
from minicnn.course.grading.submissions import Submission

from ..course.returning.made import folder, result

OURS = "def residual_add(branch, shortcut):\n    return branch + shortcut\n"


@pytest.fixture
def handed_in(tmp_path, monkeypatch):
    """A class of one, and grades of another homework; nothing grades anything."""
    monkeypatch.chdir(tmp_path)
    for name in ("assignments", "tests", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "class" / "ada").mkdir(parents=True)
    (tmp_path / "class" / "ada" / "resnet.py").write_text(OURS)
    (tmp_path / "secret.txt").write_text("\n")
    folder(tmp_path / "grades", [result("ada")], variant="spring")
    return tmp_path


def grade(command: str) -> int:
    return main(["grade", *command.split()])


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("class --out g", "--homework is missing"),
        ("class --homework hw4", "--out is missing, where to write"),
        ("class --homework hw44 --out g", "no homework 'hw44'; did you mean 'hw4'?"),
        ("class --homework hw4 --variant a/b --out g", "digits, dots and hyphens for a variant, got 'a/b'"),
        ("class --homework hw1 --out g", "none of 1 submissions can be graded as hw1; the first is ada"),
        ("empty --homework hw4 --out g", "empty: there is no submission in it"),
        ("nothing.zip --homework hw4 --out g", "No such file or directory: nothing.zip"),
        ("class --homework hw4 --out class/g", "the grades would be taken for submissions"),
        ("class --homework hw4 --out g --late late.toml", "--late does not go with `minicnn grade`"),
        ("class --homework hw4 --out g --case-seed @secret.txt", "expected a secret in secret.txt, which is empty"),
        ("class --homework hw4 --out g --case-seed @none.txt", "expected a text file with the secret"),
        ("class --homework hw4 --out g --roster none.csv", "No such file or directory: none.csv"),
        ("class --homework hw4 --out g --own grades", "--own: expected grades of a homework before hw4, got hw4"),
        ("collect class --homework hw4 --out g", "--out does not go with `minicnn grade collect`"),
        ("collect", "`minicnn grade collect` of what?"),
        ("export grades --out x", "export what?"),
        ("export grades --for csv --feedback --out x", "export what?"),
        ("export grades --for csv --out x --roster r.csv", "go with --late"),
        ("export class --for csv --out x", "with a batch.json in it"),
        ("report grades --for csv --out x", "--for does not go with `minicnn grade report`"),
    ],
)
def test_misuse_is_one_line(handed_in, capsys, command, complaint):
    assert grade(command) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.startswith("minicnn: error: ") and said.count("\n") == 1
    assert not (handed_in / "g").exists()


def test_another_homeworks_grades_are_not_touched(handed_in, capsys):
    before = (handed_in / "grades" / "batch.json").read_text()
    (handed_in / "class" / "ada" / "tape.py").write_text("")
    with zipfile.ZipFile("one.zip", "w") as archive:
        archive.writestr("conv.py", "x = 1\n")
    assert grade("one.zip --homework hw2 --out grades") == 2
    assert "--out grades holds the grades of hw4: choose another folder for hw2" in capsys.readouterr().err
    assert (handed_in / "grades" / "batch.json").read_text() == before


def test_without_a_sandbox_it_says_what_was_tried_and_what_to_do(handed_in, capsys, monkeypatch):
    monkeypatch.setattr(sandbox, "SANDBOXES", ())
    assert grade("class --homework hw4 --out g") == 2
    said = capsys.readouterr().err
    assert (
        "nothing here confines a stranger's code" in said and "install bubblewrap, or say --trust-submissions" in said
    )
    assert not (handed_in / "g").exists()


def test_a_regrade_on_other_terms_is_said(handed_in, capsys, monkeypatch):
    monkeypatch.setattr(sandbox, "SANDBOXES", ())
    assert grade("class --homework hw4 --out grades") == 2
    said = capsys.readouterr().err
    assert "was graded as variant 'spring' before, and is now as ''" in said
    assert "was graded with hidden cases before, and is now without them" in said


def test_collect_lists_who_handed_in_what_and_grades_nothing(handed_in, capsys):
    (handed_in / "class" / "ben").mkdir()
    (handed_in / "class" / "ben" / "notes.py").write_text("")
    (handed_in / "roster.csv").write_text("id\nada\nben\ncleo\n")
    assert grade("collect class --homework hw4 --roster roster.csv") == 0
    ada, note, ben, count, missing = capsys.readouterr().out.splitlines()
    assert (ada, note) == ("ada: resnet.py", "    cifar_resnet.py is not in it")
    assert ben.startswith("ben: REFUSED: none of resnet.py, cifar_resnet.py is in it; it holds 'notes.py'")
    assert (count, missing) == ("hw4: 1 submissions to grade, 1 refused", "handed in nothing: cleo")


def test_what_is_kept_of_a_submission_is_what_is_graded(tmp_path):
    records.keep(tmp_path, Submission("ada", {"resnet.py": b"x = 1\n", "helper.py": b""}))
    kept = records.keep(tmp_path, Submission("ada", {"resnet.py": b"x = 2\n"}))
    assert {file.name: file.read_text() for file in kept.iterdir()} == {"resnet.py": "x = 2\n"}


def test_a_void_batch_is_reported_and_not_given_back(handed_in, capsys):
    folder(handed_in / "void", [], void="sentinel-stub: expected 0 points, got 3")
    for command in ("export void --for csv --out x", "export void --feedback --out x"):
        assert grade(command) == 2
        assert "the batch is void" in capsys.readouterr().err
    assert not (handed_in / "x").exists()


def test_who_has_no_page_and_no_known_time_is_said(handed_in, capsys):
    unknown = result("ada", submission={"submitted_at": ""})
    folder(handed_in / "g", [unknown], missing=["gus"])
    (handed_in / "late.toml").write_text("due = 2026-10-01T12:00:00+02:00\nper_day = 10\n")
    assert grade("export g --feedback --late late.toml --out pages") == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "handed in at an unknown time, which costs nothing: ada"
    assert (second, third) == ("without a page: gus (missing)", "pages: 2 pages")
