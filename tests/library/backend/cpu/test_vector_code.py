"""LLVM code for vectors: what is masked is neither read nor written."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import types
from numba.extending import intrinsic

from minicnn.backend.cpu.target import target
from minicnn.backend.cpu.vector_code import Code


@intrinsic
def _clipped(typing_context, to, x, count, least):
    def generate(context, builder, signature, arguments):
        code = Code(builder, signature.args[3], target())
        to, x, count, least = arguments
        mask = code.mask(count)
        code.store_masked(code.maximum(code.load_masked(x, mask), code.spread(least)), to, mask)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, least), generate


@numba.njit
def clipped(to, x, count, least):
    _clipped(to.ctypes.data, x.ctypes.data, count, least)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_the_lanes_in_a_mask_are_computed_and_the_others_left(dtype, data):
    lanes = target().lanes(np.dtype(dtype).itemsize)
    count = data.draw(st.integers(0, lanes))
    numbers = st.floats(-3, 3, width=32) | st.just(np.nan)
    x = np.array(data.draw(st.lists(numbers, min_size=lanes, max_size=lanes)), dtype)
    least, to = dtype(data.draw(st.integers(-2, 2))), np.full(lanes, 9, dtype)
    clipped(to, x, count, least)
    np.testing.assert_array_equal(to[:count], np.maximum(x, least)[:count])  # NaN stays
    assert (to[count:] == 9).all()
