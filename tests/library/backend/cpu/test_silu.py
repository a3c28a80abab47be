"""The exponential on vectors, to the last places."""

from __future__ import annotations

import numpy as np

from minicnn.backend.cpu import pointwise


def logistic(x):
    small = np.exp(-abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def test_sigmoid_in_float32_is_right_to_the_last_places():
    """For all sizes at which it is not 0 or 1, and those where it is no longer a normal number."""
    x = np.linspace(-104, 104, 400_001, dtype=np.float32)
    exact = logistic(x.astype(np.float64))
    got = pointwise.sigmoid(x)
    ulp = np.spacing(exact.astype(np.float32))
    assert np.abs(got - exact).max() < 1e-7
    assert (np.abs(got - exact) / ulp).max() < 3
