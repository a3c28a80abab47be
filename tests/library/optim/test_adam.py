"""Adam's first step."""

from __future__ import annotations

import numpy as np

import minicnn
from minicnn.optim import Adam


def test_adams_first_step_is_the_learning_rate_whatever_the_gradient() -> None:
    param = minicnn.tensor([1.0, 1.0, 1.0], dtype=minicnn.float64, requires_grad=True)
    param.grad = minicnn.tensor([1e-3, 5.0, -1e4], dtype=minicnn.float64)
    Adam([param], lr=0.1, eps=0).step()
    np.testing.assert_allclose(param.array, [0.9, 0.9, 1.1], rtol=1e-12)
