"""A batch: nothing is lost, nothing is graded twice, and a grader that is wrong grades nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest

from minicnn.course.build import answer
from minicnn.course.grading import batch, records, sandbox
from minicnn.course.grading.batch import Earlier, Job, Terms, grade, grade_one, local
from minicnn.course.grading.flags import flags
from minicnn.course.grading.sentinels import sentinels
from minicnn.course.grading.submissions import Submission
from minicnn.course.manifest import homework
from minicnn.course.misconceptions import mistakes, planted_source
from minicnn.course.results import CheckResult

ROOT = Path(__file__).resolve().parents[4]
TERMS = Terms(ROOT, "hw2", hidden_seed=7)
OWNER = homework("hw2")
needs_sandbox = pytest.mark.skipif(
    not any(not sandbox.probe(each) for each in sandbox.SANDBOXES), reason="no sandbox holds on this machine"
)


class Here(Executor):
    """Runs a job at once, in this thread."""

    def submit(self, function, /, *args, **kwargs):
        future: Future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Grader:
    """Stands for ``grade_one``: gives out points without running anything, and counts."""

    def __init__(self) -> None:
        self.graded: Counter[str] = Counter()
        self.troubles: dict[str, int] = {}  # how often a submission meets a full disk
        self.points: dict[str, int] = {}

    def __call__(self, job: Job, terms: Terms) -> dict:
        student = job.submission.student
        self.graded[student] += 1
        if self.graded[student] <= self.troubles.get(student, 0):
            raise OSError(28, "No space left on device")
        points = self.points.get(student, 100 if student == "sentinel-reference" else 0)
        checks = [
            CheckResult(task.id, f"test_{task.id}", "all", task.points if points == 100 else 0, task.points,
                        "PASS" if points == 100 else "NOT ATTEMPTED", mistake=self._name(student, task.id))
            for task in OWNER.tasks
        ]  # fmt: skip
        return records.result(job.submission, OWNER, checks, job.key, "none", 0.1)

    def _name(self, student: str, task: str) -> str | None:
        name = student.removeprefix("sentinel-mistake-")
        return name if any((each.name, each.task) == (name, task) for each in mistakes("hw2")) else None


@pytest.fixture
def grader(monkeypatch) -> Grader:
    made = Grader()
    monkeypatch.setattr(batch, "grade_one", made)
    monkeypatch.setattr(batch, "find_sandbox", lambda trust: sandbox.NONE)
    return made


def submission(student: str, text: str = "x = 1\n") -> Submission:
    return Submission(student, {"conv.py": text.encode()}, source=f"{student}.zip")


CLASS = [submission("ada"), submission("ben", "x = 2\n"), submission("chen")]


def files(out: Path) -> dict[str, float]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "results").glob("*.json")}


def test_a_second_run_grades_nothing_and_writes_nothing(grader, tmp_path):
    first = grade(CLASS, TERMS, tmp_path, Here)
    before = files(tmp_path)
    assert len(before) == 3 and set(first.graded) == {"ada", "ben", "chen"}
    again = grade(CLASS, TERMS, tmp_path, Here)
    assert again == first and files(tmp_path) == before
    assert [grader.graded[each.student] for each in CLASS] == [1, 1, 1]


def test_what_is_missing_or_damaged_is_graded_again(grader, tmp_path):
    made = grade(CLASS, TERMS, tmp_path, Here)
    (tmp_path / made.graded["ada"]).write_text('{"key": "')
    (tmp_path / made.graded["ben"]).unlink()
    (tmp_path / made.graded["chen"]).write_text('{"key": "of something else"}')
    grade(CLASS, TERMS, tmp_path, Here)
    assert [grader.graded[each.student] for each in CLASS] == [2, 2, 2]
    assert json.loads((tmp_path / made.graded["ada"]).read_text())["student"]["id"] == "ada"


@pytest.mark.parametrize(
    "other",
    [
        (CLASS[0], Terms(ROOT, "hw2", hidden_seed=8)),
        (CLASS[0], Terms(ROOT, "hw2", hidden_seed=None)),
        (CLASS[0], Terms(ROOT, "hw2", "autumn", 7)),
        (submission("ada", "x = 3\n"), TERMS),
    ],
    ids=["another secret", "no hidden cases", "another variant", "another submission"],
)
def test_a_regrade_has_another_key_and_overwrites_nothing(grader, tmp_path, other):
    before = grade(CLASS[:1], TERMS, tmp_path, Here).graded["ada"]
    content = (tmp_path / before).read_bytes()
    after = grade([other[0]], other[1], tmp_path, Here).graded["ada"]
    assert after != before and (tmp_path / before).read_bytes() == content and len(files(tmp_path)) == 2


def test_trouble_of_the_machine_is_tried_again_and_then_listed_and_never_a_zero(grader, tmp_path):
    grader.troubles = {"ada": batch.ATTEMPTS - 1, "ben": batch.ATTEMPTS}
    told: list[str] = []
    made = grade(CLASS, TERMS, tmp_path, Here, told.append)
    assert set(made.graded) == {"ada", "chen"} and not made.void
    assert "No space left" in made.infrastructure["ben"]
    assert grader.graded["ben"] == batch.ATTEMPTS and len(files(tmp_path)) == 2
    assert any(line.startswith("ben: not graded") for line in told)
    assert set(grade(CLASS, TERMS, tmp_path, Here).graded) == {"ada", "ben", "chen"}


@pytest.mark.parametrize("sentinel", [guard.submission.student for guard in sentinels(OWNER)])
def test_a_sentinel_that_is_graded_wrongly_voids_the_batch_before_anybody_is_graded(grader, tmp_path, sentinel):
    grader.points = {sentinel: 0 if sentinel == "sentinel-reference" else 100}
    made = grade(CLASS, TERMS, tmp_path, Here)
    assert made.void.startswith(sentinel) and made.graded == {}
    assert not files(tmp_path) and not any(grader.graded[each.student] for each in CLASS)


def test_a_sentinel_that_cannot_be_graded_voids_it_too(grader, tmp_path):
    grader.troubles = {"sentinel-stub": 9}
    assert "No space left" in grade(CLASS, TERMS, tmp_path, Here).void


def test_what_a_person_may_want_to_look_at_is_flagged():
    text = b"import subprocess\nfrom minicnn.course import judging\nimport numpy\n\ndef f(x):\n    return eval('x')\n"
    found = flags({"conv.py": text, "norm.py": b"def broken(:\n"})
    assert found == ["uses subprocess (conv.py:1)", "uses minicnn.course (conv.py:2)", "uses eval (conv.py:6)"]
    assert flags({f"{stem}.py": answer(OWNER, stem).encode() for stem in OWNER.modules}) == []


# ---- with workers ----------------------------------------------------------------------------------------------------


def answers(owner, others=None) -> dict[str, bytes]:
    return {f"{stem}.py": (others or {}).get(stem, answer(owner, stem)).encode() for stem in owner.modules}


@needs_sandbox
@pytest.mark.slow(seconds=30)
@pytest.mark.parametrize("name", ["hw3", "hw5", "hw6", "hw7"])
def test_the_sentinels_of_a_homework_are_as_they_should_be(name):
    """The cheats on one homework only: they know nothing of any."""
    terms = Terms(ROOT, name, hidden_seed=99)
    for guard in sentinels(homework(name)):
        if name == "hw6" or "cheat" not in guard.submission.student:
            assert guard.fault(grade_one(Job(guard.submission), terms)) == "", guard.submission.student


@needs_sandbox
@pytest.mark.slow(seconds=15)
def test_earlier_homework_of_ones_own_is_reported_and_does_not_count():
    terms, (wrong, *_) = Terms(ROOT, "hw3"), [each for each in mistakes("hw2") if each.hole.qualname == "conv2d"]
    earlier = {f"hw2/{stem}": answer(OWNER, stem).encode() for stem in OWNER.modules}
    sound = grade_one(Job(Submission("ada", answers(homework("hw3"))), "", Earlier(earlier)), terms)
    earlier["hw2/conv"] = planted_source(wrong).encode()
    broken = grade_one(Job(Submission("ben", answers(homework("hw3"))), "", Earlier(earlier, "hw2.4")), terms)
    assert sound["points"] == broken["points"] == 100
    assert sound["own_stack"] == {"points": 100, "with": ["hw2"], "first_divergence": None}
    assert broken["own_stack"]["points"] < 100 and broken["own_stack"]["first_divergence"] == "hw2.4"


WITHOUT_SENTINELS = """
from minicnn.cli import main
from minicnn.course.grading import batch

if __name__ == "__main__":
    batch.sentinels = lambda owner: []
    raise SystemExit(main())
"""


@needs_sandbox
@pytest.mark.slow(seconds=25)
def test_a_grader_that_is_killed_goes_on_where_it_was(tmp_path):
    for number in range(6):
        folder = tmp_path / "class" / f"student{number}"
        folder.mkdir(parents=True)
        for name, content in answers(OWNER).items():
            (folder / name).write_bytes(content + b"# %d\n" % number)
    (tmp_path / "grade.py").write_text(WITHOUT_SENTINELS)
    command = [sys.executable, str(tmp_path / "grade.py"), "grade", str(tmp_path / "class"), "--homework", "hw2"]
    command += ["-j", "1", "--out", str(tmp_path / "grades")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for wanted in (2, 4):
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as grader:
            while len(list((tmp_path / "grades").glob("results/*.json"))) < wanted and grader.poll() is None:
                time.sleep(0.01)
            grader.send_signal(signal.SIGKILL)
    kept = files(tmp_path / "grades")
    assert 4 <= len(kept) < 6 and not (tmp_path / "grades" / "batch.json").exists()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"6 submissions, {len(kept)} of them graded before" in done.stdout
    assert kept.items() <= files(tmp_path / "grades").items()
    content = json.loads((tmp_path / "grades" / "batch.json").read_text())
    assert len(content["graded"]) == 6 and not content["infrastructure"]


@needs_sandbox
@pytest.mark.slow(seconds=25)
def test_a_cluster_of_processes_grades_as_this_machine_does(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "sentinels", lambda owner: sentinels(owner)[:2])
    distributed = pytest.importorskip("distributed", reason="Dask is an extra")
    people = [Submission(f"s{number}", answers(OWNER)) for number in range(3)]
    alone = grade(people, TERMS, tmp_path / "alone", local(1))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        together = grade(people, TERMS, tmp_path / "together", batch.dask(cluster.scheduler_address))
    assert together.graded == alone.graded and not together.void
    for file in alone.graded.values():
        one, other = (json.loads((tmp_path / place / file).read_text()) for place in ("alone", "together"))
        assert (one["points"], one["key"]) == (other["points"], other["key"])
