"""``benchmarks/cpu.py``: what it prints and computes. No test here asserts a time."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.bench import measuring
from tests.library.support import peers

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 10**6


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("cpu")


def result(cpu: ModuleType, work: str = "training", **times: list[float]) -> Any:
    """A row made by hand, in which minicnn takes 300 MB for a step and everybody else 400."""
    found = {
        name.replace("_", "-"): cpu.Times(seconds, (300 if name == "minicnn" else 400) * MEGABYTE, 10**9)
        for name, seconds in times.items()
    }
    return cpu.Result("resnet18", 8, work, 6e9, found, 0.02, [])


def test_the_peer_in_training_is_the_faster_layout(cpu: ModuleType) -> None:
    row = result(cpu, minicnn=[0.2, 0.4, 0.3], torch=[0.5, 0.5, 0.5], torch_cl=[0.4, 0.4, 0.4])
    assert row.peer == row.pytorch == "torch-cl"
    assert cpu.comparison(row, "torch-cl") == "0.75 (0.62-0.88) <= 0.70 MISSED"
    assert cpu.comparison(row, "torch") == "0.60 (0.50-0.70)"
    assert cpu.memory(row) == ("300 / 400", "0.75 <= 0.80 met", "1000 / 1000")
    cells = dict(zip(cpu.HEADER, cpu.row(row, peak=1e11), strict=True))
    assert [cells[title] for title in ("minicnn", "eager", "PyTorch", "PyTorch c.l.", "torch.jit")] == [
        "300.0", "-", "500.0", "400.0", "-"
    ]  # fmt: skip
    assert (cells["GFLOP/s"], cells["of peak"], cells["foreign"]) == ("20.0", "20 %", "2 %")
    assert cells["/t.compile"] == cells["/before"] == cells["eager/PyTorch"] == "-"
    assert len(cpu.line(list(cells.values()))) == len(cpu.line(cpu.HEADER))


def test_eager_and_compiled_stand_side_by_side(cpu: ModuleType) -> None:
    times = {"torch": [0.4], "torch_cl": [0.5], "torch_compile": [0.3], "before": [0.6], "minicnn_eager": [0.48]}
    row = result(cpu, minicnn=[0.3], **times)
    cells = dict(zip(cpu.HEADER, cpu.row(row, peak=1e11), strict=True))
    assert (cells["minicnn"], cells["eager"], cells["before"]) == ("300.0", "480.0", "600.0")
    assert cells["/PyTorch"] == "0.75 (0.75-0.75) <= 0.70 MISSED"
    assert (cells["/t.compile"], cells["/before"]) == ("1.00 (1.00-1.00)", "0.50 (0.50-0.50)")
    assert cells["eager/PyTorch"] == "1.20 (1.20-1.20) <= 1.15 MISSED"
    del row.times["minicnn"]  # where it cannot be compiled, eager is compared
    cells = dict(zip(cpu.HEADER, cpu.row(row, peak=1e11), strict=True))
    assert (cells["minicnn"], cells["/PyTorch"]) == ("-", "1.20 (1.20-1.20) <= 0.70 MISSED")


def test_the_table_of_what_is_to_be_reached(cpu: ModuleType) -> None:
    rows = [
        result(cpu, minicnn=[0.3], torch=[0.6]),
        result(cpu, "inference", minicnn=[0.3], onnxruntime=[0.2]),
        result(cpu, minicnn=[0.3], torch=[0.6]),
    ]
    rows[2].model, rows[2].batch = "resnet20", 128
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in cpu.targets_table(rows)]
    assert cells[2] == ["resnet18", "0.50 <= 0.70 met", "<= 1.00", "1.50 <= 0.80 MISSED", "<= 0.95"]
    assert cells[3] == ["resnet20", "0.50 <= 0.75 met", "-", "<= 0.85", "-"]
    sizes = cpu.memory_table(rows)
    assert "300 (1000)" in sizes[2] and "400 (1000)" in sizes[2] and "- (-)" in sizes[2]


def test_the_peer_in_inference_is_onnx_runtime(cpu: ModuleType) -> None:
    row = result(cpu, "inference", minicnn=[0.3], torch=[0.4], onnxruntime=[0.2])
    assert (row.peer, row.pytorch) == ("onnxruntime", "torch")
    assert cpu.comparison(row, row.peer) == "1.50 (1.50-1.50) <= 0.80 MISSED"
    assert cpu.comparison(row, row.pytorch) == "0.75 (0.75-0.75)"
    assert cpu.memory(row)[1] == "0.75 <= 3.00 met"
    del row.times["onnxruntime"]
    assert cpu.memory(row)[1] == "0.75"  # the target of memory is about ONNX Runtime


def test_no_verdict_on_a_disturbed_machine(cpu: ModuleType) -> None:
    row = result(cpu, minicnn=[0.3], torch=[0.6])
    row.foreign = 1.4
    assert cpu.comparison(row, "torch") == "0.50 (0.50-0.50) <= 0.70 ?"


def test_minicnn_alone(cpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    row = result(cpu, minicnn=[0.3])
    cells = dict(zip(cpu.HEADER, cpu.row(row, 1e11), strict=True))
    assert cells["/PyTorch"] == cells["/ONNX Rt."] == "-"
    assert cpu.memory(row) == ("300 / -", "-", "1000 / -")
    frameworks = importlib.import_module("frameworks")
    monkeypatch.setattr(frameworks, "installed", lambda *modules: modules == ("minicnn",))
    work = cpu.Work("resnet18", 8, 224, 1000, True, 1)
    assert frameworks.taking_part(work) == ["minicnn", "minicnn-eager"]
    assert frameworks.taking_part(work._replace(before="folder")) == ["minicnn", "minicnn-eager", "before"]
    assert frameworks.taking_part(work._replace(training=False)) == ["minicnn"]


def test_every_network_has_its_targets(cpu: ModuleType) -> None:
    assert set(cpu.TARGETS) == set(cpu.MODELS)
    assert all(len(targets) == len(cpu.COLUMNS) for targets in cpu.TARGETS.values())
    assert set(cpu.MODELS) <= set(minicnn.models.list_models())


def test_different_results_are_no_comparison(cpu: ModuleType) -> None:
    ours = cpu.Outputs(np.array([1.0, -2.0]), 3.0)
    cpu.agree("PyTorch", cpu.Outputs(np.array([1.0, -2.001]), 4.0), ours, losses=False)
    with pytest.raises(cpu.Disagreement, match="PyTorch and minicnn disagree: .* loss 3.3e-01"):
        cpu.agree("PyTorch", cpu.Outputs(ours.logits, 4.0), ours, losses=True)
    for wrong in (np.array([1.0, -2.1]), np.array([np.nan, -2.0]), np.zeros(3)):
        with pytest.raises(cpu.Disagreement, match="logits"):
            cpu.agree("PyTorch", cpu.Outputs(wrong, 3.0), ours, losses=False)


def test_a_disturbed_round_is_measured_again(cpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = iter([0.5, 0.3, 0.01, 0.02])

    def one_round(*_: object) -> tuple[dict[str, float], list[object]]:
        load = next(loads)
        return {"minicnn": load}, [(measuring.Usage(0, 0, 0), measuring.Usage(1, load, 0))]

    monkeypatch.setattr(cpu, "one_round", one_round)
    assert cpu.quiet_round({}, {}, 0)[0] == {"minicnn": 0.01}
    loads = iter([0.5, 0.3, 0.4, 0.2, 0.0])
    assert cpu.quiet_round({}, {}, 0)[0] == {"minicnn": 0.2}  # the best of four


def test_settings(cpu: ModuleType) -> None:
    args = cpu.arguments(["--models", "resnet18,resnet20", "--batch", "1,2", "4", "--what", "training"])
    found = [(work.model, work.batch, work.size, work.classes, work.name) for work in cpu.settings(args, "folder")]
    assert found == [
        *(("resnet18", batch, 224, 1000, "training") for batch in (1, 2, 4)),
        ("resnet20", 128, 32, 10, "training"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--models", "resnt18"],
        ["--what", "both"],
        ["--batch", "x"],
        ["--rounds", "0"],
        ["--without", "jax"],
        ["--against", "nowhere"],
    ],
)
def test_misuse_of_the_script(cpu: ModuleType, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cpu.arguments(wrong)
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_too_little_memory_is_said_before(cpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    work = cpu.Work("vgg16", 32, 224, 1000, True, 1)
    monkeypatch.setattr(measuring, "available_bytes", lambda: 10**9)
    assert "1 GB are free" in cpu.room(work)
    monkeypatch.setattr(measuring, "available_bytes", lambda: 10**12)
    assert cpu.room(work) == ""


def test_files_are_written_whole(cpu: ModuleType, tmp_path: Path) -> None:
    row = result(cpu, minicnn=[0.3, 0.3], torch=[0.4, 0.6])
    cpu.save(tmp_path / "result.json", cpu.as_json([row], {"peak": 1e11}))
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    entry = json.loads((tmp_path / "result.json").read_text())["results"][0]
    assert entry["times"]["torch"]["seconds"] == [0.4, 0.6]
    assert entry["ratios"]["torch"]["median"] == pytest.approx(0.625)
    assert (entry["ours"], entry["peer"], entry["target"]) == ("minicnn", "torch", 0.70)


@pytest.mark.slow(seconds=45)
def test_the_script_compares_a_small_network_with_what_is_installed(tmp_path: Path) -> None:
    peers.torchvision()
    path = tmp_path / "result.json"
    arguments = ["--models", "resnet20", "--cifar-batch", "2", "--rounds", "1", "--threads", "1"]
    arguments += ["--against", str(ROOT), "--without", "torch-compile", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", "import cpu, sys; cpu.TRIES = 1; sys.exit(cpu.main())", *arguments, str(path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'benchmarks'}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| resnet20 ")]
    assert [row.split("|")[3].strip() for row in rows[:2]] == ["inference", "training"]  # then targets, then memory
    inference, training = json.loads(path.read_text())["results"]
    assert {"minicnn", "before", "torch", "torch-cl", "torch-jit"} <= set(inference["times"])
    assert {"minicnn-eager", "torch", "torch-cl"} <= set(training["times"])
    assert all(len(times["seconds"]) == 1 for times in training["times"].values())
