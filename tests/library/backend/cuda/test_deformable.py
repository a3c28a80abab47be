"""Deformable sampling on the GPU, compiled for the CPU, against the reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from tests.library.support.cuda.agreement import DTYPES, compare, windows
from tests.library.support.strategies import SEEDS, normal


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
