"""The real homework: stubs are in step, untouched ones are NOT ATTEMPTED, the answer has 100 points, and every planted
mistake and cheat is caught in its own task."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minicnn.cli.course import load_checks
from minicnn.course import proof
from minicnn.course.build import build, table_of_tasks
from minicnn.course.checks import checks_of
from minicnn.course.execution import State
from minicnn.course.holes import body, fill
from minicnn.course.judging import judge
from minicnn.course.loading import student_modules
from minicnn.course.manifest import Homework, Task, homework, homework_ids, reference_source
from minicnn.course.misconceptions import mistakes

from ..support.other_answers import AUTHORS, hand_in

ROOT = Path(__file__).resolve().parents[3]

every_homework = pytest.mark.parametrize("name", homework_ids())
every_task = pytest.mark.parametrize("task_id", [task.id for name in homework_ids() for task in homework(name).tasks])


def loaded(name: str) -> Homework:
    """A homework whose checks are defined."""
    owner = homework(name)
    if not checks_of(owner.tasks[0].id):
        load_checks(ROOT, owner)
    return owner


def owner_and_task(task_id: str) -> tuple[Homework, Task]:
    owner = loaded(task_id.partition(".")[0])
    return owner, owner.task(task_id)


def points(owner: Homework, impl: Path) -> dict[str, str]:
    """The checks that do not pass, with their messages; all points are there if there are none."""
    modules = student_modules(owner, impl)
    verdicts = {c.name: judge(c, modules, impl) for task in owner.tasks for c in checks_of(task.id)}
    return {name: v.message or str(v.state) for name, v in verdicts.items() if v.state is not State.PASS}


def test_the_seven_assignments_are_there():
    assert homework_ids() == [f"hw{number}" for number in range(1, 8)]


def test_assignments_are_in_step_with_the_reference():
    changes = build(ROOT, [homework(name) for name in homework_ids()], check=True)
    assert not changes, "minicnn course build"


@every_homework
def test_stubs_put_together_again_are_the_reference(name):
    """With the bodies back, each definition of a stub is the reference's."""
    owner = homework(name)
    for stem, module in owner.modules.items():
        source = reference_source(module)
        reference = {node.name: ast.dump(node) for node in ast.parse(source).body if hasattr(node, "name")}
        bodies = {hole.qualname: body(source, hole.qualname) for hole in owner.holes(stem)}
        handed_out = (ROOT / "assignments" / owner.folder / f"{stem}.py").read_text(encoding="utf-8")
        given = [node for node in ast.parse(fill(handed_out, bodies)).body if hasattr(node, "name")]
        assert {node.name for node in given} == {hole.partition(".")[0] for hole in bodies}
        assert all(ast.dump(node) == reference[node.name] for node in given)


def test_stubs_hold_little_besides_the_holes():
    stubs = [path for name in homework_ids() for path in (ROOT / "assignments" / homework(name).folder).glob("*.py")]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in stubs) <= 2300


@every_homework
def test_no_answer_lies_in_what_is_handed_out(name):
    """The folder holds stubs and a handout; a hole has no line of its body left."""
    owner = homework(name)
    files = {path.name for path in (ROOT / "assignments" / owner.folder).iterdir() if path.name != "__pycache__"}
    assert files == {"README.md", *(f"{stem}.py" for stem in owner.modules)}
    for stem in owner.modules:
        text = (ROOT / "assignments" / owner.folder / f"{stem}.py").read_text(encoding="utf-8")
        assert text.count("not written yet, see") == len(owner.holes(stem))
        for private in re.findall(r"^    def (_[a-z]\w*)", text, re.MULTILINE):  # a method that helps a hole alone
            is_hole = any(hole.qualname.endswith(f".{private}") for hole in owner.holes(stem))
            assert is_hole or len(re.findall(rf"\b{private}\b", text)) > 1, f"make {private} a function"


@every_task
def test_the_checks_of_a_task_are_worth_its_points(task_id):
    _, task = owner_and_task(task_id)
    assert sum(check.points for check in checks_of(task.id)) == task.points


@every_homework
def test_checks_stand_in_the_file_that_the_manifest_names_and_nothing_else_does(name):
    owner = loaded(name)
    names = {check.name for task in owner.tasks for check in checks_of(task.id)}
    tree = ast.parse((ROOT / owner.tests).read_text(encoding="utf-8"))
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    assert tests == names


@every_homework
def test_untouched_stubs_are_not_attempted_and_never_wrong(name):
    owner = loaded(name)
    modules = student_modules(owner, ROOT / "assignments")
    for task in owner.tasks:
        for check in checks_of(task.id):
            verdict = judge(check, modules, ROOT / "assignments")
            assert verdict.state is State.NOT_ATTEMPTED, f"{check.name}: {verdict.state} {verdict.message}"


@every_homework
def test_solutions_are_the_reference_itself_and_have_all_points(name):
    owner = loaded(name)
    assert not points(owner, ROOT / "solutions")
    modules = student_modules(owner, ROOT / "solutions")
    for hole in owner.holes():
        reference = importlib.import_module(owner.modules[hole.stem])
        first = hole.qualname.partition(".")[0]
        assert getattr(modules[hole.stem], first) is getattr(reference, first)


@pytest.mark.slow(seconds=2)
@pytest.mark.parametrize(("author", "seed"), list(zip(AUTHORS, (0, 1), strict=True)), ids=AUTHORS)
@every_homework
def test_right_answers_by_another_road_have_all_points(name, author, seed, tmp_path):
    owner = loaded(name)
    hand_in(tmp_path, owner, author)
    modules = student_modules(owner, tmp_path)
    for task in owner.tasks:
        for check in checks_of(task.id):
            verdict = judge(check, modules, tmp_path, seed)
            assert verdict.state is State.PASS, verdict.message


@every_homework
def test_the_first_planted_mistake_loses_points_and_is_named(name):
    first = mistakes(name)[0]
    finding = proof.prove_mistake(loaded(name), first)
    assert finding.caught_by and finding.named, first


@pytest.mark.slow
@every_task
def test_every_planted_mistake_loses_points_in_its_own_task_and_is_named(task_id):
    owner, _ = owner_and_task(task_id)
    planted = [mistake for mistake in mistakes(owner.id) if mistake.task == task_id]
    page = (ROOT / "solutions" / owner.folder / "README.md").read_text(encoding="utf-8")
    assert len(planted) >= 5
    for mistake in planted:
        finding = proof.prove_mistake(owner, mistake)
        assert finding.caught_by, f"{mistake} loses no points"
        assert finding.named, f"{mistake} is not called by its name by {finding.caught_by}"
        assert proof.table([finding])[-1] in page, f"minicnn course proof {owner.id} --write"


@pytest.mark.slow(seconds=1)
@every_task
def test_every_cheat_loses_points_in_its_own_task(task_id):
    owner, task = owner_and_task(task_id)
    for hole in task.holes:
        for finding in proof.prove_cheats(owner, hole):
            assert finding.caught_by, f"{task_id}: {finding.what} loses no points"


@every_homework
def test_the_solution_lists_every_planted_mistake_and_no_other(name):
    owner = homework(name)
    page = (ROOT / "solutions" / owner.folder / "README.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^\| ({name}\.\d+) \| ([\w-]+) \| ", page, re.MULTILINE)
    assert listed == [(mistake.task, mistake.name) for mistake in mistakes(name)], (
        f"minicnn course proof {name} --write"
    )


@every_homework
def test_the_handout_explains_every_task(name):
    owner = homework(name)
    page = (ROOT / owner.handout).read_text(encoding="utf-8")
    assert table_of_tasks(owner) in page
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    for task in owner.tasks:
        assert f"## {task.id} {task.title}" in headings
        assert task.minutes <= 60
    assert f"{name}.W1" in page and f"{name}.W1" in (ROOT / "solutions" / owner.folder / "README.md").read_text()


# --- the command lines, on one homework -----------------------------------------------------------------------------


def pytest_run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow(seconds=8)
def test_stubs_show_a_table_and_no_traceback(tmp_path):
    result = tmp_path / "result.json"
    done = pytest_run("tests/test_resnet.py", f"--result={result}")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout and "FAILURES" not in done.stdout and "Error" not in done.stdout
    assert "hw4.1" in done.stdout and "NOT ATTEMPTED" in done.stdout and "0/100" in done.stdout
    data = json.loads(result.read_text())
    (owner,) = data["homework"]
    assert owner["complete"] and owner["points"] == 0 and owner["max_points"] == 100
    assert {task["state"] for task in owner["tasks"]} == {"NOT ATTEMPTED"}


@pytest.mark.slow(seconds=8)
def test_solutions_pass_from_the_command_line():
    done = pytest_run("tests/test_resnet.py", "--impl", "solutions")
    assert done.returncode == 0 and "100/100" in done.stdout, done.stdout


@pytest.mark.slow(seconds=8)
def test_one_task_of_a_student_is_checked_and_its_mistake_named(tmp_path):
    """A hand-in with one planted mistake: the message as a student reads it."""
    owner = homework("hw4")
    mistake = next(m for m in mistakes("hw4") if m.name == "relu-before-addition")
    from minicnn.course.misconceptions import planted_source

    folder = tmp_path / owner.folder
    folder.mkdir()
    for stem in owner.modules:
        text = (ROOT / "assignments" / owner.folder / f"{stem}.py").read_text(encoding="utf-8")
        (folder / f"{stem}.py").write_text(planted_source(mistake) if stem == mistake.hole.stem else text)
    done = pytest_run(owner.tests, f"--impl={tmp_path}", f"--task={mistake.task}")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())  # lines are wrapped
    assert f"This is a known mistake, {mistake.name}: {mistake.diagnosis}" in said
    assert f"Hint: {mistake.hint}" in said and "--case" in said and "Traceback" not in said


@pytest.mark.slow(seconds=8)
def test_options_that_make_no_sense_are_refused():
    assert "--task: there is no homework 'hw44'" in pytest_run("tests/test_resnet.py", "--task=hw44").stderr
    assert "--impl: there is no folder 'nowhere'" in pytest_run("tests/test_resnet.py", "--impl=nowhere").stderr


@pytest.mark.slow(seconds=2)
@pytest.mark.parametrize("words", [[], ["tests/test_resnet.py"]], ids=" ".join)
def test_impl_is_known_wherever_it_stands(words):
    """A word after an option that pytest does not know yet would be taken for the folder of the tests."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--impl", "solutions", *words]
    command += [] if "tests/test_resnet.py" in words else ["--ignore=tests/library"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "test_resnet.py::test_residual_sum" in done.stdout, done.stdout + done.stderr
