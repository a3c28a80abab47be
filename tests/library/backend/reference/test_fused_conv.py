"""Convolutions and linear layers with what is done on their way out: the same as one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.reference import conv, fused_conv
from minicnn.backend.reference.fused import activate
from tests.library.support.strategies import SEEDS, normal

WINDOW = Window((3, 2), (1, 2), ((1, 0), (0, 1)))
ACTIVATIONS = [None, "relu", "silu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(biased=st.booleans(), residual=st.booleans(), seed=SEEDS)
def test_a_convolution_is_its_parts_one_after_the_other(activation, biased, residual, seed):
    x, weight = normal((2, 4, 5, 6), seed), normal((6, 2, 3, 2), seed + 1)
    plain = conv.conv2d(x, weight, WINDOW, 2)
    bias = normal((6,), seed + 2) if biased else None
    other = normal(plain.shape, seed + 3) if residual else None
    expected = plain + (0 if bias is None else bias[:, None, None]) + (0 if other is None else other)
    found = fused_conv.conv2d(x, weight, WINDOW, 2, bias, other, activation=activation)
    np.testing.assert_allclose(found, activate(expected, activation), rtol=1e-12, atol=1e-12)
    packed = fused_conv.pack(weight, WINDOW, 2, bias)
    np.testing.assert_array_equal(packed(x, other, activation=activation), found)
    more = normal(x.shape, seed + 4)
    both = fused_conv.conv2d_input_grad(plain, weight, x.shape, WINDOW, 2, residual=more)
    np.testing.assert_array_equal(both, conv.conv2d_input_grad(plain, weight, x.shape, WINDOW, 2) + more)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(biased=st.booleans(), seed=SEEDS)
def test_a_linear_layer_is_a_convolution_of_one_pixel(activation, biased, seed):
    x, weight, bias = normal((3, 4), seed), normal((5, 4), seed + 1), normal((5,), seed + 2) if biased else None
    pixels = x[:, :, None, None], weight[:, :, None, None]
    expected = fused_conv.conv2d(*pixels, Window((1, 1)), 1, bias, activation=activation)[:, :, 0, 0]
    np.testing.assert_allclose(fused_conv.linear(x, weight, bias, activation), expected, rtol=1e-12, atol=1e-12)


@given(seed=SEEDS)
def test_the_gradients_of_scaled_channels_are_adjoints(seed):
    x, gate, dy = normal((2, 3, 2, 4), seed), normal((2, 3, 1, 1), seed + 1), normal((2, 3, 2, 4), seed + 2)
    dx, d_gate = fused_conv.scale_channels_grad(dy, x, gate)
    value = (dy * fused_conv.scale_channels(x, gate)).sum()
    np.testing.assert_allclose([(dx * x).sum(), (d_gate * gate).sum()], [value] * 2, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fused_conv.channel_sums(dy), dy.sum(axis=(0, 2, 3)))
