"""Convolution on the GPU, compiled for the CPU, against the reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cuda import conv
from tests.library.support.cuda.agreement import DTYPES, compare, windows
from tests.library.support.cuda.fakeraw import RawKernel
from tests.library.support.strategies import SEEDS, normal


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
