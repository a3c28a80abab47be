"""Sampling between pixels, by its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.reference.deformable import bilinear
from tests.library.support.strategies import SEEDS


@given(SEEDS, st.floats(-2, 6), st.floats(-2, 7))
def test_bilinear_is_linear_between_pixels_and_exact_on_them(seed, y, x):
    plane = np.random.default_rng(seed).standard_normal((4, 5))
    assert bilinear(plane, 2, 3) == plane[2, 3]
    ramp = np.add.outer(2.0 * np.arange(4), 3.0 * np.arange(5))
    if 0 <= y <= 3 and 0 <= x <= 4:
        np.testing.assert_allclose(bilinear(ramp, y, x), 2 * y + 3 * x, atol=1e-12)
    if not (-1 < y < 4 and -1 < x < 5):
        assert bilinear(plane, y, x) == 0
