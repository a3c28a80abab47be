"""Pooling on the GPU, compiled for the CPU, against the reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.library.support.cuda.agreement import DTYPES, REFERENCE, compare, windows
from tests.library.support.strategies import SEEDS, normal


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
