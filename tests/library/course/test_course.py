"""Manifests, stubs on disk, proof and results, on the toy course."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from minicnn.cli import main
from minicnn.course import manifest, misconceptions, proof
from minicnn.course.build import build, course_root, stub
from minicnn.course.execution import State
from minicnn.course.manifest import ManifestError, homework, reference_source
from minicnn.course.results import CheckResult, as_json, by_homework, table, write

from . import toy

# --- manifests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('id = "hw9"\n', 'id = "hw8"\n', "must be 'hw9'"),
        ("points = 40", "points = 39", "must add up to 100, got 99"),
        ('id = "hw9.2"', 'id = "hw9.5"', "in order"),
        ('holes = ["toy:clip"]', 'holes = ["toy:double"]', "belongs to one task.*toy:double"),
        ('holes = ["toy:clip"]', 'holes = ["play:clip"]', "expected a hole 'stem:name' with a stem among"),
        ('holes = ["toy:clip"]', 'holes = ["clip"]', "expected a hole 'stem:name'"),
        ('needs = ["hw9.1"]', 'needs = ["hw8.1"]', "hw9.2 needs"),
        ('needs = ["hw9.1"]', 'needs = ["hw9.2"]', "hw9.2 needs"),
        ('needs = ["hw9.1"]', 'need = ["hw9.1"]', "unknown keys"),
        ("scaffold.double", "scaffold.single", "which are not its holes"),
        ('title = "A toy"\n', "", "'title' is missing"),
    ],
)
def test_a_manifest_that_does_not_fit_together_is_refused(course, old, new, message):
    assert old in toy.MANIFEST
    (course / "homework" / "hw9.toml").write_text(toy.MANIFEST.replace(old, new))
    manifest._read.cache_clear()
    with pytest.raises(ManifestError, match=f"^hw9.toml: .*{message}"):
        homework("hw9")


VARIANT = """
[variants.spring.holes]
"hw9.1" = ["toy:quadruple"]
"hw9.2" = ["toy:double"]
"hw9.4" = ["toy:Scale.__call__"]
"""


def test_a_variant_draws_other_cases_and_may_put_other_functions_into_a_task(course):
    (course / "homework" / "hw9.toml").write_text(toy.MANIFEST + VARIANT)
    manifest._read.cache_clear()
    plain, seed = homework("hw9"), manifest.public_seed()
    with manifest.variant("spring"):
        other = homework("hw9")
        assert manifest.public_seed() != seed == 0
        assert [str(hole) for hole in other.task("hw9.1").holes] == ["toy:quadruple"]
        assert [str(hole) for hole in other.task("hw9.4").holes] == ["toy:Scale.__call__"]
        assert "not written yet" not in stub(other, "toy").partition("def __init__")[2].partition("def __call__")[0]
        assert {each.name for each in misconceptions.mistakes("hw9")} == {"clipped-from-above", "factor-added"}
        assert manifest.homework("hw9") is other
    assert homework("hw9") is plain and manifest.public_seed() == 0
    with manifest.variant("autumn"):
        assert manifest.public_seed() not in (0, seed) and homework("hw9").holes() == plain.holes()


def test_a_variant_that_names_no_task_is_refused(course):
    (course / "homework" / "hw9.toml").write_text(toy.MANIFEST + '[variants.spring.holes]\n"hw9.9" = ["toy:double"]\n')
    manifest._read.cache_clear()
    with manifest.variant("spring"), pytest.raises(ManifestError, match="variants.spring: holes for .*hw9.9"):
        homework("hw9")


def test_unknown_homework_and_tasks_are_refused_with_what_there_is(course):
    with pytest.raises(ValueError, match="no homework 'hw7'; did you mean 'hw9'"):
        homework("hw7")
    with pytest.raises(ValueError, match="hw9 has no task 'hw9.7'; it has hw9.1, hw9.2"):
        manifest.find_task("hw9.7")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('[["2 * x", "x * x"]]', '[["4 * x", "x * x"]]', "expected once in toy:double, found 0 times"),
        ('[["2 * x", "x * x"]]', '[["x", "y"]]', "expected once in toy:double, found"),
        ('[["2 * x", "x * x"]]', '[["2 * x", "x *"]]', "line 1"),
        ('"return 3 * x"', '"return 3 * x"\nedits = []', "either edits or body"),
        ('name = "tripled"', 'name = "squared"', "one name"),
        ('hint = "Times."', 'hint = "Times."\nnote = ""', "unknown keys"),
        ('hint = "Times."', "", "missing"),
        ('hole = "toy:Scale.__call__"', 'hole = "toy:double"', "has no hole"),
    ],
)
def test_a_planted_mistake_that_does_not_fit_is_refused(course, old, new, message):
    assert old in toy.MISTAKES
    (course / "misconceptions" / "hw9.toml").write_text(toy.MISTAKES.replace(old, new))
    misconceptions._mistakes.cache_clear()
    with pytest.raises(ManifestError, match=message):
        for mistake in misconceptions.mistakes("hw9"):
            misconceptions.planted_source(mistake)


# --- stubs on disk --------------------------------------------------------------------------------------------------


def test_a_stub_gives_nothing_away_and_an_anchor_leads_to_its_task(course):
    text = (course / "assignments" / "hw9_toy" / "toy.py").read_text()
    assert text.count("raise NotImplementedError") == 5 and "return 2 * x" not in text
    assert '"""Twice ``x``.' in text and "# No loop is needed." in text
    assert homework("hw9").task("hw9.2").anchor == "#hw92-doubling-twice"


def test_building_again_changes_nothing_and_edits_are_kept(course, capsys, monkeypatch):
    monkeypatch.chdir(course / "tests")
    owner = homework("hw9")
    assert build(course, [owner]) == [] and build(course, [owner], check=True) == []
    path = course / "assignments" / "hw9_toy" / "toy.py"
    edited = path.read_text() + "\n# my own work\n"
    path.write_text(edited)
    assert main(["course", "build", "hw9"]) == 1
    assert "has been edited and is kept" in capsys.readouterr().out
    assert path.read_text() == edited
    assert path.with_name("toy.py.new").read_text() == stub(owner, "toy")
    assert main(["course", "build", "hw9", "--check"]) == 1
    assert "out of date" in capsys.readouterr().out


def test_an_untouched_stub_follows_the_reference(course):
    owner = homework("hw9")
    path = course / "assignments" / "hw9_toy" / "toy.py"
    (course / "toy_reference.py").write_text(toy.REFERENCE.replace("Twice ``x``.", "``x``, twice."))
    assert [c.what for c in build(course, [owner], check=True)] == ["out of date"]
    assert "``x``, twice." not in path.read_text()
    assert [c.what for c in build(course, [owner])] == ["written"]
    assert "``x``, twice." in path.read_text()
    assert build(course, [owner], check=True) == []


def test_a_table_of_tasks_is_written_between_the_marks(course):
    page = course / "assignments" / "hw9_toy" / "README.md"
    page.write_text("# Toy\n\n<!-- tasks -->\nold\n<!-- /tasks -->\n\nMore.\n")
    build(course, [homework("hw9")])
    text = page.read_text()
    lines = (course / "assignments" / "hw9_toy" / "toy.py").read_text().splitlines()
    double, init, call = (
        number for number, line in enumerate(lines, 1) if re.match(r" *def (double|__init__|__call__)", line)
    )
    assert f"| [hw9.1](#hw91-doubling) | Doubling | `toy.py`: `double` (line {double}) | 40 | 10 |" in text
    assert f"`toy.py`: `Scale.__init__` (line {init}), `Scale.__call__` (line {call}) |" in text
    assert "old" not in text and text.endswith("<!-- /tasks -->\n\nMore.\n")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('    """Four times ``x``, by ``double``."""\n', "", "quadruple: a hole needs a docstring"),
        ("def clip(x, low):", "def crop(x, low):", "clip: expected one function"),
    ],
)
def test_a_reference_that_makes_no_good_stub_is_refused(course, old, new, message):
    assert old in toy.REFERENCE
    (course / "toy_reference.py").write_text(toy.REFERENCE.replace(old, new))
    with pytest.raises(ManifestError, match=message):
        stub(homework("hw9"), "toy")


def test_relative_imports_are_absolute_in_a_stub(course):
    package = course / "toy_package"
    (package / "inner").mkdir(parents=True)
    (package / "inner" / "toy.py").write_text(
        "from ..other import one\nfrom . import two\nfrom .three import (\n    four,\n)\n\n\n"
        "def f(x):\n    from .five import six\n"
    )
    assert reference_source("toy_package.inner.toy") == (
        "from toy_package.other import one\nfrom toy_package.inner import two\n"
        "from toy_package.inner.three import (\n    four,\n)\n\n\n"
        "def f(x):\n    from toy_package.inner.five import six\n"
    )


def test_a_course_is_found_from_within_and_missed_from_outside(course, tmp_path_factory):
    assert course_root(course / "tests") == course
    with pytest.raises(FileNotFoundError, match="no course here"):
        course_root(tmp_path_factory.mktemp("elsewhere"))


# --- proof ----------------------------------------------------------------------------------------------------------


def test_proof_finds_what_is_caught_and_named(course):
    owner = homework("hw9")
    assert proof.prove_stubs(owner) == []
    findings = {finding.what: finding for finding in proof.all_mistakes(owner)}
    assert findings["squared"].caught_by == ("test_double", "test_double_of_integers")
    assert findings["factor-added"].caught_by == ("test_scale", "test_scale_gradient")
    assert all(finding.named for finding in findings.values())
    cheats = [cheat for hole in owner.holes() for cheat in proof.prove_cheats(owner, hole)]
    assert len(cheats) == 5 * 4 + 1 and all(cheat.caught_by for cheat in cheats)


def test_proof_says_what_is_not_caught(course, capsys, monkeypatch):
    monkeypatch.chdir(course)
    (course / "misconceptions" / "hw9.toml").write_text(
        toy.MISTAKES.replace('["2 * x", "x * x"]', '["2 * x", "x + x"]')
    )
    misconceptions._mistakes.cache_clear()
    assert main(["course", "proof", "hw9"]) == 1
    out = capsys.readouterr().out
    assert "hw9.1  squared" in out and "NOT CAUGHT" in out and "1 not caught" in out


def test_proof_writes_the_table_of_mistakes(course, monkeypatch):
    monkeypatch.chdir(course)
    page = course / "solutions" / "hw9_toy" / "README.md"
    page.parent.mkdir(parents=True)
    page.write_text("<!-- mistakes -->\n<!-- /mistakes -->\n")
    assert main(["course", "proof", "hw9", "--write"]) == 0
    assert "| hw9.3 | clipped-from-above | `test_clip` |" in page.read_text()


# --- results --------------------------------------------------------------------------------------------------------


def results() -> list[CheckResult]:
    """A run: one task passed, one wrong in one check, one blocked."""
    return [
        CheckResult("hw9.1", "test_double", "the values", 30, 30, "PASS"),
        CheckResult("hw9.1", "test_double_of_integers", "integers", 0, 10, "WRONG", "told", 0, "squared"),
        CheckResult("hw9.2", "test_quadruple", "the values", 0, 20, "BLOCKED", "", None, None, "hw9.1"),
        CheckResult("hw9.3", "test_clip", "the values", 20, 20, "PASS"),
    ]


def test_the_table_says_points_state_and_next_step(course, monkeypatch):
    ((owner, tasks),) = by_homework(results()).items()
    monkeypatch.setenv("COLUMNS", "120")
    lines = table(owner, tasks, "assignments")
    assert lines[0] == "hw9  A toy  (assignments/hw9_toy)"
    assert lines[1].split() == ["hw9.1", "Doubling", "30/40", "WRONG", "squared:", "minicnn", "hw", "check", "hw9.1"]
    assert "0/20  BLOCKED BY hw9.1  write hw9.1 first" in lines[2]
    assert lines[3].endswith("PASS") and lines[4].split() == ["total", "50/80"]
    monkeypatch.setenv("COLUMNS", "80")
    narrow = table(owner, tasks, "assignments")
    assert narrow[1].endswith("WRONG") and narrow[2].split() == lines[1].split()[4:]
    painted = table(owner, tasks, "assignments", lambda text, color: f"<{color}>{text}</>")
    assert [re.sub(r"<[a-z/]*>", "", line) for line in painted] == narrow
    assert painted[1].endswith("30/40  <red>WRONG</>") and "<yellow>BLOCKED BY hw9.1</>" in painted[3]


def test_what_builds_on_a_wrong_task_says_so(course):
    run = [*results()[:2], CheckResult("hw9.2", "test_quadruple", "the values", 0, 20, "WRONG", "told", 0)]
    ((owner, tasks),) = by_homework(run).items()
    assert table(owner, tasks, "assignments")[2].endswith("mend hw9.1 first: this builds on it")


def test_the_json_file_is_complete_and_honest(course, tmp_path):
    path = tmp_path / "result.json"
    write(path, results(), "assignments")
    data = json.loads(path.read_text())
    schema = json.loads((Path(__file__).resolve().parents[3] / "docs" / "result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema)
    assert data == as_json(results(), "assignments") and data["schema"] == "minicnn/homework-result/1"
    (owner,) = data["homework"]
    assert (owner["id"], owner["points"], owner["max_points"], owner["complete"]) == ("hw9", 50, 100, False)
    assert [task["state"] for task in owner["tasks"]] == ["WRONG", "BLOCKED", "PASS"]
    assert owner["tasks"][0]["checks"][1]["mistake"] == "squared"
    assert [check["state"] in list(State) for task in owner["tasks"] for check in task["checks"]] == [True] * 4
