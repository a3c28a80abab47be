"""Batch norm on the GPU, compiled for the CPU, against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.reference.fused import Line
from tests.library.support.cuda.agreement import DTYPES, REFERENCE, compare_batch_norm, compare_fused
from tests.library.support.strategies import SEEDS, normal


@given(
    st.sampled_from([(2, 1), (5, 3), (3, 2, 4), (2, 3, 2, 5), (1, 2, 7, 1)]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 100.0]),
    DTYPES,
    SEEDS,
)
def test_batch_norm(cuda, shape, weighted, shifted, offset, dtype, seed):
    x, dy = ((normal(shape, seed + i) + i * offset).astype(dtype) for i in (1, 0))
    weight, bias = (
        normal(shape[1:2], seed + i).astype(dtype) if on else None for i, on in ((3, weighted), (4, shifted))
    )
    if offset and dtype == "float32":
        x = (x - offset).astype(dtype)  # the reference itself is not exact there
    compare_batch_norm(cuda, x, dy, weight, bias)


@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_the_activation_behind_batch_norm_keeps_nan(cuda, activation):
    x, dy, residual = (normal((2, 3, 4), k) for k in range(3))
    residual[0, 1, 2] = np.nan
    compare_fused(cuda, "norm", x, None, None, 1e-5, residual, activation)
    y, mean, _, inv_std = REFERENCE.fused["norm"](x, None, None, 1e-5, residual, activation)
    assert np.isnan(y[0, 1, 2]) and np.isnan(y).sum() == 1
    compare_fused(cuda, "norm_grad", dy, x, Line(mean, inv_std), residual, activation)


def test_batch_norm_keeps_precision_far_from_zero(cuda):
    """Moments that join without cancellation: the variance of 1e4 + small noise in float32."""
    x = (1e4 + normal((8, 2, 10, 10), 0)).astype("float32")
    variance = cuda.to_host(cuda.batch_norm(cuda.to_device(x), None, None, 0.0)[2])
    np.testing.assert_allclose(variance, x.astype("float64").var(axis=(0, 2, 3)), rtol=1e-3)
