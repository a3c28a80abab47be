"""The convolution layer: a shifted image has shifted features."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from tests.library.support.strategies import SEEDS, normal


@given(kernel=st.integers(1, 4), stride=st.integers(1, 3), dilation=st.integers(1, 2), biased=st.booleans(), seed=SEEDS)
def test_a_shift_by_the_stride_moves_the_features_by_one(kernel, stride, dilation, biased, seed):
    conv = nn.Conv2d(2, 3, kernel, stride, dilation=dilation, bias=biased, dtype=minicnn.float64)
    x = normal((2, 2, 13, 12), seed)
    whole, moved = (conv(minicnn.tensor(image)).detach().numpy() for image in (x, x[:, :, stride:, stride:]))
    np.testing.assert_allclose(moved, whole[:, :, 1:, 1:], rtol=1e-12, atol=1e-12)
