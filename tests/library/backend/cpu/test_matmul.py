"""Matrix products on the tiles, in any order of memory."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import matmul, memory
from tests.library.support import strategies

DTYPES = {"float32": 1e-5, "float64": 1e-13}

SIDES = st.sampled_from((1, 2, 7, 13, 15, 16, 17, 31, 32, 33, 64, 100, 300))

ORDERS = st.sampled_from(("C", "F", "backwards", "every other"))


def _ordered(x: np.ndarray, order: str) -> np.ndarray:
    if order == "backwards":
        return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    if order == "every other":
        return np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[::2, ::2]
    return np.asarray(x, order=order)


@given(SIDES, SIDES, SIDES, ORDERS, ORDERS, st.sampled_from(tuple(DTYPES)))
def test_matrix_products(m: int, r: int, n: int, order_a: str, order_b: str, dtype: str) -> None:
    a = _ordered(strategies.normal((m, r), 0).astype(dtype), order_a)
    b = _ordered(strategies.normal((r, n), 1).astype(dtype), order_b)
    weight, bias = np.ascontiguousarray(b.T), strategies.normal((n,), 2).astype(dtype)
    with memory.guarded():
        product, linear = matmul.product(a, b), matmul.linear(a, weight, bias)
        relu, silu = (matmul.linear(a, weight, bias, activation) for activation in ("relu", "silu"))
    np.testing.assert_allclose(product, a @ b, rtol=0, atol=DTYPES[dtype] * r)
    np.testing.assert_allclose(linear, a @ b + bias, rtol=0, atol=DTYPES[dtype] * r)
    np.testing.assert_allclose(relu, np.maximum(a @ b + bias, 0), rtol=0, atol=DTYPES[dtype] * r)
    np.testing.assert_allclose(silu, linear / (1 + np.exp(-linear)), rtol=0, atol=DTYPES[dtype] * r)


def test_batches_of_matrices_and_integers_go_to_numpy() -> None:
    a, b = strategies.normal((3, 4, 5), 0), strategies.normal((5, 2), 1)
    np.testing.assert_allclose(matmul.matmul(a, b), a @ b)
    assert matmul.matmul(np.ones((2, 3), int), np.ones((3, 2), int)).dtype == int
