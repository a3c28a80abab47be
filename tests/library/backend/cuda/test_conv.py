"""Convolution on the GPU, compiled for the CPU, against the reference."""

from __future__ import annotations

import sys
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cuda import compiler, conv
from tests.library.support.cuda.agreement import DTYPES, REFERENCE, compare, windows
from tests.library.support.cuda.fakeraw import RawKernel
from tests.library.support.strategies import SEEDS, normal

POINT = Window((1, 1))
SAME = Window((3, 3), padding=((1, 1), (1, 1)))
UNEVEN = Window((3, 2), (1, 2), ((0, 2), (1, 0)), (2, 1))


def compare_convolution(cuda, window, size, groups, per_group, multiplier, n=2, dtype="float64", seed=0):
    """The output and both gradients, of N images of G groups of channels with so many filters each."""
    x = normal((n, groups * per_group, *size), seed).astype(dtype)
    weight = normal((groups * multiplier, per_group, *window.kernel_size), seed + 1).astype(dtype)
    dy = normal((n, groups * multiplier, *window.output_size(size)), seed + 2).astype(dtype)
    compare(cuda, "conv2d", x, weight, window, groups)
    compare(cuda, "conv2d_input_grad", dy, weight, x.shape, window, groups)
    compare(cuda, "conv2d_weight_grad", dy, x, weight.shape, window, groups)


@given(data=st.data())
def test_convolution(cuda, data):
    window, size = data.draw(windows())
    channels = [data.draw(st.integers(1, 3)) for _ in range(3)]
    n, dtype, seed = data.draw(st.integers(0, 3)), data.draw(DTYPES), data.draw(SEEDS)
    threads, large = data.draw(st.sampled_from([1, 4, 64])), data.draw(st.booleans())
    with patch.object(RawKernel, "threads", threads), patch.object(compiler, "WIDE", 1 if large else compiler.WIDE):
        compare_convolution(cuda, window, size, *channels, n, dtype, seed)


@pytest.mark.parametrize("threads", [4, 64])
@pytest.mark.parametrize("window", [SAME, SAME._replace(stride=(2, 2)), UNEVEN, POINT._replace(stride=(2, 2))])
@pytest.mark.parametrize("channels", [(1, 3, 4), (2, 2, 3), (5, 1, 2)], ids=["dense", "grouped", "depthwise"])
def test_threads_share_rows_and_planes(cuda, monkeypatch, channels, window, threads):
    """However many there are, with planes smaller and larger than a group of them."""
    monkeypatch.setattr(RawKernel, "threads", threads)
    for size in ((3, 5), (9, 34)):
        compare_convolution(cuda, window, size, *channels, n=3)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_convolution_of_a_batch_in_pieces(cuda, images, monkeypatch):
    """Columns of at most two images at a time give the same."""
    monkeypatch.setattr(conv, "COLUMN_BYTES", 2 * 4 * 9 * 30 * 8)
    for each in (False, True):
        monkeypatch.setattr(conv, "_one_product_per_image", lambda *_, each=each: each)
        compare_convolution(cuda, SAME, (5, 6), 2, 2, 3, images)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("window", [POINT, UNEVEN])
def test_both_ways_to_the_gradient_at_the_weight(cuda, window, each, monkeypatch):
    monkeypatch.setattr(conv, "_one_product_per_image", lambda *_: each)
    for groups in (1, 3):
        compare_convolution(cuda, window, (6, 7), groups, 2, 3)


def test_the_gradient_at_the_weight_takes_the_way_that_writes_less(cuda, monkeypatch):
    """Large images go one by one, and pointwise need no columns then; many filters on small images go together."""
    RawKernel.launches.clear()
    compare(cuda, "conv2d_weight_grad", normal((2, 4, 9, 9), 0), normal((2, 3, 9, 9), 1), (4, 3, 1, 1), POINT, 1)
    assert not RawKernel.launches
    compare(cuda, "conv2d_weight_grad", normal((2, 4, 9, 9), 0), normal((2, 3, 9, 9), 1), (4, 3, 3, 3), SAME, 1)
    assert RawKernel.launches == {"im2col": 1}
    compare(cuda, "conv2d_weight_grad", normal((2, 9, 2, 2), 0), normal((2, 8, 2, 2), 1), (9, 8, 3, 3), SAME, 1)
    assert RawKernel.launches == {"im2col": 3}


def test_pointwise_convolutions_need_no_columns(cuda):
    RawKernel.launches.clear()
    x, weight = normal((2, 3, 4, 5), 0), normal((7, 3, 1, 1), 1)
    compare(cuda, "conv2d", x, weight, POINT, 1)
    compare(cuda, "conv2d_input_grad", normal((2, 7, 4, 5), 2), weight, x.shape, POINT, 1)
    assert not RawKernel.launches


@pytest.mark.parametrize("each", [False, True])
def test_grouped_convolutions_take_few_products(cuda, each, monkeypatch):
    """As many as there are groups or images, whichever are fewer; a single one for the gradient at the weight."""
    calls = []
    cublas = sys.modules["cupy.cuda.cublas"]
    real = cublas.gemmStridedBatchedEx
    monkeypatch.setattr(cublas, "gemmStridedBatchedEx", lambda *args: (calls.append(args), real(*args)))
    monkeypatch.setattr(conv, "_one_product_per_image", lambda *_: each)
    for images, groups, products in ((1, 4, 1), (2, 4, 2), (5, 4, 4)):
        calls.clear()
        compare_convolution(cuda, SAME, (5, 6), groups, 2, 3, images)
        assert len(calls) == products + products + 1


@pytest.mark.parametrize("bits", [11, 8], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("channels", [(1, 3, 4), (2, 2, 3), (4, 1, 2)], ids=["dense", "grouped", "depthwise"])
def test_numbers_of_16_bits_add_up_in_32(cuda, channels, bits):
    """The gradient at the weight is rounded once, at the end, however many images there are."""
    dtype = np.float16 if bits == 11 else pytest.importorskip("ml_dtypes").bfloat16
    groups, per_group, multiplier = channels
    x = (1 + normal((40, groups * per_group, 6, 7), 0) / 8).astype(dtype)
    dy = (1 + normal((40, groups * multiplier, 6, 7), 1) / 8).astype(dtype)
    weight = normal((groups * multiplier, per_group, 3, 3), 2).astype(dtype)
    for primitive, *args in (
        ("conv2d", x, weight),
        ("conv2d_input_grad", dy, weight, x.shape),
        ("conv2d_weight_grad", dy, x, weight.shape),
    ):
        exact = [a.astype("float64") if isinstance(a, np.ndarray) else a for a in args]
        want = getattr(REFERENCE, primitive)(*exact, SAME, groups)
        put = [cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in args]
        got = cuda.to_host(getattr(cuda, primitive)(*put, SAME, groups))
        assert got.dtype == dtype
        once = 2.0**-bits  # the rounding of the result
        atol = (5 * once if primitive == "conv2d_input_grad" else once) * np.abs(want).max()  # whose columns round too
        np.testing.assert_allclose(got.astype(want.dtype), want, once, atol)


@pytest.mark.parametrize("kind", ["dense", "pointwise", "depthwise"])
@pytest.mark.parametrize("other", ["float64", "float16"])
def test_numbers_of_another_dtype_are_refused(cuda, kind, other):
    """Kernels and cuBLAS would read them as numbers of the wrong size."""
    window, groups = POINT if kind == "pointwise" else SAME, 4 if kind == "depthwise" else 1
    weight = normal((4, 4 // groups, *window.kernel_size), 0)
    x, weight, dy = (
        cuda.xp.asarray(a.astype("float32")) for a in (normal((2, 4, 5, 5), 0), weight, normal((2, 4, 5, 5), 1))
    )
    for name, args in (
        ("conv2d", (x, weight.astype(other))),
        ("conv2d_input_grad", (dy, weight.astype(other), x.shape)),
        ("conv2d_weight_grad", (dy, x.astype(other), weight.shape)),
    ):
        with pytest.raises(TypeError, match=f"expected .*({other}.* got|got .*{other})"):
            getattr(cuda, name)(*args, window, groups)
