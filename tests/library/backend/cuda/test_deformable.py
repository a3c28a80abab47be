"""Deformable sampling on the GPU, compiled for the CPU, against the reference."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cuda import deformable
from tests.library.support.cuda.agreement import (
    DTYPES,
    SIXTEEN_BITS,
    compare,
    compare_sixteen_bits,
    sixteen_bits,
    windows,
)
from tests.library.support.strategies import SEEDS, normal


@given(data=st.data())
def test_deformable_sampling(cuda, data):
    window, size = data.draw(windows(padding=1))
    groups, per_group, n = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 5)), data.draw(st.integers(1, 2))
    dtype, seed = data.draw(DTYPES), data.draw(SEEDS)
    taps, out = window.kernel_size[0] * window.kernel_size[1], window.output_size(size)
    x = normal((n, groups * per_group, *size), seed).astype(dtype)
    offset = (3 * normal((n, 2 * groups * taps, *out), seed + 1)).astype(dtype)
    if data.draw(st.booleans()):
        offset = np.round(offset)  # on the grid's lines, the image's border among them
    mask = normal((n, groups * taps, *out), seed + 2).astype(dtype) if data.draw(st.booleans()) else None
    columns = normal((groups * per_group * taps, n * out[0] * out[1]), seed + 3).astype(dtype)
    with patch.object(deformable, "TOGETHER", data.draw(st.integers(1, 3))):
        compare(cuda, "deform_im2col", x, offset, mask, window, groups)
    compare(cuda, "deform_im2col_grad", columns, x, offset, mask, window, groups)


@pytest.mark.parametrize("together", [1, 2, 8])
def test_threads_share_the_channels(cuda, monkeypatch, together):
    monkeypatch.setattr(deformable, "TOGETHER", together)
    x, offset, mask = (normal((2, c, 4, 3), c) for c in (10, 4, 2))
    compare(cuda, "deform_im2col", x, offset, mask, Window((1, 1)), 2)


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
@pytest.mark.parametrize("masked", [False, True])
def test_images_of_16_bits(cuda, dtype, masked):
    """Samples are rounded once; where they lie is computed in float32."""
    dtype, window = sixteen_bits(dtype), Window((3, 3), padding=((1, 1), (1, 1)))
    x, offset = normal((2, 4, 6, 5), 0), normal((2, 36, 6, 5), 1).astype(dtype).astype("float64")
    mask = normal((2, 18, 6, 5), 2) if masked else None
    compare_sixteen_bits(cuda, dtype, "deform_im2col", x, offset, mask, window, 2)
    columns = normal((36, 60), 3)
    compare_sixteen_bits(cuda, dtype, "deform_im2col_grad", columns, x, offset, mask, window, 2)


def test_an_offset_beyond_the_image_samples_nothing_and_one_that_is_no_number_nan(cuda):
    window, x = Window((1, 1)), normal((1, 1, 3, 3), 0)
    offset = np.zeros((1, 2, 3, 3))
    offset[0, 0, 0] = np.nan, np.inf, 1e300
    columns = cuda.to_host(cuda.deform_im2col(*map(cuda.to_device, (x, offset)), None, window, 1))
    np.testing.assert_array_equal(columns.reshape(3, 3)[0], [np.nan, 0, 0])
    np.testing.assert_array_equal(columns.reshape(3, 3)[1:], x[0, 0, 1:])
