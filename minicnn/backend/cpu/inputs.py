"""What the kernels of this package are given: arrays of one float dtype, writable as far as the compiler knows.

Numba compiles a function anew for every kind of array: for each dtype, order of the axes, and for read-only memory.
Here everything becomes one of two kinds, C-contiguous float32 or float64, so that each kernel exists at most twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import FLOATS, layout, memory


def floats(*arrays: Any) -> bool:
    """Whether all of them (``None`` aside) are float32, or all float64, and none is empty."""
    dtype = None
    for array in arrays:
        if array is None:
            continue
        if dtype is None:
            dtype = array.dtype
        if array.dtype != dtype or not array.size:
            return False
    return dtype in FLOATS


def pixels(x: np.ndarray) -> np.ndarray:
    """(N, C, ...) as a C-contiguous, writable (P, C): a view where x is channels last, else a copy."""
    rows = layout.pixels(x)
    return rows if rows.flags.writeable else copied(rows)


def channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) as a C-contiguous, writable (N, H, W, C): a view where x is channels last, else a copy."""
    images = layout.channels_last(x)
    return images if images.flags.writeable else copied(images)


def spread_pixels(x: np.ndarray) -> np.ndarray:
    """The images (N, C, H, W) as a C-contiguous, writable (N, H, W, C or more): with what lies between one pixel's
    channels and the next's, where they are channels ``big[:, a:b]`` of larger images. Only the first C are x's.
    """
    step = layout.pixel_step(x) if x.flags.writeable else None
    if step is None or step == x.shape[1] * x.itemsize:
        return channels_last(x)
    _, _, height, width = x.shape
    shape = x.shape[0], height, width, step // x.itemsize
    return np.lib.stride_tricks.as_strided(x, shape, (height * width * step, width * step, step, x.itemsize))


def copied(x: np.ndarray) -> np.ndarray:
    """A C-contiguous copy."""
    copy = memory.empty(x.shape, x.dtype)
    copy[...] = x
    return copy
