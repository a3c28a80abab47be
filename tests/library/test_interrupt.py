"""Ctrl-C: one line and exit status 130, whatever the command is doing, and what a training has reached stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import minicnn
from minicnn.training import load_checkpoint

ROOT = Path(minicnn.__file__).parents[1]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals as shells do")


def heed_ctrl_c() -> None:
    """A shell without job control has background commands ignore it, and whatever they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*command: str, before: Callable[[], None] = heed_ctrl_c) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *command], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=before,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    error = process.communicate(timeout=60)[1]
    return process.returncode, error


# Runs as `python -m minicnn` does, with an import that takes as long as the test wants.
SLOW_IMPORT = """
import runpy, sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            print("importing", flush=True)
            time.sleep(30)
sys.meta_path.insert(0, Slow())
sys.argv = ["minicnn", "train", "resnet20"]
runpy.run_module("minicnn", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["numpy", "minicnn.cli", "minicnn.training"])
def test_while_modules_are_imported(module: str, tmp_path: Path) -> None:
    process = start("-c", SLOW_IMPORT.format(module=module))
    assert process.stdout is not None and process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, "minicnn: stopped\n")


@pytest.fixture
def training(tmp_path: Path) -> subprocess.Popen[str]:
    """A long run whose first epoch is over."""
    process = start(
        "-m", "tests.library.support.tiny_training", "train", "tinynet", "--epochs", "99999", "--out", f"{tmp_path}/run"
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch"):
            return process
    raise AssertionError(finish(process))


def test_a_training_says_how_to_go_on(training: subprocess.Popen[str], tmp_path: Path) -> None:
    training.send_signal(signal.SIGINT)
    assert finish(training) == (130, f"minicnn: stopped; go on with: minicnn train --resume {tmp_path}/run\n")
    assert load_checkpoint(tmp_path / "run/checkpoint.npz")["history"]


# The command, whose answer to Ctrl-C takes as long as the test wants.
SLOW_ANSWER = """
import sys, time
sys.argv = ["minicnn", "models"]
from minicnn import cli
def run(args):
    try:
        print("running", flush=True)
        time.sleep(30)
    finally:
        print("answering", flush=True)
        time.sleep(30)
cli.load_command("models").run = run
sys.exit(cli.main())
"""


def test_a_second_one_does_not_wait_for_the_answer_to_the_first() -> None:
    process = start("-c", SLOW_ANSWER)
    assert process.stdout is not None
    for expected in ("running\n", "answering\n"):
        assert process.stdout.readline() == expected
        process.send_signal(signal.SIGINT)
    assert finish(process) == (130, "minicnn: stopped\n")


def test_where_it_is_ignored_it_stays_ignored() -> None:
    code = "import sys; sys.argv = ['minicnn']; import signal, minicnn; print(signal.getsignal(signal.SIGINT).name)"
    process = start("-c", code, before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN) and None)
    assert process.communicate(timeout=60)[0] == "SIG_IGN\n"


def test_other_programs_keep_their_own() -> None:
    code = "import signal, minicnn; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    out, _ = start("-c", code).communicate(timeout=60)
    assert out == "True\n"
