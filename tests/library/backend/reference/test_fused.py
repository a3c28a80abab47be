"""Batch norm joined with its neighbours, in plain NumPy: the same as one after the other, and its slopes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.reference import fused
from minicnn.backend.reference.norm import batch_norm
from tests.library.support.strategies import SEEDS, normal

SHAPE, EPS = (2, 3, 3, 2), 1e-3
ACTIVATIONS = {None: lambda x: x, "relu": lambda x: np.maximum(x, 0), "silu": lambda x: x / (1 + np.exp(-x))}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(residual=st.booleans(), seed=SEEDS)
def test_it_is_norm_then_sum_then_activation(activation, residual, seed):
    x, other = normal(SHAPE, seed), normal(SHAPE, seed + 1) if residual else None
    weight, bias = normal((2, SHAPE[1]), seed + 2)
    plain, *statistics = batch_norm(x, weight, bias, EPS)
    expected = ACTIVATIONS[activation](plain + (0 if other is None else other))
    found = fused.norm(x, weight, bias, EPS, other, activation)
    np.testing.assert_allclose(found.y, expected, rtol=1e-9, atol=1e-12)
    for got, want in zip(found[1:4], statistics, strict=True):
        np.testing.assert_array_equal(got, want)
    fixed = fused.fixed_norm(x, fused.Line(found.mean, found.inv_std, weight, bias), other, activation)
    np.testing.assert_array_equal(fixed, found.y)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("activation", [None, "silu"])
@given(seed=SEEDS)
def test_the_gradient_is_the_slope_in_a_random_direction(fixed, activation, seed):
    x, residual, dy, *along = (normal(SHAPE, seed + k) for k in range(5))
    weight, bias, d_weight, d_bias = normal((4, SHAPE[1]), seed + 5)
    statistics = fused.norm(x, weight, bias, EPS)
    line = fused.Line(statistics.mean, statistics.inv_std, weight, bias)
    grads = (fused.fixed_norm_grad if fixed else fused.norm_grad)(dy, x, line, residual, activation)
    step = 1e-5

    def moved(t: float) -> float:
        place, scale, shift = x + t * along[0], weight + t * d_weight, bias + t * d_bias
        other = residual + t * along[1]
        if fixed:
            y = fused.fixed_norm(place, line._replace(weight=scale, bias=shift), other, activation)
        else:
            y = fused.norm(place, scale, shift, EPS, other, activation).y
        return float((dy * y).sum())

    directions = along[0], d_weight, d_bias, along[1]
    slope = sum((grad * direction).sum() for grad, direction in zip(grads, directions, strict=True))
    np.testing.assert_allclose(slope, (moved(step) - moved(-step)) / (2 * step), rtol=1e-5, atol=1e-5)


@given(seed=SEEDS)
def test_where_a_relu_gave_nothing_nothing_comes_back(seed):
    y, dy = np.maximum(normal(SHAPE, seed), 0), normal(SHAPE, seed + 1)
    dx, d_bias = fused.relu_bias_grad(dy, y)
    np.testing.assert_array_equal(dx, dy * (y > 0))
    np.testing.assert_allclose(d_bias, dx.sum(axis=(0, 2, 3)))
