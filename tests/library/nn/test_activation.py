"""Activation layers: the flag ``inplace``, and softmax."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from tests.library.support.strategies import arrays, shapes


@pytest.mark.parametrize("layer", [nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.LeakyReLU, nn.Hardtanh])
@given(x=arrays(low=-8.0, high=8.0))
def test_inplace_is_accepted_and_leaves_the_input_alone(layer, x):
    t = minicnn.tensor(x)
    y = layer(inplace=True)(t)
    np.testing.assert_array_equal(t.numpy(), x)
    np.testing.assert_array_equal(y.numpy(), layer()(t).numpy())
    assert ("inplace=True" in repr(layer(inplace=True))) == (layer is not nn.Hardsigmoid)


@given(x=arrays(shapes(min_dims=1)), data=st.data())
def test_softmax_sums_to_one_and_does_not_see_a_shift(x, data):
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    y = nn.Softmax(dim)(minicnn.tensor(x)).numpy()
    np.testing.assert_allclose(y.sum(axis=dim), 1)
    np.testing.assert_allclose(nn.Softmax(dim)(minicnn.tensor(x + 1000)).numpy(), y, rtol=1e-9)
    np.testing.assert_allclose(nn.LogSoftmax(dim)(minicnn.tensor(x)).numpy(), np.log(y), atol=1e-12)
