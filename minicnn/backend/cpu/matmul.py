"""Matrix products on the tiles of ``microkernel.py``, for the fully connected layers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from . import memory
from .compiling import LOCK, threads
from .inputs import floats
from .packing import pack
from .records import one
from .tiles import ARRAYS, Arrays, panels_table, rows_table, share_tiles, width
from .tiles import product as tiles_of

PART_BYTES = 1 << 20  # rows of the left matrix that a thread works on at a time
READ_IN_PLACE = 4  # tiles: a right matrix that so few read is not worth packing
STEPS_AT_ONCE = 256  # of a right matrix that is read in place: each row lies in another page of memory
FEW_ROWS = 256  # of x: then a layer's weight, which is larger, is not packed


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of the matrices in the last two axes; leading axes broadcast."""
    if a.ndim == b.ndim == 2 and floats(a, b):
        return product(a, b)
    with one_blas_thread():
        return np.matmul(a, b)


def one_blas_thread() -> Any:
    """Inside, NumPy's matrix products run on one thread: theirs would fight ours for the cores long after."""
    return _blas().limit(limits=1, user_api="blas")


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def product(a: np.ndarray, b: np.ndarray, start: np.ndarray | None = None, activation: str | None = None) -> np.ndarray:
    """a (M, R) times b (R, N), both float32 or float64 and not empty: (M, N), C-contiguous.

    Args:
        start: added to the product; of its shape, or one that NumPy broadcasts to it.
        activation: "relu" or "silu", applied on the way out.
    """
    size, rows, columns = a.itemsize, len(a), b.shape[1]
    c = memory.empty((rows, columns), a.dtype)
    more = start is not None
    if more:
        c[...] = start
    wide = width(size)
    tiles = rows_table(rows, a.strides[0], c.strides[0])
    whole = columns // wide * wide
    in_place = b.strides[1] == size and len(tiles) <= READ_IN_PLACE and b.flags.aligned
    with LOCK:
        if in_place and whole:
            panels = panels_table(whole, size, wide * size)
            for step in range(0, len(b), STEPS_AT_ONCE):
                last = activation if step + STEPS_AT_ONCE >= len(b) else None
                some = slice(step, step + STEPS_AT_ONCE)
                _run(a[:, some], b[some], b.strides[0], tiles, panels, c, more or step > 0, last)
        first = whole if in_place else 0
        if first < columns:
            packed = _packed(b[:, first:])
            panels = panels_table(columns - first, size, packed[0].nbytes)
            _run(a, packed, wide * size, tiles, panels, c[:, first:], more, activation)
    return c


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, activation: str | None = None) -> np.ndarray:
    """x (M, in) times the weight (out, in), turned, plus the bias (out,), and then "relu" or "silu": (M, out)."""
    if len(x) > FEW_ROWS:
        return product(x, weight.T, bias, activation)
    y = memory.empty((len(x), len(weight)), x.dtype)  # y^T = W x^T: then it is x that is packed
    y[...] = product(weight, x.T, None if bias is None else bias[:, None], activation).T
    return y


def _packed(b: np.ndarray) -> np.ndarray:
    """b (R, N) in panels (panels, R, F)."""
    steps, columns = b.shape
    turned = b.strides[0] == b.itemsize and b.T.flags.c_contiguous
    source = b.T if turned else np.ascontiguousarray(b)
    column_step, step_step = (steps, 1) if turned else (1, columns)
    return pack(source, columns, steps, (0,), column_step, step_step)


def _run(
    a: np.ndarray,
    b: np.ndarray,
    b_step: int,
    tiles: np.ndarray,
    panels: np.ndarray,
    c: np.ndarray,
    further: bool,
    activation: str | None,
) -> None:
    """Write the product into c; ``further``: add it to what is there. Then the activation."""
    segments = np.zeros(1, np.int64)
    common = tiles_of(
        a.dtype,
        activation,
        a_row=a.strides[0],
        a_step=a.strides[1],
        segments=segments.ctypes.data,
        segment_count=1,
        length=a.shape[1],
        b_step=b_step,
        b_segment=0,
        y_row=c.strides[0],
    )
    workers, few = threads(), len(panels) >= threads() and len(tiles) < 4 * threads()
    parts = 1 if few else min(len(tiles), -(-max(workers, a.nbytes // PART_BYTES) // workers) * workers)
    arrays = one(Arrays(a.ctypes.data, b.ctypes.data, c.ctypes.data, c.ctypes.data if further else 0), ARRAYS)
    share_tiles(common, tiles, panels, arrays, parts, workers if few else 1)
