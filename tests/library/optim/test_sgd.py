"""SGD on a slope that stays the same: momentum is a geometric series."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.optim import SGD


@given(
    lr=st.floats(0.01, 1), momentum=st.floats(0, 0.95), slope=st.floats(-2, 2), steps=st.integers(1, 20),
    nesterov=st.booleans(),
)  # fmt: skip
def test_a_constant_gradient_is_followed_at_a_speed_that_grows_to_a_limit(lr, momentum, slope, steps, nesterov):
    """After k steps the velocity is ``slope * (1 - momentum^k) / (1 - momentum)``; Nesterov's looks one step ahead."""
    x = minicnn.tensor([0.0], dtype=minicnn.float64, requires_grad=True)
    optimizer = SGD([x], lr, momentum=momentum, nesterov=nesterov and momentum > 0)
    for _ in range(steps):
        x.grad = minicnn.tensor([slope], dtype=minicnn.float64)
        optimizer.step()
    ahead = 1 if nesterov and momentum > 0 else 0
    speeds = [slope * (1 - momentum ** (k + ahead)) / (1 - momentum) for k in range(1, steps + 1)]
    np.testing.assert_allclose(x.item(), -lr * sum(speeds), rtol=1e-10, atol=1e-14)


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="momentum"):
        SGD([minicnn.zeros(1, requires_grad=True)], 0.1, nesterov=True)
