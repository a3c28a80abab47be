"""The passes of batch norm over memory, each shared among the threads; ``fused.py`` says which are needed for what.

The kernels see rows of ``width`` numbers, a multiple of C: several pixels make one row where C is small. Arrays may be
channels of larger images, ``big[:, a:b]``; then a row is a pixel, and rows lie further apart.

Sums are taken in float64, in parts that are the same for any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .compiling import kernel
from .microkernel import address_of
from .norm_rows import Row, apply_row, grad_row, sums_row
from .sharing import Sums, Vector, task


class Rows(NamedTuple):
    """How arrays are cut into rows, and what is done with each row."""

    number: int  # of rows
    width: int  # numbers in a row
    last: int  # numbers in the last row
    x_step: int  # numbers from a row of an array to its next
    residual_step: int
    dy_step: int
    out_step: int
    kept_step: int
    activation: int  # see ``norm_rows.py``
    options: int


class Norm(NamedTuple):
    """What the kernels read and write. They leave alone what ``rows.options`` says nothing of."""

    x: Vector
    residual: Vector
    dy: Vector
    out: Vector  # y, or the gradient at x
    kept: Vector  # the cotangent before the activation
    mean: Vector  # (C,)
    inv_std: Vector
    weight: Vector
    bias: Vector
    sums: Sums  # (jobs, 2, width)
    rows: Rows


@kernel()
def _some_rows(job, jobs, count):
    return job * count // jobs, (job + 1) * count // jobs


@kernel()
def _lines(norm, count):
    """The first ``count`` lines of ``norm_rows.py``, of which it fills the first three."""
    width, channels = norm.rows.width, norm.mean.size
    lines = np.zeros((count, (width + 15) // 16 * 16), norm.mean.dtype)  # whole vectors
    for k in range(0, width, channels):
        for c in range(channels):
            lines[0, k + c] = norm.mean[c]
            lines[1, k + c] = norm.weight[c] * norm.inv_std[c]
            lines[2, k + c] = norm.bias[c]
    return lines


@kernel()
def _row(norm, number, lines):
    """A row of each array."""
    rows, size = norm.rows, norm.x.itemsize
    return Row(
        x=address_of(norm.x) + number * rows.x_step * size,
        residual=address_of(norm.residual) + number * rows.residual_step * size,
        dy=address_of(norm.dy) + number * rows.dy_step * size,
        out=address_of(norm.out) + number * rows.out_step * size,
        kept=address_of(norm.kept) + number * rows.kept_step * size,
        count=rows.last if number == rows.number - 1 else rows.width,
        lines=address_of(lines),
        line_step=lines.shape[1] * size,
        activation=rows.activation,
        options=rows.options,
    )


@task(Norm)
def statistics(job, jobs, norm):
    """Sums of x - origin and of its square; the origin is the first pixel."""
    x, width, step = norm.x, norm.rows.width, norm.rows.x_step
    first, stop = _some_rows(job, jobs, norm.rows.number)
    channels = norm.mean.size
    origin = np.empty(width, np.float64)
    for k in range(0, width, channels):
        for c in range(channels):
            origin[k + c] = x[c]
    total, squares = norm.sums[job, 0], norm.sums[job, 1]
    total[:] = 0
    squares[:] = 0
    whole = stop if norm.rows.last == width else min(stop, norm.rows.number - 1)
    four = first + max(0, whole - first) // 4 * 4
    for r in range(first, four, 4):
        place = r * step
        row_0, row_1 = x[place : place + width], x[place + step : place + step + width]
        place += 2 * step
        row_2, row_3 = x[place : place + width], x[place + step : place + step + width]
        for c in range(width):
            start = origin[c]
            value_0, value_1 = np.float64(row_0[c]) - start, np.float64(row_1[c]) - start
            value_2, value_3 = np.float64(row_2[c]) - start, np.float64(row_3[c]) - start
            total[c] += (value_0 + value_1) + (value_2 + value_3)
            squares[c] += (value_0 * value_0 + value_1 * value_1) + (value_2 * value_2 + value_3 * value_3)
    for r in range(four, stop):
        row = x[r * step : r * step + (norm.rows.last if r == norm.rows.number - 1 else width)]
        for c in range(row.size):
            value = np.float64(row[c]) - origin[c]
            total[c] += value
            squares[c] += value * value


@kernel()
def moments_of(sums, x, count, eps, moments):
    """Mean, variance and 1 / sqrt(variance + eps) of each channel; whether all variances are finite."""
    parts, _, width = sums.shape
    channels = moments.shape[1]
    finite = True
    for c in range(channels):
        total = squares = 0.0
        for part in range(parts):
            for k in range(c, width, channels):
                total += sums[part, 0, k]
                squares += sums[part, 1, k]
        mean = total / count
        variance = max(squares / count - mean * mean, 0.0)
        finite &= np.isfinite(variance)
        moments[0, c] = mean + x[c]
        moments[1, c] = variance
        moments[2, c] = 1 / np.sqrt(variance + eps)
    return finite


@task(Norm)
def apply(job, jobs, norm):
    """out = activation((x - mean) * scale + shift [+ residual])."""
    first, stop = _some_rows(job, jobs, norm.rows.number)
    lines = _lines(norm, 3)
    for r in range(first, stop):
        apply_row(_row(norm, r, lines), norm.x.dtype.type(0))


@task(Norm)
def grad_sums(job, jobs, norm):
    """Sums of g and of g * (x - mean). g is written, if it is wanted, and out too if the statistics are fixed."""
    width = norm.rows.width
    first, stop = _some_rows(job, jobs, norm.rows.number)
    lines = _lines(norm, 3)
    total = np.zeros((2, lines.shape[1]))
    for r in range(first, stop):
        sums_row(_row(norm, r, lines), address_of(total[0]), address_of(total[1]), norm.x.dtype.type(0))
    norm.sums[job] = total[:, :width]


@kernel()
def totals_of(sums, count, inv_std, totals, gradients):
    """From the sums of all parts: for ``grad`` the mean of g and the slope, and the gradients at weight and bias."""
    parts, _, width = sums.shape
    channels = inv_std.size
    for c in range(channels):
        total = products = 0.0
        for part in range(parts):
            for k in range(c, width, channels):
                total += sums[part, 0, k]
                products += sums[part, 1, k]
        wide = np.float64(inv_std[c])
        totals[0, 0, c] = total / count
        totals[0, 1, c] = wide * wide * products / count
        gradients[0, c] = products * wide
        gradients[1, c] = total


@task(Norm)
def grad(job, jobs, norm):
    """out = scale * (g - mean of g - (x - mean) * slope); the sums (1, 2, C) are what ``totals_of`` found."""
    channels, totals = norm.mean.size, norm.sums
    first, stop = _some_rows(job, jobs, norm.rows.number)
    lines = _lines(norm, 5)
    for k in range(0, norm.rows.width, channels):
        for c in range(channels):
            lines[3, k + c] = totals[0, 0, c]
            lines[4, k + c] = totals[0, 1, c]
    for r in range(first, stop):
        grad_row(_row(norm, r, lines), norm.x.dtype.type(0))
