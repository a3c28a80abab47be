"""Batch normalisation on the GPU: statistics in one pass over the image, one more to apply them, add and rectify."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

JOBS = 1024  # blocks to keep a large GPU busy
PART_VALUES = 2048  # fewer values are not worth a block of their own


def batch_norm(cuda: Any, x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any, Any]:
    """See ``reference.norm.batch_norm``."""
    mean, variance, inv_std, scale, shift = batch_norm_statistics(cuda, x, weight, bias, eps)
    return batch_norm_apply(cuda, x, mean, scale, shift), mean, variance, inv_std


def batch_norm_grad(cuda: Any, dy: Any, x: Any, weight: Any, mean: Any, inv_std: Any) -> tuple[Any, Any, Any]:
    """See ``reference.norm.batch_norm_grad``."""
    dx, d_weight, d_bias, _ = batch_norm_fused_grad(cuda, dy, x, weight, mean, inv_std)
    return dx, d_weight, d_bias


def scale_and_shift(cuda: Any, x: Any, scale: Any, shift: Any) -> Any:
    """See ``reference.norm.scale_and_shift``."""
    return batch_norm_apply(cuda, x, None, scale, shift)


def batch_norm_statistics(cuda: Any, x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
    """See ``reference.fused_norm.batch_norm_statistics``."""
    xp, dtype = cuda.xp, x.dtype
    x, weight, bias = _ready(xp, x, dtype), _ready(xp, weight, dtype), _ready(xp, bias, dtype)
    images, channels, length, parts = _sizes(x)
    moments = xp.empty((3, channels, parts), dtype)
    statistics = xp.empty((5, channels), dtype)
    cuda.launch(
        "norm", "batch_norm_moments", dtype, channels * parts, x, moments, images, channels, length, parts,
        block_each=True,
    )  # fmt: skip
    cuda.launch("norm", "batch_norm_statistics", dtype, channels, moments, weight, bias, statistics, parts, eps)
    mean, variance, inv_std, scale, shift = statistics
    return mean, variance, inv_std, scale, None if bias is None else shift


def batch_norm_apply(
    cuda: Any, x: Any, mean: Any, scale: Any, shift: Any, residual: Any = None, relu: bool = False
) -> Any:
    """See ``reference.fused_norm.batch_norm_apply``."""
    xp, dtype = cuda.xp, np.result_type(x.dtype, scale.dtype)
    x, mean, scale, shift, residual = (_ready(xp, array, dtype) for array in (x, mean, scale, shift, residual))
    _, channels, length, _ = _sizes(x)
    y = xp.empty(x.shape, dtype)
    cuda.launch("norm", "batch_norm_apply", dtype, x.size, x, mean, scale, shift, residual, y, channels, length, relu)
    return y


def batch_norm_fused_grad(
    cuda: Any, dy: Any, x: Any, weight: Any, mean: Any, inv_std: Any, y: Any = None, residual: bool = False
) -> tuple[Any, Any, Any, Any]:
    """See ``reference.fused_norm.batch_norm_fused_grad``."""
    xp, dtype = cuda.xp, x.dtype
    dy, x, weight, mean, inv_std, y = (_ready(xp, array, dtype) for array in (dy, x, weight, mean, inv_std, y))
    images, channels, length, parts = _sizes(x)
    sums = xp.empty((2, channels, parts), dtype)
    passed = xp.empty(x.shape, dtype) if residual else None
    cuda.launch(
        "norm", "batch_norm_grad_sums", dtype, channels * parts, dy, x, y, mean, inv_std, passed, sums, images,
        channels, length, parts, block_each=True,
    )  # fmt: skip
    totals = sums.sum(axis=2)
    dx = xp.empty(x.shape, dtype)
    dy, y = (dy, y) if passed is None else (passed, None)  # what has passed the ReLU need not be masked again
    cuda.launch(
        "norm", "batch_norm_grad_apply", dtype, x.size, dy, x, y, mean, inv_std, weight, totals, dx, channels, length,
        images * length,
    )  # fmt: skip
    return dx, totals[1], totals[0], passed


def norm(
    cuda: Any, x: Any, weight: Any, bias: Any, eps: float, residual: Any = None, activation: str | None = None
) -> tuple[Any, ...]:
    """See ``reference.fused.norm``; no means of planes."""
    mean, variance, inv_std, scale, shift = batch_norm_statistics(cuda, x, weight, bias, eps)
    return batch_norm_apply(cuda, x, mean, scale, shift, residual, activation == "relu"), mean, variance, inv_std, None


def norm_grad(
    cuda: Any, dy: Any, x: Any, weight: Any, bias: Any, mean: Any, inv_std: Any, residual: Any = None,
    activation: str | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """See ``reference.fused.norm_grad``."""
    y = None
    if activation == "relu":
        scale = inv_std if weight is None else weight * inv_std
        y = batch_norm_apply(cuda, x, mean, scale, bias, residual)
    return batch_norm_fused_grad(cuda, dy, x, weight, mean, inv_std, y, residual is not None)


def _sizes(x: Any) -> tuple[int, int, int, int]:
    """(N, C, ...) -> N, C, values of a channel in one image, and parts to cut a channel's values into."""
    images, channels, length = x.shape[0], x.shape[1], prod(x.shape[2:])
    parts = min(JOBS // max(channels, 1), images * length // PART_VALUES)
    return images, channels, length, max(1, parts)


def _ready(xp: Any, array: Any, dtype: Any) -> Any:
    return None if array is None else xp.ascontiguousarray(array, dtype)
