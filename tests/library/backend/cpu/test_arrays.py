"""The three functions in the place of NumPy's, on arrays that are large and small, of every layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend import cpu
from minicnn.backend.cpu.arrays import xp
from tests.library.support.layouts import DTYPES, LAYOUTS, SIDES, laid_out
from tests.library.support.strategies import SEEDS, normal

CALLS = {
    "maximum": lambda lib, a, b: lib.maximum(a, 0),
    "maximum of two": lambda lib, a, b: lib.maximum(a, b),
    "where": lambda lib, a, b: lib.where(b > 0, 0, a),
    "where of two": lambda lib, a, b: lib.where(b > 0, a, b),
    "concatenate": lambda lib, a, b: lib.concatenate([a, b, a], 1),
    "concatenate along rows": lambda lib, a, b: lib.concatenate([a, b], axis=2),
}


@pytest.mark.parametrize("name", CALLS)
@given(
    channels=st.integers(1, 20), sides=SIDES, dtype=DTYPES, layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2),
    compiled=st.booleans(), seed=SEEDS,
)  # fmt: skip
def test_results_are_numpys(name, channels, sides, dtype, layouts, compiled, seed):
    a, b = (laid_out(normal((2, channels, *sides), seed + k).astype(dtype), kind) for k, kind in enumerate(layouts))
    with cpu.small_work(0 if compiled else 1 << 60):
        found = CALLS[name](xp, a, b)
    expected = CALLS[name](np, a, b)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_everything_else_is_numpy():
    assert xp.sqrt is np.sqrt and xp.float32 is np.float32
    with pytest.raises(AttributeError):
        _ = xp.no_such_function
