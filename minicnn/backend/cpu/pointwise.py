"""Elementwise functions, and products and sums over channels, in one pass over memory each.

An elementwise function does not care which number belongs to which pixel: arrays that lie in memory in the same order
are flat lists to it, whatever their shapes say. Others are copied into one order first.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from . import memory
from .inputs import channels_last, copied, floats, pixels
from .layout import empty_images, empty_like_pixels, pixel_step
from .microkernel import address_of
from .sharing import Matrix, Planes, Sums, Task, Vector, jobs, part_of, task
from .silu import sigmoid_numbers, silu_numbers, silu_slopes


class _Flat(NamedTuple):
    """Arrays of one length."""

    x: Vector
    other: Vector  # what is read besides; a function of one array gets x again
    out: Vector


class _Parts(NamedTuple):
    """Of the pixels in each row, the first ``channels`` numbers are read, or written."""

    a: Matrix
    b: Matrix
    total: Matrix
    channels: int


class _Scaled(NamedTuple):
    x: Planes  # (N, P, C)
    gate: Matrix  # (N, C)
    y: Planes


class _ScaledGrads(NamedTuple):
    dy: Planes
    x: Planes
    gate: Matrix
    dx: Planes
    sums: Sums  # (N, parts, C), of dy * x over parts of each image


class _Products(NamedTuple):
    dy: Planes
    x: Planes
    sums: Sums  # as of ``_ScaledGrads``


class _PixelSums(NamedTuple):
    rows: Matrix  # (P, C)
    sums: Annotated[np.ndarray, "float64[:,::1]"]  # (groups, C)


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0); NaN stays."""
    return _elementwise(_relu, x) if floats(x) else np.maximum(x, 0)


def relu_grad(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dy, but 0 where the output y of ``relu`` is not positive."""
    return _elementwise(_relu_grad, dy, y) if _alike(dy, y) else np.where(y <= 0, 0, dy)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), for an x of any size."""
    return _elementwise(_sigmoid, x) if floats(x) else _logistic(x)


def sigmoid_grad(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dy * y * (1 - y), where y is the output of ``sigmoid``."""
    return _elementwise(_sigmoid_grad, dy, y) if _alike(dy, y) else dy * y * (1 - y)


def silu(x: np.ndarray) -> np.ndarray:
    """x * sigmoid(x)."""
    return _elementwise(_silu, x) if floats(x) else x * _logistic(x)


def silu_grad(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy * s * (1 + x * (1 - s)) with s = sigmoid(x)."""
    if _alike(dy, x):
        return _elementwise(_silu_grad, dy, x)
    s = _logistic(x)
    return dy * s * (1 + x * (1 - s))


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b. Parts of other images, as ``joining.split_channels`` gives them, are read where they lie."""
    if not _alike(a, b):
        return a + b
    if _parts(a, b):
        total = empty_like_pixels(a)
        _add_parts(a.dtype, jobs(a.size), _Parts(_rows(a), _rows(b), _rows(total), a.shape[1]))
        return total
    return _elementwise(_add, a, b)


def _parts(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether both are images with pixels, and at least one of them a part of others."""
    steps = pixel_step(a), pixel_step(b)
    there = None not in steps and a.flags.writeable and b.flags.writeable
    return there and max(steps) > a.shape[1] * a.itemsize  # type: ignore[type-var]


def _rows(x: np.ndarray) -> np.ndarray:
    """The pixels of images with pixels, with what lies between one's channels and the next's: of each row only the
    first C numbers are x's.
    """
    step = pixel_step(x)
    assert step is not None
    return np.lib.stride_tricks.as_strided(x, (x.size // x.shape[1], step // x.itemsize), (step, x.itemsize))


def scale_channels(x: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """x (N, C, H, W) times one number for each of its planes, gate (N, C, 1, 1)."""
    if not _gates(x, gate):
        return x * gate
    y = empty_like_pixels(x)
    _scale(x.dtype, jobs(x.size), _Scaled(_planes(x), _gate(gate), _planes(y)))
    return y


def scale_channels_grad(dy: np.ndarray, x: np.ndarray, gate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of ``scale_channels`` at x (N, C, H, W) and gate (N, C, 1, 1)."""
    if not _gates(x, gate) or not _alike(dy, x):
        return dy * gate, (dy * x).sum(axis=(2, 3), keepdims=True)
    n, channels = x.shape[:2]
    dx = empty_like_pixels(x)
    parts = -(-jobs(x.size) // n)  # of an image
    sums = memory.empty((n, parts, channels), np.float64)
    count = n * parts if jobs(x.size) > 1 else 1
    _scale_grad(x.dtype, count, _ScaledGrads(_planes(dy), _planes(x), _gate(gate), _planes(dx), sums))
    d_gate = empty_images(n, channels, 1, 1, x.dtype)
    d_gate[:, :, 0, 0] = sums.sum(axis=1)
    return dx, d_gate


def plane_products(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The sums over planes of dy * x, for images (N, C, H, W): the gradient at a gate (N, C, 1, 1) of x."""
    if not _alike(dy, x) or x.ndim != 4:
        return (dy * x).sum(axis=(2, 3), keepdims=True)
    n, channels = x.shape[:2]
    parts = -(-jobs(x.size) // n)  # of an image
    sums = memory.empty((n, parts, channels), np.float64)
    _plane_products(x.dtype, n * parts if jobs(x.size) > 1 else 1, _Products(_planes(dy), _planes(x), sums))
    products = empty_images(n, channels, 1, 1, x.dtype)
    products[:, :, 0, 0] = sums.sum(axis=1)
    return products


def channel_sums(dy: np.ndarray) -> np.ndarray:
    """The sum of each channel of (N, C, ...): the gradient at a bias (C,)."""
    if not floats(dy) or dy.ndim < 2:
        return dy.sum(axis=(0, *range(2, dy.ndim)))
    return pixel_sums(pixels(dy), jobs(dy.size)).sum(axis=0).astype(dy.dtype)


def pixel_sums(rows: np.ndarray, groups: int) -> np.ndarray:
    """Sums over the pixels of each of so many equal groups of them: (P, C) -> (groups, C), float64.

    Where ``groups`` does not divide P, some have one more.
    """
    sums = memory.empty((groups, rows.shape[1]), np.float64)
    _pixel_sums(rows.dtype, groups if jobs(rows.size) > 1 else 1, _PixelSums(rows, sums))
    return sums


# ---- arrays as flat lists -----------------------------------------------------------------------------------------


def in_memory_order(first: np.ndarray, *others: np.ndarray) -> list[np.ndarray] | None:
    """Flat views of arrays of one shape, in the order in which ``first`` lies in memory; ``None`` if that has gaps.

    Those of ``others`` that lie otherwise are copied, and whatever cannot be written: kernels take no such arrays.
    """
    order = memory_order(first)
    if order is None:
        return None
    flat = []
    for array in (first, *others):
        view = array.transpose(order)
        usable = view.flags.c_contiguous and view.flags.writeable and view.flags.aligned
        flat.append((view if usable else copied(view)).reshape(-1))
    return flat


def memory_order(x: np.ndarray) -> tuple[int, ...] | None:
    """The axes from the one with the largest step in memory to that with the smallest, if there are no gaps between."""
    if not x.flags.aligned:
        return None
    if x.flags.c_contiguous:
        return tuple(range(x.ndim))
    order = tuple(sorted(range(x.ndim), key=lambda axis: (-x.strides[axis], axis)))
    return order if x.transpose(order).flags.c_contiguous else None


def _elementwise(run: Task, *arrays: np.ndarray) -> np.ndarray:
    """A new array, in memory like the last of ``arrays`` that has no gaps; in the kernel's list it comes last."""
    first = arrays[-1]
    order = memory_order(first)
    if order is None:
        order = (0, 2, 3, 1) if first.ndim == 4 else tuple(range(first.ndim))
    inputs = []
    for array in arrays:
        view = array.transpose(order)
        usable = view.flags.c_contiguous and view.flags.writeable and view.flags.aligned
        inputs.append((view if usable else copied(view)).reshape(-1))
    out = memory.empty(first.transpose(order).shape, first.dtype)
    run(first.dtype, jobs(first.size), _Flat(inputs[0], inputs[-1], out.reshape(-1)))
    return out.transpose(np.argsort(order))


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and floats(a, b)


def _logistic(x: Any) -> Any:
    small = np.exp(-abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def _gates(x: np.ndarray, gate: np.ndarray) -> bool:
    return x.ndim == 4 and gate.shape == (*x.shape[:2], 1, 1) and floats(x, gate)


def _planes(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) as a C-contiguous (N, H * W, C)."""
    return channels_last(x).reshape(x.shape[0], -1, x.shape[1])


def _gate(gate: np.ndarray) -> np.ndarray:
    return channels_last(gate).reshape(gate.shape[:2])


# ---- kernels ------------------------------------------------------------------------------------------------------


@task(_Flat)
def _relu(job, jobs, flat):
    x, y = part_of(job, jobs, flat.x), part_of(job, jobs, flat.out)
    zero = x.dtype.type(0)
    for k in range(y.size):
        y[k] = zero if x[k] < zero else x[k]


@task(_Flat)
def _relu_grad(job, jobs, flat):
    dy, y, dx = part_of(job, jobs, flat.x), part_of(job, jobs, flat.other), part_of(job, jobs, flat.out)
    zero = y.dtype.type(0)
    for k in range(dx.size):
        dx[k] = zero if y[k] <= zero else dy[k]


@task(_Flat)
def _add(job, jobs, flat):
    a, b, total = part_of(job, jobs, flat.x), part_of(job, jobs, flat.other), part_of(job, jobs, flat.out)
    for k in range(total.size):
        total[k] = a[k] + b[k]


@task(_Flat)
def _sigmoid(job, jobs, flat):
    x, y = part_of(job, jobs, flat.x), part_of(job, jobs, flat.out)
    sigmoid_numbers(address_of(y), address_of(x), x.size, x.dtype.type(0))


@task(_Flat)
def _sigmoid_grad(job, jobs, flat):
    dy, y, dx = part_of(job, jobs, flat.x), part_of(job, jobs, flat.other), part_of(job, jobs, flat.out)
    one = y.dtype.type(1)
    for k in range(dx.size):
        dx[k] = dy[k] * y[k] * (one - y[k])


@task(_Flat)
def _silu(job, jobs, flat):
    x, y = part_of(job, jobs, flat.x), part_of(job, jobs, flat.out)
    silu_numbers(address_of(y), address_of(x), x.size, x.dtype.type(0))


@task(_Flat)
def _silu_grad(job, jobs, flat):
    dy, x, dx = part_of(job, jobs, flat.x), part_of(job, jobs, flat.other), part_of(job, jobs, flat.out)
    silu_slopes(address_of(dx), address_of(dy), address_of(x), x.size, x.dtype.type(0))


@task(_Parts)
def _add_parts(job, jobs, parts):
    """total[p, c] = a[p, c] + b[p, c] for c < channels."""
    pixels = parts.a.shape[0]
    for p in range(job * pixels // jobs, (job + 1) * pixels // jobs):
        a, b, total = parts.a[p, : parts.channels], parts.b[p, : parts.channels], parts.total[p, : parts.channels]
        for c in range(total.size):
            total[c] = a[c] + b[c]


@task(_Scaled)
def _scale(job, jobs, scaled):
    """y[n, p] = x[n, p] * gate[n]."""
    images, size = scaled.x.shape[:2]
    for row in range(job * images * size // jobs, (job + 1) * images * size // jobs):
        n, p = row // size, row % size
        gate, x, y = scaled.gate[n], scaled.x[n, p], scaled.y[n, p]
        for c in range(y.size):
            y[c] = x[c] * gate[c]


@task(_ScaledGrads)
def _scale_grad(job, jobs, grads):
    """dx[n, p] = dy[n, p] * gate[n], and the sums of dy * x."""
    size = grads.x.shape[1]
    images, parts = grads.sums.shape[:2]
    for k in range(job * images * parts // jobs, (job + 1) * images * parts // jobs):
        n, part = k // parts, k % parts
        gate, total = grads.gate[n], grads.sums[n, part]
        total[:] = 0
        for p in range(part * size // parts, (part + 1) * size // parts):
            dy, x, dx = grads.dy[n, p], grads.x[n, p], grads.dx[n, p]
            for c in range(dx.size):
                dx[c] = dy[c] * gate[c]
                total[c] += np.float64(dy[c] * x[c])


@task(_Products)
def _plane_products(job, jobs, products):
    size = products.x.shape[1]
    images, parts = products.sums.shape[:2]
    for k in range(job * images * parts // jobs, (job + 1) * images * parts // jobs):
        n, part = k // parts, k % parts
        total = products.sums[n, part]
        total[:] = 0
        for p in range(part * size // parts, (part + 1) * size // parts):
            dy, x = products.dy[n, p], products.x[n, p]
            for c in range(total.size):
                total[c] += np.float64(dy[c] * x[c])


@task(_PixelSums)
def _pixel_sums(job, jobs, pixels):
    groups, count = pixels.sums.shape[0], pixels.rows.shape[0]
    for group in range(job * groups // jobs, (job + 1) * groups // jobs):
        total = pixels.sums[group]
        total[:] = 0
        first, last = group * count // groups, (group + 1) * count // groups
        paired = first + (last - first) // 2 * 2
        for p in range(first, paired, 2):
            one, other = pixels.rows[p], pixels.rows[p + 1]
            for c in range(total.size):
                total[c] += np.float64(one[c]) + np.float64(other[c])
        for p in range(paired, last):
            one = pixels.rows[p]
            for c in range(total.size):
                total[c] += np.float64(one[c])
