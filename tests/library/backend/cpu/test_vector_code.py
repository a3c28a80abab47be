"""LLVM code for vectors, run on arrays."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba.core import types

from minicnn.backend.cpu.compiling import intrinsic
from minicnn.backend.cpu.target import target
from minicnn.backend.cpu.vector_code import Code


@intrinsic
def add_masked(typing_context, x, y, count):
    """The first ``count`` numbers of a vector at y, increased by those at x."""

    def generate(context, builder, signature, arguments):
        code = Code(builder, types.float32, target())
        x, y, count = arguments
        mask = code.mask(count)
        total = builder.fadd(code.load_masked(x, mask), code.load_masked(y, mask))
        code.store_masked(total, y, mask)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@numba.njit
def add_some(x, y, count):
    add_masked(x, y, count)


@pytest.mark.parametrize("count", [0, 1, target().lanes(4) - 1, target().lanes(4)])
def test_a_mask_leaves_the_other_lanes_alone(count: int) -> None:
    x, y = np.ones(target().lanes(4), np.float32), np.arange(target().lanes(4), dtype=np.float32)
    add_some(x.ctypes.data, y.ctypes.data, count)
    assert y.tolist() == [lane + (lane < count) for lane in range(len(y))]
