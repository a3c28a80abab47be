"""Hostile submissions of all kinds, graded: none scores, none reads a secret, none harms the grader or another one."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import json
import os
import re
import socket
import sys
import time
from pathlib import Path

import jsonschema
import psutil
import pytest

from minicnn.cli.course import load_checks
from minicnn.course import execution, supervision, workers
from minicnn.course.answers import expected_outcomes
from minicnn.course.build import answer, stub
from minicnn.course.checks import checks_of
from minicnn.course.grading import batch, marking, records, submissions
from minicnn.course.grading import sandbox as sandboxes
from minicnn.course.grading.batch import Job, Terms, grade_one
from minicnn.course.grading.sandbox import NONE, SANDBOXES
from minicnn.course.grading.submissions import Submission
from minicnn.course.holes import fill
from minicnn.course.manifest import homework, reference_path
from minicnn.course.returning import feedback, grades, report
from minicnn.course.returning.formats import FORMATS, Options, export
from tests.library.support.attacks import KINDS, Attack, archives, at_import, calls, forgeries, imports, in_functions

if sys.platform != "linux":
    pytest.skip("workers are confined on Linux only", allow_module_level=True)

pytestmark = pytest.mark.slow(seconds=8)

ROOT = Path(__file__).resolve().parents[4]
SEED = 0x5EED_0DD5_EED5_0DD5  # of the hidden cases
MARK, NAME = "minicnn-was-here", "minicnn-stays"
SECRET = "minicnn-secret-{}"
MEMORY = 1 << 30
SCHEMA = json.loads((ROOT / "docs" / "result.schema.json").read_text())


@pytest.fixture(autouse=True)
def little_of_everything(monkeypatch):
    for module, name, value in (
        (execution, "CPU_SECONDS", 0.8),
        (execution, "MEMORY", MEMORY),
        (execution, "WALL_FACTOR", 5),
        (execution, "OUTPUT", 1 << 20),
        (supervision, "IMPORT_SECONDS", 1.2),
        (workers, "COMPILE_SECONDS", 1.0),
        (workers, "ANSWER_SECONDS", 0.1),
        (workers, "START_SECONDS", 20.0),
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
        self.others = set(psutil.Process().children(recursive=True))  # left by tests before: a pool's tracker, say

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
        result = grade_one(Job(submission, "0" * 64), Terms(ROOT, owner, hidden_seed=hidden))
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
        assert running(self.others) == []


def running(others: set[psutil.Process]) -> list[str]:
    """What runs below the grader, and what an attack may have hidden from it; what ends has a moment to do so."""
    deadline = time.monotonic() + 5
    while True:
        below = [each for each in psutil.Process().children(recursive=True) if each not in others]
        below = [each for each in below if each.status() != psutil.STATUS_ZOMBIE]
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


def test_what_is_right_beside_an_attack_keeps_its_points(stage, sandbox, first_checks):
    state, leaves = (next(each for each in calls.CALLS if each.name == name) for name in ("state", "exit"))
    result = stage.grade("hw4", in_functions("hw4", {"hw4.1": state, "hw4.4": leaves}, honest=True))
    passed = {task["id"] for task in result["tasks"] if task["points"]}
    assert passed == {f"hw4.{number}" for number in (2, 3, 5, 6, 7, 8)}, passed


# ---- at import -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", imports.IMPORTS, ids=lambda attack: attack.name)
def test_an_attack_at_import_earns_nothing(stage, sandbox, first_checks, attack):
    became(stage.grade("hw4", at_import("hw4", attack)), attack)


def test_a_worker_that_reads_no_more_requests_is_not_waited_for(stage, sandbox, monkeypatch):
    """The first request patches the worker, the second stops it, and the third is more than a pipe holds."""
    chosen = {"hw3.1": slice(2), "hw3.8": slice(1)}
    monkeypatch.setattr(marking, "checks_of", lambda task: checks_of(task)[chosen.get(task, slice(0))])
    monkeypatch.setattr(workers, "START_SECONDS", 5.0)
    result = stage.grade("hw3", at_import("hw3", imports.DEAFENS))
    became(result, imports.DEAFENS)


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
    result = grade_one(Job(Submission("mallory", files)), Terms(ROOT, "hw4"))
    said = next(message.partition("stolen: ")[2] for message in messages(result) if "stolen: " in message)
    for what in ("a file", "the results", "another submission", "the reference", "the solutions"):
        assert what in said.split(", "), said


# ---- what only the grader knows --------------------------------------------------------------------------------------


def test_remembered_answers_to_the_public_cases_have_no_points_where_cases_are_hidden(stage, sandbox, first_checks):
    """hw1.1 by a table: all public cases are in it."""
    load_checks(ROOT, homework("hw1"))
    (check,) = checks_of("hw1.1")[:1]
    answers = zip(check.draw(0), expected_outcomes(check, 0), strict=True)
    table = {case["gradient"].tobytes(): next(iter(outcome.values())).tolist() for case, outcome in answers}
    body = f"return np.array({table!r}[gradient.tobytes()], gradient.dtype)"
    owner = homework("hw1")
    files = {f"{stem}.py": stub(owner, stem).encode() for stem in owner.modules}
    files["broadcast.py"] = fill(
        files["broadcast.py"].decode(), {"unbroadcast": f"import numpy as np\n{body}"}
    ).encode()
    public, hidden = stage.grade("hw1", files), stage.grade("hw1", files, SEED)
    assert public["points"] == check.points
    assert hidden["points"] == 0
    (result,) = hidden["tasks"][0]["checks"]
    assert result["hidden"] and "not shown" in result["message"] and "KeyError" not in result["message"]


def test_hidden_inputs_do_not_come_back_in_a_later_message(stage, sandbox, first_checks):
    """The right answer to hw1.1 prints its inputs, and hw1.2 reads what was printed and puts it in its error."""
    load_checks(ROOT, homework("hw1"))
    owner = homework("hw1")
    files = {f"{stem}.py": stub(owner, stem) for stem in owner.modules}
    right = answer(owner, "broadcast").replace("def unbroadcast", "def _right", 1)
    files["broadcast.py"] = right + (
        "\n\ndef unbroadcast(gradient, shape):\n"
        "    print('input', gradient.astype('f8').tobytes()[:8].hex(), flush=True)\n"
        "    return _right(gradient, shape)\n"
    )
    tells = "lines = open('output').read().split()\nraise RuntimeError(' '.join(lines[1::2]))"
    files["arithmetic.py"] = fill(files["arithmetic.py"], {"Mul.forward": tells})
    result = stage.grade("hw1", {name: text.encode() for name, text in files.items()}, SEED)
    told = " ".join(messages(result))
    (check,) = checks_of("hw1.1")[:1]
    public, hidden = (
        [case["gradient"].astype("f8").tobytes()[:8].hex() for case in check.draw(seed)] for seed in (0, SEED)
    )
    assert result["tasks"][0]["points"] == check.points
    assert any(each in told for each in public)
    assert not [each for each in hidden if each in told]


# ---- what is given back ----------------------------------------------------------------------------------------------


def test_what_an_attack_says_does_no_harm_where_it_is_shown(stage, sandbox, first_checks, tmp_path):
    markup = next(each for each in calls.CALLS if each.name == "markup")
    forged = [each for each in forgeries.FORGERIES if 34 in each.kinds]
    attacks = dict(zip((f"hw4.{number}" for number in range(1, 9)), [markup, *forged], strict=False))
    out = tmp_path / "grades"
    files = stage.filled_in(in_functions("hw4", attacks), "hw4")
    names = {"email": "=1+1@example.edu", "canvas": "1", "github": "mallory"}
    submission = Submission(
        "mallory", files, "=1+1 <script>", names, source="\x1b[31m.zip", notes=("<img src=x onerror=y>",)
    )
    result = grade_one(Job(submission, "0" * 64), Terms(ROOT, "hw4"))
    stage.check(result)
    records.write(out / "results" / "mallory.json", result)
    listed = {
        "schema": records.BATCH, "homework": "hw4", "title": "t", "max_points": 100, "sandbox": sandbox.name,
        "case_seeds": {"public": 0, "hidden": False}, "void": "", "graded": {"mallory": "results/mallory.json"},
        "refused": [{"student": "eve", "name": "=1", "ids": {}, "source": "<script>", "why": "\x1b[2J"}],
        "infrastructure": [], "missing": [],
    }  # fmt: skip
    records.write(out / "batch.json", listed)
    read = grades.read(out)
    written = feedback.write(read, homework("hw4"), tmp_path / "pages")
    written.append(report.write(read, homework("hw4"), tmp_path / "report.html"))
    for name in FORMATS:
        with contextlib.suppress(ValueError):  # those that need to be told an assignment
            written += export(read, name, tmp_path / name, Options(None, "hw4", True)).files
    assert len(written) > 6
    for path in map(Path, written):
        text = path.read_text(encoding="utf-8")
        assert not set(text) & {"\x1b", "\x9b", "\u202e"}, path
        if path.suffix == ".html":
            assert "<script>" not in text and "<img" not in text, path
        if path.suffix == ".md":
            assert "<script>" not in re.sub(r"(?s)(`{3,})text\n.*?\n\1\n", "", text).replace("\\<script", ""), path
        if path.suffix == ".csv":
            cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t"))], path


# ---- archives --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """What is made of a class that hands in all of them, and one honest submission among them."""
    folder = tmp_path_factory.mktemp("class") / "deep" / "deeper"
    folder.mkdir(parents=True)
    for name, (make, _) in {**archives.REFUSED, **archives.KEPT}.items():
        (folder / name).write_bytes(make().replace(b"@MARK@", MARK.encode()[:6]))
    (folder / "ada.zip").write_bytes(archives.zipped(("resnet.py", b"honest = True\n")))
    (folder / "device").mkdir()
    os.mkfifo(folder / "device" / "resnet.py")
    before = sorted(folder.parent.parent.rglob("*"))
    found = {each.source: each for each in submissions.collect(folder, homework("hw4"))}
    assert sorted(folder.parent.parent.rglob("*")) == before
    return found


@pytest.mark.parametrize("name", archives.REFUSED)
def test_an_archive_that_does_harm_is_refused_and_says_why(handed_in, name):
    submission = handed_in[name]
    assert archives.REFUSED[name][1] in submission.refused
    assert not submission.files


@pytest.mark.parametrize("name", archives.KEPT)
def test_of_an_odd_archive_only_what_is_meant_is_read(handed_in, name):
    submission = handed_in[name]
    assert not submission.refused
    assert list(submission.files) == ["resnet.py"]
    assert archives.EVIL not in submission.files.values()
    assert any(archives.KEPT[name][1] in note for note in submission.notes), submission.notes


def test_others_are_read_beside_them(handed_in):
    assert handed_in["ada.zip"].files == {"resnet.py": b"honest = True\n"}
    assert "neither a file" in handed_in["device"].refused


def test_each_kind_of_attack_is_tried():
    tried = {kind for each in (*calls.CALLS, *calls.CONFINED, *forgeries.FORGERIES, *imports.IMPORTS, *imports.CONFINED)
             for kind in each.kinds}  # fmt: skip
    elsewhere = {8, 9, 25, 26, 27} | {13} | {33}  # archives, remembered answers, hidden inputs
    assert tried | elsewhere == set(KINDS)
