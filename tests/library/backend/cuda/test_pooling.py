"""Pooling on the GPU, compiled for the CPU, against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from tests.library.support.cuda.agreement import (
    DTYPES,
    REFERENCE,
    SIXTEEN_BITS,
    compare,
    compare_sixteen_bits,
    sixteen_bits,
    windows,
)
from tests.library.support.cuda.fakeraw import RawKernel
from tests.library.support.strategies import SEEDS, normal


def sees_pixels(window, size, out):
    """Which windows (oH, oW) contain a pixel of the image."""
    return REFERENCE.max_pool2d(np.zeros((1, 1, *size)), window, out)[0][0, 0] == 0


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
    _, indices = REFERENCE.max_pool2d(x, window, out)
    found = cuda.to_host(cuda.max_pool2d_grad(*map(cuda.to_device, (dy, indices)), x.shape, window))
    seen = sees_pixels(window, size, out)  # a dilated window can step over the image: its index says nothing
    expected = REFERENCE.max_pool2d_grad(np.where(seen, dy, 0), np.where(seen, indices, 0), x.shape, window)
    np.testing.assert_array_equal(found, expected)  # the same numbers in the same order
    divisor = np.random.default_rng(seed).integers(1, 9, out)
    compare(cuda, "avg_pool2d", normal(shape, seed).astype(dtype), window, divisor)
    compare(cuda, "avg_pool2d_grad", dy, x.shape, window, divisor)


@pytest.mark.parametrize("threads", [1, 4, 64])
def test_the_gradient_of_overlapping_maxima_is_the_same_in_every_run(cuda, monkeypatch, threads):
    monkeypatch.setattr(RawKernel, "threads", threads)
    window, out = Window((3, 3), (2, 2), ((1, 1), (1, 1))), (7, 6)
    x = np.round(normal((3, 5, 13, 11), 0), 1)
    _, indices = REFERENCE.max_pool2d(x, window, out)
    dy = normal(indices.shape, 1).astype("float32")
    runs = [cuda.max_pool2d_grad(*map(cuda.to_device, (dy, indices)), x.shape, window) for _ in range(2)]
    for found in runs:
        np.testing.assert_array_equal(cuda.to_host(found), REFERENCE.max_pool2d_grad(dy, indices, x.shape, window))


@given(st.tuples(*[st.integers(1, 7)] * 4), DTYPES, SEEDS)
def test_adaptive_pooling(cuda, sizes, dtype, seed):
    shape, out = (2, 3, *sizes[:2]), sizes[2:]
    compare(cuda, "adaptive_avg_pool2d", normal(shape, seed).astype(dtype), out)
    compare(cuda, "adaptive_avg_pool2d_grad", normal((2, 3, *out), seed).astype(dtype), shape)


def test_a_window_that_steps_over_the_image_gives_its_cotangent_to_no_pixel(cuda):
    """Its index, 2, is the place where the image would go on: of another pixel."""
    window = Window((2, 2), padding=((0, 0), (1, 1)), dilation=(1, 3))
    y, indices = cuda.max_pool2d(cuda.to_device(np.zeros((1, 1, 2, 2))), window, (1, 1))
    assert y.item() == -np.inf and indices.item() == 2
    dx = cuda.max_pool2d_grad(cuda.to_device(np.ones((1, 1, 1, 1))), indices, (1, 1, 2, 2), window)
    assert not cuda.to_host(dx).any()


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
def test_images_of_16_bits(cuda, dtype):
    dtype, window, out = sixteen_bits(dtype), Window((3, 2), (2, 2), ((1, 1), (1, 1))), (4, 5)
    x, dy = normal((2, 3, 7, 8), 0).astype(dtype).astype("float64"), normal((2, 3, *out), 1)
    _, indices = REFERENCE.max_pool2d(x, window, out)
    compare_sixteen_bits(cuda, dtype, "max_pool2d", x, window, out)
    compare_sixteen_bits(cuda, dtype, "max_pool2d_grad", dy, indices, x.shape, window)
    divisor = np.full(out, 6)
    compare_sixteen_bits(cuda, dtype, "avg_pool2d", x, window, divisor)
    compare_sixteen_bits(cuda, dtype, "avg_pool2d_grad", dy, x.shape, window, divisor)
    for cells in ((1, 1), (2, 3)):
        compare_sixteen_bits(cuda, dtype, "adaptive_avg_pool2d", normal((2, 3, 9, 8), 2), cells)
        compare_sixteen_bits(cuda, dtype, "adaptive_avg_pool2d_grad", normal((2, 3, *cells), 2), x.shape)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("out", [(1, 1), (2, 3)])
def test_large_cells_are_shared_by_a_block(cuda, monkeypatch, threads, out):
    monkeypatch.setattr(RawKernel, "threads", threads)
    compare(cuda, "adaptive_avg_pool2d", normal((2, 3, 25, 31), 0), out)
    compare(cuda, "adaptive_avg_pool2d_grad", normal((2, 3, *out), 1), (2, 3, 25, 31))
