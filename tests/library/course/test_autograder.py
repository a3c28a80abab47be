"""``pytest tests/test_autograd.py`` as students run it: with options, plugins and habits of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .test_accidents import ANSWER, ROOT, hand_in

pytestmark = pytest.mark.slow(seconds=2)
TESTS = "tests/test_autograd.py"
CHECKS = ["test_unbroadcast_new_axes", "test_unbroadcast_stretched_axes", "test_unbroadcast_kept"]


def needs(plugin: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(plugin) is None, reason=f"needs {plugin}")


def grade(
    tmp_path: Path, *options: str, folder: Path | None = None, task: str | None = "hw1.1", stdin: str = "", **settings
) -> tuple[subprocess.CompletedProcess[str], dict]:
    """Run pytest on the homework in ``folder`` (a hand-in's ``hw1_autograd``); its output and its JSON file."""
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--result={result}", *options]
    command.append(TESTS)
    command += [f"--task={task}"] if task else []
    command += [f"--impl={folder.parent}"] if folder else []
    environment = {**os.environ, **settings.pop("env", {})}
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        **settings,
    )
    return done, json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}


def states(result: dict) -> dict[str, str]:
    """The state of each check of the run."""
    return {
        check["test"]: check["state"]
        for owner in result["homework"]
        for task in owner["tasks"]
        for check in task["checks"]
    }


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """An ``unbroadcast`` that ends the process where axes are new, else is right."""
    body = f"if gradient.ndim > len(shape):\n        import os; os._exit(0)\n    {ANSWER}"
    return hand_in(tmp_path / "broken", body)


OPTIONS = {
    "nothing": [],
    "two workers": ["-n", "2"],
    "stop at the first": ["-x"],
    "another order": [],
    "run again": ["--reruns", "2"],
    "three times": ["--count", "3"],
    "a timeout": ["--timeout", "60"],
    "coverage": ["--cov=minicnn.course", "--cov-report="],
    "verbose": ["-v", "-s"],
}
PLUGINS = {
    "two workers": "xdist", "another order": "pytest_randomly", "run again": "pytest_rerunfailures",
    "three times": "pytest_repeat", "a timeout": "pytest_timeout", "coverage": "pytest_cov",
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)  # with the plugins in a step of its own in CI
def test_a_run_is_complete_under_every_option(name, broken, tmp_path):
    plugin = PLUGINS.get(name)
    if plugin and importlib.util.find_spec(plugin) is None:
        pytest.skip(f"needs {plugin}")
    options = [] if name == "another order" else [*OPTIONS[name], "-p", "no:randomly"]
    done, result = grade(tmp_path, *options, folder=broken, env={"COVERAGE_FILE": str(tmp_path / "coverage")})
    assert done.returncode == 1, done.stdout + done.stderr
    (owner,) = result["homework"]
    (task,) = owner["tasks"]
    found = states(result)
    assert len(task["checks"]) == len(found) == 3, found
    assert sum(check["max_points"] for check in task["checks"]) == task["max_points"] == 12
    left = "NOT RUN" if name == "stop at the first" else "PASS"
    assert found[CHECKS[0]] == "CRASH" and "CRASH" in done.stdout
    assert [found[check] for check in found if check != CHECKS[0]].count(left) >= 1, found
    assert "Traceback" not in done.stdout and "INTERNALERROR" not in done.stdout, done.stdout


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "HOME": "/nonexistent"},
        {"PYTHONIOENCODING": "cp1252", "PYTHONWARNINGS": "error::DeprecationWarning", "PYTHONDONTWRITEBYTECODE": "1"},
    ],
    ids=lambda env: next(iter(env)),
)
def test_a_run_is_right_in_every_environment(env, tmp_path):
    folder = hand_in(tmp_path / "hand in é", f"print('→ é')\n    {ANSWER}  # größer")
    done, result = grade(tmp_path, folder=folder, env=env)
    assert done.returncode == 0 and set(states(result).values()) == {"PASS"}, done.stdout + done.stderr


def test_a_copy_that_cannot_be_written_and_has_a_conftest_of_its_own_is_graded(tmp_path):
    folder = hand_in(tmp_path / "course", ANSWER)
    (folder / "conftest.py").write_text("raise RuntimeError('never imported')\n")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o555)
    done, result = grade(tmp_path, folder=folder)
    folder.chmod(0o755)
    assert done.returncode == 0 and set(states(result).values()) == {"PASS"}, done.stdout


def test_what_is_suggested_runs_from_the_folder_where_one_is(tmp_path):
    folder = hand_in(tmp_path / "my work", "return -gradient")
    where = tmp_path / "sub folder"
    where.mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / TESTS)]
    done = subprocess.run(
        [*command, "--task=hw1.1", "--impl", str(folder.parent)], cwd=where, capture_output=True, text=True
    )
    assert f"minicnn hw check hw1.1 --impl '{folder.parent}'" in done.stdout, done.stdout
    again = next(line.partition("again: pytest ")[2] for line in done.stdout.splitlines() if "again: " in line)
    done = subprocess.run(
        f"{sys.executable} -m pytest -q -p no:cacheprovider {again}",
        shell=True,
        cwd=where,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "WRONG  hw1.1" in done.stdout and "1 failed" in done.stdout, done.stdout
    read = next(line.partition("read:  ")[2] for line in done.stdout.splitlines() if "read: " in line)
    assert (where / read.partition("#")[0]).is_file()


def test_prints_stand_beside_their_check_once_and_only_there(tmp_path):
    body = f"print('I was given', shape)\n    return {'{}'}\n".format("-gradient")
    folder = hand_in(tmp_path, body)
    done, _ = grade(tmp_path, "--case", "1", folder=folder)
    per_check = done.stdout.count("I was given")
    assert per_check == 3 == done.stdout.count("Captured stdout call"), done.stdout
    right = hand_in(tmp_path / "right", f"print('I was given', shape)\n    {ANSWER}")
    assert "I was given" not in grade(tmp_path, folder=right)[0].stdout
    assert "I was given" in grade(tmp_path, "-s", folder=right)[0].stdout


def test_a_case_that_is_not_there_is_refused_in_one_line(tmp_path):
    done, _ = grade(tmp_path, "--case", "99")
    assert done.returncode == 4 and "--case 99: test_unbroadcast_" in done.stderr and " has cases 0 to " in done.stderr
    assert len(done.stderr.splitlines()) <= 3


# --- a debugger -----------------------------------------------------------------------------------------------------


def test_pdb_stops_where_the_students_code_raised(tmp_path):
    folder = hand_in(tmp_path, "mine = 'my own local'\n    raise ValueError('boom')")
    done, result = grade(tmp_path, "--pdb", "-k", CHECKS[0], folder=folder, stdin="p mine\nq\n")
    assert "'my own local'" in done.stdout and "ERROR  hw1.1" in done.stdout, done.stdout


@pytest.mark.parametrize("option", ["--pdb", "--here"])
def test_a_breakpoint_stops_in_the_students_code_and_waits(option, tmp_path):
    folder = hand_in(tmp_path, f"mine = 'my own local'\n    breakpoint()\n    {ANSWER}")
    options = [option, "-k", CHECKS[0], "--case", "0"]
    done, result = grade(tmp_path, *options, folder=folder, stdin="p mine\nc\n")
    assert done.stdout.count("'my own local'") == 1, done.stdout
    assert done.returncode == 0 and states(result) == {CHECKS[0]: "PASS"}


def test_here_gives_the_same_verdicts(tmp_path):
    folder = hand_in(tmp_path, "if gradient.ndim > len(shape):\n        exit()\n    return -gradient")
    here, there = (grade(tmp_path, *option, folder=folder) for option in ([], ["--here"]))
    assert states(here[1]) == states(there[1]) and states(here[1])[CHECKS[0]] == "ERROR"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
def test_a_breakpoint_at_a_terminal_is_answered(tmp_path):
    import pty
    import select
    import time

    folder = hand_in(tmp_path, f"breakpoint()\n    {ANSWER}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--impl={folder.parent}", "--case=0"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [*command, f"{TESTS}::{CHECKS[0]}"])
    output, deadline, answered = b"", time.monotonic() + 60, False
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            output += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if b"(Pdb)" in output and not answered:
            os.write(terminal, b"p 6*7\nc\n")
            answered = True
    _, status = os.waitpid(child, 0)
    assert b"42" in output and b"1 passed" in output and os.waitstatus_to_exitcode(status) == 0, output


def test_a_check_that_is_itself_at_fault_is_in_the_table(tmp_path):
    """A copy of the course whose test file has a driver that the reference fails."""
    course = tmp_path / "course"
    (course / "tests").mkdir(parents=True)
    shutil.copytree(ROOT / "assignments" / "hw1_autograd", course / "assignments" / "hw1_autograd")
    for name in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py"):
        shutil.copy(ROOT / name, course / name)
    text = (ROOT / TESTS).read_text(encoding="utf-8")
    start = text.index(f"def {CHECKS[0]}(")
    body = text.index("\n", start) + 1
    (course / TESTS).write_text(f"{text[:body]}    raise RuntimeError('the check is broken')\n{text[body:]}")
    command = [sys.executable, "-m", "pytest", "-q", TESTS, "--task=hw1.1", f"--result={tmp_path / 'result.json'}"]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True)
    found = states(json.loads((tmp_path / "result.json").read_text()))
    assert found[CHECKS[0]] == "ERROR" and len(found) == 3, done.stdout
    assert "the reference fails test_unbroadcast_new_axes" in done.stdout
