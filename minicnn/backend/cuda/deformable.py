"""Deformable sampling on the GPU: one thread per sample."""

from __future__ import annotations

from typing import Any

from ..base import Window
from .compiler import real
from .conv import geometry


def deform_im2col(cuda: Any, x: Any, offset: Any, mask: Any, window: Window, offset_groups: int) -> Any:
    """See ``reference.deformable.deform_im2col``."""
    dtype = x.dtype
    x, offset, mask = _ready(cuda, x, offset, mask)
    n, channels = x.shape[:2]
    rows = channels * window.kernel_size[0] * window.kernel_size[1]
    columns = cuda.xp.empty((rows, n * offset.shape[2] * offset.shape[3]), x.dtype)
    sizes = (n, channels, offset_groups, *x.shape[2:], *offset.shape[2:])
    cuda.launch(
        "deformable", "deform_im2col", x.dtype, columns.size, x, offset, mask, columns, *sizes, *geometry(window)
    )
    return columns.astype(dtype, copy=False)


def deform_im2col_grad(
    cuda: Any, d_columns: Any, x: Any, offset: Any, mask: Any, window: Window, offset_groups: int
) -> tuple[Any, Any, Any]:
    """See ``reference.deformable.deform_im2col_grad``; the order in which a pixel's cotangents add up is not fixed."""
    xp = cuda.xp
    d_columns = xp.ascontiguousarray(d_columns, real(x.dtype))
    x, offset, mask = _ready(cuda, x, offset, mask)
    d_x, d_offset = xp.zeros(x.shape, x.dtype), xp.empty(offset.shape, x.dtype)
    d_mask = None if mask is None else xp.empty(mask.shape, x.dtype)
    sizes = (*x.shape[:2], offset_groups, *x.shape[2:], *offset.shape[2:])
    cuda.launch(
        "deformable", "deform_im2col_grad", x.dtype, offset.size // 2, d_columns, x, offset, mask, d_x, d_offset,
        d_mask, *sizes, *geometry(window),
    )  # fmt: skip
    return d_x, d_offset, d_mask


def _ready(cuda: Any, x: Any, offset: Any, mask: Any) -> tuple[Any, ...]:
    """The arrays contiguous, and in float32 if they have 16 bits: offsets are to be exact."""
    xp, dtype = cuda.xp, real(x.dtype)
    return tuple(None if array is None else xp.ascontiguousarray(array, dtype) for array in (x, offset, mask))
