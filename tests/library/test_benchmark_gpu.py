"""``benchmarks/gpu.py``: that it runs through, and what it prints. No test here asserts a time."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import backend
from tests.library.support import peers
from tests.library.support.cuda import fakecupy, fakeraw

needs_compiler = pytest.mark.skipif(fakeraw.COMPILER is None, reason="no g++ compiles the CUDA kernels for the CPU")
FOLDER = str(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, as a module, that measures few steps."""
    monkeypatch.syspath_prepend(FOLDER)
    module = importlib.import_module("gpu")
    for name in ("WARM_UP", "BETWEEN_WAITS", "HOST_STEPS"):
        monkeypatch.setattr(module, name, 1)
    monkeypatch.setattr(module.gpu_sides, "peer", lambda: None)  # to import PyTorch takes seconds, and so does this:
    monkeypatch.setattr(module.gpu_sides, "gc", SimpleNamespace(collect=lambda: None))
    for name in ("convolution", "allow_tf32_convolutions", "allow_tf32_matmuls"):
        monkeypatch.setattr(backend.cuda, name, getattr(backend.cuda, name))  # as they were, afterwards
    return module


def run(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
    return gpu.main()


def test_without_a_gpu_it_is_one_line(gpu: ModuleType, monkeypatch, capsys) -> None:
    with fakecupy.in_place_of_cupy(None):
        assert run(gpu, monkeypatch) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("nothing to measure: ") and err.count("\n") == 1


def lines_of(capsys: Any) -> list[list[str]]:
    """The table's cells; of a line that says why there are none, its words."""
    out, err = capsys.readouterr()
    assert "measured alone" in err
    header, ruler, *lines = out.strip().splitlines()
    assert header.startswith("| network | batch | precision |") and set(ruler) <= set("|- ")
    return [[cell.strip() for cell in text.split("|")[1:-1]] if text[0] == "|" else [text] for text in lines]


@pytest.mark.slow(seconds=8)
@needs_compiler
def test_every_setting_is_a_line(gpu: ModuleType, monkeypatch, capsys) -> None:
    """On the stand-in, where there is no cuDNN."""
    precisions = ["tf32", "bfloat16"]
    monkeypatch.setattr(gpu.gpu_sides, "CHANNELS", 4)
    monkeypatch.setattr(gpu.gpu_sides, "SIDE", 6)
    monkeypatch.setitem(sys.modules, "cudnn", None)
    with fakecupy.installed():
        arguments = ["--models", gpu.DEFORMABLE, "--batches", "0", "--seconds", "0", "--precisions", *precisions]
        assert run(gpu, monkeypatch, *arguments) == 0
    settings = [
        (precision, work, way, convolution)
        for precision in precisions
        for work in ("training", "inference")
        for convolution in ("im2col", "cudnn")
        for way in ("eager", "graph")
    ]
    lines = lines_of(capsys)
    assert len(lines) == len(settings)
    for cells, setting in zip(lines, settings, strict=True):
        if len(cells) == 1:
            assert cells[0].startswith(f"minicnn: deform_conv2d 0 {' '.join(setting)}: not available: ")
        else:
            assert tuple(cells[2:6]) == setting and len(cells) == len(gpu.HEADER)
            assert float(cells[7]) == 0 and cells[6] == cells[8] == cells[9] == "-" and float(cells[14]) >= 0
    assert sum(len(cells) > 1 for cells in lines) >= 4


@needs_compiler
@pytest.mark.slow(seconds=8)
def test_a_network_is_measured_in_every_way(gpu: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "cudnn", None)
    arguments = ["--models", "resnet20", "--batches", "1", "--size", "8", "--seconds", "0", "--precisions", "float32"]
    with fakecupy.installed():
        assert run(gpu, monkeypatch, *arguments, "--works", "training") == 0
    measured, (reason,), *missing = lines_of(capsys)[1:]
    assert measured[:6] == ["resnet20", "1", "float32", "training", "compiled", "im2col"] and float(measured[7]) > 0
    assert "graph im2col: not available: RuntimeError: " in reason
    assert len(missing) == 3 and all("nvidia-cudnn-frontend" in text for (text,) in missing)


def test_each_library_has_the_memory_to_itself(gpu: ModuleType) -> None:
    held: list[str] = []

    def side(name: str, fails: bool = False) -> Any:
        class Side:
            def __init__(self, setting: Any) -> None:
                assert not held, f"{held} is still there when {name} is measured"

            output = np.zeros(1)

            def step(self) -> Any:
                held.append(name)
                if fails:
                    raise MemoryError("no more")
                return lambda: None

            def wait(self) -> None: ...

            def used(self) -> int:
                return 2**30 * len(held)

            def clear(self) -> None:
                held.clear()

        return Side

    setting = gpu.Setting("resnet18", 32, 224, "tf32", True)
    first, failed, last = (gpu.attempt(one, setting, 0) for one in (side("a"), side("b", fails=True), side("c")))
    assert first.gibibytes == last.gibibytes == 1
    assert failed == "not available: MemoryError: no more"


def test_a_row_compares(gpu: ModuleType) -> None:
    setting = gpu.Setting("resnet18", 32, 224, "tf32", True, "graph", "cudnn")
    ours = gpu.Measured(300.0, 1.25, 7, 2.0, np.array([1.0, -2.0]))
    cells = gpu.row(setting, ours, gpu.Measured(200.0, 30.0, None, 4.0, np.array([1.01, -2.0])))
    assert len(cells) == len(gpu.HEADER)
    assert cells[:6] == ["resnet18", "32", "tf32", "training", "graph", "cudnn"]
    assert cells[6:] == ["5e-03", "300", "200", "1.50", "1.2", "30.0", "7", "-", "2.00", "4.00"]
    assert gpu.row(setting, ours, None)[6:10] == ["-", "300", "-", "-"]


@pytest.mark.slow(seconds=5)
def test_both_libraries_compute_the_same(gpu: ModuleType, monkeypatch) -> None:
    """PyTorch's side on the CPU, where torchvision may have no deformable convolution."""
    torch, _ = peers.torch(), peers.torchvision()
    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "cuda", lambda self: self)
    setting = gpu.Setting("resnet18", 1, 32, "float32", False)
    theirs = gpu.gpu_sides.Torch(setting)
    theirs.step()()
    with fakecupy.installed():
        ours = gpu.gpu_sides.Minicnn(setting)
        ours.step()()
    np.testing.assert_allclose(ours.output, theirs.output, 1e-3, 1e-4 * abs(theirs.output).max())


@needs_compiler
def test_launches_are_counted_by_kind(gpu: ModuleType) -> None:
    host = importlib.import_module("gpu_host")
    image = minicnn.randn(1, 2, 5, 5)
    with host.watching() as watch:
        conv = minicnn.nn.Conv2d(2, 3, 1, bias=False).to("cuda")
        x = image.to("cuda")
        for work, kinds in (
            (lambda: conv(x), {"products": 1}),
            (lambda: minicnn.nn.functional.max_pool2d(x, 2), {"kernels": 1}),
            (lambda: x + x, {"others": 1}),
            (lambda: x.reshape(-1)[3:].detach(), {}),
            (lambda: x.sum(), {"others": 1}),
        ):
            watch.asked.clear()
            work()
            assert watch.asked == kinds
    with fakecupy.installed():
        assert (minicnn.ones(2, device="cuda") + 1).tolist() == [2, 2]  # nothing is watched any more


@needs_compiler
def test_the_host_is_counted_without_a_gpu(gpu: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(importlib.import_module("gpu_host"), "STEPS", 1)
    assert run(gpu, monkeypatch, "--host", "--models", "resnet20", "--convolutions", "im2col") == 0
    eager, compiled, graph = capsys.readouterr().out.splitlines()[2:]
    launches = [int(line.split("|")[7]) for line in (eager, compiled)]
    assert 0 < launches[1] < launches[0] and "not available" in graph
