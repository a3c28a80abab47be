"""Batch norm joined with what is around it, in as few passes over memory as can be.

| | reads | writes |
|---|---|---|
| ``norm``: statistics | x | |
| apply, with residual sum and activation | x, residual | y |
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

from ..reference import fused as reference
from ..reference.fused import Line, Normed, NormGrads
from . import memory, norm_kernels
from .inputs import copied, floats
from .layout import empty_like_pixels, pixel_step, pixels
from .norm_kernels import Norm, Rows
from .norm_rows import ADD, FIXED, KEEP, NONE, RELU, RESIDUAL, SILU
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
) -> Normed:
    """See ``reference.fused.norm``."""
    if not _suits(x, weight, bias, residual):
        return reference.norm(x, weight, bias, eps, residual, activation)
    mean, variance, inv_std = statistics(x, eps)
    return Normed(_apply(x, Line(mean, inv_std, weight, bias), residual, activation), mean, variance, inv_std)


def fixed_norm(
    x: np.ndarray, line: Line, residual: np.ndarray | None = None, activation: str | None = None
) -> np.ndarray:
    """See ``reference.fused.fixed_norm``."""
    if not _suits(x, *line, residual):
        return reference.fixed_norm(x, line, residual, activation)
    return _apply(x, line, residual, activation)


def statistics(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean, the variance and 1 / sqrt(variance + eps) of each channel (C,) of x (N, C, ...)."""
    record = _record(x)
    norm_kernels.statistics(x.dtype, len(record.sums), record)
    found = np.empty((3, x.shape[1]))
    if not norm_kernels.moments_of(record.sums, record.x, x.size // x.shape[1], eps, found):
        _, *by_numpy = reference.batch_norm(x, None, None, eps)  # of NaN and infinity NumPy makes what it makes
        return by_numpy[0], by_numpy[1], by_numpy[2]
    mean, variance, inv_std = found.astype(x.dtype)
    return mean, variance, inv_std


def norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None = None,
    activation: str | None = None,
    *,
    before: np.ndarray | None = None,
) -> NormGrads:
    """See ``reference.fused.norm_grad``.

    Args:
        before: an earlier gradient at x, to which this one is added, in place if that can be.
    """
    if dy.shape != x.shape or not _suits(x, *line, residual, dy, before):
        grads = reference.norm_grad(dy, x, line, residual, activation)
        return grads if before is None else grads._replace(x=before + grads.x)
    # The cotangent before the activation is kept where it is wanted, or takes long to compute again.
    wanted = activation == "silu" or (activation is not None and residual is not None)
    kept = empty_like_pixels(x) if wanted else None
    if before is None:
        dx = kept if kept is not None and residual is None else empty_like_pixels(x)
    elif pixel_step(before) and before.flags.writeable:
        dx = before
    else:
        dx = empty_like_pixels(x)
        dx[...] = before
    return _backward(dy, x, line, residual, activation, dx, kept, 0 if before is None else ADD)


def fixed_norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> NormGrads:
    """See ``reference.fused.fixed_norm_grad``."""
    if dy.shape != x.shape or not _suits(x, *line, residual, dy):
        return reference.fixed_norm_grad(dy, x, line, residual, activation)
    kept = empty_like_pixels(x) if activation is not None and residual is not None else None
    return _backward(dy, x, line, residual, activation, empty_like_pixels(x), kept, FIXED)


def relu_bias_grad(dy: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """See ``reference.fused.relu_bias_grad``."""
    if dy.shape != y.shape or not _suits(y, dy):
        return reference.relu_bias_grad(dy, y)
    dx = empty_like_pixels(y)
    # y is what the ReLU's input was, where that was positive: a norm with mean 0 and scale 1.
    record = _record(y, dy=dy, out=dx, kept=dx, activation="relu")
    norm_kernels.grad_sums(y.dtype, len(record.sums), record)
    sums = record.sums[:, 0].sum(axis=0).reshape(-1, y.shape[1]).sum(axis=0)
    return dx, sums.astype(y.dtype)


def _apply(x: np.ndarray, line: Line, residual: np.ndarray | None, activation: str | None) -> np.ndarray:
    y = empty_like_pixels(x)
    record = _record(x, line, residual=residual, out=y, activation=activation, sums=NO_SUMS)
    norm_kernels.apply(x.dtype, jobs(x.size), record)
    return y


def _backward(
    dy: np.ndarray,
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None,
    activation: str | None,
    dx: np.ndarray,
    kept: np.ndarray | None,
    options: int,
) -> NormGrads:
    """The gradients: that at x is written into dx, and the cotangent before the activation into kept."""
    record = _record(x, line, residual=residual, dy=dy, out=dx, kept=kept, activation=activation, options=options)
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
    options |= (0 if residual is None else RESIDUAL) | (0 if kept is None else KEEP)
    rows = _cut(x.shape, (x_step, other_step, dy_step, out_step, kept_step), ACTIVATIONS[activation], options)
    if sums is None:
        parts = jobs(x.size)
        sums = (np if parts == 1 else memory).empty((parts, 2, rows.width), np.float64)  # NumPy is quicker for few
    one, zero = _constants(x.shape[1], x.dtype)
    mean, inv_std, weight, bias = line or (None, None, None, None)
    return Norm(
        flat, others, dys, outs, kepts, _values(mean, zero), _values(inv_std, one), _values(weight, one),
        _values(bias, zero), sums, rows,
    )  # fmt: skip


def _suits(x: np.ndarray, *others: np.ndarray | None) -> bool:
    """Whether the kernels take these: all float32 or all float64, none empty."""
    return x.ndim >= 2 and floats(x, *others)


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
def _cut(shape: tuple[int, ...], steps: tuple[int, ...], activation: int, options: int) -> Rows:
    """How arrays of this shape are cut into rows; the pixels of the five arrays lie so many numbers apart."""
    channels, count = shape[1], shape[0] * prod(shape[2:])
    times = -(-WIDTH // channels) if set(steps) == {channels} else 1  # pixels in a row
    width, number = times * channels, -(-count // times)
    last = (count - (number - 1) * times) * channels
    x, residual, dy, out, kept = steps if times == 1 else (width,) * len(steps)
    return Rows(number, width, last, x, residual, dy, out, kept, activation, options)
