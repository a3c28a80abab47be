"""A line per channel, number by number."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from minicnn.backend.reference.affine import scale_and_shift
from tests.library.support.strategies import SEEDS, images, normal


@given(x=images(), seed=SEEDS)
def test_each_number_is_scaled_and_shifted_by_its_channels_numbers(x, seed):
    scale, shift = normal(x.shape[1:2], seed), normal(x.shape[1:2], seed + 1)
    y = scale_and_shift(x, scale, shift)
    for n, c, i, j in np.ndindex(x.shape):
        assert y[n, c, i, j] == x[n, c, i, j] * scale[c] + shift[c]
    np.testing.assert_array_equal(scale_and_shift(x[:, :, 0, 0], scale, shift), y[:, :, 0, 0])
