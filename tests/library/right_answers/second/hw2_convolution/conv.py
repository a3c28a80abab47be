"""Convolution as a matrix product, in plain NumPy: im2col, and both gradients.

``docs/convolution.md`` derives every line. With N images, K filters of C/G channels in G groups and kH x kW taps, and
L = oH * oW window positions an image, the shapes are::

    columns  (G, C/G * kH * kW, N * L)   each column is what one window sees
    filters  (G, K/G, C/G * kH * kW)     each row is one filter
    output   (G, K/G, N * L)             = filters @ columns
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minicnn.backend.base import Pair, Window


def taps(window: Window, out_size: Pair) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    """For each tap (i, j) of the kernel, the pixels of the padded image that it sees, one for each window.

    Args:
        window: kernel size, stride and dilation; the padding has been done.
        out_size: (oH, oW), how many windows lie below and beside each other.

    Yields:
        i, j and two slices (rows, columns), in reading order. ``padded[..., rows, columns]`` is oH x oW, and its entry
        (p, q) is ``padded[..., p * stride + i * dilation, q * stride + j * dilation]``. Height and width have a stride
        and a dilation each.
    """
    places = [
        [slice(tap * dilation, tap * dilation + stride * (count - 1) + 1, stride) for tap in range(kernel)]
        for kernel, stride, dilation, count in zip(
            window.kernel_size, window.stride, window.dilation, out_size, strict=True
        )
    ]
    return ((i, j, (rows, cols)) for i, rows in enumerate(places[0]) for j, cols in enumerate(places[1]))


def im2col(x: np.ndarray, window: Window) -> np.ndarray:
    """Copy what each window sees into a column.

    Args:
        x: images (N, C, H, W).
        window: kernel size, stride, dilation, and how many rows and columns of zeros to pad on each side.

    Returns:
        (C * kH * kW, N * oH * oW), dtype of x: row (c, i, j) holds tap (i, j) of channel c, column (n, p, q) is what
        window (p, q) sees of image n. Both count with the last index running fastest::

            columns[(c, i, j), (n, p, q)] = padded[n, c, p * stride + i * dilation, q * stride + j * dilation]
    """
    n, c = x.shape[:2]
    return _views(x, window).transpose(1, 4, 5, 0, 2, 3).reshape(c * math.prod(window.kernel_size), -1)


def col2im(columns: np.ndarray, x_shape: tuple[int, ...], window: Window) -> np.ndarray:
    """The adjoint of ``im2col``: add every column back to the pixels it was copied from.

    Windows overlap, so a pixel collects from all windows that saw it; what the padding collects is thrown away.

    Args:
        columns: (C * kH * kW, N * oH * oW), ordered as ``im2col`` orders them.
        x_shape: (N, C, H, W) of the images.
        window: the window that ``im2col`` was given.

    Returns:
        (N, C, H, W), dtype of columns; 0 where no window looks.
    """
    # Number the pixels, send the numbers through im2col: this tells which pixel each entry came from.
    pixels = np.arange(1, math.prod(x_shape) + 1).reshape(x_shape)  # 0 is the padding
    origin = im2col(pixels, window)
    sums = np.bincount(origin.ravel(), weights=columns.ravel(), minlength=pixels.size + 1)
    return sums[1:].reshape(x_shape).astype(columns.dtype)


def conv2d(x: np.ndarray, weight: np.ndarray, window: Window, groups: int = 1) -> np.ndarray:
    """Slide the filters over the padded images, and at each position add up what they see times their weights::

        y[n, k, p, q] = sum_cij weight[k, c, i, j] * padded[n, c, p * stride + i * dilation, q * stride + j * dilation]

    With groups, channels and filters are cut into that many runs, and a run of filters sees only its run of channels.

    Args:
        x: (N, C, H, W).
        weight: (K, C / groups, kH, kW).
        window: kernel size (kH, kW), stride, padding and dilation.

    Returns:
        (N, K, oH, oW), dtype of x.
    """
    views = _in_groups(_views(x, window), groups)
    filters = weight.reshape(groups, -1, *weight.shape[1:])
    y = np.einsum("gkcij,ngcpqij->ngkpq", filters, views, optimize=True)
    return y.reshape(len(x), len(weight), *y.shape[3:])


def conv2d_input_grad(
    dy: np.ndarray, weight: np.ndarray, x_shape: tuple[int, ...], window: Window, groups: int = 1
) -> np.ndarray:
    """The gradient at the input: what every output that saw a pixel sends back to it, added up.

    Args:
        dy: cotangent of the output (N, K, oH, oW).
        weight: (K, C / groups, kH, kW).
        x_shape: (N, C, H, W).
        window, groups: what ``conv2d`` was given.

    Returns:
        (N, C, H, W), dtype of dy.
    """
    # A transposed convolution: spread dy out by the stride, and slide the flipped kernel over all of it.
    n, k, out_h, out_w = dy.shape
    spread = np.zeros((n, k, *(window.stride[a] * (dy.shape[2 + a] - 1) + 1 for a in (0, 1))), dy.dtype)
    spread[:, :, :: window.stride[0], :: window.stride[1]] = dy
    border = []
    for a in (0, 1):
        reach = window.extent(a) - 1
        size = x_shape[2 + a] + sum(window.padding[a])
        border.append((reach, size - spread.shape[2 + a]))
    full = Window(window.kernel_size, (1, 1), (border[0], border[1]), window.dilation)
    per_group = k // groups, weight.shape[1]
    flipped = weight[:, :, ::-1, ::-1].reshape(groups, *per_group, *window.kernel_size).swapaxes(1, 2)
    padded = conv2d(spread, flipped.reshape(x_shape[1], per_group[0], *window.kernel_size), full, groups)
    top, left = window.padding[0][0], window.padding[1][0]
    return padded[:, :, top : top + x_shape[2], left : left + x_shape[3]]


def conv2d_weight_grad(
    dy: np.ndarray, x: np.ndarray, weight_shape: tuple[int, ...], window: Window, groups: int = 1
) -> np.ndarray:
    """The gradient at the weight: correlate ``dy`` with what each window saw.

    Args:
        dy: cotangent of the output (N, K, oH, oW).
        x: (N, C, H, W), not padded.
        weight_shape: (K, C / groups, kH, kW).
        window, groups: what ``conv2d`` was given.

    Returns:
        ``weight_shape``, dtype of dy.
    """
    views = _in_groups(_views(x, window), groups)
    cotangents = _in_groups(dy, groups)
    return np.einsum("ngkpq,ngcpqij->gkcij", cotangents, views, optimize=True).reshape(weight_shape)


def _views(x: np.ndarray, window: Window) -> np.ndarray:
    """(N, C, oH, oW, kH, kW): every window of the padded images, without a copy."""
    padded = np.pad(x, [(0, 0), (0, 0), *window.padding])
    seen = sliding_window_view(padded, (window.extent(0), window.extent(1)), axis=(2, 3))
    (down, across), (tap_down, tap_across) = window.stride, window.dilation
    return seen[:, :, ::down, ::across, ::tap_down, ::tap_across]


def _in_groups(array: Any, groups: int) -> Any:
    """(N, C, ...) -> (N, G, C / G, ...)."""
    return array.reshape(len(array), groups, -1, *array.shape[2:])
