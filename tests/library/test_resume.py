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
NEW_RUN = ["train", "tinynet", "--quiet", "--batch-size", "256", "--optimizer", "adamw", "--seed", "3"]


def command(*arguments: str, kill_at: str = "") -> subprocess.Popen[str]:
    """Start the ``minicnn`` command with tinynet in another process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MINICNN_KILL_AT": kill_at}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.library.tiny_training", *arguments],
        env=environment,
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


def start_or_resume(folder: Path, epochs: int, kill_at: str = "") -> subprocess.Popen[str]:
    """What a user does after a crash: resume if there is a run, else start it again."""
    if (folder / "config.json").exists():
        return command("train", "--resume", str(folder), "--quiet", kill_at=kill_at)
    return command(*NEW_RUN, "--epochs", str(epochs), "--out", str(folder), kill_at=kill_at)


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
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run of six epochs in one go."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(start_or_resume(folder, epochs=6))
    return content(folder)


def test_a_finished_run_has_its_files(never_stopped: dict[str, Any]) -> None:
    assert never_stopped["files"] == [
        "checkpoint.npz", "config.json", "curves.png", "metrics.jsonl", "model.safetensors", "result.json",
    ]  # fmt: skip
    assert len(never_stopped["metrics"]) == 6
    assert {"model", "optimizer", "scheduler", "random", "history", "config"} <= never_stopped["checkpoint"].keys()
    assert never_stopped["result"]["epochs"] == 6


def test_killed_again_and_again_at_random_moments(never_stopped: dict[str, Any], tmp_path: Path) -> None:
    folder, chance = tmp_path / "run", random.Random(0)
    for _ in range(4):
        process = start_or_resume(folder, epochs=6)
        deadline = time.monotonic() + 60
        known = (folder / "checkpoint.npz").stat().st_mtime_ns if (folder / "checkpoint.npz").exists() else 0
        while process.poll() is None and time.monotonic() < deadline:  # until it has written a checkpoint of its own
            if (folder / "checkpoint.npz").exists() and (folder / "checkpoint.npz").stat().st_mtime_ns > known:
                break
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start_or_resume(folder, epochs=6))
    assert_same_run(folder, never_stopped)
