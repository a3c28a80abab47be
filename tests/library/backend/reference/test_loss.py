"""Softmax and cross entropy by loops, for logits of any size."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.reference.loss import softmax_cross_entropy
from tests.library.support import oracles
from tests.library.support.strategies import SEEDS, normal


@given(rows=st.integers(0, 4), classes=st.integers(1, 5), far=st.sampled_from([0, 1e3, -1e6]), seed=SEEDS)
def test_values_by_loops(rows, classes, far, seed):
    logits, targets = 3 * normal((rows, classes), seed), np.abs(normal((rows, classes), seed + 1))
    losses, logarithms = softmax_cross_entropy(logits + far, targets)
    assert losses.shape == (rows,) and logarithms.shape == (rows, classes)
    for row in range(rows):
        expected = oracles.log_softmax(logits[row])
        np.testing.assert_allclose(logarithms[row], expected, atol=1e-8)
        np.testing.assert_allclose(losses[row], -(targets[row] * expected).sum(), atol=1e-7)


def test_an_impossible_class_that_is_not_wanted_costs_nothing():
    with np.errstate(invalid="ignore"):
        losses, logarithms = softmax_cross_entropy(np.array([[0.0, -np.inf]]), np.array([[1.0, 0.0]]))
    assert losses.tolist() == [0] and logarithms.tolist() == [[0, -np.inf]]
