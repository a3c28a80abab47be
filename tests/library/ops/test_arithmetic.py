"""Sums, products, powers, comparisons: values by NumPy, Python's numbers on either side, logic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from tests.library.support.leaves import gradient_of, tensor
from tests.library.support.strategies import arrays, distinct_pair

BINARY = {
    "add": (lambda a, b: a + b, np.add),
    "sub": (lambda a, b: a - b, np.subtract),
    "mul": (lambda a, b: a * b, np.multiply),
    "div": (lambda a, b: a / b, np.divide),
    "maximum": (minicnn.maximum, np.maximum),
    "minimum": (minicnn.minimum, np.minimum),
    "lt": (lambda a, b: a < b, np.less),
    "le": (lambda a, b: a <= b, np.less_equal),
    "gt": (lambda a, b: a > b, np.greater),
    "ge": (lambda a, b: a >= b, np.greater_equal),
    "eq": (lambda a, b: a == b, np.equal),
    "ne": (lambda a, b: a != b, np.not_equal),
}


@pytest.mark.parametrize("name", BINARY)
@given(pair=distinct_pair(low=0.2))
def test_binary_values(name, pair):
    ours, theirs = BINARY[name]
    got = ours(*map(minicnn.tensor, pair))
    assert got.shape == np.broadcast_shapes(*(x.shape for x in pair))
    np.testing.assert_array_equal(got.numpy(), theirs(*pair))


@given(x=arrays(), scalar=st.sampled_from([2, -3, 0.5, True]))
def test_python_numbers_on_either_side(x, scalar):
    t = minicnn.tensor(x)
    for got, expected in [
        (t + scalar, x + scalar), (scalar + t, x + scalar), (t - scalar, x - scalar), (scalar - t, scalar - x),
        (t * scalar, x * scalar), (scalar * t, x * scalar), (t / scalar, x / scalar), (scalar / t, scalar / x),
        (t < scalar, x < scalar), (scalar < t, scalar < x), (t == scalar, x == scalar),
    ]:  # fmt: skip
        np.testing.assert_array_equal(got.numpy(), expected)


def test_an_array_on_the_left_gives_a_tensor():
    got = np.ones(3) + tensor([1.0, 2.0, 3.0])
    assert isinstance(got, minicnn.Tensor) and got.requires_grad


def test_alpha():
    a, b = minicnn.tensor([1.0, 2.0]), minicnn.tensor([10.0, 20.0])
    assert minicnn.add(a, b, alpha=3).tolist() == [31.0, 62.0]
    assert minicnn.sub(a, b, alpha=0.5).tolist() == [-4.0, -8.0]


def test_the_gradient_of_a_power_of_zero_is_not_nan():
    assert gradient_of(lambda a, b: a**b, [0, 0, 2], [2, 0, 3])[0] == [0, 0, 12]
    assert gradient_of(lambda a, b: a**b, [0, 0, 2], [2, 0, 3])[1] == [0, 0, pytest.approx(8 * math.log(2))]


def test_logic():
    a, b = minicnn.tensor([True, True, False]), minicnn.tensor([True, False, False])
    assert (a & b).tolist() == [True, False, False]
    assert (a | b).tolist() == [True, True, False]
    assert (~a).tolist() == [False, False, True]
    assert (a & b).dtype == minicnn.tensor([True]).dtype
