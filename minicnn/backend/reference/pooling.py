"""Pooling in plain NumPy: one pass over the image per tap of the window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..base import Pair, Window
from .conv import taps


def max_pool2d(x: np.ndarray, window: Window, out_size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The largest pixel of each window, and its position.

    Of equal pixels the first in reading order is taken, also if all are minus infinity; NaN counts as larger than
    everything; padding is never taken.

    Args:
        x: (N, C, H, W).
        window: kernel size, stride, padding and dilation.
        out_size: (oH, oW), including windows that reach over the lower or right edge (``ceil_mode``).

    Returns:
        maxima (N, C, oH, oW), dtype of x, and their positions ``row * W + column`` in the input plane (int64).
    """
    width = x.shape[3]
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = _pad_to_fit(x, window, out_size, lowest)
    rows, columns = (_window_starts(window, out_size, axis) for axis in (0, 1))
    best = np.full((*x.shape[:2], *out_size), lowest, x.dtype)
    inside = [start + _taps_above(start, window.dilation[axis]) for axis, start in enumerate((rows, columns))]
    indices = np.broadcast_to(inside[0][:, None] * width + inside[1], best.shape)
    for i, j, seen in taps(window, out_size):
        pixel = padded[:, :, *seen]
        wins = (pixel > best) | np.isnan(pixel) if x.dtype.kind == "f" else pixel > best
        position = (rows[:, None] + i * window.dilation[0]) * width + columns + j * window.dilation[1]
        best = np.where(wins, pixel, best)
        indices = np.where(wins, position, indices)
    return best, np.ascontiguousarray(indices)


def max_pool2d_grad(dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Add each cotangent to the pixel that was the maximum of its window; a pixel may be that of several windows.

    Args:
        dy: cotangent (N, C, oH, oW).
        indices: positions from ``max_pool2d`` (N, C, oH, oW), ``row * W + column``.
        x_shape: (N, C, H, W) of the input.

    Returns:
        (N, C, H, W), dtype of dy; 0 for a pixel that was no maximum.
    """
    n, c, h, w = x_shape
    dx = np.zeros((n * c, h * w), dy.dtype)
    planes = np.arange(n * c)[:, None]
    positions = (n * c, dy.shape[2] * dy.shape[3])
    np.add.at(dx, (planes, indices.reshape(positions)), dy.reshape(positions))
    return dx.reshape(x_shape)


def avg_pool2d(x: np.ndarray, window: Window, divisor: np.ndarray) -> np.ndarray:
    """The sum of each window, divided by ``divisor`` (oH, oW).

    Args:
        x: (N, C, H, W).

    Returns:
        (N, C, oH, oW).
    """
    out_size = divisor.shape
    padded = _pad_to_fit(x, window, out_size, 0)
    total = np.zeros((*x.shape[:2], *out_size), x.dtype)
    for _, _, seen in taps(window, out_size):
        total += padded[:, :, *seen]
    return total / divisor.astype(x.dtype)


def avg_pool2d_grad(dy: np.ndarray, x_shape: tuple[int, ...], window: Window, divisor: np.ndarray) -> np.ndarray:
    """Every pixel of a window gets the window's cotangent, divided by its divisor.

    Args:
        dy: cotangent (N, C, oH, oW).

    Returns:
        (N, C, H, W).
    """
    (top, _), (left, _) = window.padding
    share = dy / divisor.astype(dy.dtype)
    padded = _pad_to_fit(np.zeros(x_shape, dy.dtype), window, divisor.shape, 0)
    for _, _, seen in taps(window, divisor.shape):
        padded[:, :, *seen] += share
    return padded[:, :, top : top + x_shape[2], left : left + x_shape[3]]


def adaptive_avg_pool2d(x: np.ndarray, out_size: Pair) -> np.ndarray:
    """The mean of each cell of an ``out_size`` grid; cells overlap if the sizes are not divisible.

    Args:
        x: (N, C, H, W).

    Returns:
        (N, C, *out_size).
    """
    y = np.empty((*x.shape[:2], *out_size), x.dtype)
    for i, j, rows, columns in _cells(x.shape[2:], out_size):
        y[:, :, i, j] = x[:, :, rows, columns].mean(axis=(2, 3))
    return y


def adaptive_avg_pool2d_grad(dy: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Every pixel of a cell gets the cell's cotangent, divided by its area.

    Args:
        dy: cotangent (N, C, oH, oW).

    Returns:
        (N, C, H, W).
    """
    dx = np.zeros(x_shape, dy.dtype)
    for i, j, rows, columns in _cells(x_shape[2:], dy.shape[2:]):
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        dx[:, :, rows, columns] += dy[:, :, i, j, None, None] / area
    return dx


def _cells(size: tuple[int, ...], out_size: tuple[int, ...]) -> Iterator[tuple[int, int, slice, slice]]:
    """Cell i of o along a length n spans floor(i n / o) to ceil((i + 1) n / o)."""

    def span(i: int, axis: int) -> slice:
        return slice(i * size[axis] // out_size[axis], -((-(i + 1) * size[axis]) // out_size[axis]))

    for i in range(out_size[0]):
        for j in range(out_size[1]):
            yield i, j, span(i, 0), span(j, 1)


def _window_starts(window: Window, out_size: Pair, axis: int) -> np.ndarray:
    """Row (or column) of the image where each window begins; negative in the padding."""
    return np.arange(out_size[axis]) * window.stride[axis] - window.padding[axis][0]


def _taps_above(start: np.ndarray, dilation: int) -> np.ndarray:
    """How far to go down from each start, in steps of the dilation, to be inside the image."""
    return -(np.minimum(start, 0) // dilation) * dilation


def _pad_to_fit(x: np.ndarray, window: Window, out_size: Pair, value: float) -> np.ndarray:
    """Pad ``x`` so that even the last window fits, however far ``ceil_mode`` lets it reach over the edge."""
    padding = [(0, 0), (0, 0)]
    for axis in (0, 1):
        before, after = window.padding[axis]
        reach = (out_size[axis] - 1) * window.stride[axis] + window.extent(axis)
        padding.append((before, max(after, reach - before - x.shape[2 + axis])))
    return np.pad(x, padding, constant_values=value)
