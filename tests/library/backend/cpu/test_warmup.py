"""After ``minicnn warmup`` nothing is left to compile."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.backend import cpu
from minicnn.backend.cpu import warmup
from minicnn.backend.cpu.sharing import Task

ROOT = Path(minicnn.__file__).parents[1]

# Runs the command, then looks at every compiled function of the package: how many there are, and which it has missed.
WARM_UP = """
import importlib, pkgutil, sys
import numpy as np
from numba.core.registry import CPUDispatcher
from minicnn import cli
from minicnn.backend import cpu

assert cli.main(["warmup"]) == 0
from minicnn.backend.cpu.sharing import Task

seen, missed = 0, []
for found in pkgutil.iter_modules(cpu.__path__):
    module = importlib.import_module(f"{cpu.__name__}.{found.name}")
    for name, value in vars(module).items():
        if isinstance(value, Task):
            reached = np.dtype("float32") in value.compiled
        elif isinstance(value, CPUDispatcher):
            reached = bool(value.signatures)
        else:
            continue
        seen += 1
        missed += [] if reached else [f"{module.__name__}.{name}"]
print("functions:", seen, "missed:", *missed)
"""

# Trains one step, and counts the compiler's passes.
TRAIN = """
import sys
from numba.core import event
from minicnn.bench.networks import images_and_labels, training
from minicnn.creation import tensor
from minicnn.models import create_model

name, batch, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = create_model(name, 10)
images, labels = map(tensor, images_and_labels(batch, size, 10))
with event.install_recorder("numba:run_pass") as passes:
    training(model, images, labels)()
found = {happening.data["qualname"] for _, happening in passes.buffer}
print("compiled:", *sorted(found))
"""


def run(script: str, *arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own that keeps its machine code in the folder ``cache``."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )


@pytest.mark.slow(seconds=40)
def test_after_it_nothing_is_left_to_compile(tmp_path: Path) -> None:
    first = run(WARM_UP, cache=tmp_path)
    found = re.search(r"^functions: (\d+) missed:$", first.stdout, re.MULTILINE)
    assert found and int(found[1]) > 60, first.stdout
    assert first.stderr == ""
    folder = next(tmp_path.iterdir())
    lines = first.stdout.replace("\n  /", " /").splitlines()
    steps = len(warmup.STEPS)
    assert lines[0] == f"compiling kernels, once: kept in {folder}"
    assert re.fullmatch(rf" +1 of {steps}  register tiles, float32 \.\.\. \d+\.\d s", lines[1])
    again = run("import sys; from minicnn import cli; sys.exit(cli.main(['warmup']))", cache=tmp_path)
    assert re.fullmatch(
        rf"all kernels are compiled already \(.*\): kept in {re.escape(str(folder))}\n",
        again.stdout.replace("\n  ", " "),
    )
    for name, batch, size in (("resnet20", 128, 32), ("efficientnet_b0", 2, 64)):
        trained = run(TRAIN, name, str(batch), str(size), cache=tmp_path)
        assert (trained.stdout, trained.stderr) == ("compiled:\n", ""), name


@pytest.mark.slow
def test_the_steps_reach_every_task_in_float64_too() -> None:
    """The test above looks at float32 alone: compiling all of both from nothing takes a minute."""
    for step in warmup.STEPS.values():
        step(np.dtype("float64"))
    modules = [importlib.import_module(f"{cpu.__name__}.{found.name}") for found in pkgutil.iter_modules(cpu.__path__)]
    tasks = {name: value for module in modules for name, value in vars(module).items() if isinstance(value, Task)}
    assert len(tasks) > 20
    assert [name for name, task in tasks.items() if np.dtype("float64") not in task.compiled] == []
