"""matmul and linear: values by loops, vectors and stacks, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.nn.functional as F
from minicnn.errors import ShapeError
from tests.library.support import oracles
from tests.library.support.cases.layers import CASES
from tests.library.support.strategies import SEEDS, normal

DRAWS = {case.name: case.draw for case in CASES}


@given(sizes=st.tuples(*[st.integers(0, 4)] * 3), seed=SEEDS)
def test_matrices(sizes, seed):
    a, b = normal(sizes[:2], seed), normal(sizes[1:], seed + 1)
    got = minicnn.tensor(a) @ minicnn.tensor(b)
    np.testing.assert_allclose(got.numpy(), oracles.matmul(a, b), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(minicnn.matmul(minicnn.tensor(a), minicnn.tensor(b)).numpy(), got.numpy())


@given(drawn=DRAWS["matmul"])
def test_vectors_and_stacks(drawn):
    """A vector is a row on the left and a column on the right; leading axes broadcast, matrix by matrix."""
    (a, b), _ = drawn
    left, right = a.reshape(1, -1) if a.ndim == 1 else a, b.reshape(-1, 1) if b.ndim == 1 else b
    stack = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = np.broadcast_to(left, stack + left.shape[-2:]), np.broadcast_to(right, stack + right.shape[-2:])
    expected = np.zeros((*stack, left.shape[-2], right.shape[-1]))
    for index in np.ndindex(stack):
        expected[index] = oracles.matmul(left[index], right[index])
    expected = expected[..., 0, :] if a.ndim == 1 else expected
    expected = expected[..., 0] if b.ndim == 1 else expected
    got = minicnn.tensor(a) @ minicnn.tensor(b)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(drawn=DRAWS["linear"])
def test_linear(drawn):
    (x, weight, *bias), _ = drawn
    got = F.linear(*map(minicnn.tensor, (x, weight, *bias)))
    expected = oracles.matmul(x.reshape(-1, x.shape[-1]), weight.T) + (bias[0] if bias else 0)
    np.testing.assert_allclose(got.numpy(), expected.reshape(*x.shape[:-1], -1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: minicnn.zeros(2, 3) @ minicnn.zeros(2, 3), r"inner lengths 3 and 2 differ: \(2, 3\) @ \(2, 3\)"),
        (lambda: minicnn.zeros(3) @ minicnn.zeros(4), r"inner lengths 3 and 4 differ"),
        (lambda: minicnn.zeros(2, 1, 3) @ minicnn.zeros(3, 3, 1), r"leading dimensions of \(2, 1, 3\) and \(3, 3, 1\)"),
        (lambda: minicnn.zeros(()) @ minicnn.zeros(3), "at least 1 dimension each"),
        (
            lambda: F.linear(minicnn.zeros(2, 3), minicnn.zeros(4, 5)),
            r"expected 5 input features, got 3 \(input shape \(2, 3\)\)",
        ),
        (
            lambda: F.linear(minicnn.zeros(2, 3), minicnn.zeros(3)),
            r"weight \(out_features, in_features\), got shape \(3,\)",
        ),
        (
            lambda: F.linear(minicnn.zeros(2, 3), minicnn.zeros(4, 3), minicnn.zeros(3)),
            r"bias of shape \(4,\), got \(3,\)",
        ),
        (lambda: F.linear(minicnn.zeros(2, 3).double(), minicnn.zeros(4, 3)), "one dtype, got float64 and float32"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ShapeError, match=words):
        call()
