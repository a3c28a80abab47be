"""Dropout: seeded, unbiased, the same mask forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.nn.functional as F
from tests.library.support.strategies import SEEDS, shapes

DROPOUTS = [F.dropout, F.dropout2d]
PROBABILITIES = st.sampled_from([0.1, 0.25, 0.5, 0.9])


@given(shape=shapes(min_dims=1, max_side=6, max_size=200), p=PROBABILITIES, seed=SEEDS)
def test_what_stays_is_scaled_and_the_gradient_takes_the_same_way(shape, p, seed):
    minicnn.manual_seed(seed)
    x = minicnn.ones(*shape, dtype=minicnn.float64, requires_grad=True)
    y = F.dropout(x, p)
    values = y.detach().numpy()
    assert ((values == 0) | np.isclose(values, 1 / (1 - p), rtol=1e-12)).all()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)


@pytest.mark.parametrize("dropout", DROPOUTS)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_expectation_is_the_input(dropout, p):
    """The mean of n masks lies within five standard deviations sqrt(p / (1 - p) / n) of 1."""
    minicnn.manual_seed(0)
    planes = 20_000
    y = dropout(minicnn.ones(planes, 1, 1, 2), p).numpy()[:, 0, 0, 0]
    assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / planes)
    assert abs((y == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / planes)


@pytest.mark.parametrize("dropout", DROPOUTS)
@given(seed=SEEDS)
def test_the_seed_decides(dropout, seed):
    def mask(number):
        minicnn.manual_seed(number)
        return [dropout(minicnn.ones(4, 50, 1, 1)).tolist() for _ in range(2)]

    assert mask(seed) == mask(seed)
    assert mask(seed)[0] != mask(seed)[1]
    assert mask(seed) != mask(seed + 1)


def test_an_own_generator_leaves_the_default_one_alone():
    minicnn.manual_seed(0)
    expected = minicnn.rand(3).tolist()
    minicnn.manual_seed(0)
    own = minicnn.random.Generator()
    own.manual_seed(1)
    first = minicnn.ops.dropout(minicnn.ones(100), generator=own).tolist()
    assert minicnn.rand(3).tolist() == expected
    own.manual_seed(1)
    assert minicnn.ops.dropout(minicnn.ones(100), generator=own).tolist() == first


def test_dropout2d_drops_whole_planes():
    minicnn.manual_seed(0)
    planes = F.dropout2d(minicnn.ones(8, 16, 3, 3)).numpy().reshape(128, 9)
    assert (planes == planes[:, :1]).all()
    assert set(planes[:, 0]) == {0.0, 2.0}


def test_in_evaluation_nothing_happens():
    x = minicnn.ones(5)
    assert F.dropout(x, 0.9, training=False) is x
    assert F.dropout(x, 0.0) is x


def test_certain_dropout():
    x = minicnn.ones(5, requires_grad=True)
    y = F.dropout(x, 1.0)
    y.sum().backward()
    assert y.tolist() == [0] * 5 and x.grad.tolist() == [0] * 5


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_no_probability(p):
    with pytest.raises(ValueError, match=f"between 0 and 1, got p={p}"):
        F.dropout(minicnn.ones(2), p)
