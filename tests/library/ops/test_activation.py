"""Activations far from zero: exact, and without a warning."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
import minicnn.nn.functional as F
from tests.library.support.leaves import tensor


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("fn", "values", "slopes"),
    [
        (minicnn.sigmoid, [0, 0.5, 1], [0, 0.25, 0]),
        (minicnn.tanh, [-1, 0, 1], [0, 1, 0]),
        (F.silu, [0, 0, 1e4], [0, 0.5, 1]),
        (F.hardswish, [0, 0, 1e4], [0, 0.5, 1]),
    ],
)
def test_nothing_overflows_or_warns(fn, values, slopes, dtype):
    x = tensor([-1e4, 0, 1e4], dtype)
    y = fn(x)
    y.sum().backward()
    assert y.tolist() == values and x.grad.tolist() == slopes
