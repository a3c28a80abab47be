"""``benchmarks/scaling.py``: what it computes and prints. No test here asserts a time."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from minicnn.distributed.simulation import Link, ring

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("scaling")


def test_the_link_is_found_in_its_all_reduces(scaling: ModuleType) -> None:
    link = Link(3e-6, 2e9)
    found = scaling.link_of(scaling.SIZES, [ring(size, 2, link) for size in scaling.SIZES])
    assert found == pytest.approx(link, rel=1e-2)
    assert max(scaling.SIZES) >= scaling.LARGE > min(scaling.SIZES)


def test_the_prediction(scaling: ModuleType) -> None:
    profile = scaling.Profile(1.0, [(400, 0.5), (600, 2.0)], 0.25)
    assert profile.seconds == 3.25
    link = Link(0.125, 1000.0)
    assert scaling.predict(profile, link, overlap=False) == pytest.approx(3.25 + 2 * 0.125 + 1.0)
    big = 2**20  # the first bucket is full with it
    profile = scaling.Profile(1.0, [(big, 0.5), (big, 2.0)], 0.25)
    link = Link(0.0, big / 0.75)
    assert scaling.predict(profile, link, overlap=True) == pytest.approx(3.25 + 0.75)
    assert scaling.predict(profile, link, overlap=False) == pytest.approx(3.25 + 1.5)


def test_a_row(scaling: ModuleType) -> None:
    rounds = [scaling.Round(0.5, 0.4, two, 0.1, 0.15, 0.02) for two in (0.4, 0.5, 0.625)]
    setting = {"model": "resnet18", "way": "eager", "batch": 4}
    cells = scaling.row(setting, rounds, scaling.Profile(0.1, [(4, 0.3)], 0.02), Link(0.0, 1e9))
    named = dict(zip(scaling.HEADER, cells, strict=True))
    assert (named["1 process, im/s"], named["2 processes, im/s"]) == ("16.0", "16.0")
    assert named["ratio"] == "1.00 (0.90-1.12)" and named["ratio without exchange"] == "1.25 (1.25-1.25)"
    assert (named["step, ms"], named["without exchange"], named["predicted"]) == ("500", "400", "420")
    assert (named["MPI"], named["MPI and copying"], named["foreign"]) == ("100 (20 %)", "150 (30 %)", "2 %")
    assert len({len(line) for line in scaling.markdown([list(scaling.HEADER), cells])}) == 1


def test_a_disturbed_round_is_measured_again(scaling: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = iter([0.5, 0.01, 0.5, 0.3, 0.4, 0.0])
    monkeypatch.setattr(scaling, "one_round", lambda *_: scaling.Round(1.0, 1.0, 1.0, 0.0, 0.0, next(loads)))
    assert [scaling.quiet_round().foreign for _ in range(2)] == [0.01, 0.3]


@pytest.mark.parametrize(
    "wrong", [["--models", "resnt18"], ["--rounds", "0"], ["--batch", "x"], ["--way", "fast"], ["--clock", "x"]]
)
def test_misuse(scaling: ModuleType, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        scaling.arguments(wrong)
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_without_mpi_it_says_what_to_install(scaling: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(SystemExit, match="needs MPI: pip install mpi4py mpich"):
        scaling.mpiexec()


@pytest.mark.slow(40)
def test_the_script_measures_a_small_network() -> None:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if shutil.which("mpiexec", path=beside) is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("mpiexec and mpi4py are not installed")
    arguments = ["--models", "resnet20", "--size", "8", "--batch", "2", "--rounds", "1", "--steps", "1"]
    done = subprocess.run(
        [sys.executable, "-c", "import scaling; scaling.TRIES = 1; scaling.main()", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'benchmarks'}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| resnet20 ")]
    assert [row[2].strip() for row in rows] == ["compiled", "eager"]
    assert all(float(row[3]) > 0 and float(row[4]) > 0 for row in rows)
