"""``minicnn bench`` and ``benchmarks/cpu.py``: what they print and compute. No test here asserts a time."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import backend, cli
from minicnn.bench import ladder, measuring
from minicnn.bench.machine import using_threads
from minicnn.bench.networks import Measured, measure
from minicnn.cli import bench
from tests.library.support import peers

ROOT = Path(__file__).resolve().parents[3]
needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux's /proc")
MEGABYTE = 10**6

# ------------------------------------------------------------ measuring


def test_quartiles() -> None:
    assert measuring.quartiles([4, 1, 2, 3, 5]) == (2, 3, 4)
    assert measuring.quartiles([1, 2]) == (1.25, 1.5, 1.75)
    assert measuring.quartiles(iter([7])) == (7, 7, 7)
    with pytest.raises(ValueError):
        measuring.quartiles([])


def test_median_time_calls_at_least_once() -> None:
    calls: list[int] = []
    assert measuring.median_time(lambda: calls.append(1), 0) >= 0
    assert calls == [1]


def test_foreign_cores_are_what_is_busy_and_not_our_own() -> None:
    spans = [
        (measuring.Usage(0, 10, 1), measuring.Usage(1, 12, 2)),  # 2 busy, 1 of it ours
        (measuring.Usage(5, 20, 3), measuring.Usage(8, 23, 6)),  # 3 busy, all ours
    ]
    assert measuring.foreign_cores(spans) == pytest.approx(1 / 4)
    assert measuring.foreign_cores([(measuring.Usage(0, 0, 0), measuring.Usage(1, 0.9, 1))]) == 0
    assert measuring.foreign_cores([(None, None)]) is None


@needs_proc
def test_our_own_work_is_seen() -> None:
    before = measuring.usage([os.getpid()])
    while measuring.usage([os.getpid()]).own - before.own < 0.05:
        sum(range(1000))
    after = measuring.usage([os.getpid()])
    assert after.wall > before.wall and after.busy > before.busy


@needs_proc
def test_extra_memory_is_the_peak_and_not_what_remains() -> None:
    def run() -> np.ndarray:
        np.ones(60 * MEGABYTE, np.uint8)
        return np.ones(20 * MEGABYTE, np.uint8)

    for _ in range(2):  # what a first run took and gave back does not hide what the second takes
        assert 55 * MEGABYTE < measuring.extra_bytes(run) < 90 * MEGABYTE


def test_without_proc_memory_and_load_are_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measuring, "PROC", tmp_path)
    assert measuring.usage() is measuring.resident_bytes() is measuring.peak_bytes() is None
    assert measuring.available_bytes() is measuring.extra_bytes(lambda: None) is None
    assert not measuring.forget_peak()


def test_the_roofs_are_measured() -> None:
    from minicnn.backend.cpu.roofline import measure_bandwidth, measure_peak

    with using_threads(1):
        assert 1e8 < measure_peak(0.001) < 1e13
        assert 1e7 < measure_bandwidth(0.001, mebibytes=1) < 1e13


def test_as_many_threads_as_there_are() -> None:
    import numba

    before = numba.get_num_threads()
    with using_threads(1):
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before
    with pytest.raises(ValueError, match="threads"), using_threads(10**6):
        pass


# ------------------------------------------------------------ the ladder

TINY = ladder.Problem(batch=2, channels=3, size=5)


def test_all_rungs_compute_the_same() -> None:
    rungs = ladder.climb(TINY, threads=1, seconds=0)
    assert [rung.name for rung in rungs] == ["loops", "im2col", "im2col, blocked", "direct", "Winograd", "GPU"]
    assert all(rung.seconds for rung in rungs[:-1]) and all(rung.why for rung in rungs)


def test_loops_are_scaled_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "LOOP_MULTIPLY_ADDS", 9 * 3 * 3 * 10)  # ten pixels
    monkeypatch.setattr(ladder, "median_time", lambda run, seconds: (run(), 1.0)[1])
    loops = ladder.climb(TINY, threads=1, seconds=0)[0]
    assert loops.seconds == 2 * 25 / 10
    assert "over 10 of 50 output pixels" in loops.why


def test_a_rung_that_computes_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = backend.load("cpu")
    monkeypatch.setattr(direct, "conv2d", lambda x, *_: np.full(x.shape, np.nan, x.dtype))
    with pytest.raises(ArithmeticError, match="direct and im2col disagree"):
        ladder.climb(TINY, threads=1, seconds=0)


def test_the_ladders_multiply_adds() -> None:
    assert ladder.Problem(batch=1, channels=64, size=56).multiply_adds == 115_605_504  # of ResNet-18's first blocks


# ------------------------------------------------------------ networks


@pytest.mark.parametrize(("work", "passes"), [("inference", 1), ("training", 3)])
def test_a_network_is_measured(work: str, passes: int) -> None:
    measured = measure("resnet20", work, batch=2, size=8, seconds=0)
    once = minicnn.summary(minicnn.models.create_model("resnet20", init=False), (3, 8, 8)).multiply_adds
    assert measured.multiply_adds == passes * 2 * once
    assert measured.seconds > 0
    if measured.total_bytes is not None:
        assert 0 <= measured.step_bytes < measured.total_bytes


def test_rates() -> None:
    measured = Measured("net", "training", 8, 224, 0.5, 10**10, None, None)
    assert (measured.images_per_second, measured.flops) == (16, 4e10)


# ------------------------------------------------------------ minicnn bench

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """``minicnn bench`` in this process: exit status, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(("bench", *arguments))
        out, error = capfd.readouterr()
        return status, out, error

    return run


def test_bench_prints_one_line_for_each_kind_of_work(command: Command) -> None:
    status, out, _ = command("resnet20", "--batch", "2", "--size", "8", "--seconds", "0.01", "--threads", "1")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split()[:4] == ["network", "work", "batch", "ms"]
    assert [line.split()[:3] for line in lines[1:3]] == [["resnet20", "inference", "2"], ["resnet20", "training", "2"]]
    for said in ("measured peak: ", "1 threads used", "other processes: ", "versions: minicnn ", "benchmarks/cpu.py"):
        assert said in out


def test_bench_of_one_kind_of_work(command: Command) -> None:
    out = command("resnet20", "--batch", "1", "--size", "8", "--seconds", "0.01", "--inference")[1]
    assert " inference " in out and " training " not in out.partition("\n\n")[0]


def test_bench_ladder(command: Command) -> None:
    status, out, _ = command("ladder", "--batch", "2", "--channels", "3", "--size", "5", "--seconds", "0.01")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith("3x3 convolution, 3 -> 3 channels, 5 x 5 pixels, batch 2: 0.000e9 multiply-adds")
    names = ["loops", "im2col", "im2col, blocked", "direct", "Winograd", "GPU"]
    assert [line.split("  ")[0] for line in lines[2:8]] == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnt20"], "did you mean 'resnet20'"),
        (["ladder", "resnet20"], "ladder stands alone"),
        (["ladder", "--training"], "--training: a single convolution"),
        (["resnet20", "--channels", "8"], "--channels: only ladder"),
        (["resnet20", "--batch", "0"], "--batch: expected a whole number from 1"),
        (["resnet20", "--seconds", "-1"], "--seconds: expected a number above 0"),
        (["resnet20", "--threads", "1000000"], "number of threads must be between 1 and"),
    ],
)
def test_misuse_of_bench(command: Command, arguments: list[str], message: str) -> None:
    status, out, error = command(*arguments)
    assert (status, out) == (2, "")
    assert message in error and error.count("\n") == 1


def test_cells() -> None:
    measured = Measured("net", "training", 8, 224, 0.25, 10**10, 123_456_789, 2 * 10**9)
    assert bench.network_cells(measured, peak=4e11) == [
        "net", "training", "8", "250.0", "32", "80.0", "20 %", "123.5", "2,000.0",
    ]  # fmt: skip
    problem = ladder.Problem(batch=1, channels=64, size=56)
    rung = ladder.Rung("direct", "because", problem.multiply_adds / 1e11, None)
    assert bench.ladder_cells(rung, problem, 4e11) == ["direct", "1.2", "200.0", "50 %", "-", "because"]
    slow = ladder.Rung("loops", "because", problem.multiply_adds / 1e7, None)
    assert bench.ladder_cells(slow, problem, 4e11)[2:4] == ["0.020", "0.005 %"]
    assert bench.ladder_cells(ladder.Rung("GPU", "none"), problem, 4e11) == ["GPU", "-", "-", "-", "-", "none"]


def test_a_disturbed_measurement_says_so() -> None:
    assert bench.load(0.03) == "3 % of a core"
    assert "measure again" in bench.load(1.2)
    assert bench.load(None).startswith("not known")


# ------------------------------------------------------------ benchmarks/cpu.py


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


@pytest.mark.slow
def test_the_script_compares_a_small_network_with_what_is_installed(tmp_path: Path) -> None:
    peers.torchvision()
    path = tmp_path / "result.json"
    arguments = ["--models", "resnet20", "--cifar-batch", "2", "--rounds", "1", "--threads", "1"]
    arguments += ["--against", str(ROOT), "--without", "torch-compile", "--json"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "cpu.py"), *arguments, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
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
