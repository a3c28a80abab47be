"""Batch norm joined with what is around it, in as few passes over memory as can be.

| | reads | writes |
|---|---|---|
| ``norm``: statistics | x | |
| apply, with residual sum, activation and means of planes | x, residual | y |
| ``norm_grad``: the two sums of a channel | x, dy, residual | the cotangent behind the activation, where that pays |
| the gradient at x | x, dy | dx |
| ``fixed_norm_grad``: all of it | x, dy, residual | dx |

What comes before the activation is computed again on the way back, from x: that costs a few operations, and y is not
read. The kernels see rows of ``width`` numbers, a multiple of C: several pixels make one row where C is small. Arrays
may be channels of larger images, ``big[:, a:b]``; then a row is a pixel, and rows lie further apart.

Sums are taken in float64, in parts that are the same for any number of threads.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..reference import fused as reference
from ..reference.fused import Normed as Normed
from ..reference.fused import NormGrads as NormGrads
from . import memory
from .compiling import kernel
from .inputs import copied, floats
from .layout import empty_like_pixels, images_for, pixel_step, pixels
from .microkernel import address_of
from .norm_rows import ADD, FIXED, GATE, KEEP, MEANS, NONE, RELU, RESIDUAL, SILU, apply_row, grad_row, sums_row
from .sharing import jobs, task

WIDTH = 512  # numbers in a row, at least, where pixels lie side by side
ACTIVATIONS = {None: NONE, "relu": RELU, "silu": SILU}


def norm(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    residual: np.ndarray | None = None,
    activation: str | None = None,
    plane_means: bool = False,
    *,
    moments: tuple[np.ndarray, np.ndarray] | None = None,
    out: np.ndarray | None = None,
) -> Normed:
    """See ``reference.fused.norm``.

    Args:
        moments: mean and variance of each channel, if they are known: from ``conv.conv2d_moments`` or ``moments``.
        out: where y is written, instead of new images; it may be x or the residual.

    Raises:
        ValueError: if y cannot be written into ``out``.
    """
    if not _suits(x, weight, bias, residual):
        normed = reference.norm(x, weight, bias, eps, residual, activation, plane_means)
        return normed._replace(y=_copied_into(out, normed.y))
    if moments is not None and np.isfinite(moments[1]).all():
        inv_std = (1 / np.sqrt(moments[1] + eps)).astype(x.dtype)
        mean, variance = (moment.astype(x.dtype) for moment in moments)
    else:
        mean, variance, inv_std = statistics(x, eps)
    y, means = _apply_line(x, weight, bias, mean, inv_std, residual, activation, plane_means, out)
    return Normed(y, mean, variance, inv_std, means)


def fixed_norm(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    residual: np.ndarray | None = None,
    activation: str | None = None,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """See ``reference.fused.fixed_norm``, and ``norm`` for ``out``."""
    if not _suits(x, weight, bias, residual, mean, inv_std):
        return _copied_into(out, reference.fixed_norm(x, weight, bias, mean, inv_std, residual, activation))
    return _apply_line(x, weight, bias, mean, inv_std, residual, activation, False, out)[0]


def statistics(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean, the variance and 1 / sqrt(variance + eps) of each channel (C,) of x (N, C, ...)."""
    found, finite = _found(x, eps)
    if not finite:  # of NaN and infinity NumPy makes what it makes
        _, *by_numpy = reference.batch_norm(x, None, None, eps)
        return by_numpy[0], by_numpy[1], by_numpy[2]
    mean, variance, inv_std = found.astype(x.dtype)
    return mean, variance, inv_std


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the variance of each channel (C,) of x (N, C, ...), float64, for ``norm``.

    Those of images whose channels come from several places are these places' moments, end to end. The variance of what
    is not finite is NaN.
    """
    if not _suits(x):
        axes = (0, *range(2, x.ndim))
        return x.mean(axis=axes, dtype=np.float64), x.var(axis=axes, dtype=np.float64)
    found, _ = _found(x, 0.0)
    return found[0], found[1]


def _found(x: np.ndarray, eps: float) -> tuple[np.ndarray, bool]:
    """Mean, variance and 1 / sqrt(variance + eps), (3, C) in float64, and whether all variances are finite."""
    flat, step = _rows(x)
    channels, dtype = x.shape[1], x.dtype
    one, zero = _constants(channels, dtype)
    parts = jobs(x.size)
    geometry = _geometry(x.shape, step, step, step, step, step, NONE, 0)
    partial = memory.empty((parts, 2, geometry[1]), np.float64)
    _statistics.unchecked(dtype, parts, flat, flat, flat, flat, flat, zero, one, one, zero, flat, geometry, partial)
    found = np.empty((3, channels))
    return found, _moments(partial, flat, x.size // channels, eps, found)


def norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    residual: np.ndarray | None = None,
    activation: str | None = None,
    gate: np.ndarray | None = None,
    plane_means_grad: np.ndarray | None = None,
    *,
    out: np.ndarray | None = None,
    add: bool = False,
    overwrite_dy: bool = False,
) -> NormGrads:
    """See ``reference.fused.norm_grad``.

    Args:
        out: where the gradient at x is written, instead of new images.
        add: add it to what is in ``out``.
        overwrite_dy: dy is not wanted any more: one of the gradients is written over it, or something in between.

    Raises:
        ValueError: if the gradient cannot be written into ``out``.
    """
    fits = dy.shape == x.shape and _suits(x, weight, bias, residual, dy, mean, inv_std, gate, plane_means_grad)
    if not fits:
        grads = reference.norm_grad(dy, x, weight, bias, mean, inv_std, residual, activation, gate, plane_means_grad)
        return grads._replace(x=_copied_into(out, grads.x, add))
    return _backward(
        dy, x, weight, bias, mean, inv_std, residual, activation, gate, plane_means_grad, out, add, overwrite_dy, False
    )


def fixed_norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    residual: np.ndarray | None = None,
    activation: str | None = None,
    *,
    out: np.ndarray | None = None,
    add: bool = False,
    overwrite_dy: bool = False,
) -> NormGrads:
    """See ``reference.fused.fixed_norm_grad``, and ``norm_grad`` for the rest."""
    if dy.shape != x.shape or not _suits(x, weight, bias, residual, dy, mean, inv_std):
        grads = reference.fixed_norm_grad(dy, x, weight, bias, mean, inv_std, residual, activation)
        return grads._replace(x=_copied_into(out, grads.x, add))
    return _backward(dy, x, weight, bias, mean, inv_std, residual, activation, None, None, out, add, overwrite_dy, True)


def relu_bias_grad(dy: np.ndarray, y: np.ndarray, *, overwrite_dy: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """See ``reference.fused.relu_bias_grad``; ``overwrite_dy``: dy is not wanted any more, and becomes the gradient."""
    if dy.shape != y.shape or not _suits(y, dy):
        return reference.relu_bias_grad(dy, y)
    channels, dtype = y.shape[1], y.dtype
    one, zero = _constants(channels, dtype)
    (flat, step), (flat_dy, dy_step) = _rows(y), _rows(dy)
    dx = dy if overwrite_dy and _written_in_place(dy) else empty_like_pixels(y)
    flat_dx, dx_step = _rows(dx)
    # y is what the ReLU's input was, where that was positive: a norm with mean 0 and scale 1.
    geometry = _geometry(y.shape, step, step, dy_step, dx_step, dx_step, RELU, KEEP)
    partial = memory.empty((jobs(y.size), 2, geometry[1]), np.float64)
    line = zero, one, one, zero
    _grad_sums.unchecked(
        dtype, jobs(y.size), flat, flat, flat_dy, flat_dx, flat_dx, *line, flat, geometry, partial
    )  # fmt: skip
    sums = partial[:, 0].sum(axis=0).reshape(-1, channels).sum(axis=0)
    return dx, sums.astype(dtype)


# ---- what the kernels are given --------------------------------------------------------------------------------------


def _suits(x: np.ndarray, *others: np.ndarray | None) -> bool:
    """Whether the kernels take these: all float32 or all float64, none empty."""
    return x.ndim >= 2 and floats(x, *others)


def _copied_into(out: np.ndarray | None, result: np.ndarray, add: bool = False) -> np.ndarray:
    """The result, or ``out`` with the result written into it or added to it."""
    if out is None:
        return result
    images_for(result.shape, result.dtype, out)
    out[...] = out + result if add else result
    return out


class _Stretch:
    """Memory from the first number of channels of larger images to the last."""

    __slots__ = ("__array_interface__", "images")

    def __init__(self, images: np.ndarray, step: int) -> None:
        self.images = images  # keeps the memory
        count = (images.size // images.shape[1] - 1) * step + images.shape[1]
        self.__array_interface__ = {**images.__array_interface__, "shape": (count,), "strides": None}


def _rows(x: np.ndarray) -> tuple[np.ndarray, int]:
    """The pixels of (N, C, ...) as a flat array, and how many numbers from a pixel to the next. Copied if need be."""
    if x.ndim == 4 and x.flags.writeable:
        view = x.transpose(0, 2, 3, 1)
        if view.flags.c_contiguous and view.flags.aligned:
            return view.reshape(-1), x.shape[1]
        step = pixel_step(x)
        if step:
            return np.asarray(_Stretch(x, step // x.itemsize)), step // x.itemsize
    rows = pixels(x)
    return (rows if rows.flags.writeable else copied(rows)).reshape(-1), x.shape[1]


def _written_in_place(x: np.ndarray) -> bool:
    """Whether the kernels can write into x (N, C, ...) where it lies."""
    return x.flags.writeable and pixel_step(x) is not None


@lru_cache(maxsize=512)
def _constants(channels: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """(C,) ones and zeros: the weight and the bias where there is none."""
    return np.ones(channels, dtype), np.zeros(channels, dtype)


def _values(values: np.ndarray | None, instead: np.ndarray) -> np.ndarray:
    """The numbers of the channels (C,), writable as far as the compiler knows."""
    if values is None:
        return instead
    flags = values.flags
    return values if flags.c_contiguous and flags.aligned and flags.writeable else values.copy()


@lru_cache(maxsize=1024)
def _geometry(
    shape: tuple[int, ...],
    x: int,
    other: int,
    dy: int,
    out: int,
    kept: int,
    activation: int,
    options: int,
    planes: bool = False,
) -> np.ndarray:
    """How arrays of this shape are cut into rows, for the kernels; the five arrays' pixels lie so many numbers apart.

    ``planes``: each image is whole rows, so that what belongs to it can be told from the others.
    """
    channels = shape[1]
    count = shape[0]
    for length in shape[2:]:
        count *= length
    times = -(-WIDTH // channels) if {x, other, dy, out, kept} == {channels} else 1
    if planes:
        plane = count // shape[0]
        times = next(t for t in range(min(times, plane), 0, -1) if plane % t == 0)
    width, rows = times * channels, -(-count // times)
    last = (count - (rows - 1) * times) * channels
    steps = [step if times == 1 else width for step in (x, other, dy, out, kept)]
    return np.array([rows, width, last, *steps, activation, options, rows // shape[0]], np.int64)


def _apply_line(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    residual: np.ndarray | None,
    activation: str | None,
    plane_means: bool,
    out: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """y, and the means of its planes if they are wanted."""
    n, channels, dtype = x.shape[0], x.shape[1], x.dtype
    one, zero = _constants(channels, dtype)
    flat, step = _rows(x)
    y = empty_like_pixels(x) if out is None else images_for(x.shape, dtype, out)
    flat_y, y_step = _rows(y)
    other, other_step, options = (flat, step, 0) if residual is None else (*_rows(residual), RESIDUAL)
    parts, sums = jobs(x.size), NO_SUMS
    if plane_means:
        options |= MEANS
        parts = n * -(-parts // n)
    geometry = _geometry(x.shape, step, other_step, step, y_step, step, ACTIVATIONS[activation], options, plane_means)
    if plane_means:
        sums = memory.empty((parts, 2, geometry[1]), np.float64)
    _apply.unchecked(
        dtype, parts, flat, other, flat, flat_y, flat, _values(mean, zero), _values(inv_std, one),
        _values(weight, one), _values(bias, zero), flat, geometry, sums,
    )  # fmt: skip
    if not plane_means:
        return y, None
    totals = sums[:, 0].reshape(n, -1, channels).sum(axis=1)
    return y, (totals / (x.size // (n * channels))).astype(dtype).reshape(n, channels, 1, 1)


def _backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    residual: np.ndarray | None,
    activation: str | None,
    gate: np.ndarray | None,
    plane_means_grad: np.ndarray | None,
    out: np.ndarray | None,
    add: bool,
    overwrite_dy: bool,
    fixed: bool,
) -> NormGrads:
    n, channels, dtype = x.shape[0], x.shape[1], x.dtype
    one, zero = _constants(channels, dtype)
    flat, step = _rows(x)
    flat_dy, dy_step = _rows(dy)
    line = _values(mean, zero), _values(inv_std, one), _values(weight, one), _values(bias, zero)
    other, other_step, options = (flat, step, 0) if residual is None else (*_rows(residual), RESIDUAL)

    # What lies behind the activation, g, is written where it is wanted, or where it takes long to compute again.
    gated = gate is not None or plane_means_grad is not None
    changes = gated or activation is not None
    keeps = changes and (residual is not None or ((gated or activation == "silu") and not fixed))
    free = overwrite_dy and _written_in_place(dy)
    kept = None if not keeps else dy if free else empty_like_pixels(x)
    if out is not None:
        dx = images_for(x.shape, dtype, out)
    elif residual is None:
        dx = kept if kept is not None else dy if free else empty_like_pixels(x)
    else:
        dx = empty_like_pixels(x)
    flat_dx, dx_step = _rows(dx)
    flat_kept, kept_step = (flat_dx, dx_step) if kept is None else _rows(kept)
    scales = _gates(gate, plane_means_grad, x) if gated else flat
    options |= (
        (KEEP if keeps else 0)
        | (FIXED if fixed else 0)
        | (ADD if add and out is not None else 0)
        | (GATE if gated else 0)
    )
    geometry = _geometry(
        x.shape, step, other_step, dy_step, dx_step, kept_step, ACTIVATIONS[activation], options, gated
    )
    parts = jobs(x.size)
    if gated:
        parts = n * -(-parts // n)
    partial = memory.empty((parts, 2, geometry[1]), np.float64)
    arrays = flat, other, flat_dy, flat_dx, flat_kept, *line, scales, geometry
    _grad_sums.unchecked(dtype, parts, *arrays, partial)
    totals, gradients = np.empty((1, 2, channels)), np.empty((2, channels), dtype)
    _totals(partial, x.size // channels, line[1], totals, gradients)
    if not fixed:
        if keeps:
            arrays = flat, other, flat_kept, flat_dx, flat_kept, *line, scales, _geometry(
                x.shape, step, other_step, kept_step, dx_step, kept_step, NONE, options & ADD, 1
            )  # fmt: skip
        _grad.unchecked(dtype, jobs(x.size), *arrays, totals)
    d_residual = None if residual is None else dy if kept is None else kept
    return NormGrads(dx, gradients[0], gradients[1], d_residual)


def _gates(gate: np.ndarray | None, plane_means_grad: np.ndarray | None, x: np.ndarray) -> np.ndarray:
    """For each plane what dy is multiplied by, (N, C), and then what is added: one flat array."""
    n, channels = x.shape[:2]
    scales = np.empty((2, n, channels), x.dtype)
    scales[0] = 1 if gate is None else gate.reshape(n, channels)
    scales[1] = 0 if plane_means_grad is None else plane_means_grad.reshape(n, channels)
    scales[1] /= x.shape[2] * x.shape[3]
    return scales.reshape(-1)


NO_SUMS = np.empty((1, 2, 1))


# ---- kernels ---------------------------------------------------------------------------------------------------------

# x, another (the residual), dy, what is written, g behind the activation; mean, inv_std, weight and bias (C,); what dy
# is multiplied by and what is added, for each plane; geometry; sums (jobs, 2, width). All take the same, so that one
# loop serves them: see ``sharing.py``.
ARGUMENTS = (
    "T[::1], T[::1], T[::1], T[::1], T[::1], T[::1], T[::1], T[::1], T[::1], T[::1], int64[::1], float64[:,:,::1]"
)


@kernel()
def _some_rows(job, jobs, rows):
    return job * rows // jobs, (job + 1) * rows // jobs


@kernel()
def _lines(mean, inv_std, weight, bias, count, width):
    """The first ``count`` lines of ``norm_rows.py`` for rows of this width, of which it fills the first three."""
    lines = np.zeros((count, (width + 15) // 16 * 16), mean.dtype)  # whole vectors
    channels = mean.size
    for k in range(0, width, channels):
        for c in range(channels):
            lines[0, k + c] = mean[c]
            lines[1, k + c] = weight[c] * inv_std[c]
            lines[2, k + c] = bias[c]
    return lines


@task(ARGUMENTS)
def _statistics(job, jobs, x, _, __, ___, ____, mean, _____, ______, _______, ________, geometry, sums):
    """Sums of x - origin and of its square; the origin is the first pixel."""
    rows, width, last, step = geometry[:4]
    first, stop = _some_rows(job, jobs, rows)
    channels = mean.size
    origin = np.empty(width, np.float64)
    for k in range(0, width, channels):
        for c in range(channels):
            origin[k + c] = x[c]
    total, squares = sums[job, 0], sums[job, 1]
    total[:] = 0
    squares[:] = 0
    whole = stop if last == width else min(stop, rows - 1)
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
        row = x[r * step : r * step + (last if r == rows - 1 else width)]
        for c in range(row.size):
            value = np.float64(row[c]) - origin[c]
            total[c] += value
            squares[c] += value * value


@kernel()
def _moments(sums, x, count, eps, moments):
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


@task(ARGUMENTS)
def _apply(job, jobs, x, residual, _, y, __, mean, inv_std, weight, bias, ___, geometry, sums):
    """y = activation((x - mean) * scale + shift [+ residual]), and sums of y over the rows of the job if asked for."""
    rows, width, last, step, other_step, _, y_step, _, activation, options = geometry[:10]
    first, stop = _some_rows(job, jobs, rows)
    lines = _lines(mean, inv_std, weight, bias, 3, width)
    size, total = x.itemsize, np.zeros(lines.shape[1])
    for r in range(first, stop):
        apply_row(
            address_of(y) + r * y_step * size, address_of(x) + r * step * size,
            address_of(residual) + r * other_step * size, address_of(lines), lines.shape[1] * size,
            last if r == rows - 1 else width, activation, options, address_of(total), x.dtype.type(0),
        )  # fmt: skip
    if options & MEANS:
        sums[job, 0] = total[:width]


@task(ARGUMENTS)
def _grad_sums(job, jobs, x, residual, dy, d_x, kept, mean, inv_std, weight, bias, scales, geometry, sums):
    """Sums of g and of g * (x - mean). g is written, if it is wanted, and d_x too if the statistics are fixed."""
    rows, width, last, step, other_step, dy_step, dx_step, kept_step, activation, options, per_image = geometry[:11]
    first, stop = _some_rows(job, jobs, rows)
    lines = _lines(mean, inv_std, weight, bias, 5, width)
    channels = mean.size
    if options & GATE:  # a job's rows are all of one image
        image, second = first // per_image, scales.size // 2
        for k in range(0, width, channels):
            for c in range(channels):
                lines[3, k + c] = scales[image * channels + c]
                lines[4, k + c] = scales[second + image * channels + c]
    size, total = x.itemsize, np.zeros((2, lines.shape[1]))
    for r in range(first, stop):
        sums_row(
            address_of(x) + r * step * size, address_of(residual) + r * other_step * size,
            address_of(dy) + r * dy_step * size, address_of(d_x) + r * dx_step * size,
            address_of(kept) + r * kept_step * size, address_of(lines), lines.shape[1] * size,
            last if r == rows - 1 else width, activation, options, address_of(total[0]), address_of(total[1]),
            x.dtype.type(0),
        )  # fmt: skip
    sums[job] = total[:, :width]


@kernel()
def _totals(sums, count, inv_std, totals, gradients):
    """From the sums of all parts: for ``_grad`` the mean of g and the slope, and the gradients at weight and bias."""
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


@task(ARGUMENTS)
def _grad(job, jobs, x, residual, dy, d_x, _, mean, inv_std, weight, bias, __, geometry, totals):
    """d_x = scale * (g - mean of g - (x - mean) * slope)."""
    rows, width, last, step, other_step, dy_step, dx_step, _, activation, options = geometry[:10]
    first, stop = _some_rows(job, jobs, rows)
    lines = _lines(mean, inv_std, weight, bias, 7, width)
    channels = mean.size
    for k in range(0, width, channels):
        for c in range(channels):
            lines[5, k + c] = totals[0, 0, c]
            lines[6, k + c] = totals[0, 1, c]
    size = x.itemsize
    for r in range(first, stop):
        grad_row(
            address_of(x) + r * step * size, address_of(residual) + r * other_step * size,
            address_of(dy) + r * dy_step * size, address_of(d_x) + r * dx_step * size, address_of(lines),
            lines.shape[1] * size, last if r == rows - 1 else width, activation, options, x.dtype.type(0),
        )  # fmt: skip
