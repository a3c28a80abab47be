"""Homework 2, conv.py: the holes, filled in another way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minicnn.backend.base import Window


def taps(window, out_size):
    places = [
        [slice(tap * dilation, tap * dilation + stride * (count - 1) + 1, stride) for tap in range(kernel)]
        for kernel, stride, dilation, count in zip(
            window.kernel_size, window.stride, window.dilation, out_size, strict=True
        )
    ]
    return ((i, j, (rows, cols)) for i, rows in enumerate(places[0]) for j, cols in enumerate(places[1]))


def im2col(x, window):
    n, c = x.shape[:2]
    return _views(x, window).transpose(1, 4, 5, 0, 2, 3).reshape(c * math.prod(window.kernel_size), -1)


def col2im(columns, x_shape, window):
    # Number the pixels, send the numbers through im2col: this tells which pixel each entry came from.
    pixels = np.arange(1, math.prod(x_shape) + 1).reshape(x_shape)  # 0 is the padding
    origin = im2col(pixels, window)
    sums = np.bincount(origin.ravel(), weights=columns.ravel(), minlength=pixels.size + 1)
    return sums[1:].reshape(x_shape).astype(columns.dtype)


def conv2d(x, weight, window, groups):
    views = _in_groups(_views(x, window), groups)
    filters = weight.reshape(groups, -1, *weight.shape[1:])
    y = np.einsum("gkcij,ngcpqij->ngkpq", filters, views, optimize=True)
    return y.reshape(len(x), len(weight), *y.shape[3:])


def conv2d_input_grad(dy, weight, x_shape, window, groups):
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


def conv2d_weight_grad(dy, x, weight_shape, window, groups):
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
