"""Starts tests' own scripts on several processes, by the ``mpiexec`` beside this Python or on the path."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn

ROOT = Path(minicnn.__file__).parents[1]
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")

needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason="needs mpi4py and mpiexec"
)


def start(ranks: int, *arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    """``mpiexec -n RANKS python ARGUMENTS``, in a session of its own, with one thread a rank."""
    threads = {"NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [str(MPIEXEC), "-n", str(ranks), sys.executable, *arguments],
        env={**os.environ, **threads, **environment},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> tuple[int, str, str]:
    """Exit status, standard output and standard error; a process that hangs is killed with all of its own."""
    try:
        out, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, error = process.communicate()
        pytest.fail(f"{process.args} did not end in {timeout} s: {out[-1000:]} {error[-1000:]}")
    return process.returncode, out, error


def mpiexec(ranks: int, *arguments: str, cwd: Path = ROOT, **environment: str) -> tuple[int, str, str]:
    """Start and finish."""
    return finish(start(ranks, *arguments, cwd=cwd, **environment))
