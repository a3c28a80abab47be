"""Batch normalisation on the GPU: statistics in one pass over the image, one more to apply them, add and activate.

Backward, too, is two passes: the sums of a channel, and the gradient at the image. What came before the activation is
computed again in both, which costs a few operations and saves writing and reading it.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..reference.fused import Given, Line
from .compiler import real
from .planes import JOBS, lanes_for
from .pointwise import ACTIVATIONS

PART_VALUES = 2048  # fewer values are not worth a separate block


def batch_norm(cuda: Any, x: Any, weight: Any, bias: Any, eps: float, *, running: Any = None) -> tuple[Any, ...]:
    """See ``reference.norm.batch_norm``."""
    return norm(cuda, x, weight, bias, eps, running=running)


def batch_norm_grad(cuda: Any, dy: Any, x: Any, weight: Any, mean: Any, inv_std: Any) -> tuple[Any, ...]:
    """See ``reference.norm.batch_norm_grad``."""
    return norm_grad(cuda, dy, x, Line(mean, inv_std, weight))[:3]


def scale_and_shift(cuda: Any, x: Any, scale: Any, shift: Any) -> Any:
    """See ``reference.affine.scale_and_shift``."""
    return fixed_norm(cuda, x, Line(cuda.xp.zeros_like(scale), scale, None, shift))


def norm(
    cuda: Any,
    x: Any,
    weight: Any,
    bias: Any,
    eps: float,
    residual: Any = None,
    activation: str | None = None,
    *,
    running: Any = None,
) -> tuple[Any, ...]:
    """See ``reference.fused.norm``; ``running`` (``ops.normalization.Running``) moves in the same kernel."""
    xp, dtype, wide = cuda.xp, x.dtype, real(x.dtype)
    x = xp.ascontiguousarray(x)
    images, channels, length, parts = _sizes(x)
    if x.size == 0:
        return x, *xp.full((3, channels), np.nan, wide)
    moments, statistics = xp.empty((3, channels, parts), wide), xp.empty((3, channels), wide)
    cuda.launch(
        "norm", "batch_norm_moments", dtype, channels * parts, x, moments, images, channels, length, parts,
        block_each=True,
    )  # fmt: skip
    in_kernel = running is not None and _fits(running.mean, wide) and _fits(running.var, wide)
    kept = (running.mean, running.var, running.momentum, running.unbiased) if in_kernel else (None, None, 0, 0)
    cuda.launch("norm", "batch_norm_statistics", dtype, channels, moments, x, length, statistics, parts, eps, *kept)
    mean, variance, inv_std = statistics
    if running is not None and not in_kernel:
        running.move(mean, variance)
    y = fixed_norm(cuda, x, Line(mean, inv_std, weight, bias), residual, activation)
    return y, mean, variance, inv_std


def norm_grad(
    cuda: Any, dy: Any, x: Any, line: Line, residual: Any = None, activation: str | None = None
) -> tuple[Any, ...]:
    """See ``reference.fused.norm_grad``."""
    return _grad(cuda, dy, x, line, residual, activation, fixed=False)


def fixed_norm(cuda: Any, x: Any, line: Line | Given, residual: Any = None, activation: str | None = None) -> Any:
    """See ``reference.fused.fixed_norm``; the square root of a ``Given`` variance is taken in the kernel."""
    mean, spread, weight, bias = line.mean, line[1], line.weight, line.bias
    xp, dtype = cuda.xp, x.dtype if x.dtype.itemsize == 2 else np.result_type(x.dtype, spread.dtype)
    wide = real(dtype)
    x, residual = _ready(xp, x, dtype), _ready(xp, residual, dtype)
    mean, spread, weight, bias = (_ready(xp, array, wide) for array in (mean, spread, weight, bias))
    given = (spread, line.eps, None) if isinstance(line, Given) else (None, 0, spread)
    y, kind = xp.empty(x.shape, dtype), ACTIVATIONS[activation]
    jobs, channels, length, pieces, lanes = _pieces(x)
    cuda.launch(
        "norm", "norm_apply", dtype, jobs, x, mean, *given, weight, bias, residual, kind, y, channels, length, pieces,
        lanes, lanes=lanes,
    )  # fmt: skip
    return y


def fixed_norm_grad(
    cuda: Any, dy: Any, x: Any, line: Line, residual: Any = None, activation: str | None = None
) -> tuple[Any, ...]:
    """See ``reference.fused.fixed_norm_grad``."""
    return _grad(cuda, dy, x, line, residual, activation, fixed=True)


def _grad(
    cuda: Any, dy: Any, x: Any, line: Line, residual: Any, activation: str | None, fixed: bool
) -> tuple[Any, ...]:
    """The gradients of a norm, through the statistics too unless they are ``fixed``."""
    xp, dtype, wide = cuda.xp, x.dtype, real(x.dtype)
    dy, x, residual = (_ready(xp, array, dtype) for array in (dy, x, residual))
    line = Line(*(_ready(xp, array, wide) for array in line))
    kind = ACTIVATIONS[activation]
    images, channels, length, parts = _sizes(x)
    sums = xp.empty((2, channels, parts), wide)
    passed = None if residual is None else xp.empty(x.shape, dtype)
    cuda.launch(
        "norm", "norm_grad_sums", dtype, channels * parts, dy, x, *line, residual, kind, passed, sums, images, channels,
        length, parts, block_each=True,
    )  # fmt: skip
    d_bias, d_weight = xp.empty(channels, wide), xp.empty(channels, wide)
    cuda.launch("norm", "norm_grad_totals", dtype, channels, sums, d_bias, d_weight, parts, block_each=True)
    totals = (None, None) if fixed else (d_bias, d_weight)
    dy, kind = (dy, kind) if passed is None else (passed, 0)  # the gradient at the activation's input has been computed
    dx = xp.empty(x.shape, dtype)
    jobs, _, _, pieces, lanes = _pieces(x)
    cuda.launch(
        "norm", "norm_grad_apply", dtype, jobs, dy, x, *line, kind, *totals, dx, channels, length,
        images * length, pieces, lanes, lanes=lanes,
    )  # fmt: skip
    return dx, d_weight, d_bias, passed


def _sizes(x: Any) -> tuple[int, int, int, int]:
    """(N, C, ...) -> N, C, values per channel of one image, and the number of parts into which a channel is cut."""
    images, channels, length = x.shape[0], x.shape[1], prod(x.shape[2:])
    return images, channels, length, _cuts(channels, images * length)


def _pieces(x: Any) -> tuple[int, int, int, int, int]:
    """(N, C, ...) -> pieces of planes, C, values in a plane, pieces in a plane, and how many threads take a piece."""
    planes, length = x.shape[0] * x.shape[1], prod(x.shape[2:])
    pieces = _cuts(planes, length)
    return planes * pieces, x.shape[1], length, pieces, lanes_for(x.shape[2:])


def _cuts(jobs: int, values: int) -> int:
    """Into how many each of the jobs is cut, of so many values."""
    return max(1, min(JOBS // max(jobs, 1), values // PART_VALUES))


def _fits(array: Any, dtype: Any) -> bool:
    """Whether a kernel can write into ``array``."""
    return array is None or (array.dtype == dtype and array.flags.c_contiguous)


def _ready(xp: Any, array: Any, dtype: Any) -> Any:
    return None if array is None else xp.ascontiguousarray(array, dtype)
