"""``minicnn warmup``: what it prints, and that after it nothing is left to compile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest

import minicnn
from minicnn import cli
from minicnn.backend.cpu import compiling, warmup

ROOT = Path(minicnn.__file__).parents[1]

# Runs the command, then looks at every compiled function of the package: how many there are, and which it has missed.
WARM_UP = """
import importlib, pkgutil, sys
import numpy as np
from numba.core.registry import CPUDispatcher
from minicnn import cli
from minicnn.backend import cpu

assert cli.main(["warmup", "--float64"]) == 0
from minicnn.backend.cpu.sharing import Task

seen, missed = 0, []
for found in pkgutil.iter_modules(cpu.__path__):
    module = importlib.import_module(f"{cpu.__name__}.{found.name}")
    for name, value in vars(module).items():
        if isinstance(value, Task):
            reached = {np.dtype("float32"), np.dtype("float64")} <= value.compiled.keys()
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


@pytest.mark.slow
def test_after_it_nothing_is_left_to_compile(tmp_path: Path) -> None:
    first = run(WARM_UP, cache=tmp_path)
    found = re.search(r"^functions: (\d+) missed:$", first.stdout, re.MULTILINE)
    assert found and int(found[1]) > 60, first.stdout
    assert first.stderr == ""
    folder = next(tmp_path.iterdir())
    lines = first.stdout.splitlines()
    steps = 2 * len(warmup.STEPS)
    assert lines[0] == f"compiling kernels, once: kept in {folder}"
    assert re.fullmatch(rf" +1 of {steps}  register tiles, float32 \.\.\. \d+\.\d s", lines[1])
    again = run("import sys; from minicnn import cli; sys.exit(cli.main(['warmup', '--float64']))", cache=tmp_path)
    assert re.fullmatch(rf"all kernels are compiled already \(.*\): kept in {re.escape(str(folder))}\n", again.stdout)
    for name, batch, size in (("resnet20", 128, 32), ("efficientnet_b0", 2, 64)):
        trained = run(TRAIN, name, str(batch), str(size), cache=tmp_path)
        assert (trained.stdout, trained.stderr) == ("compiled:\n", ""), name


# ---- the command, with little to compile -----------------------------------------------------------------------------


def _nothing(dtype: np.dtype) -> None:
    pass


def _something(dtype: np.dtype) -> None:
    numba.njit(lambda x: x)(dtype.type(0))


@pytest.mark.parametrize("options", [[], ["--float64"]])
def test_it_says_what_is_compiled(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warmup, "STEPS", {"what is there": _nothing, "what is not": _something})
    assert cli.main(["warmup", *options]) == 0
    first, *steps, last = capsys.readouterr().out.splitlines()
    assert first == f"compiling kernels, once: kept in {compiling.cache_folder()}"
    count, names = 2 + 2 * len(options), ["float32", "float64"][: 1 + len(options)]
    for number, (line, dtype) in enumerate(zip(steps, names, strict=True), 1):
        assert re.fullmatch(rf" +{2 * number} of {count}  what is not, {dtype} \.\.\. \d+\.\d s", line)
    assert re.fullmatch(rf"done in \d+ s; {count // 2} of {count} were there already", last)


def test_it_says_that_everything_is_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(warmup, "STEPS", {"what is there": _nothing})
    assert cli.main(["warmup"]) == 0
    assert re.fullmatch(
        rf"all kernels are compiled already \(.*\): kept in {re.escape(str(compiling.cache_folder()))}\n",
        capsys.readouterr().out,
    )


# ---- the announcement ------------------------------------------------------------------------------------------------


def announced(module: str, times: int = 1) -> None:
    """Let the announcer hear that a function of ``module`` is being compiled."""
    happening = SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=SimpleNamespace(__module__=module))})
    for _ in range(times):
        compiling._Announcer().on_start(happening)


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if nothing had been said yet, and no silence been asked for."""
    monkeypatch.setattr(compiling._Announcer, "said", False)
    monkeypatch.setattr(sys, "argv", ["minicnn", "train", "resnet20"])
    monkeypatch.delenv("MINICNN_QUIET", raising=False)
    return monkeypatch


def test_compiling_is_announced_once(silence: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    announced("somebody.else")
    assert capsys.readouterr() == ("", "")
    announced("minicnn.backend.cpu.conv", times=3)
    kept = f"kept in {compiling.cache_folder()} (minicnn warmup does it ahead of time)"
    assert capsys.readouterr() == ("", f"minicnn: compiling kernels, once: {kept}\n")


@pytest.mark.parametrize("how", ["--quiet", "MINICNN_QUIET"])
def test_whoever_wants_silence_gets_it(
    how: str, silence: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "--quiet":
        silence.setattr(sys, "argv", ["minicnn", "train", "resnet20", "--quiet"])
    else:
        silence.setenv("MINICNN_QUIET", "1")
    announced("minicnn.backend.cpu.conv")
    assert capsys.readouterr() == ("", "")
