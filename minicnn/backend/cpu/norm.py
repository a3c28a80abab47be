"""Batch normalisation in as few passes over memory as it can be done in: that is all it costs.

Forward reads x for the statistics, then reads it again and writes y, with the residual sum and the ReLU on the way.
Backward reads x and the cotangent (and y, for the ReLU) for the two sums of a channel, then again to write dx.

The kernels see a flat array of pixels, C channels each, in rows of ``width`` numbers, a multiple of C: several pixels
make one long row where C is small, and what belongs to the channels is repeated as often. The last row may be shorter.

Sums are taken in float64, and those of x count from its first pixel, so that a mean far from 0 costs no digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.backend.reference import fused_norm as reference

from . import fused, memory
from .compiling import kernel
from .inputs import floats, pixels
from .layout import empty_like_pixels
from .sharing import Task, jobs, task

WIDTH = 512  # numbers in a row, at least

Statistics = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]


def batch_norm(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """See ``reference.norm.batch_norm``."""
    y, mean, variance, inv_std, _ = fused.norm(x, weight, bias, eps)
    return y, mean, variance, inv_std


def batch_norm_grad(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, inv_std: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See ``reference.norm.batch_norm_grad``."""
    return fused.norm_grad(dy, x, weight, None, mean, inv_std)[:3]


def scale_and_shift(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """See ``reference.norm.scale_and_shift``."""
    return batch_norm_apply(x, None, scale, shift)


def batch_norm_statistics(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float) -> Statistics:
    """See ``reference.fused_norm.batch_norm_statistics``."""
    if not floats(x, weight, bias) or x.ndim < 2:
        return reference.batch_norm_statistics(x, weight, bias, eps)
    rows = pixels(x)
    count = rows.shape[0]
    origin = rows[0].astype(np.float64)
    flat = rows.reshape(-1)
    zero = x.dtype.type(0)
    total, squares = _sums(_statistics, _repeated(rows, rows[0]), rows.shape[1], flat, flat, flat, zero, flat, 0)
    mean = total / count
    variance = np.maximum(squares / count - mean * mean, 0)
    if not np.isfinite(variance).all():  # of NaN and infinity the reference makes what it makes
        return reference.batch_norm_statistics(x, weight, bias, eps)
    mean += origin
    inv_std = (1 / np.sqrt(variance + eps)).astype(x.dtype)
    scale = inv_std if weight is None else weight * inv_std
    return (
        mean.astype(x.dtype),
        variance.astype(x.dtype),
        inv_std,
        scale,
        None if bias is None else bias.copy(),
    )


def batch_norm_apply(
    x: np.ndarray,
    mean: np.ndarray | None,
    scale: np.ndarray,
    shift: np.ndarray | None,
    residual: np.ndarray | None = None,
    relu: bool = False,
) -> np.ndarray:
    """See ``reference.fused_norm.batch_norm_apply``."""
    fits = residual is None or residual.shape == x.shape
    if not fits or not floats(x, mean, scale, shift, residual) or x.ndim < 2:
        return reference.batch_norm_apply(x, mean, scale, shift, residual, relu)
    rows = pixels(x)
    y = empty_like_pixels(x)
    channels = _repeated(rows, 0 if mean is None else mean, scale, 0 if shift is None else shift)
    other = rows if residual is None else pixels(residual)
    floor = x.dtype.type(0 if relu else -np.inf)
    out = pixels(y).reshape(-1)
    more = int(residual is not None)
    _apply(x.dtype, jobs(x.size), channels, rows.reshape(-1), other.reshape(-1), out, floor, out, more, NO_SUMS)
    return y


def batch_norm_fused_grad(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    y: np.ndarray | None = None,
    residual: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """See ``reference.fused_norm.batch_norm_fused_grad``."""
    fits = dy.shape == x.shape and (y is None or y.shape == x.shape)
    if not fits or not floats(x, dy, weight, mean, inv_std, y) or x.ndim < 2:
        return reference.batch_norm_fused_grad(dy, x, weight, mean, inv_std, y, residual)
    rows = pixels(x)
    flat, flat_dy = rows.reshape(-1), pixels(dy).reshape(-1)
    flat_y, limit = (flat_dy, np.nan) if y is None else (pixels(y).reshape(-1), 0)
    limit = x.dtype.type(limit)  # dy counts where not y <= limit: without a ReLU everywhere, for nothing is <= NaN

    # The gradient at the residual is dy behind the ReLU: the first pass writes it, and the second reads it.
    gated = empty_like_pixels(x) if residual and y is not None else None
    flat_gated = flat_dy if gated is None else pixels(gated).reshape(-1)
    writes = int(gated is not None)
    d_bias, d_scaled = _sums(
        _grad_sums, _repeated(rows, mean), rows.shape[1], flat, flat_dy, flat_y, limit, flat_gated, writes
    )
    if gated is not None:
        flat_dy, flat_y, limit = flat_gated, flat_gated, x.dtype.type(np.nan)

    # d_x = scale * (dy - E[dy] - (x - mean) * inv_std^2 * E[dy * (x - mean)]), as in the reference
    count = rows.shape[0]
    wide_inv_std = inv_std.astype(np.float64)
    scale = inv_std if weight is None else weight * inv_std
    slope = wide_inv_std * wide_inv_std * d_scaled / count
    d_x = empty_like_pixels(x)
    channels = _repeated(rows, mean, d_bias / count, slope, scale)
    flat_d_x = pixels(d_x).reshape(-1)
    _grad(x.dtype, jobs(x.size), channels, flat, flat_dy, flat_y, limit, flat_d_x, 0, NO_SUMS)
    d_weight = (d_scaled * wide_inv_std).astype(x.dtype)
    return d_x, d_weight, d_bias.astype(x.dtype), dy if residual and gated is None else gated


def _repeated(rows: np.ndarray, *channels: Any) -> np.ndarray:
    """The numbers of the channels, (C,) each or one for all, repeated along a row: (how many, width)."""
    times = -(-WIDTH // rows.shape[1])
    repeated = memory.empty((len(channels), times, rows.shape[1]), rows.dtype)
    for index, values in enumerate(channels):
        repeated[index] = values
    return repeated.reshape(len(channels), -1)


def _sums(task: Task, channels: np.ndarray, count: int, x: np.ndarray, *rest: Any) -> np.ndarray:
    """The two sums of each of ``count`` channels: (2, C), float64."""
    parts = jobs(x.size)
    partial = memory.empty((parts, 2, channels.shape[1]), np.float64)
    task(x.dtype, parts, channels, x, *rest, partial)
    return partial.sum(axis=0).reshape(2, -1, count).sum(axis=1)


NO_SUMS = np.empty((1, 2, 1))


# ---- kernels ------------------------------------------------------------------------------------------------------

# channels (k, width); the pixels of three arrays; a limit; the pixels of an array to be written, and whether; two sums
# (jobs, 2, width). All four take the same, so that one loop serves them: see ``sharing.py``.
ARGUMENTS = "T[:,::1], T[::1], T[::1], T[::1], T, T[::1], int64, float64[:,:,::1]"


@kernel()
def _bounds(job, jobs, size, width):
    """The first number of a job, and the one after its last: whole rows."""
    rows = (size + width - 1) // width
    return job * rows // jobs * width, min(size, (job + 1) * rows // jobs * width)


@task(ARGUMENTS)
def _statistics(job, jobs, channels, x, _, __, ___, ____, _____, partial):
    """Sums of x - origin and of its square; ``channels`` is the origin."""
    origin = channels[0]
    width = origin.size
    first, last = _bounds(job, jobs, x.size, width)
    partial[job] = 0
    sums, squares = partial[job, 0], partial[job, 1]
    four = first + (last - first) // (4 * width) * (4 * width)
    for r in range(first, four, 4 * width):
        row_0, row_1 = x[r : r + width], x[r + width : r + 2 * width]
        row_2, row_3 = x[r + 2 * width : r + 3 * width], x[r + 3 * width : r + 4 * width]
        for c in range(width):
            start = np.float64(origin[c])
            value_0, value_1 = np.float64(row_0[c]) - start, np.float64(row_1[c]) - start
            value_2, value_3 = np.float64(row_2[c]) - start, np.float64(row_3[c]) - start
            sums[c] += (value_0 + value_1) + (value_2 + value_3)
            squares[c] += (value_0 * value_0 + value_1 * value_1) + (value_2 * value_2 + value_3 * value_3)
    for r in range(four, last, width):
        row = x[r : min(r + width, last)]
        for c in range(row.size):
            value = np.float64(row[c]) - np.float64(origin[c])
            sums[c] += value
            squares[c] += value * value


@task(ARGUMENTS)
def _apply(job, jobs, channels, x, residual, _, floor, y, with_residual, __):
    """y = max((x - mean) * scale + shift [+ residual], floor); ``channels`` are mean, scale and shift."""
    mean, scale, shift = channels[0], channels[1], channels[2]
    width = mean.size
    first, last = _bounds(job, jobs, x.size, width)
    for r in range(first, last, width):
        row, out = x[r : r + width], y[r : r + width]
        if with_residual:
            other = residual[r : r + width]
            for c in range(row.size):
                value = (row[c] - mean[c]) * scale[c] + shift[c] + other[c]
                out[c] = floor if value < floor else value  # NaN stays
        else:
            for c in range(row.size):
                value = (row[c] - mean[c]) * scale[c] + shift[c]
                out[c] = floor if value < floor else value


@task(ARGUMENTS)
def _grad_sums(job, jobs, channels, x, dy, y, limit, gated, writes, partial):
    """Sums of g and of g * (x - mean), where g = dy, but 0 where y <= limit; g is also written, if wanted."""
    mean = channels[0]
    width = mean.size
    first, last = _bounds(job, jobs, x.size, width)
    partial[job] = 0
    sums, products = partial[job, 0], partial[job, 1]
    zero = x.dtype.type(0)
    for r in range(first, last, width):
        row_x, row_dy, row_y, row_g = x[r : r + width], dy[r : r + width], y[r : r + width], gated[r : r + width]
        if writes:
            for c in range(row_x.size):
                g = zero if row_y[c] <= limit else row_dy[c]
                row_g[c] = g
                sums[c] += np.float64(g)
                products[c] += np.float64(g * (row_x[c] - mean[c]))
        else:
            for c in range(row_x.size):
                g = zero if row_y[c] <= limit else row_dy[c]
                sums[c] += np.float64(g)
                products[c] += np.float64(g * (row_x[c] - mean[c]))


@task(ARGUMENTS)
def _grad(job, jobs, channels, x, dy, y, limit, d_x, _, __):
    """d_x = scale * (g - mean of g - (x - mean) * slope); ``channels`` are mean, mean of g, slope and scale."""
    mean, mean_g, slope, scale = channels[0], channels[1], channels[2], channels[3]
    width = mean.size
    first, last = _bounds(job, jobs, x.size, width)
    zero = x.dtype.type(0)
    for r in range(first, last, width):
        row_x, row_dy, row_y, out = x[r : r + width], dy[r : r + width], y[r : r + width], d_x[r : r + width]
        for c in range(row_x.size):
            g = zero if row_y[c] <= limit else row_dy[c]
            out[c] = scale[c] * ((g - mean_g[c]) - (row_x[c] - mean[c]) * slope[c])
