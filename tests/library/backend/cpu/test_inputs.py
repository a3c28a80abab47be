"""What kernels are given: C-contiguous, writable, without a copy where the numbers lie like that already."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import inputs
from tests.library.support.layouts import CHANNELS, DTYPES, LAYOUTS, SIDES, laid_out
from tests.library.support.strategies import normal


@given(channels=CHANNELS, sides=SIDES, dtype=DTYPES, layout=st.sampled_from(LAYOUTS))
def test_images_of_any_layout(channels, sides, dtype, layout):
    x = laid_out(normal((2, channels, *sides), 0).astype(dtype), layout)
    expected = x.transpose(0, 2, 3, 1)
    for found, shape in (
        (inputs.channels_last(x), expected.shape),
        (inputs.pixels(x), (2 * sides[0] * sides[1], channels)),
    ):
        assert found.flags.c_contiguous and found.flags.writeable
        np.testing.assert_array_equal(found, expected.reshape(shape))
        assert np.shares_memory(found, x) or layout != "channels last"


@given(channels=st.integers(1, 9), before=st.integers(0, 3), after=st.integers(0, 3), dtype=DTYPES)
def test_channels_of_larger_images_are_read_where_they_lie(channels, before, after, dtype):
    whole = laid_out(normal((2, before + channels + after, 3, 4), 0).astype(dtype), "channels last")
    part = whole[:, before : before + channels]
    found = inputs.spread_pixels(part)
    assert np.shares_memory(found, whole)
    np.testing.assert_array_equal(found[..., :channels], part.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [(("f4", None, "f4"), True), (("f8",), True), (("f4", "f8"), False), (("i8",), False), (("f2", "f2"), False)],
)
def test_all_are_of_one_float_dtype(dtypes, expected):
    arrays = [None if dtype is None else np.zeros(2, dtype) for dtype in dtypes]
    assert inputs.floats(*arrays) == expected
    assert not inputs.floats(*arrays, np.zeros(0, "f4"))
