"""``mpiexec -n N minicnn train``: the same training as one process's, and how it ends."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.training import load_checkpoint
from minicnn.training.loop import WALL_CLOCK
from tests.library.distributed.accidents import PHASES
from tests.library.support.mpi import ROOT, finish, mpiexec, needs_mpi, start

pytestmark = needs_mpi
EPOCHS = 3
SETTINGS = ("--epochs", str(EPOCHS), "--batch-size", "256", "--quiet")


def train(ranks: int, folder: Path, *arguments: str, phase: str = "none", rank: int = 0, how: str = "raise") -> Any:
    """``minicnn train ARGUMENTS`` in ``folder``, with an accident: exit status, output, errors."""
    script = ("-m", "tests.library.distributed.accidents", phase, str(rank), how)
    return mpiexec(ranks, *script, "train", *arguments, cwd=folder)


def alone(folder: Path, *arguments: str) -> None:
    script = [sys.executable, "-m", "tests.library.distributed.accidents", "none", "0", "raise", "train", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"}
    subprocess.run(script, cwd=folder, env=environment, check=True, timeout=120, stdout=subprocess.DEVNULL)


def metrics(run: Path) -> list[dict[str, Any]]:
    if not (run / "metrics.jsonl").exists():  # a run that ended before its first epoch
        return []
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in WALL_CLOCK} for line in lines]


def errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("minicnn: error")]


def assert_same_run(found: Path, wanted: Path, tolerance: float) -> None:
    for own, other in zip(metrics(found), metrics(wanted), strict=True):
        assert own == pytest.approx(other, rel=tolerance)
    weights, others = minicnn.load(found / "model.safetensors"), minicnn.load(wanted / "model.safetensors")
    for name, value in others.items():
        np.testing.assert_allclose(weights[name].numpy(), value.numpy(), rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.slow(seconds=25)
def test_a_run_is_the_same_on_any_number_of_ranks_and_on_each_repetition(tmp_path: Path) -> None:
    """Without dropout and augmentation. 256 images are not three equal shares."""
    digits = ("--seed", "3", *SETTINGS)
    alone(tmp_path, "plainnet", *digits, "--out", "one")
    alone(tmp_path, "normnet", *digits, "--out", "norm-one")
    for ranks in (2, 3):
        assert train(ranks, tmp_path, "plainnet", *digits, "--out", f"plain-{ranks}")[0] == 0
        assert_same_run(tmp_path / f"plain-{ranks}", tmp_path / "one", 2e-4)
        status, _, error = train(ranks, tmp_path, "normnet", "--sync-batchnorm", *digits, "--out", f"norm-{ranks}")
        assert (status, error) == (0, "")
        assert_same_run(tmp_path / f"norm-{ranks}", tmp_path / "norm-one", 2e-3)
    assert train(2, tmp_path, "plainnet", *digits, "--out", "again")[0] == 0
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "plain-2" / name).read_bytes()
    assert metrics(tmp_path / "again") == metrics(tmp_path / "plain-2")


@pytest.mark.slow(seconds=20)
def test_a_run_goes_on_on_another_number_of_ranks_and_in_one_process(tmp_path: Path) -> None:
    for kind, folder in (("plainnet", "plain"), ("tinynet", "tiny")):
        settings = (kind, *SETTINGS, "--out", folder)
        status, _, error = train(2, tmp_path, *settings, phase="epoch", rank=1)
        assert status != 0 and len(metrics(tmp_path / folder)) == 1, error
        status, _, error = train(3, tmp_path, "--resume", folder, "--quiet", phase="epoch", rank=2)
        assert status != 0 and len(metrics(tmp_path / folder)) == 2, error
        alone(tmp_path, "--resume", folder, "--quiet")
        assert [line["epoch"] for line in metrics(tmp_path / folder)] == [1, 2, 3]
    alone(tmp_path, "plainnet", *SETTINGS, "--out", "whole")
    assert_same_run(tmp_path / "plain", tmp_path / "whole", 2e-4)


ACCIDENTS = [
    *((phase, rank, how) for phase in PHASES for rank, how in ((0, "raise"), (1, "kill"))),
    *((phase, 0, "kill") for phase in ("start", "sum", "checkpoint", "result")),
    *((phase, 1, "raise") for phase in ("opening", "forward", "norm", "validation")),
    ("forward", 2, "raise"), ("forward", 1, "exit"), ("sum", 2, "kill"),
]  # fmt: skip
LEADS = {"checkpoint"}  # what only rank 0 does
WHOLE = {"start", "reading", "sum", "checkpoint"}  # after which the run is taken to its end


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize(("rank", "how"), sorted({(rank, how) for _, rank, how in ACCIDENTS}))
def test_an_accident_ends_all_with_one_line_and_a_run_that_goes_on(rank: int, how: str, tmp_path: Path) -> None:
    for phase, at, kind in ACCIDENTS:
        if (at, kind) != (rank, how) or (rank > 0 and phase in LEADS):
            continue
        case = f"{phase} on rank {rank} by {how}"
        status, out, error = train(
            3 if rank == 2 else 2, tmp_path, "tinynet", *SETTINGS, "--out", phase, phase=phase, rank=rank, how=how
        )
        assert status != 0, case
        assert "Traceback" not in error + out, (case, error)
        if how == "raise":
            on = f"rank {rank}: " if rank else ""
            assert errors(error) == [f"minicnn: error: {on}RuntimeError: planted (--debug shows where)"], (case, error)
        run = tmp_path / phase
        if (run / "checkpoint.npz").exists():
            if how == "kill":
                goes_on = f"go on with: mpiexec -n {3 if rank == 2 else 2} minicnn train --resume {phase}"
                assert goes_on in error, (case, error)
            done = len(load_checkpoint(run / "checkpoint.npz")["history"])
            assert done <= len(metrics(run)) <= done + 1, case
            if phase in WHOLE:
                assert train(2, tmp_path, "--resume", phase, "--quiet")[0] == 0, case
        else:
            assert phase in {"start", "opening", "reading"}, case
            assert train(2, tmp_path, "tinynet", *SETTINGS, "--out", phase)[0] == 0, case
        if (run / "result.json").exists():
            assert [line["epoch"] for line in metrics(run)] == [1, 2, 3], case
            assert not list(run.glob(".*.tmp")), case


@pytest.mark.slow(seconds=8)
def test_ctrl_c_says_once_how_to_go_on(tmp_path: Path) -> None:
    script = ("-m", "tests.library.distributed.accidents", "none", "0", "raise", "train", "tinynet")
    process = start(2, *script, "--epochs", "100000", "--out", "run", cwd=tmp_path)
    waiting = time.monotonic() + 60
    while not (tmp_path / "run/metrics.jsonl").exists() and time.monotonic() < waiting:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    status, _, error = finish(process)
    assert status == 130
    assert error.splitlines().count("minicnn: stopped; go on with: mpiexec -n 2 minicnn train --resume run") == 1
    assert not errors(error) and "Traceback" not in error


def test_misuse_is_one_line_and_ranks_that_differ_are_refused(tmp_path: Path) -> None:
    status, _, error = train(2, tmp_path, "nonet")
    assert (status, error.count("\n")) == (2, 1) and "no model is called 'nonet'" in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow(seconds=10)
def test_what_ranks_cannot_do_is_refused_in_one_line(tmp_path: Path) -> None:
    script = f"{sys.executable} -m tests.library.distributed.accidents none 0 raise train tinynet --seed"
    process = start(1, *f"{script[len(sys.executable) + 1 :]} 1 : -n 1 {script} 2".split(), cwd=tmp_path)
    status, _, error = finish(process)
    assert (status, error) == (2, "minicnn: error: the ranks differ in seed: rank 0 has 1, rank 1 2\n")
    cases = [
        (2, ("tinynet", "--batch-size", "1"), "2 ranks need at least an image each, and a batch has 1"),
        (2, ("tinynet", "--mine", "hw2"), "--mine works in one process, and mpiexec has started 2"),
        (2, ("--resume", "nowhere"), "there is no run folder nowhere"),
    ]
    for ranks, arguments, words in cases:
        status, _, error = train(ranks, tmp_path, *arguments)
        assert (status, error.count("\n")) == (2, 1) and words in error
    status, _, error = train(2, tmp_path, "tinynet", phase="fewer", rank=1)
    wanted = "minicnn: error: the ranks differ in the images: rank 0 has 1260 as training, rank 1 1000\n"
    assert (status, error) == (2, wanted)
    status, _, error = train(2, tmp_path, "tinynet", phase="differ", rank=1)
    assert (status, error.count("\n")) == (2, 1)
    assert "the ranks differ in minicnn's version: rank 0 has" in error and "rank 1 0.0.1" in error


@pytest.mark.slow(seconds=4)
def test_without_mpi4py_the_launcher_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no such thing')")
    script = ("-m", "tests.library.distributed.accidents", "none", "0", "raise", "train", "tinynet")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    status, _, error = finish(start(2, *script, cwd=tmp_path, PYTHONPATH=path))
    assert (status, error.count("\n")) == (2, 1)
    assert 'pip install "minicnn-lecture[mpi]"' in error


@pytest.mark.slow(seconds=4)
def test_a_script_that_raises_on_one_rank_ends_all(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import minicnn, minicnn.distributed as dist\n"
        "dist.init_process_group()\n"
        "if dist.get_rank() == 1:\n    raise ValueError('planted')\n"
        "dist.all_reduce(minicnn.ones(3))\n"
    )
    status, _, error = mpiexec(3, str(script))
    assert status != 0
    assert error.count("ValueError: planted") == 1 and error.startswith("rank 1 of 3:\n")


def test_an_ordinary_run_imports_no_mpi4py() -> None:
    code = "import sys, minicnn.training; assert 'mpi4py' not in sys.modules and 'cupy' not in sys.modules"
    assert importlib.util.find_spec("mpi4py") is not None
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
