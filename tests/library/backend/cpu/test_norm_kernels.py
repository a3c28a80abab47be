"""Passes of batch norm over memory: the same bits for any number of threads."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from minicnn.backend.cpu import fused
from minicnn.backend.reference.fused import Line
from tests.library.support.layouts import EPS, placed
from tests.library.support.strategies import normal


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("part", [False, True])
def test_the_bits_do_not_depend_on_the_threads(dtype: Any, part: bool) -> None:
    layout = "part" if part else "channels last"
    x, dy, residual = (placed(normal((3, 24, 61, 59), k).astype(dtype), layout) for k in range(3))
    weight = normal((24,), 4).astype(dtype)

    def run() -> list[Any]:
        y, mean, variance, inv_std = fused.norm(x, weight, None, EPS, residual, "silu")
        line = Line(mean, inv_std, weight)
        grads = fused.norm_grad(dy, x, line, residual, "silu")
        plain = fused.norm_grad(dy, x, line, None, "relu")
        fixed = fused.fixed_norm_grad(dy, x, line, None, "relu")
        return [y, mean, variance, inv_std, *grads, *plain[:3], *fixed[:3]]

    threads = numba.get_num_threads()
    many = run()
    numba.set_num_threads(1)
    try:
        one = run()
    finally:
        numba.set_num_threads(threads)
    for some, other in zip(many, one, strict=True):
        np.testing.assert_array_equal(some, other)
