"""What a student's code can do to the process it runs in, and what each accident is called.

One function of homework 1, ``unbroadcast``, is written in every wrong way; a worker runs its first check on it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import psutil
import pytest

from minicnn.cli.course import load_checks
from minicnn.course import execution, supervision
from minicnn.course.answers import expected_outcomes
from minicnn.course.checks import Check, checks_of
from minicnn.course.execution import Failure, State
from minicnn.course.judging import Verdict, conclude
from minicnn.course.manifest import homework
from minicnn.course.supervision import Run, Supervisor

pytestmark = pytest.mark.slow(seconds=2)
ROOT = Path(__file__).resolve().parents[3]
ANSWER = "from minicnn.ops import broadcast as answer\n    return answer.unbroadcast(gradient, shape)"
STUB = '    raise NotImplementedError("hw1.1 '


@pytest.fixture(scope="module")
def supervisor() -> Supervisor:
    supervisor = Supervisor(ROOT / "solutions" / "hw1_autograd")
    yield supervisor
    supervisor.close()


@pytest.fixture(autouse=True)
def little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "CPU_SECONDS", 0.4)
    monkeypatch.setattr(execution, "REFERENCE_FACTOR", 0)
    monkeypatch.setattr(execution, "MEMORY", 512 * 2**20)
    monkeypatch.setattr(execution, "OUTPUT", 2**20)
    monkeypatch.setattr(supervision, "IMPORT_SECONDS", 0.8)


def check(number: int = 0) -> Check:
    owner = homework("hw1")
    if not checks_of("hw1.1"):
        load_checks(ROOT, owner)
    return checks_of("hw1.1")[number]


def hand_in(folder: Path, body: str, top: str = "", helpers: str = "") -> Path:
    """A copy of the stubs of homework 1 in which ``unbroadcast`` is written; ``top`` ends the file."""
    copy = folder / "hw1_autograd"
    shutil.copytree(ROOT / "assignments" / "hw1_autograd", copy)
    path = copy / "broadcast.py"
    text = path.read_text(encoding="utf-8")
    start = text.index(STUB)
    end = text.index("\n", start)
    path.write_text(helpers + text[:start] + "    " + body + text[end:] + top, encoding="utf-8")
    return copy


def run_and_judge(supervisor: Supervisor, folder: Path, number: int = 0) -> tuple[Run, Verdict]:
    supervisor.folder = folder
    asked = check(number)
    expected_outcomes(asked, 0)
    run = supervisor.run(asked, dict(enumerate(asked.draw())), lambda: 0.0)
    return run, conclude(asked, run.outcomes, folder.parent)


LOOP = "while True:\n        pass"
STUBBORN = "while True:\n        try:\n            while True:\n                pass\n        except:\n            pass"
DEAF = "import signal\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n    " + LOOP
FORKED = (
    "import os\n    if os.fork() == 0:\n        os.setsid()\n        while True:\n            pass\n    return gradient"
)
NATIVE = "import ctypes\n    ctypes.string_at(0)"
THREADS = "import threading, time\n    threading.Thread(target=time.sleep, args=(60,)).start()\n    " + ANSWER
DEADLOCK = "import threading\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()"
HOARD = "held = []\n    while True:\n        held.append(bytearray(2**22))"
CLOSED = "import os\n    os.closerange(0, 256)\n    return gradient"
SHOUT = "while True:\n        print('again' * 100)"
UNREADABLE = "class Odd(Exception):\n        def __str__(self):\n            return 1 / 0\n    raise Odd()"
OWN_SIGNAL = "import os, signal\n    os.kill(os.getpid(), signal.SIGTERM)\n    " + LOOP

ACCIDENTS = {
    "exit": ("exit()", State.ERROR, "SystemExit", True),
    "sys.exit with a status": ("import sys; sys.exit(3)", State.ERROR, "SystemExit: 3", True),
    "GeneratorExit": ("raise GeneratorExit", State.ERROR, "GeneratorExit", True),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", State.ERROR, "KeyboardInterrupt", True),
    "BaseException": ("raise BaseException('mine')", State.ERROR, "BaseException: mine", True),
    "pytest.skip": ("import pytest; pytest.skip('later')", State.ERROR, "Skipped: later", True),
    "pytest.exit": ("import pytest; pytest.exit('enough')", State.ERROR, "Exit: enough", True),
    "an error that cannot be printed": (UNREADABLE, State.ERROR, "Odd: (its message cannot be read", True),
    "a message without end": ("raise ValueError('x' * 10**6)", State.ERROR, "ValueError: xxx", True),
    "recursion": ("return unbroadcast(gradient, shape)", State.ERROR, "RecursionError", True),
    "os._exit": ("import os; os._exit(0)", State.CRASH, "ended the process (exit status 0)", False),
    "a segmentation fault": (NATIVE, State.CRASH, "SIGSEGV", True),
    "abort": ("import os; os.abort()", State.CRASH, "SIGABRT", True),
    "a signal to itself": (OWN_SIGNAL, State.CRASH, "SIGTERM", False),
    "closed files": (CLOSED, State.CRASH, "ended the process", False),
    "an endless loop": (LOOP, State.TIMEOUT, "s of computing", True),
    "a loop under a bare except": (STUBBORN, State.TIMEOUT, "s of computing", True),
    "a loop with signals blocked": (DEAF, State.TIMEOUT, "s of computing", True),
    "sleep": ("import time; time.sleep(3600)", State.TIMEOUT, "without computing", True),
    "a deadlock": (DEADLOCK, State.TIMEOUT, "without computing", True),
    "memory without end": (HOARD, State.MEMORY, "of memory", False),
    "more memory than there is": ("import numpy as np; np.zeros(10**15)", State.MEMORY, "Unable to allocate", True),
    "output without end": (SHOUT, State.ERROR, "it had printed", False),
    "input": ("input()", State.ERROR, "EOFError", True),
    "a debugger": ("breakpoint()", State.ERROR, "run with --here", True),
    "pdb.set_trace": ("import pdb; pdb.set_trace()", State.ERROR, "run with --here", True),
    "a child that computes for ever": (FORKED, State.WRONG, "expected", False),
    "a generator": ("yield gradient", State.WRONG, "got generator", False),
}


@pytest.mark.parametrize("name", ACCIDENTS)
def test_every_accident_has_its_state_and_the_students_line(name, supervisor, tmp_path, monkeypatch):
    if sys.platform != "linux" and name in ("closed files", "a child that computes for ever"):
        pytest.skip("elsewhere a check has no process of its own")
    body, state, part, has_line = ACCIDENTS[name]
    if state is not State.TIMEOUT:
        monkeypatch.setattr(execution, "CPU_SECONDS", 5)  # on a busy machine each is to end by its own accident
    if state is State.MEMORY:
        monkeypatch.setattr(execution, "MEMORY", 160 * 2**20)
    _, verdict = run_and_judge(supervisor, hand_in(tmp_path, body))
    assert verdict.state is state and part in verdict.message, verdict.message
    assert verdict.points == 0 and len(verdict.message) < 3000
    if has_line:
        assert "broadcast.py:" in verdict.message and "in unbroadcast" in verdict.message, verdict.message
    # It has cost its own check only: the next, on the right answer, passes in whatever worker there is now.
    _, verdict = run_and_judge(supervisor, ROOT / "solutions" / "hw1_autograd", 1)
    assert verdict.state is State.PASS, verdict.message


CHANGES = {
    "the working directory": "import os; os.chdir('/')",
    "the environment": "import os; os.environ.clear()",
    "NumPy's errors": "import numpy as np; np.seterr(all='raise')",
    "a seed": "import minicnn; minicnn.manual_seed(7)",
    "the default dtype": "import minicnn; minicnn.set_default_dtype(minicnn.float64)",
    "gradients off": "import minicnn; minicnn.autograd.set_grad_enabled(False)",
    "a library's function": "import numpy as np; np.sum = np.prod",
    "minicnn itself": "import minicnn; del minicnn.Tensor.sum",
    "the signals": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "the standard output": "import sys; sys.stdout.close()",
    "the recursion limit": "import sys; sys.setrecursionlimit(60)",
    "a thread": THREADS.partition("\n    from")[0],
    "an exit handler": "import atexit, os; atexit.register(lambda: os._exit(7))",
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a new process is started, which keeps nothing either")
@pytest.mark.parametrize("name", CHANGES)
def test_what_a_check_changes_in_its_process_is_gone_with_it(name, supervisor, tmp_path):
    here, there = hand_in(tmp_path / "a", f"{CHANGES[name]}\n    {ANSWER}"), hand_in(tmp_path / "b", ANSWER)
    worker = supervisor._worker
    run_and_judge(supervisor, here)
    assert supervisor._worker is worker is not None, "it needed no new worker"
    for number in range(3):
        _, verdict = run_and_judge(supervisor, there, number)
        assert verdict.state is State.PASS, verdict.message


@pytest.mark.parametrize(
    "top, part",
    [
        ("while True:\n    pass\n", "s of computing"),
        ("import time\ntime.sleep(3600)\n", "without computing"),
        ("import os\nos._exit(0)\n", "ended the process (exit status 0)"),
        ("import ctypes\nctypes.string_at(0)\n", "SIGSEGV"),
        ("raise SystemExit(1)\n", "SystemExit: 1"),
        ("x = (\n", "SyntaxError"),
    ],
)
def test_a_file_whose_import_fails_or_does_not_end_is_an_import_error(top, part, supervisor, tmp_path):
    folder = hand_in(tmp_path, ANSWER, top=f"\n\n{top}")
    for number in (0, 1):
        run, verdict = run_and_judge(supervisor, folder, number)
        assert verdict.state is State.IMPORT_ERROR and part in verdict.message, verdict.message
        assert "broadcast.py" in verdict.message
    assert all(isinstance(outcome, Failure) for outcome in run.outcomes.values())


def test_a_helper_file_beside_the_stub_can_be_imported(supervisor, tmp_path):
    folder = hand_in(tmp_path, "from my_helper import compute\n    return compute(gradient, shape)")
    (folder / "my_helper.py").write_text(f"def compute(gradient, shape):\n    {ANSWER}\n")
    assert run_and_judge(supervisor, folder)[1].state is State.PASS


def test_prints_belong_to_their_case_and_floods_lose_their_middle(supervisor, tmp_path):
    body = f"print('shape', shape)\n    import os; os.system('echo from a child')\n    {ANSWER}"
    run, _ = run_and_judge(supervisor, hand_in(tmp_path / "a", body))
    cases = check().draw()
    assert len(run.printed) == len(cases)
    for number, case in enumerate(cases):
        assert run.printed[number].splitlines() == [f"shape {case['shape']}", "from a child"]
    body = f"for number in range(5000):\n        print(number)\n    {ANSWER}"
    run, _ = run_and_judge(supervisor, hand_in(tmp_path / "b", body))
    lines = run.printed[0].splitlines()
    assert len(lines) <= 70 and lines[0] == "0" and lines[-1] == "4999" and any("more lines" in line for line in lines)


def test_output_that_is_no_text_is_shown_all_the_same(supervisor, tmp_path):
    body = f"print('\\u2192 \\ud800'); import os; os.write(1, bytes([255, 10]))\n    {ANSWER}"
    run, verdict = run_and_judge(supervisor, hand_in(tmp_path, body))
    assert verdict.state is State.PASS and "→ ?" in run.printed[0]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system what still runs")
def test_nothing_is_left_running(supervisor, tmp_path):
    run_and_judge(supervisor, hand_in(tmp_path, FORKED))
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=1)
    assert len([process for process in left if is_worker(process)]) <= 1  # the one that waits for the next check


def is_worker(process: psutil.Process) -> bool:
    """Whether a worker still runs; a process that has ended meanwhile has no command line."""
    try:
        return "minicnn.course.worker" in process.cmdline()
    except psutil.Error:
        return False
