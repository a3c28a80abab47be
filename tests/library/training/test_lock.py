"""One process at a time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import minicnn
from minicnn.training import lock

ROOT = Path(minicnn.__file__).parents[1]


Resume = Callable[[], tuple[int, str]]


def test_a_run_that_another_process_trains_is_refused(run: Path, resume: Resume) -> None:
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    code = "import sys, pathlib; from minicnn.training.lock import locked\n"
    code += "with locked(pathlib.Path('run/.lock')): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        assert resume() == (2, "minicnn: error: another process is training here: run\n")
        assert {file.name: file.read_bytes() for file in run.iterdir()} == before
        other.kill()
    assert (run / ".lock").exists()  # left behind, and holding nobody up
    assert resume() == (0, "")


def test_a_file_system_without_locks_lets_everybody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", unsupported)
    with lock.locked(tmp_path / ".lock"), lock.locked(tmp_path / ".lock"):
        pass
