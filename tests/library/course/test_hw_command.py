"""``minicnn hw``: status, check and watch, wherever they are started; and every command that the course prints runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minicnn.cli import hw, load_command
from minicnn.cli import main as command_line
from minicnn.course.manifest import all_homework, homework

from ..support.other_answers import AUTHORS, hand_in

pytestmark = pytest.mark.slow(seconds=2)
ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "minicnn", "hw", *arguments]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True)


def course(top: Path, name: str) -> Path:
    """A copy of the course with one homework, as it is handed out; returns that homework's folder."""
    owner = homework(name)
    shutil.copytree(ROOT / "assignments" / owner.folder, top / "assignments" / owner.folder)
    (top / "tests").mkdir()
    for path in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py", owner.tests):
        shutil.copy(ROOT / path, top / path)
    return top / "assignments" / owner.folder


# --- status ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252", "LC_ALL": "C.UTF-8"},
        {"PYTHONIOENCODING": "cp932"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_status_needs_no_particular_encoding(environment):
    done = run("status", "hw4", **environment)
    assert done.returncode == 0 and done.stdout.split()[:2] == [b"hw4", b"0/100"], done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("verb", [("status",), ("check", "hw1.1")], ids=" ".join)
def test_a_folder_that_is_not_there_is_told_in_one_line(verb, capsys):
    assert command_line(["hw", *verb, "--impl", "nothere"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "--impl: there is no folder 'nothere'" in said.err


def test_a_subfolder_and_a_folder_with_blanks_will_do(tmp_path):
    """``--impl`` is looked for where the command is run, then at the top of the course."""
    work = tmp_path / "my [old] work"
    shutil.copytree(ROOT / "assignments" / "hw4_resnet", work / "hw4_resnet")
    top = tmp_path / "course"
    inside = course(top, "hw4")
    shutil.copytree(work, inside / "my [old] work")
    for folder in ("my [old] work", str(work)):
        done = run("check", "hw4.1", "--impl", folder, cwd=inside)
        assert done.returncode == 1 and b"my [old] work/hw4_resnet)" in done.stdout, done.stdout + done.stderr
        assert b"NOT ATTEMPTED" in done.stdout


# --- check and watch ------------------------------------------------------------------------------------------------


def test_a_check_loads_nothing_that_takes_longer_than_checking(tmp_path):
    """Hypothesis, SciPy, Matplotlib and the like are no part of what a student waits for."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    course(tmp_path / "course", "hw1")
    spy = tmp_path / "course" / "tests" / "conftest.py"
    lines = "\n\ndef pytest_unconfigure():\n    import sys\n\n    print('LOADED', *sys.modules)\n"
    spy.write_text(spy.read_text() + lines)
    done = run("check", "hw1.1", cwd=tmp_path / "course")
    (loaded,) = re.findall(r"LOADED (.*)", done.stdout.decode())
    assert "minicnn.course.plugin" in loaded.split()
    assert not {"hypothesis", "scipy", "sklearn", "matplotlib", "torch"} & set(loaded.split())


def test_what_is_saved_is_seen_and_what_an_editor_leaves_is_not(tmp_path):
    path = tmp_path / "conv.py"
    path.write_text("x = 1\n")
    (tmp_path / ".#conv.py").symlink_to("somebody@host:1")  # Emacs: leads nowhere
    (tmp_path / "gone.py").symlink_to("nowhere")
    before = hw._saved(tmp_path)
    assert set(before) == {"conv.py"}
    stat = path.stat()
    new = tmp_path / "conv.py~"
    new.write_text("x = 2\n")
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    new.replace(path)  # saved by renaming, within the clock's resolution
    assert hw._saved(tmp_path) != before


def test_watching_checks_again_on_every_save(tmp_path):
    """Until a file that is written in place and one that is put in its place have been checked; then Ctrl-C."""
    folder = course(tmp_path, "hw2")
    output = tmp_path / "output.txt"
    with open(output, "w") as stream:
        watching = subprocess.Popen(
            [sys.executable, "-m", "minicnn", "hw", "check", "hw2.1", "--watch"],
            cwd=tmp_path,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored, if pytest's parent ignores it
        )
        try:
            wait_for(output, "NOT ATTEMPTED")
            (folder / "conv.py").write_text("def broken(:\n")
            wait_for(output, "SyntaxError")
            (folder / "conv.new").write_text("import no_such_module\n")
            (folder / "conv.new").replace(folder / "conv.py")
            wait_for(output, "no_such_module")
            os.killpg(watching.pid, signal.SIGINT)
            assert watching.wait(20) == 130
        finally:
            if watching.poll() is None:
                os.killpg(watching.pid, signal.SIGKILL)
                watching.wait()


def wait_for(file: Path, text: str) -> None:
    """Until ``text`` stands in ``file``; fails after a minute."""
    for _ in range(600):
        if text in file.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{text!r} did not come:\n{file.read_text()}")


def test_watching_a_folder_that_is_not_there_ends_at_once(capsys):
    assert command_line(["hw", "check", "hw4.1", "--watch", "--impl", "docs"]) == 2
    assert "there is no folder" in capsys.readouterr().err


# --- every command that the course prints ---------------------------------------------------------------------------

PAGES = [ROOT / "README.md", ROOT / "docs" / "course.md", ROOT / "docs" / "course-results.md"]
PAGES += [*sorted(ROOT.glob("assignments/*/README.md")), *sorted(ROOT.glob("solutions/*/README.md"))]
FILL_IN = {"DIR": "solutions", "FILE": "result.json", "hwN": "hw4"}  # what a page leaves open


def printed_commands() -> list[str]:
    """``minicnn ...`` and ``pytest ...``, from fenced blocks and from `code` in the text, without their comments."""
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^```(?:sh|text)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        lines = [line for block in fences for line in block.splitlines()]
        lines += [
            " ".join(code.split())
            for code in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
        ]
        for line in lines:
            for part in re.split(r" && ", line):
                words = part.strip().removeprefix(".venv/bin/")
                if re.match(r"(minicnn|pytest) +[a-z-]", words) and "..." not in words:
                    found.add(shlex.join(FILL_IN.get(w, w) for w in shlex.split(words, comments=True)))
    return sorted(found)


def of_the_course(command: str) -> bool:
    return command.startswith(("pytest tests/test_", "minicnn hw", "minicnn course")) or "--mine" in command


COMMANDS = printed_commands()
CHECKS = [c for c in COMMANDS if c.startswith("minicnn hw check")]
MINE = [c for c in COMMANDS if c.startswith("minicnn") and "--mine" in c]
PROOF = "minicnn course proof hw4"  # test_homework.py does the same, a task at a time
OTHERS = [c for c in COMMANDS if of_the_course(c) and c not in (*CHECKS, *MINE, PROOF)]


def test_commands_are_found():
    assert "minicnn train resnet20 --mine hw2,hw4" in MINE and "minicnn hw check hw4.2 --watch" in CHECKS
    assert "minicnn hw status" in OTHERS and "pytest tests/test_resnet.py --result result.json" in OTHERS
    assert PROOF in COMMANDS


def test_printed_checks_name_tasks_that_there_are():
    """One process a task would take minutes: they are parsed, and ``hw`` finds the task."""
    for command in CHECKS:
        _, name, *words = shlex.split(command)
        parser = hw_parser(name)
        args = parser.parse_args(words)
        owner = hw._chosen(args.name)[0]
        assert args.name == owner.id or owner.task(args.name)


def hw_parser(name: str):
    from minicnn.cli._errors import Parser

    module = load_command(name)
    parser = Parser(prog=f"minicnn {name}")
    module.add_arguments(parser)
    return parser


@pytest.mark.parametrize("command", OTHERS)
def test_a_printed_command_runs(command, tmp_path):
    """In a copy of the course, as it is handed out: what is not written yet makes status 1 and nothing worse."""
    top = tmp_path / "course"
    shutil.copytree(ROOT, top, ignore=shutil.ignore_patterns(".*", "__pycache__", "library", "*.png", "runs"))
    program, *words = shlex.split(command)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", program, *words], cwd=top, env=environment, capture_output=True)
    assert done.returncode in ((0, 1) if "pytest" in command else (0,)), done.stdout + done.stderr
    assert b"Traceback" not in done.stdout + done.stderr and b"INTERNALERROR" not in done.stdout + done.stderr


SCRIPT = """
import contextlib, importlib, io, json, shlex, sys
from minicnn.course import mine

def stop(*args, **options):
    raise KeyboardInterrupt

def import_all(files, original=mine.import_all):
    original(files)
    importlib.import_module("minicnn.training.loop").Trainer.fit = stop
    importlib.import_module("minicnn.lecture").run = stop

mine.import_all = import_all
ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "minicnn"}
said = {}
for command in json.loads(sys.argv[1]):
    sys.modules.update(ours)  # with the changed import_all
    from minicnn import cli
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        status = cli.main(shlex.split(command)[1:])
    said[command] = status, error.getvalue()
print(json.dumps(said))
"""


def test_what_a_page_does_with_the_students_code_begins(tmp_path):
    """With right answers in the place of the stubs, up to the first step: the network is built, and fits the images."""
    (tmp_path / "tests").mkdir()
    for owner in all_homework():
        hand_in(tmp_path / "assignments", owner, AUTHORS[0])
    command = [sys.executable, "-c", SCRIPT, json.dumps(MINE)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command, (status, said) in json.loads(done.stdout.splitlines()[-1]).items():
        assert status == 130 and "yours: " in said and "stopped" in said, f"{command}: {said}"
