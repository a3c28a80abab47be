"""A training killed at any moment (SIGKILL) and resumed ends bit for bit where one ends that was never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.training import RunFolder, load_checkpoint
from minicnn.training.loop import WALL_CLOCK

ROOT = Path(minicnn.__file__).parents[1]
EPOCHS = 3
SETTINGS = ["tinynet", "--epochs", str(EPOCHS), "--batch-size", "256", "--optimizer", "adamw", "--seed", "3", "--quiet"]


def command(*arguments: str) -> subprocess.Popen[str]:
    """Start the ``minicnn`` command, with tinynet among its models, in another process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.library.support.tiny_training", *arguments],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a command that must succeed; returns what it printed."""
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out


def start_or_resume(folder: Path) -> subprocess.Popen[str]:
    """What a user does after a crash: resume if there is a run, else start it again."""
    if (folder / "config.json").exists():
        return command("train", "--resume", str(folder), "--quiet")
    return command("train", *SETTINGS, "--out", str(folder))


def without_time(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in WALL_CLOCK}


def content(path: Path) -> dict[str, Any]:
    """Everything in a run folder that must not depend on when the run was stopped."""
    folder = RunFolder(path)
    state = load_checkpoint(folder.checkpoint)
    state["history"] = [without_time(line) for line in state["history"]]
    return {
        "files": sorted(file.name for file in path.iterdir()),
        "checkpoint": comparable(state),
        "metrics": [without_time(json.loads(line)) for line in folder.metrics.read_text().splitlines()],
        "weights": folder.weights.read_bytes(),
        "result": without_time(json.loads(folder.result.read_text())),
        "config": folder.config.read_text(),
    }


def comparable(value: Any) -> Any:
    """Tensors as (dtype, shape, bytes), so that equality is equality of bits."""
    if isinstance(value, minicnn.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tobytes())
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    return [comparable(item) for item in value] if isinstance(value, (list, tuple)) else value


def assert_same_run(path: Path, expected: dict[str, Any]) -> None:
    found = content(path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == value, f"{name} differs"


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in one go."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(start_or_resume(folder))
    return folder


@pytest.fixture(scope="module")
def never_stopped(whole_run: Path) -> dict[str, Any]:
    """What that run left."""
    return content(whole_run)


def test_a_finished_run_has_its_files(never_stopped: dict[str, Any]) -> None:
    assert never_stopped["files"] == [
        ".lock", "checkpoint.npz", "config.json", "curves.png", "metrics.jsonl", "model.safetensors", "result.json",
    ]  # fmt: skip
    assert len(never_stopped["metrics"]) == EPOCHS
    assert {"model", "optimizer", "scheduler", "random", "history", "config"} <= never_stopped["checkpoint"].keys()
    assert never_stopped["result"]["epochs"] == EPOCHS


@pytest.mark.slow
def test_killed_again_and_again_at_random_moments(never_stopped: dict[str, Any], tmp_path: Path) -> None:
    folder, chance = tmp_path / "run", random.Random(0)
    checkpoint = folder / "checkpoint.npz"
    for _ in range(3):
        known = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = start_or_resume(folder)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns > known:  # it has got somewhere by itself
                break
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start_or_resume(folder))
    assert_same_run(folder, never_stopped)


@pytest.mark.slow(seconds=15)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="makes many copies of one process")
def test_killed_at_every_step_of_writing(never_stopped: dict[str, Any], tmp_path: Path) -> None:
    """Before opening a file, before each array of a checkpoint, before a flush to the disk, before a rename."""
    finish(command("--kill-everywhere", str(tmp_path), "17", *SETTINGS))
    folders = sorted(tmp_path.iterdir(), key=lambda folder: int(folder.name))
    assert len(folders) > 5
    for folder in folders:
        assert_same_run(folder, never_stopped)


def test_resuming_a_finished_run_says_so_and_changes_nothing(whole_run: Path) -> None:
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in whole_run.iterdir()}
    out = finish(command("train", "--resume", str(whole_run)))
    assert "finished" in out
    assert "test accuracy" in out
    assert before == {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in whole_run.iterdir()}
