"""The deformable convolution layer: without offsets it is the ordinary one, and a mask scales."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from tests.library.support.strategies import SEEDS, normal


@given(stride=st.integers(1, 2), padding=st.integers(0, 2), share=st.floats(0, 2), seed=SEEDS)
def test_without_offsets_it_is_a_convolution_times_the_mask(stride, padding, share, seed):
    layer = nn.DeformConv2d(4, 2, 3, stride, padding, groups=2, bias=False, dtype=minicnn.float64)
    plain = nn.Conv2d(4, 2, 3, stride, padding, groups=2, bias=False, dtype=minicnn.float64)
    plain.load_state_dict(layer.state_dict())
    x = minicnn.tensor(normal((2, 4, 6, 5), seed))
    expected = plain(x).detach().numpy()
    taps, size = 9, expected.shape[2:]
    offset = minicnn.zeros(2, 2 * taps, *size, dtype=minicnn.float64)
    np.testing.assert_allclose(layer(x, offset).detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    mask = minicnn.full((2, taps, *size), share, dtype=minicnn.float64)
    np.testing.assert_allclose(layer(x, offset, mask).detach().numpy(), share * expected, rtol=1e-12, atol=1e-12)
