"""Batch normalisation on the GPU: statistics in one pass over the image, one more to apply them, add and activate."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..reference.fused import Line

JOBS = 1024  # blocks to keep a large GPU busy
PART_VALUES = 2048  # fewer values are not worth a separate block
ACTIVATIONS = {None: 0, "relu": 1, "silu": 2}  # as in kernels/norm.cu


def batch_norm(cuda: Any, x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
    """See ``reference.norm.batch_norm``."""
    return norm(cuda, x, weight, bias, eps)


def batch_norm_grad(cuda: Any, dy: Any, x: Any, weight: Any, mean: Any, inv_std: Any) -> tuple[Any, ...]:
    """See ``reference.norm.batch_norm_grad``."""
    return norm_grad(cuda, dy, x, Line(mean, inv_std, weight))[:3]


def scale_and_shift(cuda: Any, x: Any, scale: Any, shift: Any) -> Any:
    """See ``reference.affine.scale_and_shift``."""
    return _apply(cuda, x, None, scale, shift)


def norm(
    cuda: Any, x: Any, weight: Any, bias: Any, eps: float, residual: Any = None, activation: str | None = None
) -> tuple[Any, ...]:
    """See ``reference.fused.norm``."""
    xp, dtype = cuda.xp, x.dtype
    x, weight = _ready(xp, x, dtype), _ready(xp, weight, dtype)
    images, channels, length, parts = _sizes(x)
    moments = xp.empty((3, channels, parts), dtype)
    statistics = xp.empty((4, channels), dtype)
    cuda.launch(
        "norm", "batch_norm_moments", dtype, channels * parts, x, moments, images, channels, length, parts,
        block_each=True,
    )  # fmt: skip
    cuda.launch("norm", "batch_norm_statistics", dtype, channels, moments, weight, statistics, parts, eps)
    mean, variance, inv_std, scale = statistics
    return _apply(cuda, x, mean, scale, bias, residual, activation), mean, variance, inv_std


def norm_grad(
    cuda: Any, dy: Any, x: Any, line: Line, residual: Any = None, activation: str | None = None
) -> tuple[Any, ...]:
    """See ``reference.fused.norm_grad``."""
    xp, dtype = cuda.xp, x.dtype
    dy, x, mean, inv_std, weight = (_ready(xp, array, dtype) for array in (dy, x, *line[:3]))
    kind, before = ACTIVATIONS[activation], None
    if kind:  # compute the activation's input again
        before = _apply(cuda, x, mean, inv_std if weight is None else weight * inv_std, line.bias, residual)
    images, channels, length, parts = _sizes(x)
    sums = xp.empty((2, channels, parts), dtype)
    passed = None if residual is None else xp.empty(x.shape, dtype)
    cuda.launch(
        "norm", "batch_norm_grad_sums", dtype, channels * parts, dy, x, before, kind, mean, inv_std, passed, sums,
        images, channels, length, parts, block_each=True,
    )  # fmt: skip
    totals = sums.sum(axis=2)
    dx = xp.empty(x.shape, dtype)
    dy, kind = (dy, kind) if passed is None else (passed, 0)  # the gradient at the activation's input has been computed
    cuda.launch(
        "norm", "batch_norm_grad_apply", dtype, x.size, dy, x, before, kind, mean, inv_std, weight, totals, dx,
        channels, length, images * length,
    )  # fmt: skip
    return dx, totals[1], totals[0], passed


def _apply(
    cuda: Any, x: Any, mean: Any, scale: Any, shift: Any, residual: Any = None, activation: str | None = None
) -> Any:
    """activation((x - mean) * scale + shift + residual); mean, shift and residual may be ``None``, for 0."""
    xp, dtype = cuda.xp, np.result_type(x.dtype, scale.dtype)
    x, mean, scale, shift, residual = (_ready(xp, array, dtype) for array in (x, mean, scale, shift, residual))
    _, channels, length, _ = _sizes(x)
    y = xp.empty(x.shape, dtype)
    kind = ACTIVATIONS[activation]
    cuda.launch("norm", "batch_norm_apply", dtype, x.size, x, mean, scale, shift, residual, y, channels, length, kind)
    return y


def _sizes(x: Any) -> tuple[int, int, int, int]:
    """(N, C, ...) -> N, C, values per channel of one image, and the number of parts into which a channel is cut."""
    images, channels, length = x.shape[0], x.shape[1], prod(x.shape[2:])
    parts = min(JOBS // max(channels, 1), images * length // PART_VALUES)
    return images, channels, length, max(1, parts)


def _ready(xp: Any, array: Any, dtype: Any) -> Any:
    return None if array is None else xp.ascontiguousarray(array, dtype)
