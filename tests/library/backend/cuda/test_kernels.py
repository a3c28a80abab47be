"""The CUDA C in ``backend/cuda/kernels``, compiled by g++ and run on the CPU, against the reference backend."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.backend.base import Window
from minicnn.backend.cuda import compiler, conv, norm
from minicnn.backend.reference import ReferenceBackend
from tests.library.support.cuda import fakeraw
from tests.library.support.cuda.fakeraw import RawKernel
from tests.library.support.strategies import SEEDS, normal

REFERENCE = ReferenceBackend()
TOLERANCE = {"float32": (2e-5, 2e-5), "float64": (1e-12, 1e-12)}
DTYPES = st.sampled_from(["float32", "float64"])
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def windows(draw: Any, padding: int = 3) -> tuple[Window, tuple[int, int]]:
    """A window, with another padding on every side, and an image it fits into."""
    sides = st.tuples(st.integers(0, padding), st.integers(0, padding))
    window = Window(draw(PAIRS), draw(PAIRS), (draw(sides), draw(sides)), draw(PAIRS))
    size = tuple(
        draw(st.integers(max(1, window.extent(axis) - sum(window.padding[axis])), 7 + window.extent(axis)))
        for axis in (0, 1)
    )
    return window, size  # type: ignore[return-value]


def compare(cuda: Any, primitive: str, *args: Any) -> None:
    """A primitive gives the same on the stand-in as in the reference backend."""
    agree(cuda, getattr(cuda, primitive), getattr(REFERENCE, primitive), *args)


def compare_fused(cuda: Any, kernel: str, *args: Any) -> None:
    """And so does a fused kernel."""
    agree(cuda, cuda.fused[kernel], REFERENCE.fused[kernel], *args)


def agree(cuda: Any, compute: Callable[..., Any], reference: Callable[..., Any], *args: Any) -> None:
    with np.errstate(all="ignore"):
        expected = reference(*args)
    found = compute(*(cuda.to_device(x) if isinstance(x, np.ndarray) else x for x in args))
    pairs = [(found, expected)] if not isinstance(expected, tuple) else zip(found, expected, strict=True)
    for got, want in pairs:
        if want is None:
            assert got is None
            continue
        got = cuda.to_host(got)
        assert got.shape == want.shape and got.dtype == want.dtype
        rtol, atol = TOLERANCE.get(str(want.dtype), (0, 0))
        np.testing.assert_allclose(got, want, rtol, atol * np.abs(want).max(initial=1, where=np.isfinite(want)))


@given(data=st.data())
def test_convolution(cuda, data):
    window, size = data.draw(windows())
    groups, per_group, multiplier = (data.draw(st.integers(1, 3)) for _ in range(3))
    dtype, seed, n = data.draw(DTYPES), data.draw(SEEDS), data.draw(st.integers(0, 3))
    x = normal((n, groups * per_group, *size), seed).astype(dtype)
    weight = normal((groups * multiplier, per_group, *window.kernel_size), seed + 1).astype(dtype)
    dy = normal((n, groups * multiplier, *window.output_size(size)), seed + 2).astype(dtype)
    compare(cuda, "conv2d", x, weight, window, groups)
    compare(cuda, "conv2d_input_grad", dy, weight, x.shape, window, groups)
    compare(cuda, "conv2d_weight_grad", dy, x, weight.shape, window, groups)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_convolution_of_a_batch_in_pieces(cuda, images, monkeypatch):
    """Columns of at most two images at a time give the same."""
    window = Window((3, 3), padding=((1, 1), (1, 1)))
    monkeypatch.setattr(conv, "COLUMN_BYTES", 2 * 4 * 9 * 30 * 8)
    x, weight, dy = normal((images, 4, 5, 6), 0), normal((6, 2, 3, 3), 1), normal((images, 6, 5, 6), 2)
    compare(cuda, "conv2d", x, weight, window, 2)
    compare(cuda, "conv2d_input_grad", dy, weight, x.shape, window, 2)
    compare(cuda, "conv2d_weight_grad", dy, x, weight.shape, window, 2)


def test_pointwise_convolutions_need_no_columns(cuda):
    RawKernel.launches.clear()
    x, weight = normal((2, 3, 4, 5), 0), normal((7, 3, 1, 1), 1)
    compare(cuda, "conv2d", x, weight, Window((1, 1)), 1)
    compare(cuda, "conv2d_input_grad", normal((2, 7, 4, 5), 2), weight, x.shape, Window((1, 1)), 1)
    assert not RawKernel.launches


@given(data=st.data())
def test_pooling(cuda, data):
    window, size = data.draw(windows(padding=0))
    rows, columns = (data.draw(st.integers(0, window.extent(axis) // 2)) for axis in (0, 1))
    window = window._replace(padding=((rows, rows), (columns, columns)))
    dtype, seed = data.draw(DTYPES), data.draw(SEEDS)
    shape = (data.draw(st.integers(0, 2)), 3, *size)
    x = np.random.default_rng(seed).integers(-3, 3, shape).astype(dtype)  # with ties
    x[x == 2] = data.draw(st.sampled_from([2, np.nan, -np.inf]))
    hangs = data.draw(st.integers(0, 1))  # as with ceil_mode, if the last window still starts in the image
    out = tuple(
        count + (hangs if count * window.stride[axis] < size[axis] + window.padding[axis][0] else 0)
        for axis, count in enumerate(window.output_size(size))
    )
    compare(cuda, "max_pool2d", x, window, out)
    dy = normal((*shape[:2], *out), seed + 1).astype(dtype)
    _, indices = REFERENCE.max_pool2d(np.nan_to_num(x, neginf=-9), window, out)
    if indices.max(initial=0) < size[0] * size[1]:
        compare(cuda, "max_pool2d_grad", dy, indices, x.shape)
    divisor = np.random.default_rng(seed).integers(1, 9, out)
    compare(cuda, "avg_pool2d", normal(shape, seed).astype(dtype), window, divisor)
    compare(cuda, "avg_pool2d_grad", dy, x.shape, window, divisor)


@given(st.tuples(*[st.integers(1, 7)] * 4), DTYPES, SEEDS)
def test_adaptive_pooling(cuda, sizes, dtype, seed):
    shape, out = (2, 3, *sizes[:2]), sizes[2:]
    compare(cuda, "adaptive_avg_pool2d", normal(shape, seed).astype(dtype), out)
    compare(cuda, "adaptive_avg_pool2d_grad", normal((2, 3, *out), seed).astype(dtype), shape)


@given(
    st.sampled_from([(2, 1), (5, 3), (3, 2, 4), (2, 3, 2, 5), (1, 2, 7, 1)]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 100.0]),
    DTYPES,
    SEEDS,
)
def test_batch_norm(cuda, shape, weighted, shifted, offset, dtype, seed):
    x, dy = ((normal(shape, seed + i) + i * offset).astype(dtype) for i in (1, 0))
    weight, bias = (
        normal(shape[1:2], seed + i).astype(dtype) if on else None for i, on in ((3, weighted), (4, shifted))
    )
    if offset and dtype == "float32":
        x = (x - offset).astype(dtype)  # the reference itself is not exact there
    compare_batch_norm(cuda, x, dy, weight, bias)


def compare_batch_norm(cuda: Any, x: Any, dy: Any, weight: Any = None, bias: Any = None) -> None:
    """All of batch norm: by itself, and with and without a residual and an activation, there and back."""
    compare(cuda, "batch_norm", x, weight, bias, 1e-5)
    _, mean, _, inv_std = REFERENCE.batch_norm(x, weight, bias, 1e-5)
    compare(cuda, "batch_norm_grad", dy, x, weight, mean, inv_std)
    compare(cuda, "scale_and_shift", x, inv_std, mean)
    for residual in (None, dy[::-1].copy()):
        before = REFERENCE.fused["fixed_norm"](x, weight, bias, mean, inv_std, residual)
        away = np.where(np.abs(before) < 1e-3, 0, dy).astype(dy.dtype)  # from the ReLU's kink
        for activation in (None, "relu", "silu"):
            compare_fused(cuda, "norm", x, weight, bias, 1e-5, residual, activation)
            compare_fused(cuda, "norm_grad", away, x, weight, bias, mean, inv_std, residual, activation)


@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_the_activation_behind_batch_norm_keeps_nan(cuda, activation):
    x, dy, residual = (normal((2, 3, 4), k) for k in range(3))
    residual[0, 1, 2] = np.nan
    compare_fused(cuda, "norm", x, None, None, 1e-5, residual, activation)
    y, mean, _, inv_std, _ = REFERENCE.fused["norm"](x, None, None, 1e-5, residual, activation)
    assert np.isnan(y[0, 1, 2]) and np.isnan(y).sum() == 1
    compare_fused(cuda, "norm_grad", dy, x, None, None, mean, inv_std, residual, activation)


def test_batch_norm_keeps_precision_far_from_zero(cuda):
    """Moments that join without cancellation: the variance of 1e4 + small noise in float32."""
    x = (1e4 + normal((8, 2, 10, 10), 0)).astype("float32")
    variance = cuda.to_host(cuda.batch_norm(cuda.to_device(x), None, None, 0.0)[2])
    np.testing.assert_allclose(variance, x.astype("float64").var(axis=(0, 2, 3)), rtol=1e-3)


@given(st.integers(0, 4), st.integers(1, 9), st.sampled_from([1.0, 1e4]), st.booleans(), DTYPES, SEEDS)
def test_softmax_cross_entropy(cuda, rows, classes, scale, soft, dtype, seed):
    logits = (scale * normal((rows, classes), seed)).astype(dtype)
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    targets = np.abs(normal((rows, classes), seed + 1)) if soft else np.eye(classes)[labels]
    if not soft:
        logits[targets == 0] = np.where(np.arange((targets == 0).sum()) % 3 == 0, -np.inf, logits[targets == 0])
    compare(cuda, "softmax_cross_entropy", logits, targets.astype(dtype))


@given(data=st.data())
def test_deformable_sampling(cuda, data):
    window, size = data.draw(windows(padding=1))
    groups, per_group, n = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    dtype, seed = data.draw(DTYPES), data.draw(SEEDS)
    taps, out = window.kernel_size[0] * window.kernel_size[1], window.output_size(size)
    x = normal((n, groups * per_group, *size), seed).astype(dtype)
    offset = (3 * normal((n, 2 * groups * taps, *out), seed + 1)).astype(dtype)
    if data.draw(st.booleans()):
        offset = np.round(offset)  # on the grid's lines, the image's border among them
    mask = normal((n, groups * taps, *out), seed + 2).astype(dtype) if data.draw(st.booleans()) else None
    columns = normal((groups * per_group * taps, n * out[0] * out[1]), seed + 3).astype(dtype)
    compare(cuda, "deform_im2col", x, offset, mask, window, groups)
    compare(cuda, "deform_im2col_grad", columns, x, offset, mask, window, groups)


def test_an_offset_beyond_the_image_samples_nothing_and_one_that_is_no_number_nan(cuda):
    window, x = Window((1, 1)), normal((1, 1, 3, 3), 0)
    offset = np.zeros((1, 2, 3, 3))
    offset[0, 0, 0] = np.nan, np.inf, 1e300
    columns = cuda.to_host(cuda.deform_im2col(*map(cuda.to_device, (x, offset)), None, window, 1))
    np.testing.assert_array_equal(columns.reshape(3, 3)[0], [np.nan, 0, 0])
    np.testing.assert_array_equal(columns.reshape(3, 3)[1:], x[0, 0, 1:])


def test_random_words_are_philox(cuda):
    """The generator's published answer for key 0 and counter 0 [Salmon et al., 2011], and distinct ones after it."""
    words = cuda.xp.empty((9, 4), "uint32")
    cuda.launch("random", "random_words", np.float32, 9, words, 0)
    found = cuda.to_host(words)
    assert [f"{word:08x}" for word in found[0]] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    assert len(np.unique(found)) == found.size


@given(SEEDS, DTYPES)
def test_scatter_add(cuda, seed, dtype):
    rng = np.random.default_rng(seed)
    index, values = rng.integers(0, 3, (2, 10)), rng.standard_normal(10).astype(dtype)
    expected = np.zeros((3, 3), dtype)
    np.add.at(expected, tuple(index), values)
    target = cuda.xp.zeros((3, 3), dtype)
    cuda.scatter_add(target, tuple(map(cuda.to_device, index)), cuda.to_device(values))
    np.testing.assert_allclose(cuda.to_host(target), expected, 1e-5, 1e-6)


# --- how they run ------------------------------------------------------------------------------------------------


@pytest.fixture
def four_threads(monkeypatch):
    """Blocks of four threads, which wait for each other where the kernels say so."""
    monkeypatch.setattr(RawKernel, "threads", 4)


@pytest.mark.parametrize("parts", [1, 3])
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
    compare(cuda, "max_pool2d_grad", dy, np.zeros(dy.shape, np.int64), x.shape)


def test_large_arrays_are_indexed_by_long_integers(cuda, monkeypatch):
    """The variant of every kernel for arrays too large for an int, on small ones."""
    monkeypatch.setattr(compiler, "WIDE", 1)
    x, weight, window = normal((2, 4, 5, 6), 0), normal((6, 2, 3, 3), 1), Window((3, 3), padding=((1, 1), (1, 1)))
    compare(cuda, "conv2d", x, weight, window, 2)
    compare(cuda, "conv2d_input_grad", normal((2, 6, 5, 6), 2), weight, x.shape, window, 2)
    compare_batch_norm(cuda, x, normal(x.shape, 4))
    compare(cuda, "max_pool2d", x, window, (5, 6))
    compare(cuda, "softmax_cross_entropy", normal((3, 5), 1), np.eye(5)[:3])
    compare(cuda, "deform_im2col", x, normal((2, 18, 5, 6), 3), None, window, 1)
    assert cuda.to_host(cuda.dropout_mask((7,), 0.5, np.float64, np.random.default_rng(0))).max() == 2


MISTAKES = {
    "too few arguments": (lambda xp: (xp.zeros(4), 4), "expected 4 arguments"),
    "a strided array": (lambda xp: (xp.zeros((4, 2))[:, 0], 4, 0.5, 1), "strided float64"),
    "another dtype": (lambda xp: (xp.zeros(4, "float32"), 4, 0.5, 1), "got contiguous float32"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_arguments_that_do_not_fit_are_refused(cuda, name):
    make, message = MISTAKES[name]
    with pytest.raises(TypeError, match=message):
        cuda.launch("random", "dropout_mask", np.float64, 1, *make(cuda.xp))


def test_the_python_side_reads_the_signatures_the_compiler_sees(cuda):
    """Parameter for parameter: the text of the .cu file against g++'s view of it."""
    letters = {"int": "i", "double": "d", "WORDS": "Q", "WORD": "I", "REAL": "d", "INDEX": "i", "long long": "q"}
    for path in compiler.KERNELS.glob("*.cu"):
        for name, types in compiler.signatures(path.stem).items():
            kernel = fakeraw.RawModule(code=compiler.source(path.stem), options=("-DDOUBLE",)).get_function(name)
            expected = ["P" * kind.endswith("*") + letters[kind.removesuffix("*")] for kind in types]
            assert kernel.parameters == ["i", *expected], name


def test_matrix_products_round_to_tf32_only_where_allowed(cuda, monkeypatch):
    """By default convolutions may and other products may not, as in PyTorch; cuBLAS's own mode comes back after."""
    modes: list[int] = []
    monkeypatch.setattr(sys.modules["cupy.cuda.cublas"], "setMathMode", lambda handle, mode: modes.append(mode))
    x, weight = cuda.to_device(normal((1, 2, 4, 4), 0)), cuda.to_device(normal((3, 2, 3, 3), 1))
    dy = cuda.conv2d(x, weight, Window((3, 3)), 1)
    cuda.conv2d_input_grad(dy, weight, x.shape, Window((3, 3)), 1)
    cuda.conv2d_weight_grad(dy, x, weight.shape, Window((3, 3)), 1)
    cuda.matmul(x, x)
    assert modes == [3, 0, 3, 0, 3, 0, 0, 0]
    modes.clear()
    monkeypatch.setattr(minicnn.backend.cuda, "allow_tf32_convolutions", False)
    monkeypatch.setattr(minicnn.backend.cuda, "allow_tf32_matmuls", True)
    cuda.conv2d(x, weight, Window((3, 3)), 1)
    cuda.matmul(x, x)
    assert modes == [0, 0, 3, 0]


def kernel_names() -> set[str]:
    """Every kernel there is."""
    return {name for path in compiler.KERNELS.glob("*.cu") for name in compiler.signatures(path.stem)}


def test_all_files_are_there():
    assert {path.stem for path in compiler.KERNELS.glob("*.cu")} == {
        "conv", "deformable", "loss", "norm", "optimizer", "pooling", "random",
    }  # fmt: skip
    assert len(kernel_names()) == 23


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
