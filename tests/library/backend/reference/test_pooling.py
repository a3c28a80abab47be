"""Pooling in plain NumPy: values by loops, and gradients as adjoints."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.reference import pooling
from tests.library.support import oracles
from tests.library.support.strategies import SEEDS, images, normal, poolings


def window_of(options: dict) -> Window:
    kernel = oracles.pair(options["kernel_size"])
    stride = kernel if options["stride"] is None else oracles.pair(options["stride"])
    rows, columns = oracles.pair(options["padding"])
    return Window(kernel, stride, ((rows, rows), (columns, columns)), oracles.pair(options.get("dilation", 1)))


@given(drawn=poolings(dilated=True), seed=SEEDS)
def test_maxima_and_their_places_by_loops_and_each_cotangent_goes_there(drawn, seed):
    (x,), options = drawn
    expected, places = oracles.max_pool2d(x, **options)
    y, indices = pooling.max_pool2d(x, window_of(options), expected.shape[2:])
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(indices, places)
    dy, other = normal(y.shape, seed), normal(x.shape, seed + 1)
    dx = pooling.max_pool2d_grad(dy, indices, x.shape)
    picked = np.take_along_axis(other.reshape(*x.shape[:2], -1), indices.reshape(*x.shape[:2], -1), -1)
    np.testing.assert_allclose((dx * other).sum(), (dy.ravel() * picked.ravel()).sum(), rtol=1e-9, atol=1e-9)


@given(drawn=poolings(), seed=SEEDS)
def test_means_by_loops_and_the_gradient_is_the_adjoint(drawn, seed):
    (x,), options = drawn
    expected = oracles.avg_pool2d(x, **options, divisor_override=1)
    divisor = 1 + np.abs(normal(expected.shape[2:], seed))
    y = pooling.avg_pool2d(x, window_of(options), divisor)
    np.testing.assert_allclose(y, expected / divisor, rtol=1e-12, atol=1e-12)
    dy = normal(y.shape, seed + 1)
    dx = pooling.avg_pool2d_grad(dy, x.shape, window_of(options), divisor)
    np.testing.assert_allclose((dx * x).sum(), (dy * y).sum(), rtol=1e-9, atol=1e-9)


@given(x=images(), size=st.tuples(st.integers(1, 4), st.integers(1, 4)), seed=SEEDS)
def test_adaptive_means_by_loops_and_the_gradient_is_the_adjoint(x, size, seed):
    y = pooling.adaptive_avg_pool2d(x, size)
    np.testing.assert_allclose(y, oracles.adaptive_avg_pool2d(x, size), rtol=1e-12, atol=1e-12)
    dy = normal(y.shape, seed)
    dx = pooling.adaptive_avg_pool2d_grad(dy, x.shape)
    np.testing.assert_allclose((dx * x).sum(), (dy * y).sum(), rtol=1e-9, atol=1e-9)
