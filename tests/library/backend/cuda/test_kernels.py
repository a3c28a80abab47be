"""How the CUDA C in ``backend/cuda/kernels`` runs: by several threads, in large arrays, within bounds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn.backend.base import Window
from minicnn.backend.cuda import compiler, norm
from tests.library.support.cuda import fakeraw
from tests.library.support.cuda.agreement import REFERENCE, compare, compare_batch_norm
from tests.library.support.cuda.fakeraw import RawKernel
from tests.library.support.strategies import normal


@pytest.fixture
def four_threads(monkeypatch):
    """Blocks of four threads, which wait for each other where the kernels say so."""
    monkeypatch.setattr(RawKernel, "threads", 4)


@pytest.mark.parametrize("parts", [1, 3, 10])
def test_threads_of_a_block_work_together(cuda, four_threads, monkeypatch, parts):
    monkeypatch.setattr(norm, "PART_VALUES", 60 // parts)
    x, dy = normal((3, 2, 4, 5), 0), normal((3, 2, 4, 5), 1)
    compare_batch_norm(cuda, x, dy)
    logits = normal((5, 7), 2)
    compare(cuda, "softmax_cross_entropy", logits, np.abs(normal((5, 7), 3)))
    logits[1, 3] = np.nan
    compare(cuda, "softmax_cross_entropy", logits, np.abs(normal((5, 7), 3)))
    window = Window((3, 2), stride=(2, 1), padding=((1, 1), (0, 0)))
    compare(cuda, "conv2d_weight_grad", normal((3, 4, 2, 4), 4), x, (4, 1, 3, 2), window, 2)
    compare(cuda, "deform_im2col_grad", normal((2, 60), 5), x, np.zeros((3, 2, 4, 5)), None, Window((1, 1)), 1)
    compare(cuda, "deform_im2col", x, np.zeros((3, 2, 4, 5)), None, Window((1, 1)), 1)
    same = Window((3, 3), padding=((1, 1), (1, 1)))
    compare(cuda, "max_pool2d", x, same, (4, 5))
    compare(cuda, "avg_pool2d", x, same, np.full((4, 5), 9))
    compare(cuda, "avg_pool2d_grad", dy, x.shape, same, np.full((4, 5), 9))


def test_large_arrays_are_indexed_by_long_integers(cuda, monkeypatch):
    """The variant of every kernel for arrays too large for an int, on small ones."""
    monkeypatch.setattr(compiler, "WIDE", 1)
    x, weight, window = normal((2, 4, 5, 6), 0), normal((6, 2, 3, 3), 1), Window((3, 3), padding=((1, 1), (1, 1)))
    compare(cuda, "conv2d", x, weight, window, 2)
    compare(cuda, "conv2d_input_grad", normal((2, 6, 5, 6), 2), weight, x.shape, window, 2)
    compare_batch_norm(cuda, x, normal(x.shape, 4))
    compare(cuda, "max_pool2d", x, window, (5, 6))
    _, indices = REFERENCE.max_pool2d(x, window, (5, 6))
    compare(cuda, "max_pool2d_grad", normal(x.shape, 5), indices, x.shape, window)
    compare(cuda, "adaptive_avg_pool2d", normal((2, 1, 9, 10), 6), (1, 1))
    compare(cuda, "softmax_cross_entropy", normal((3, 5), 1), np.eye(5)[:3])
    compare(cuda, "deform_im2col", x, normal((2, 18, 5, 6), 3), None, window, 1)
    assert cuda.to_host(cuda.dropout_mask((7,), 0.5, np.float64, np.random.default_rng(0))).max() == 2


def kernel_names() -> set[str]:
    """Every kernel there is."""
    return {name for path in compiler.KERNELS.glob("*.cu") for name in compiler.signatures(path.stem)}


def test_all_files_are_there():
    assert {path.stem for path in compiler.KERNELS.glob("*.cu")} == {
        "conv", "deformable", "loss", "norm", "optimizer", "pointwise", "pooling", "random",
    }  # fmt: skip
    assert len(kernel_names()) == 34


@pytest.mark.slow
def test_no_kernel_reads_or_writes_out_of_bounds():
    """Every kernel under the address sanitizer, each array in memory of exactly its size."""
    if fakeraw.COMPILER is None:
        pytest.skip("g++ compiles the CUDA kernels for the CPU, and there is none")
    library = subprocess.run(
        [fakeraw.COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True
    ).stdout.strip()
    if not os.path.isabs(library):
        pytest.skip("g++ has no address sanitizer here")
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",
        "MINICNN_SANITIZE": "1",
        "PYTHONPATH": str(Path(__file__).parents[4]),
    }
    command = [sys.executable, "-m", "tests.library.support.cuda.sanitized"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, re.sub(r"(?s)(={9}.*?\n\n).*", r"\1", done.stderr)
    assert set(done.stdout.split()) == kernel_names()
