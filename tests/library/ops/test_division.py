"""``%`` and ``//`` of floats on the GPU: NumPy's, not CuPy's, which round the quotient first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from tests.library.support.cuda import fakecupy


@pytest.fixture(scope="module", autouse=True)
def cuda() -> Iterator[Any]:
    """A GPU that divides as CuPy does."""
    with fakecupy.installed() as gpu:
        yield gpu


FLOATS = st.one_of(
    st.integers(-100, 100).map(lambda n: n / 10),
    st.sampled_from([0.0, -0.0, np.inf, -np.inf, np.nan]),
    st.floats(-1e6, 1e6, allow_subnormal=False),
)
PAIRS = st.lists(st.tuples(FLOATS, FLOATS), min_size=1)
DTYPES = st.sampled_from([np.float64, np.float32])


def outcome(a: np.ndarray, b: np.ndarray, device: str) -> list[np.ndarray]:
    """Quotients, remainders, both of a number too, and the gradients."""
    x, y = (minicnn.tensor(array, device=device).requires_grad_() for array in (a, b))
    results = [x // y, x % y, x // 0.1, 0.1 // x, x % 0.1, 0.1 % y]
    minicnn.autograd.backward(results[1:2] + results[4:], [minicnn.ones(len(a), dtype=x.dtype, device=device)] * 3)
    return [result.detach().cpu().numpy() for result in (*results, x.grad, y.grad)]


@given(PAIRS, DTYPES)
def test_floats_are_divided_as_numpy_does(pairs, dtype):
    a, b = np.array(pairs, dtype).T
    for got, want in zip(outcome(a, b, "cuda"), outcome(a, b, "cpu"), strict=True):
        np.testing.assert_array_equal(got, want)
        zeros = want == 0
        np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(want[zeros]))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integers_are_divided_as_numpy_does(dtype):
    a, b = np.arange(1, 13).astype(dtype), np.arange(1, 13).astype(dtype)[::-1] // 2 + 1
    x, y = minicnn.tensor(a, device="cuda"), minicnn.tensor(b.copy(), device="cuda")
    np.testing.assert_array_equal((x // y).cpu().numpy(), a // b)
    np.testing.assert_array_equal((x % y).cpu().numpy(), a % b)
    assert (x // y).dtype == (x % y).dtype == dtype
