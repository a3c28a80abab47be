"""Batch norm in plain NumPy: its statistics, and its gradient against differences."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.reference.norm import batch_norm, batch_norm_grad
from tests.library.support.strategies import SEEDS, normal

SHAPES = st.sampled_from([(2, 3), (3, 1, 2), (2, 3, 4, 5), (1, 2, 3, 3)])
EPS = 1e-3


@given(shape=SHAPES, seed=SEEDS)
def test_each_channel_has_the_mean_and_deviation_that_are_asked_for(shape, seed):
    x, (weight, bias) = 5 + normal(shape, seed), normal((2, shape[1]), seed + 1)
    y, mean, variance, inv_std = batch_norm(x, weight, bias, 0.0)
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(y.mean(axis=axes), bias, atol=1e-9)
    np.testing.assert_allclose(y.std(axis=axes), np.abs(weight), atol=1e-9)
    np.testing.assert_allclose(mean, x.mean(axis=axes), rtol=1e-12)
    np.testing.assert_allclose(variance, x.var(axis=axes), rtol=1e-9)
    np.testing.assert_allclose(inv_std**-2, variance, rtol=1e-9)


@given(shape=SHAPES, seed=SEEDS)
def test_the_gradient_is_the_slope_in_a_random_direction(shape, seed):
    x, dy, along = (normal(shape, seed + k) for k in range(3))
    weight, bias, *rest = normal((4, shape[1]), seed + 3)
    _, mean, _, inv_std = batch_norm(x, weight, bias, EPS)
    grads = batch_norm_grad(dy, x, weight, mean, inv_std)
    step = 1e-5

    def moved(t: float) -> float:
        return float((dy * batch_norm(x + t * along, weight + t * rest[0], bias + t * rest[1], EPS)[0]).sum())

    slope = sum((grad * direction).sum() for grad, direction in zip(grads, (along, *rest), strict=True))
    np.testing.assert_allclose(slope, (moved(step) - moved(-step)) / (2 * step), rtol=1e-5, atol=1e-5)
