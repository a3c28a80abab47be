"""Zeros where a mask holds: NumPy's ``where``, in any layout, and in memory like the mask."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import memory
from minicnn.backend.cpu.masking import masked
from tests.library.support.layouts import CHANNELS, DTYPES, LAYOUTS, SIDES, is_channels_last, laid_out
from tests.library.support.strategies import SEEDS, normal


@given(
    channels=CHANNELS,
    sides=SIDES,
    dtype=DTYPES,
    layouts=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS)),
    seed=SEEDS,
)
def test_it_is_numpys_where(channels, sides, dtype, layouts, seed):
    values = normal((2, channels, *sides), seed).astype(dtype)
    values.flat[::7] = np.nan
    values.flat[::11] = -0.0
    x, mask = laid_out(values, layouts[0]), laid_out(normal(values.shape, seed + 1) > 0, layouts[1])
    with memory.guarded():
        found = masked(mask, x)
    expected = np.where(mask, dtype(0), x)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    assert is_channels_last(found) or layouts[1] != "channels last"
