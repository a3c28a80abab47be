"""Batch normalisation on the GPU: statistics in one pass over the image, and one more pass to apply them."""

from __future__ import annotations

from math import prod
from typing import Any

JOBS = 1024  # blocks to keep a large GPU busy
PART_VALUES = 2048  # fewer values are not worth a block of their own


def batch_norm(cuda: Any, x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any, Any]:
    """See ``reference.norm.batch_norm``."""
    xp, dtype = cuda.xp, x.dtype
    x, weight, bias = _ready(xp, x, dtype), _ready(xp, weight, dtype), _ready(xp, bias, dtype)
    images, channels, length, parts = _sizes(x)
    moments = xp.empty((3, channels, parts), dtype)
    statistics = xp.empty((3, channels), dtype)
    y = xp.empty(x.shape, dtype)
    cuda.launch(
        "norm", "batch_norm_moments", dtype, channels * parts, x, moments, images, channels, length, parts,
        block_each=True,
    )  # fmt: skip
    cuda.launch("norm", "batch_norm_statistics", dtype, channels, moments, statistics, parts, eps)
    mean, variance, inv_std = statistics[0], statistics[1], statistics[2]
    cuda.launch("norm", "batch_norm_apply", dtype, x.size, x, mean, inv_std, weight, bias, y, channels, length)
    return y, mean, variance, inv_std


def batch_norm_grad(cuda: Any, dy: Any, x: Any, weight: Any, mean: Any, inv_std: Any) -> tuple[Any, Any, Any]:
    """See ``reference.norm.batch_norm_grad``."""
    xp, dtype = cuda.xp, x.dtype
    dy, x, weight, mean, inv_std = (_ready(xp, array, dtype) for array in (dy, x, weight, mean, inv_std))
    images, channels, length, parts = _sizes(x)
    sums = xp.empty((2, channels, parts), dtype)
    cuda.launch(
        "norm", "batch_norm_grad_sums", dtype, channels * parts, dy, x, mean, inv_std, sums, images, channels, length,
        parts, block_each=True,
    )  # fmt: skip
    totals = sums.sum(axis=2)
    dx = xp.empty(x.shape, dtype)
    cuda.launch(
        "norm", "batch_norm_grad_apply", dtype, x.size, dy, x, mean, inv_std, weight, totals, dx, channels, length,
        images * length,
    )  # fmt: skip
    return dx, totals[1], totals[0]


def _sizes(x: Any) -> tuple[int, int, int, int]:
    """(N, C, ...) -> N, C, values of a channel in one image, and parts to cut a channel's values into."""
    images, channels, length = x.shape[0], x.shape[1], prod(x.shape[2:])
    parts = min(JOBS // max(channels, 1), images * length // PART_VALUES)
    return images, channels, length, max(1, parts)


def _ready(xp: Any, array: Any, dtype: Any) -> Any:
    return None if array is None else xp.ascontiguousarray(array, dtype)
