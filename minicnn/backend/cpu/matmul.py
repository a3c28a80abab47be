"""Matrix products on the tiles of ``microkernel.py``, for the fully connected layers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from . import memory
from .compiling import LOCK, threads
from .inputs import floats
from .microkernel import VECTORS, tile_function
from .packing import pack
from .target import target
from .tiles import (
    LANES,
    NO_SUMS,
    WRITE_MORE,
    Product,
    cuts,
    floor,
    panel_widths,
    rows_table,
    share_tiles,
    silu_function,
    zeros,
)

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
    width = VECTORS * target().lanes(size)
    tiles = rows_table(rows, a.strides[0], c.strides[0])
    whole = columns // width * width
    in_place = b.strides[1] == size and len(tiles) <= READ_IN_PLACE and b.flags.aligned
    with LOCK:
        if in_place and whole:
            for step in range(0, len(b), STEPS_AT_ONCE):
                some = b[step : step + STEPS_AT_ONCE]
                panels = _panels(some.ctypes.data, width * size, whole, size)
                last = activation if step + STEPS_AT_ONCE >= len(b) else None
                _run(a[:, step : step + STEPS_AT_ONCE], some.strides[0], tiles, panels, c, more or step > 0, last)
        first = whole if in_place else 0
        if first < columns:
            rest = b[:, first:]
            packed = _packed(rest)
            panels = _panels(packed.ctypes.data, packed[0].nbytes, columns - first, size)
            panels[:, WRITE_MORE] += first * size
            _run(a, width * size, tiles, panels, c, more, activation)
    return c


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, activation: str | None = None) -> np.ndarray:
    """x (M, in) times the weight (out, in), turned, plus the bias (out,), behind a "relu" or "silu": (M, out)."""
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


def _panels(address: int, step: int, columns: int, size: int) -> np.ndarray:
    """The table of panels that lie ``step`` bytes apart."""
    rows = [
        (address + number * step, 0, first * size, vectors, used, 0)
        for number, (first, vectors, used) in enumerate(panel_widths(columns, size))
    ]
    return np.array(rows, np.int64).reshape(-1, LANES + 2)


def _run(
    a: np.ndarray,
    b_step: int,
    tiles: np.ndarray,
    panels: np.ndarray,
    c: np.ndarray,
    further: bool,
    activation: str | None,
) -> None:
    """Write the product into c; ``further``: add it to what is there. Then the activation."""
    size = a.itemsize
    numbers = Product(
        function=tile_function(a.dtype),
        a_row=a.strides[0],
        a_step=a.strides[1],
        segments=np.zeros(1, np.int64),
        length=a.shape[1],
        b_step=b_step,
        b_segment=0,
        y_row=c.strides[0],
        start=zeros(size),
        floor=floor(a.dtype, activation),
        silu=silu_function(a.dtype, activation),
    )
    workers, few = threads(), len(panels) >= threads() and len(tiles) < 4 * threads()
    parts = 1 if few else min(len(tiles), -(-max(workers, a.nbytes // PART_BYTES) // workers) * workers)
    share_tiles(
        numbers.numbers(), tiles, panels, a.ctypes.data, c.ctypes.data, c.ctypes.data if further else 0,
        cuts(len(tiles), parts), cuts(len(panels), workers if few else 1), NO_SUMS,
    )  # fmt: skip
