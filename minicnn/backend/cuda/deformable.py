"""Deformable sampling on the GPU: one thread per sampling position and some of the channels."""

from __future__ import annotations

from typing import Any

from ..base import Window
from .compiler import real
from .conv import geometry

TOGETHER = 8  # channels of a thread: more would leave a GPU without threads where images are small


def deform_im2col(cuda: Any, x: Any, offset: Any, mask: Any, window: Window, offset_groups: int) -> Any:
    """See ``reference.deformable.deform_im2col``."""
    x, offset, mask = _ready(cuda, x, offset, mask)
    n, channels = x.shape[:2]
    rows = channels * window.kernel_size[0] * window.kernel_size[1]
    columns = cuda.xp.empty((rows, n * offset.shape[2] * offset.shape[3]), x.dtype)
    per_group = channels // offset_groups
    together = max(min(TOGETHER, per_group), 1)
    threads = offset.size // 2 * -(-per_group // together)
    sizes = (n, channels, offset_groups, together, *x.shape[2:], *offset.shape[2:])
    cuda.launch("deformable", "deform_im2col", x.dtype, threads, x, offset, mask, columns, *sizes, *geometry(window))
    return columns


def deform_im2col_grad(
    cuda: Any, d_columns: Any, x: Any, offset: Any, mask: Any, window: Window, offset_groups: int
) -> tuple[Any, Any, Any]:
    """See ``reference.deformable.deform_im2col_grad``; the order in which a pixel's cotangents add up is not fixed."""
    xp, given = cuda.xp, (x, offset, mask)
    d_columns = xp.ascontiguousarray(d_columns, x.dtype)
    x, offset, mask = _ready(cuda, *given)
    d_x, d_offset = xp.zeros(x.shape, offset.dtype), xp.empty(offset.shape, offset.dtype)
    d_mask = None if mask is None else xp.empty(mask.shape, mask.dtype)
    sizes = (*x.shape[:2], offset_groups, *x.shape[2:], *offset.shape[2:])
    cuda.launch(
        "deformable", "deform_im2col_grad", x.dtype, offset.size // 2, d_columns, x, offset, mask, d_x, d_offset,
        d_mask, *sizes, *geometry(window),
    )  # fmt: skip
    d_x, d_offset, d_mask = (
        None if array is None else array.astype(like.dtype, copy=False)
        for array, like in zip((d_x, d_offset, d_mask), given, strict=True)
    )
    return d_x, d_offset, d_mask


def _ready(cuda: Any, x: Any, offset: Any, mask: Any) -> tuple[Any, ...]:
    """The arrays contiguous. Offsets and masks are float32 at least: a pixel's place is to be exact."""
    xp, dtype = cuda.xp, real(x.dtype)
    return xp.ascontiguousarray(x), *(None if a is None else xp.ascontiguousarray(a, dtype) for a in (offset, mask))
