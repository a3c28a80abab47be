"""Arrays as they may lie in memory, for the tests of the CPU backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.library.support.slices import Part

LAYOUTS = ("channels last", "C", "sliced", "reversed", "read-only", "Fortran", "broadcast")
DTYPES = st.sampled_from([np.float32, np.float64])
# Around the sizes of vectors (16), of unrolled loops (4) and of rows (512), and ones.
CHANNELS = st.sampled_from([1, 2, 3, 15, 16, 17, 64, 129, 512, 513])
SIDES = st.sampled_from([(1, 1), (1, 2), (3, 2), (8, 16), (1, 127), (1, 129), (9, 7)])
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-10}


def laid_out(values: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers, elsewhere in memory. "broadcast" repeats the first of the batch, at stride 0."""
    if layout == "channels last":
        return np.moveaxis(np.moveaxis(values, 1, -1).copy(), -1, 1)
    if layout == "C":
        return values.copy()
    if layout == "sliced":
        between = np.nan if values.dtype.kind == "f" else -1
        wide = np.full((*values.shape[:-1], 2 * values.shape[-1] + 1), between, values.dtype)
        wide[..., 1::2] = values
        return wide[..., 1::2]
    if layout == "reversed":
        return values[::-1, ..., ::-1].copy()[::-1, ..., ::-1]
    if layout == "read-only":
        copy = laid_out(values, "channels last")
        copy.flags.writeable = False
        return copy
    if layout == "Fortran":
        return np.asfortranarray(values)
    return np.broadcast_to(values[:1], values.shape)


def close(got: Any, expected: Any, dtype: Any, scale: float = 1.0, size: float = 0.0) -> None:
    """Equal shape and dtype, and equal numbers but for rounding of numbers as large as the largest, or as ``size``."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    assert got.dtype == np.dtype(dtype)
    finite = np.abs(expected[np.isfinite(expected)])
    tolerance = TOLERANCE[np.dtype(dtype)] * scale
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * max(1e-30, size, finite.max(initial=0)))


def is_channels_last(x: np.ndarray) -> bool:
    """Whether the channels of a pixel lie side by side, and the pixels in order."""
    return bool(np.moveaxis(x, 1, -1).flags.c_contiguous)


EPS = 1e-5


def placed(values: np.ndarray, layout: str) -> np.ndarray:
    """As ``laid_out``, or as channels of larger images."""
    return Part(values, (3, 5)).images if layout == "part" else laid_out(values, layout)
