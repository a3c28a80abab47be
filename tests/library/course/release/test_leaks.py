"""A release stops if an answer is in it, in whatever file and however it got there."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from minicnn.cli.course import load_checks
from minicnn.course.holes import body
from minicnn.course.manifest import all_homework, reference_path
from minicnn.course.release import edition
from minicnn.course.release.leaks import find_leaks

pytestmark = pytest.mark.slow(seconds=2)
ROOT = Path(__file__).resolve().parents[4]
DUE = list(all_homework())[3:]
BLOCK = body(reference_path("minicnn.models.resnet").read_text(encoding="utf-8"), "BasicBlock.forward")


def leaks(path: str, text: str) -> list[str]:
    return [str(leak) for leak in find_leaks({path: text.encode()}, DUE)]


def function(text: str) -> str:
    return "def f(self, x):\n" + indent(text, "    ")


@pytest.mark.parametrize(
    "path, text",
    [
        ("minicnn/models/other.py", function(BLOCK)),
        ("minicnn/models/other.py", "class A:\n" + indent(function(BLOCK), "    ")),
        ("docs/page.md", f"# A page\n\n```python\n{BLOCK}```\n"),
        ("tests/test_resnet.py", f"import minicnn\n{BLOCK}"),
        ("README.md", BLOCK),
    ],
    ids=["a function", "a method", "a page", "the top of a module", "any text"],
)  # fmt: skip
def test_the_body_of_a_hole_is_found_wherever_it_stands(path, text):
    if path == "tests/test_resnet.py":
        text = "import minicnn\n" + function(BLOCK)
    assert any("hw4.2 BasicBlock.forward" in leak for leak in leaks(path, text))


def test_half_of_a_body_and_one_with_other_comments_and_blank_lines_is_found():
    lines = BLOCK.splitlines()
    half = "\n\n".join(f"{line}  # changed" for line in lines[: len(lines) * 2 // 3] if line.strip())
    assert any("BasicBlock.forward" in leak for leak in leaks("minicnn/x.py", function(half)))


def test_what_has_nothing_of_an_answer_is_no_leak():
    assert leaks("minicnn/x.py", "def f(x):\n    return [each + 1 for each in x]\n") == []
    assert leaks("docs/page.md", "The ReLU comes after the addition.\n") == []


@pytest.mark.parametrize(
    "path", ["minicnn/__pycache__/a.cpython-311.pyc", "solutions/hw4_resnet/resnet.py", ".git/config", "minicnn/a.pyc",
             "minicnn/course/misconceptions/hw4.toml"],
)  # fmt: skip
def test_what_must_not_be_handed_out_at_all(path):
    assert leaks(path, "") == [f"{path}: must not be handed out"]


def test_nothing_is_written_over(tmp_path):
    made = edition.Edition(DUE[0], "", {"a/b.txt": b"x"}, ())
    for name in ("folder", "edition.zip"):
        edition.save(made, tmp_path / name)
        with pytest.raises(FileExistsError, match="is there already"):
            edition.save(made, tmp_path / name)
    assert (tmp_path / "folder" / "a" / "b.txt").read_bytes() == b"x"
    (tmp_path / "empty").mkdir()
    edition.save(made, tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edition.zip", "empty", "folder"]
    assert (tmp_path / "edition.zip").read_bytes() == _zipped_again(made, tmp_path / "again.zip")


def _zipped_again(made: edition.Edition, path: Path) -> bytes:
    edition.save(made, path)
    return path.read_bytes()


def test_a_release_with_a_leak_is_refused_and_says_where(monkeypatch):
    whole = edition.library

    def leaking(due):
        return {**whole(due), "minicnn/models/forgotten.py": function(BLOCK).encode()}

    monkeypatch.setattr(edition, "library", leaking)
    monkeypatch.setattr(edition, "_recorded", lambda known: {})
    with pytest.raises(
        edition.AnswersLeak, match=r"minicnn/models/forgotten.py:1: has \d+% of hw4.2 BasicBlock.forward"
    ):
        edition.make(ROOT, "hw4", lambda owner: load_checks(ROOT, owner))
