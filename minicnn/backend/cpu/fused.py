"""Batch norm joined with what is around it, in as few passes over memory as can be.

| | reads | writes |
|---|---|---|
| ``norm``: statistics | x | |
| apply, with residual sum, activation and means of planes | x, residual | y |
| ``norm_grad``: the two sums of a channel | x, dy, residual | the cotangent before the activation, where that pays |
| the gradient at x | x, dy | dx |
| ``fixed_norm_grad``: all of it | x, dy, residual | dx |

What comes before the activation is computed again on the way back, from x: that costs a few operations, and y is not
read. The kernels are in ``norm_kernels.py``.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from minicnn.backend.reference import fused as reference
from minicnn.backend.reference.fused import Line, Normed, NormGrads

from . import memory, norm_kernels
from .inputs import copied, floats
from .layout import empty_like_pixels, images_for, pixel_step, pixels
from .norm_kernels import Norm, Rows
from .norm_rows import ADD, FIXED, GATE, KEEP, MEANS, NONE, RELU, RESIDUAL, SILU
from .sharing import jobs

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
    y, means = _apply(x, Line(mean, inv_std, weight, bias), residual, activation, plane_means, out)
    return Normed(y, mean, variance, inv_std, means)


def fixed_norm(
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None = None,
    activation: str | None = None,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """See ``reference.fused.fixed_norm``, and ``norm`` for ``out``."""
    if not _suits(x, *line, residual):
        return _copied_into(out, reference.fixed_norm(x, line, residual, activation))
    return _apply(x, line, residual, activation, False, out)[0]


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


def norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    line: Line,
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
        overwrite_dy: dy is not needed any more: one of the gradients is written over it, or something in between.

    Raises:
        ValueError: if the gradient cannot be written into ``out``.
    """
    if dy.shape != x.shape or not _suits(x, *line, residual, dy, gate, plane_means_grad):
        grads = reference.norm_grad(dy, x, line, residual, activation, gate, plane_means_grad)
        return grads._replace(x=_copied_into(out, grads.x, add))
    gates = None
    if gate is not None or plane_means_grad is not None:
        gates = _gates(gate, plane_means_grad, x)
    places = _places(dy, x, residual, gates is not None or activation == "silu", activation, out, overwrite_dy)
    return _backward(dy, x, line, residual, activation, places, gates, ADD if add and out is not None else 0)


def fixed_norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None = None,
    activation: str | None = None,
    *,
    out: np.ndarray | None = None,
    add: bool = False,
    overwrite_dy: bool = False,
) -> NormGrads:
    """See ``reference.fused.fixed_norm_grad``, and ``norm_grad`` for the rest."""
    if dy.shape != x.shape or not _suits(x, *line, residual, dy):
        grads = reference.fixed_norm_grad(dy, x, line, residual, activation)
        return grads._replace(x=_copied_into(out, grads.x, add))
    places = _places(dy, x, residual, False, activation, out, overwrite_dy)
    return _backward(dy, x, line, residual, activation, places, None, FIXED | (ADD if add and out is not None else 0))


def relu_bias_grad(dy: np.ndarray, y: np.ndarray, *, overwrite_dy: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """See ``reference.fused.relu_bias_grad``; ``overwrite_dy``: dy is not needed any more, and becomes the gradient."""
    if dy.shape != y.shape or not _suits(y, dy):
        return reference.relu_bias_grad(dy, y)
    channels = y.shape[1]
    dx = dy if overwrite_dy and _written_in_place(dy) else empty_like_pixels(y)
    # y is what the ReLU's input was, where that was positive: a norm with mean 0 and scale 1.
    record = _record(y, dy=dy, out=dx, kept=dx, activation="relu")
    norm_kernels.grad_sums(y.dtype, len(record.sums), record)
    sums = record.sums[:, 0].sum(axis=0).reshape(-1, channels).sum(axis=0)
    return dx, sums.astype(y.dtype)


def _found(x: np.ndarray, eps: float) -> tuple[np.ndarray, bool]:
    """Mean, variance and 1 / sqrt(variance + eps), (3, C) in float64, and whether all variances are finite."""
    record = _record(x)
    norm_kernels.statistics(x.dtype, len(record.sums), record)
    found = np.empty((3, x.shape[1]))
    return found, norm_kernels.moments_of(record.sums, record.x, x.size // x.shape[1], eps, found)


def _apply(
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None,
    activation: str | None,
    plane_means: bool,
    out: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """y, and the means of its planes if they are wanted."""
    n, channels = x.shape[:2]
    y = empty_like_pixels(x) if out is None else images_for(x.shape, x.dtype, out)
    if not plane_means:
        record = _record(x, line, residual=residual, out=y, activation=activation, sums=NO_SUMS)
        norm_kernels.apply(x.dtype, jobs(x.size), record)
        return y, None
    record = _record(x, line, residual=residual, out=y, activation=activation, options=MEANS)
    norm_kernels.apply(x.dtype, len(record.sums), record)
    totals = record.sums[:, 0].reshape(n, -1, channels).sum(axis=1)
    return y, (totals / (x.size // (n * channels))).astype(x.dtype).reshape(n, channels, 1, 1)


def _places(
    dy: np.ndarray,
    x: np.ndarray,
    residual: np.ndarray | None,
    slow: bool,
    activation: str | None,
    out: np.ndarray | None,
    overwrite_dy: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Where the gradient at x is written, and the cotangent before the activation, if that is: where it is wanted, or
    takes long to compute again.
    """
    free = overwrite_dy and _written_in_place(dy)
    kept = None
    if slow or (activation is not None and residual is not None):
        kept = dy if free else empty_like_pixels(x)
    if out is not None:
        return images_for(x.shape, x.dtype, out), kept
    if residual is not None:
        return empty_like_pixels(x), kept
    return kept if kept is not None else dy if free else empty_like_pixels(x), kept


def _backward(
    dy: np.ndarray,
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None,
    activation: str | None,
    places: tuple[np.ndarray, np.ndarray | None],
    gates: np.ndarray | None,
    options: int,
) -> NormGrads:
    dx, kept = places
    record = _record(
        x, line, residual=residual, dy=dy, out=dx, kept=kept, gates=gates, activation=activation, options=options
    )
    norm_kernels.grad_sums(x.dtype, len(record.sums), record)
    totals, gradients = np.empty((1, 2, x.shape[1])), np.empty((2, x.shape[1]), x.dtype)
    norm_kernels.totals_of(record.sums, x.size // x.shape[1], record.inv_std, totals, gradients)
    if not options & FIXED:
        g, rows = record.dy, record.rows
        if kept is not None:
            g, rows = record.kept, rows._replace(dy_step=rows.kept_step, activation=NONE, options=options)
        norm_kernels.grad(x.dtype, jobs(x.size), record._replace(dy=g, rows=rows, sums=totals))
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


# ---- what the kernels are given --------------------------------------------------------------------------------------

NO_SUMS = np.empty((1, 2, 1))


def _record(
    x: np.ndarray,
    line: Line | None = None,
    *,
    residual: np.ndarray | None = None,
    dy: np.ndarray | None = None,
    out: np.ndarray | None = None,
    kept: np.ndarray | None = None,
    gates: np.ndarray | None = None,
    activation: str | None = None,
    options: int = 0,
    sums: np.ndarray | None = None,
) -> Norm:
    """The kernels' record, with x where there is no other array, and with memory for a job's sums each."""
    flat, x_step = _rows(x)
    others, other_step = (flat, x_step) if residual is None else _rows(residual)
    dys, dy_step = (flat, x_step) if dy is None else _rows(dy)
    outs, out_step = (flat, x_step) if out is None else _rows(out)
    kepts, kept_step = (flat, x_step) if kept is None else _rows(kept)
    options |= (0 if residual is None else RESIDUAL) | (0 if kept is None else KEEP) | (0 if gates is None else GATE)
    by_image = bool(options & (GATE | MEANS))
    steps = x_step, other_step, dy_step, out_step, kept_step
    rows = _cut(x.shape, steps, by_image, ACTIVATIONS[activation], options)
    parts = jobs(x.size)
    if by_image:
        parts = x.shape[0] * -(-parts // x.shape[0])
    if sums is None:
        sums = (np if parts == 1 else memory).empty((parts, 2, rows.width), np.float64)  # NumPy is quicker for few
    one, zero = _constants(x.shape[1], x.dtype)
    mean, inv_std, weight, bias = line or (None, None, None, None)
    return Norm(
        flat, others, dys, outs, kepts, _values(mean, zero), _values(inv_std, one), _values(weight, one),
        _values(bias, zero), flat if gates is None else gates, sums, rows,
    )  # fmt: skip


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
def _cut(shape: tuple[int, ...], steps: tuple[int, ...], by_image: bool, activation: int, options: int) -> Rows:
    """How arrays of this shape are cut into rows; the pixels of the five arrays lie so many numbers apart.

    ``by_image``: each image is whole rows, so that what belongs to it can be told from the others.
    """
    n, channels = shape[:2]
    plane = prod(shape[2:])
    times = -(-WIDTH // channels) if set(steps) == {channels} else 1  # pixels in a row
    if by_image:
        times = next(t for t in range(min(times, plane), 0, -1) if plane % t == 0)
    width, number = times * channels, -(-n * plane // times)
    last = (n * plane - (number - 1) * times) * channels
    x, residual, dy, out, kept = steps if times == 1 else (width,) * len(steps)
    return Rows(number, width, last, number // n, x, residual, dy, out, kept, activation, options)
