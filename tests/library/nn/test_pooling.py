"""Pooling layers: what maxima and means obey, whatever the window."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from tests.library.support.strategies import SEEDS, images, normal, poolings


@given(drawn=poolings(dilated=True))
def test_a_maximum_commutes_with_a_growing_function(drawn):
    (x,), options = drawn
    pool = nn.MaxPool2d(**options)
    grown = pool(minicnn.tensor(np.exp(x))).numpy()
    np.testing.assert_array_equal(grown, np.exp(pool(minicnn.tensor(x)).numpy()))


@given(drawn=poolings(), seed=SEEDS)
def test_a_mean_is_linear_and_at_most_the_maximum(drawn, seed):
    (x,), options = drawn
    mean = nn.AvgPool2d(**options, count_include_pad=False)
    other = normal(x.shape, seed)
    of_x, of_other, both = (mean(minicnn.tensor(array)).numpy() for array in (x, other, 2 * x - other))
    np.testing.assert_allclose(both, 2 * of_x - of_other, atol=1e-12)
    assert (of_x <= nn.MaxPool2d(**options)(minicnn.tensor(x)).numpy() + 1e-12).all()


@given(x=images(), size=st.integers(1, 3))
def test_adaptive_pooling_to_one_pixel_is_the_mean_and_to_the_same_size_nothing(x, size):
    t = minicnn.tensor(x)
    np.testing.assert_allclose(nn.AdaptiveAvgPool2d(1)(t).numpy(), x.mean(axis=(2, 3), keepdims=True), atol=1e-12)
    np.testing.assert_array_equal(nn.AdaptiveAvgPool2d(x.shape[2:])(t).numpy(), x)
    assert nn.AdaptiveAvgPool2d((size, None))(t).shape == (*x.shape[:2], size, x.shape[3])
