"""Pooling, channels last: a window's maximum or sum is taken for all channels of a pixel at once.

Forward, a job is a few output rows. Backward, it is a few rows of the image: each pixel collects from the windows that
hold it, so that no two threads write to one place, and windows may overlap.

A maximum is remembered by the number of the winning *tap*, the place in the window in reading order: one byte, where an
index takes eight. Windows of more than 256 taps are rare, and theirs takes eight.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from ..base import Pair, Window
from ..reference import pooling as reference
from .compiling import kernel
from .inputs import channels_last, floats, spread_pixels
from .layout import empty_images
from .pointwise import pixel_sums
from .sharing import Images, Matrix, Task, jobs, task


def max_pool_taps(x: np.ndarray, window: Window, out_size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The largest pixel of each window, and which of the window's taps it was.

    Of equal pixels the first in reading order wins; NaN wins over everything; padding never wins. A window that sees
    nothing but padding has -inf and tap 0.

    Args:
        x: (N, C, H, W), float32 or float64, not empty.
        window, out_size: as of ``reference.pooling.max_pool2d``.

    Returns:
        maxima and taps (N, C, oH, oW). The tap in row i and column j of the kernel is number ``i * kW + j``; uint8, or
        int64 for kernels of more than 256 taps.
    """
    images = spread_pixels(x)
    y = _empty((*x.shape[:2], *out_size), x.dtype)
    taps = _empty(y.shape, tap_dtype(window))
    run, record = (_max_pool, _Maxima) if taps.dtype == np.uint8 else (_max_pool_large, _LargeMaxima)
    run(x.dtype, jobs(x.size), record(images, *_axes(window), spread_pixels(y), channels_last(taps)))
    return y, taps


def max_pool_taps_grad(dy: np.ndarray, taps: np.ndarray, x_shape: tuple[int, ...], window: Window) -> np.ndarray:
    """Send each cotangent to the pixel that won its window; a pixel that won several collects their sum.

    Args:
        dy: cotangent (N, C, oH, oW), float32 or float64.
        taps: from ``max_pool_taps``.
        x_shape: (N, C, H, W) of the input.

    Returns:
        (N, C, H, W); 0 where a pixel won nothing.
    """
    if dy.shape != taps.shape or dy.shape[:2] != tuple(x_shape[:2]):
        raise ValueError(f"expected a cotangent for each of the taps {taps.shape} of {x_shape}, got {dy.shape}")
    dx = _empty(x_shape, dy.dtype)
    run, record = (_max_pool_grad, _Maxima) if taps.dtype == np.uint8 else (_max_pool_grad_large, _LargeMaxima)
    run(dy.dtype, jobs(dx.size), record(channels_last(dx), *_axes(window), spread_pixels(dy), channels_last(taps)))
    return dx


def taps_to_indices(taps: np.ndarray, x_shape: tuple[int, ...], window: Window) -> np.ndarray:
    """Positions ``row * W + column`` in the input plane (int64) of the winning taps (N, C, oH, oW)."""
    (kernel_h, kernel_w), width = window.kernel_size, x_shape[3]
    rows, columns = (np.arange(taps.shape[2 + axis]) * window.stride[axis] - window.padding[axis][0] for axis in (0, 1))
    of_tap = np.add.outer(
        np.arange(kernel_h) * window.dilation[0] * width, np.arange(kernel_w) * window.dilation[1]
    ).reshape(-1)
    indices = _empty(taps.shape, np.int64)
    images = channels_last(indices)
    np.take(of_tap, channels_last(taps), out=images)
    images += np.add.outer(rows * width, columns)[:, :, None]
    return indices


def max_pool2d(x: np.ndarray, window: Window, out_size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """See ``reference.pooling.max_pool2d``."""
    if x.ndim != 4 or not floats(x) or 0 in out_size or not all_see_pixels(x.shape, window, out_size):
        return reference.max_pool2d(x, window, out_size)
    y, taps = max_pool_taps(x, window, out_size)
    return y, taps_to_indices(taps, x.shape, window)


def max_pool2d_grad(
    dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...], window: Window | None = None
) -> np.ndarray:
    """See ``reference.pooling.max_pool2d_grad``; the indices say all that is needed of the window."""
    fits = dy.ndim == 4 and dy.shape == indices.shape and dy.shape[:2] == tuple(x_shape[:2])
    if not fits or not floats(dy) or indices.dtype != np.int64 or 0 in x_shape:
        return reference.max_pool2d_grad(dy, indices, x_shape)
    n, channels = x_shape[:2]
    dx = _empty(x_shape, dy.dtype)
    # An image and a block of its channels is a job: its windows may overlap, so that one thread sees to all of them.
    blocks = max(1, min(channels // 16, jobs(dx.size) // n))
    wrong = np.zeros(n * blocks, np.int64)
    record = _Scattered(channels_last(dx), channels_last(dy), channels_last(indices), blocks, wrong)
    _scatter(dy.dtype, n * blocks, record)
    if wrong.any():  # indices that are not in the image
        return reference.max_pool2d_grad(dy, indices, x_shape)
    return dx


def avg_pool2d(x: np.ndarray, window: Window, divisor: np.ndarray) -> np.ndarray:
    """See ``reference.pooling.avg_pool2d``."""
    if x.ndim != 4 or not floats(x) or 0 in divisor.shape:
        return reference.avg_pool2d(x, window, divisor)
    y = _empty((*x.shape[:2], *divisor.shape), x.dtype)
    record = _Means(spread_pixels(x), *_axes(window), _as(divisor, x), spread_pixels(y), x.shape[1])
    _avg_pool(x.dtype, jobs(x.size), record)
    return y


def avg_pool2d_grad(dy: np.ndarray, x_shape: tuple[int, ...], window: Window, divisor: np.ndarray) -> np.ndarray:
    """See ``reference.pooling.avg_pool2d_grad``."""
    if dy.shape != (*x_shape[:2], *divisor.shape) or not floats(dy) or 0 in x_shape:
        return reference.avg_pool2d_grad(dy, x_shape, window, divisor)
    dx = _empty(x_shape, dy.dtype)
    record = _Means(channels_last(dx), *_axes(window), _as(divisor, dy), spread_pixels(dy), x_shape[1])
    _avg_pool_grad(dy.dtype, jobs(dx.size), record)
    return dx


def adaptive_avg_pool2d(x: np.ndarray, out_size: Pair) -> np.ndarray:
    """See ``reference.pooling.adaptive_avg_pool2d``."""
    if x.ndim != 4 or not floats(x) or not _divides(x.shape, out_size):
        return reference.adaptive_avg_pool2d(x, out_size)
    n, channels, height, width = x.shape
    if tuple(out_size) == (1, 1):
        means = pixel_sums(channels_last(x).reshape(-1, channels), n) / (height * width)
        y = empty_images(n, channels, 1, 1, x.dtype)
        y[:, :, 0, 0] = means
        return y
    return avg_pool2d(x, *_cells(x.shape, out_size))


def adaptive_avg_pool2d_grad(dy: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """See ``reference.pooling.adaptive_avg_pool2d_grad``."""
    if dy.ndim != 4 or not floats(dy) or 0 in x_shape or 0 in dy.shape:
        return reference.adaptive_avg_pool2d_grad(dy, x_shape)
    if _divides(x_shape, dy.shape[2:]):
        return avg_pool2d_grad(dy, x_shape, *_cells(x_shape, dy.shape[2:]))
    lengths = [np.diff(_spans(x_shape[2 + axis], dy.shape[2 + axis])) for axis in (0, 1)]
    shares = channels_last(dy) / np.multiply(lengths[0], lengths[1].T).astype(dy.dtype)[:, :, None]
    dx = _empty(x_shape, dy.dtype)
    channels_last(dx)[...] = _spread(_spread(shares, 1, x_shape[2]), 2, x_shape[3])  # rows first: they are fewer then
    return dx


def _spans(length: int, cells: int) -> np.ndarray:
    """Where each cell along a length begins and ends: (cells, 2). They overlap where the lengths do not divide."""
    numbers = np.arange(cells)
    return np.stack([numbers * length // cells, -(-(numbers + 1) * length // cells)], axis=1)


def _spread(shares: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Along an axis of cells, give the share of each to all that lies in it: an axis of ``length``."""
    total = np.zeros((*shares.shape[:axis], length, *shares.shape[axis + 1 :]), shares.dtype)
    cells = np.moveaxis(total, axis, 0), np.moveaxis(shares, axis, 0)
    for (begin, end), share in zip(_spans(length, shares.shape[axis]), cells[1], strict=True):
        cells[0][begin:end] += share
    return total


def _empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    n, channels, height, width = shape
    return empty_images(n, channels, height, width, dtype)


def tap_dtype(window: Window) -> np.dtype:
    """The dtype of the numbers of a window's taps."""
    return np.dtype(np.uint8 if window.kernel_size[0] * window.kernel_size[1] <= 256 else np.int64)


def _divides(x_shape: tuple[int, ...], out_size: tuple[int, ...]) -> bool:
    """Whether all cells are of one size, and none overlap."""
    return 0 not in x_shape and 0 not in out_size and not any(x_shape[2 + a] % out_size[a] for a in (0, 1))


def _cells(x_shape: tuple[int, ...], out_size: tuple[int, ...]) -> tuple[Window, np.ndarray]:
    """The cells as a window, and its divisor."""
    size = x_shape[2] // out_size[0], x_shape[3] // out_size[1]
    return Window(size, size), np.full(tuple(out_size), size[0] * size[1])


def all_see_pixels(x_shape: tuple[int, ...], window: Window, out_size: Pair) -> bool:
    """Whether every window has a tap inside the image."""
    for axis in (0, 1):
        starts = np.arange(out_size[axis]) * window.stride[axis] - window.padding[axis][0]
        places = np.add.outer(starts, np.arange(window.kernel_size[axis]) * window.dilation[axis])
        if not ((places >= 0) & (places < x_shape[2 + axis])).any(axis=1).all():
            return False
    return True


def _axes(window: Window) -> tuple[_Axis, _Axis]:
    """The window along height and width."""
    height, width = (
        _Axis(window.kernel_size[axis], window.stride[axis], window.padding[axis][0], window.dilation[axis])
        for axis in (0, 1)
    )
    return height, width


def _as(divisor: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The divisor in the dtype of ``like``, C-contiguous and writable."""
    return np.array(divisor, like.dtype, order="C")


# ---- kernels ------------------------------------------------------------------------------------------------------


class _Axis(NamedTuple):
    """A window along one axis."""

    size: int
    stride: int
    padding: int  # before the first pixel
    dilation: int


class _Maxima(NamedTuple):
    """Images (N, H, W, C), or their gradient; what is pooled of them, or its cotangent; and the taps that won."""

    images: Images
    height: _Axis
    width: _Axis
    pooled: Images
    taps: Annotated[np.ndarray, "uint8[:,:,:,::1]"]


class _LargeMaxima(NamedTuple):
    """The same for windows of more than 256 taps."""

    images: Images
    height: _Axis
    width: _Axis
    pooled: Images
    taps: Annotated[np.ndarray, "int64[:,:,:,::1]"]


class _Means(NamedTuple):
    """Images (N, H, W, C), or their gradient, and what is pooled of them, or its cotangent."""

    images: Images
    height: _Axis
    width: _Axis
    divisor: Matrix  # (oH, oW)
    pooled: Images
    channels: int


class _Scattered(NamedTuple):
    dx: Images
    dy: Images
    indices: Annotated[np.ndarray, "int64[:,:,:,::1]"]
    blocks: int  # of an image's channels
    wrong: Annotated[np.ndarray, "int64[::1]"]  # per job, whether an index was outside the image


@kernel()
def _inside(place, pixels, axis):
    """Which taps of the window number ``place`` lie within so many pixels: the first, and after the last."""
    start = place * axis.stride - axis.padding
    first = 0 if start >= 0 else (-start + axis.dilation - 1) // axis.dilation
    stop = (pixels - 1 - start) // axis.dilation + 1 if start < pixels else 0
    return min(first, axis.size), max(min(first, axis.size), min(stop, axis.size))


@kernel()
def _holding(pixel, places, axis):
    """Which windows along an axis might hold a pixel: the first, and after the last."""
    last = pixel + axis.padding  # where the last of them begins, if not before; the first ends here
    first = last - (axis.size - 1) * axis.dilation
    first = 0 if first <= 0 else (first + axis.stride - 1) // axis.stride
    return first, min(places, last // axis.stride + 1)


@kernel()
def _tap(pixel, place, axis):
    """Which tap of window number ``place`` lies on a pixel that it reaches; -1 if it lies between two."""
    distance = pixel + axis.padding - place * axis.stride
    if axis.dilation == 1:  # a division takes as long as some vectors of channels
        return distance
    return distance // axis.dilation if distance % axis.dilation == 0 else -1


def _max_pool_rows(job, jobs, maxima):
    """Maxima and taps of some output rows."""
    x, y, height, width = maxima.images, maxima.pooled, maxima.height, maxima.width
    number = maxima.taps.dtype.type
    rows, kernel_w, step_h, step_w = y.shape[0] * y.shape[1], width.size, height.dilation, width.dilation
    for row in range(job * rows // jobs, (job + 1) * rows // jobs):
        n, p = row // y.shape[1], row % y.shape[1]
        first_i, stop_i = _inside(p, x.shape[1], height)
        above = p * height.stride - height.padding
        for q in range(y.shape[2]):
            first_j, stop_j = _inside(q, x.shape[2], width)
            left = q * width.stride - width.padding
            winner = maxima.taps[n, p, q]
            best = y[n, p, q, : winner.size]
            start = number(first_i * kernel_w + first_j if first_i < stop_i and first_j < stop_j else 0)
            for c in range(best.size):
                best[c] = -np.inf
                winner[c] = start
            for i in range(first_i, stop_i):
                line = x[n, above + i * step_h]
                j = first_j
                while j + 2 < stop_j:
                    k = i * kernel_w + j
                    pixel_0, pixel_1 = line[left + j * step_w], line[left + (j + 1) * step_w]
                    pixel_2 = line[left + (j + 2) * step_w]
                    tap_0, tap_1, tap_2 = number(k), number(k + 1), number(k + 2)
                    for c in range(best.size):
                        value, tap = best[c], winner[c]
                        wins = pixel_0[c] > value or pixel_0[c] != pixel_0[c]
                        value, tap = pixel_0[c] if wins else value, tap_0 if wins else tap
                        wins = pixel_1[c] > value or pixel_1[c] != pixel_1[c]
                        value, tap = pixel_1[c] if wins else value, tap_1 if wins else tap
                        wins = pixel_2[c] > value or pixel_2[c] != pixel_2[c]
                        best[c], winner[c] = pixel_2[c] if wins else value, tap_2 if wins else tap
                    j += 3
                while j < stop_j:
                    pixel, tap = line[left + j * step_w], number(i * kernel_w + j)
                    for c in range(best.size):
                        wins = pixel[c] > best[c] or pixel[c] != pixel[c]
                        best[c] = pixel[c] if wins else best[c]
                        winner[c] = tap if wins else winner[c]
                    j += 1


def _max_pool_grad_rows(job, jobs, maxima):
    """The gradient at some rows of the images."""
    dx, dy, height, width = maxima.images, maxima.pooled, maxima.height, maxima.width
    rows = dx.shape[0] * dx.shape[1]
    zero = dx.dtype.type(0)
    for row in range(job * rows // jobs, (job + 1) * rows // jobs):
        n, h = row // dx.shape[1], row % dx.shape[1]
        first_p, stop_p = _holding(h, dy.shape[1], height)
        for w in range(dx.shape[2]):
            out = dx[n, h, w]
            out[:] = 0
            first_q, stop_q = _holding(w, dy.shape[2], width)
            for p in range(first_p, stop_p):
                i = _tap(h, p, height)
                if i < 0:
                    continue
                for q in range(first_q, stop_q):
                    j = _tap(w, q, width)
                    if j < 0:
                        continue
                    tap = maxima.taps.dtype.type(i * width.size + j)
                    cotangent, winner = dy[n, p, q], maxima.taps[n, p, q]
                    for c in range(out.size):
                        out[c] += cotangent[c] if winner[c] == tap else zero


_max_pool, _max_pool_large = Task(_max_pool_rows, _Maxima), Task(_max_pool_rows, _LargeMaxima)
_max_pool_grad, _max_pool_grad_large = Task(_max_pool_grad_rows, _Maxima), Task(_max_pool_grad_rows, _LargeMaxima)


@task(_Scattered)
def _scatter(job, jobs, scattered):
    """The gradient at a block of the channels of one image, by the winners' positions."""
    dx, dy, blocks = scattered.dx, scattered.dy, scattered.blocks
    n, block = job // blocks, job % blocks
    first, last = block * dx.shape[3] // blocks, (block + 1) * dx.shape[3] // blocks
    image = dx[n].reshape(dx.shape[1] * dx.shape[2], dx.shape[3])
    image[:, first:last] = 0
    for p in range(dy.shape[1]):
        for q in range(dy.shape[2]):
            cotangent, position = dy[n, p, q], scattered.indices[n, p, q]
            for c in range(first, last):
                if 0 <= position[c] < image.shape[0]:
                    image[position[c], c] += cotangent[c]
                else:
                    scattered.wrong[job] = 1


@task(_Means)
def _avg_pool(job, jobs, means):
    """Means of some output rows."""
    x, y, height, width = means.images, means.pooled, means.height, means.width
    rows = y.shape[0] * y.shape[1]
    for row in range(job * rows // jobs, (job + 1) * rows // jobs):
        n, p = row // y.shape[1], row % y.shape[1]
        first_i, stop_i = _inside(p, x.shape[1], height)
        above = p * height.stride - height.padding
        for q in range(y.shape[2]):
            first_j, stop_j = _inside(q, x.shape[2], width)
            left = q * width.stride - width.padding
            out, count = y[n, p, q, : means.channels], means.divisor[p, q]
            out[:] = 0
            for i in range(first_i, stop_i):
                for j in range(first_j, stop_j):
                    pixel = x[n, above + i * height.dilation, left + j * width.dilation]
                    for c in range(out.size):
                        out[c] += pixel[c]
            for c in range(out.size):
                out[c] /= count


@task(_Means)
def _avg_pool_grad(job, jobs, means):
    """The gradient at some rows of the images."""
    dx, dy, height, width = means.images, means.pooled, means.height, means.width
    rows = dx.shape[0] * dx.shape[1]
    for row in range(job * rows // jobs, (job + 1) * rows // jobs):
        n, h = row // dx.shape[1], row % dx.shape[1]
        first_p, stop_p = _holding(h, dy.shape[1], height)
        for w in range(dx.shape[2]):
            out = dx[n, h, w]
            out[:] = 0
            first_q, stop_q = _holding(w, dy.shape[2], width)
            for p in range(first_p, stop_p):
                for q in range(first_q, stop_q):
                    if _tap(h, p, height) >= 0 and _tap(w, q, width) >= 0:
                        cotangent, count = dy[n, p, q], means.divisor[p, q]
                        for c in range(out.size):
                            out[c] += cotangent[c] / count
