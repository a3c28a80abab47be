"""Images in memory: which lie in such a way that they can be read as pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import layout
from tests.library.support.layouts import CHANNELS, DTYPES, LAYOUTS, SIDES, placed
from tests.library.support.strategies import normal


@given(st.integers(1, 3), CHANNELS, SIDES, DTYPES, st.sampled_from(("part", *LAYOUTS)))
def test_pixels_are_found_or_made(n, channels, sides, dtype, way):
    x = placed(normal((n, channels, *sides), 0).astype(dtype), way)
    expected = x.copy().transpose(0, 2, 3, 1)
    even, dense = layout.even_pixels(x), layout.channels_last(x)
    np.testing.assert_array_equal(even, expected)
    np.testing.assert_array_equal(dense, expected)
    assert dense.flags.c_contiguous
    step = layout.pixel_bytes(even)
    for number, pixel in enumerate(np.ndindex(even.shape[:3])):
        assert even[pixel].ctypes.data == even.ctypes.data + number * step
    assert np.shares_memory(even, x) or layout.pixel_step(x) is None
