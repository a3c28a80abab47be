"""Hostile submissions of all kinds, graded: none scores, none reads a secret, none harms the grader or another one."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
import time
from pathlib import Path

import jsonschema
import psutil
import pytest

from minicnn.course import execution, supervision
from minicnn.course.build import answer
from minicnn.course.checks import checks_of
from minicnn.course.grading import batch, marking, records
from minicnn.course.grading import sandbox as sandboxes
from minicnn.course.grading.batch import Terms, grade_one
from minicnn.course.grading.sandbox import BUBBLEWRAP, NONE, SANDBOXES
from minicnn.course.grading.submissions import Submission
from minicnn.course.manifest import homework, reference_path
from minicnn.course.returning import feedback, grades, report
from minicnn.course.returning.formats import FORMATS, export
from tests.library.support.attacks import KINDS, Attack, at_import, calls, forgeries, imports, in_functions

if sys.platform != "linux":
    pytest.skip("workers are confined on Linux only", allow_module_level=True)

pytestmark = pytest.mark.slow(seconds=90)

ROOT = Path(__file__).resolve().parents[4]
SEED = 0x5EED_0DD5_EED5_0DD5  # of the hidden cases
MARK, NAME = "minicnn-was-here", "minicnn-stays"
SECRET = "minicnn-secret-{}"
MEMORY = 512 << 20
HONEST = Submission("honest", {})
SCHEMA = json.loads((ROOT / "docs" / "result.schema.json").read_text())


@pytest.fixture(autouse=True)
def little_of_everything(monkeypatch):
    for module, name, value in (
        (execution, "CPU_SECONDS", 0.5),
        (execution, "MEMORY", MEMORY),
        (execution, "WALL_FACTOR", 8),
        (execution, "OUTPUT", 1 << 20),
        (supervision, "IMPORT_SECONDS", 1.0),
        (supervision, "COMPILE_SECONDS", 1.5),
        (supervision, "ANSWER_SECONDS", 0.1),
        (supervision, "START_SECONDS", 20.0),
        (marking, "SECONDS", 60.0),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def first_checks(monkeypatch):
    """One check a task."""
    monkeypatch.setattr(marking, "checks_of", lambda task: checks_of(task)[:1])


@pytest.fixture
def sandbox(request, monkeypatch):
    """Grades in one sandbox: the strongest unless a test asks for others."""
    chosen = getattr(request, "param", None) or next((each for each in SANDBOXES if not sandboxes._probed(each)), None)
    if chosen is None or (chosen is not NONE and sandboxes._probed(chosen)):
        pytest.skip("this machine does not have it")
    monkeypatch.setattr(batch, "find_sandbox", lambda trust=False: chosen)
    batch._bench.cache_clear()
    yield chosen
    batch._bench.cache_clear()


each_sandbox = pytest.mark.parametrize("sandbox", SANDBOXES, ids=lambda sandbox: sandbox.name, indirect=True)


class Stage:
    """What an attack is after, and how it went: files, a port, a process, and a grader that goes on."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.files = {name: folder / name for name in ("secret", "grades.json", "other.py")}
        for name, path in self.files.items():
            path.write_text(SECRET.format(name))
            path.chmod(0o644)
        monkeypatch.setenv("MINICNN_SECRET", SECRET.format("environment"))
        self.memory = ctypes.create_string_buffer(SECRET.format("memory").encode(), 64)
        self.line = socket.create_server(("127.0.0.1", 0))
        self.before = self._there()

    def _there(self) -> dict[str, object]:
        return {name: (path.read_text(), path.stat().st_mode) for name, path in self.files.items()}

    def filled_in(self, files: dict[str, bytes], owner: str) -> dict[str, bytes]:
        this = homework(owner)
        stem, module = next(iter(this.modules.items()))
        values = {
            "MARK": MARK, "NAME": NAME, "ROOT": ROOT, "GRADES": self.files["grades.json"], "MODULE": module,
            "SECRET": self.files["secret"], "OTHER": self.files["other.py"], "FOLDER": self.folder, "STEM": stem,
            "GRADER": os.getpid(), "ADDRESS": ctypes.addressof(self.memory), "SEED": SEED ^ 1, "SELF": "self",
            "PORT": self.line.getsockname()[1], "SPACE": 2 * 4 * 2, "REFERENCE": reference_path(module),
        }  # fmt: skip
        for name, value in values.items():
            files = {file: text.replace(f"@{name}@".encode(), str(value).encode()) for file, text in files.items()}
        return files

    def grade(self, owner: str, files: dict[str, bytes], hidden: int | None = None) -> dict:
        """The result of a submission, which is whole and has harmed nothing."""
        submission = Submission("mallory", self.filled_in(files, owner), name='=1+1 <script>"Mallory"')
        started = time.monotonic()
        result = grade_one(submission, Terms(ROOT, owner, hidden_seed=hidden), "0" * 64)
        assert time.monotonic() - started < 150
        self.check(result)
        return result

    def check(self, result: dict) -> None:
        validator = jsonschema.Draft202012Validator({"$defs": SCHEMA["$defs"], "$ref": "#/$defs/task"})
        for task in result["tasks"]:
            validator.validate(task)
            assert task["points"] == sum(check["points"] for check in task["checks"])
        assert result["points"] == sum(task["points"] for task in result["tasks"])
        text = json.dumps(result, allow_nan=False)
        assert len(text) < 300_000
        assert SECRET.format("") not in text
        for check in (check for task in result["tasks"] for check in task["checks"]):
            assert check["points"] in (0, check["max_points"])
            assert all(part.isprintable() for part in check["message"].split("\n")), check["message"]
        assert self._there() == self.before
        for folder in ("/tmp", "/var/tmp", "/dev/shm", str(ROOT), os.path.expanduser("~"), str(self.folder)):
            assert not [name for name in os.listdir(folder) if MARK in name]
        self.line.settimeout(0)
        with pytest.raises(BlockingIOError):
            self.line.accept()
        assert running() == []


def running() -> list[str]:
    """What runs below the grader, and what an attack may have hidden from it; what ends has a moment to do so."""
    deadline = time.monotonic() + 5
    while True:
        below = [each for each in psutil.Process().children(recursive=True) if each.status() != psutil.STATUS_ZOMBIE]
        named = [each for each in psutil.process_iter(["name"]) if each.info["name"] == NAME]
        if not (below or named) or time.monotonic() > deadline:
            return [str(each) for each in (*below, *named)]
        time.sleep(0.02)


@pytest.fixture
def stage(tmp_path, monkeypatch):
    folder = tmp_path / "stage"
    folder.mkdir()
    made = Stage(folder, monkeypatch)
    yield made
    made.line.close()


def states(result: dict, task: str = "") -> set[str]:
    return {check["state"] for each in result["tasks"] if task in ("", each["id"]) for check in each["checks"]}


def messages(result: dict, task: str = "") -> list[str]:
    return [check["message"] for each in result["tasks"] if task in ("", each["id"]) for check in each["checks"]]


def became(result: dict, attack: Attack, task: str = "") -> None:
    """What the attack should have become: nothing but that."""
    here = [each for each in result["tasks"] if task in ("", each["id"])]
    about = f"{attack.name}: {states(result, task)}: {messages(result, task)[:3]}"
    assert sum(each["points"] for each in here) == 0, about
    assert states(result, task) <= set(attack.states), about
    assert not attack.told or any(attack.told in message for message in messages(result, task)), about


def honest(stage: Stage, owner: str) -> None:
    files = {f"{stem}.py": answer(homework(owner), stem).encode() for stem in homework(owner).modules}
    assert stage.grade(owner, files)["points"] == 100


def distributed(attacks: list[Attack], owner: str) -> list[dict[str, Attack]]:
    """Submissions with an attack in each task."""
    tasks = [task.id for task in homework(owner).tasks]
    return [dict(zip(tasks, attacks[at : at + len(tasks)], strict=False)) for at in range(0, len(attacks), len(tasks))]


# ---- in a function ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attacks", distributed(calls.CALLS, "hw4"), ids=["first", "second", "last"])
def test_an_attack_in_a_function_earns_nothing(stage, sandbox, first_checks, attacks):
    result = stage.grade("hw4", in_functions("hw4", attacks))
    for task, attack in attacks.items():
        became(result, attack, task)


@pytest.mark.parametrize("owner", ["hw1", "hw2", "hw6"])
def test_attacks_in_the_functions_of_other_homework_earn_nothing(stage, sandbox, first_checks, owner):
    """There tasks call each other, so that an attack may stand in the way of another one."""
    attacks = distributed(calls.CALLS, owner)[0]
    result = stage.grade(owner, in_functions(owner, attacks))
    assert result["points"] == 0
    assert states(result) <= {state for attack in attacks.values() for state in attack.states} | {
        "NOT ATTEMPTED",
        "BLOCKED",
    }


@each_sandbox
def test_an_attack_on_the_machine_is_stopped(stage, sandbox, first_checks):
    (attacks,) = distributed(calls.CONFINED, "hw4")
    result = stage.grade("hw4", in_functions("hw4", attacks))
    for task, attack in attacks.items():
        became(result, attack, task)


@pytest.mark.parametrize("attacks", distributed(forgeries.FORGERIES, "hw4"), ids=["first", "second", "third", "last"])
def test_a_forged_reply_is_what_it_says_and_no_more(stage, sandbox, first_checks, attacks):
    result = stage.grade("hw4", in_functions("hw4", attacks))
    for task, attack in attacks.items():
        became(result, attack, task)


def test_what_is_right_beside_an_attack_keeps_its_points(stage, sandbox):
    state, leaves = (next(each for each in calls.CALLS if each.name == name) for name in ("state", "exit"))
    result = stage.grade("hw4", in_functions("hw4", {"hw4.1": state, "hw4.4": leaves}, honest=True))
    earned = {task["id"]: task["points"] == task["max_points"] for task in result["tasks"]}
    assert earned["hw4.5"] and earned["hw4.6"] and not earned["hw4.1"] and not earned["hw4.4"]


# ---- at import -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", imports.IMPORTS, ids=lambda attack: attack.name)
def test_an_attack_at_import_earns_nothing(stage, sandbox, first_checks, attack):
    became(stage.grade("hw4", at_import("hw4", attack)), attack)


@pytest.mark.parametrize("owner", ["hw1", "hw2", "hw6"])
def test_a_thief_of_other_homework_gets_nothing(stage, sandbox, first_checks, owner):
    for attack in imports.CONFINED[:1]:
        result = stage.grade(owner, at_import(owner, attack))
        assert result["points"] == 0
        assert any(attack.told in message for message in messages(result)), messages(result)[:2]


@each_sandbox
def test_what_tries_to_get_out_of_its_sandbox_stays_in(stage, sandbox, first_checks, monkeypatch):
    for attack in imports.CONFINED:
        became(stage.grade("hw4", at_import("hw4", attack), SEED), attack)


@each_sandbox
def test_the_next_honest_submission_has_all_points(stage, sandbox):
    stage.grade("hw1", at_import("hw1", imports.CONFINED[1]))
    honest(stage, "hw1")


@pytest.mark.parametrize("sandbox", [NONE], ids=["none"], indirect=True)
def test_the_thief_is_in_earnest(stage, sandbox, first_checks):
    """Without a sandbox it gets hold of what lies on the disk: the others' tests say something."""
    files = stage.filled_in(at_import("hw4", imports.CONFINED[0]), "hw4")
    result = grade_one(Submission("mallory", files), Terms(ROOT, "hw4"), "")
    (said,) = {message.partition("stolen: ")[2] for message in messages(result) if "stolen: " in message}
    for what in ("a file", "the results", "another submission", "the reference", "the solutions"):
        assert what in said.split(", "), said
