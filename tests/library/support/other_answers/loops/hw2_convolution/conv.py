"""Homework 2, conv.py: the holes, filled in another way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.backend.base import Window


def taps(window, out_size):
    for tap in range(window.kernel_size[0] * window.kernel_size[1]):
        i, j = divmod(tap, window.kernel_size[1])
        top, left = i * window.dilation[0], j * window.dilation[1]
        bottom, right = top + out_size[0] * window.stride[0], left + out_size[1] * window.stride[1]
        yield i, j, (slice(top, bottom, window.stride[0]), slice(left, right, window.stride[1]))


def im2col(x, window):
    padded = with_border(x, window)
    columns = []
    for image in padded:
        for rows, cols in windows(window, x.shape[2:]):
            columns.append(image[:, rows, cols].reshape(-1))  # C x kH x kW, one behind the other
    return np.stack(columns, axis=1)


def col2im(columns, x_shape, window):
    padded = with_border(np.zeros(x_shape, columns.dtype), window)
    left_over = iter(columns.T)
    for image in padded:
        for rows, cols in windows(window, x_shape[2:]):
            image[:, rows, cols] += next(left_over).reshape(x_shape[1], *window.kernel_size)
    top, left = window.padding[0][0], window.padding[1][0]
    return padded[:, :, top : top + x_shape[2], left : left + x_shape[3]]


def conv2d(x, weight, window, groups):
    padded = with_border(x, window)
    filters, per_group = len(weight), weight.shape[1]
    out_h, out_w = window.output_size(x.shape[2:])
    y = np.empty((len(x), filters, out_h * out_w), x.dtype)
    for n in range(len(x)):
        for k in range(filters):
            first = k // (filters // groups) * per_group  # of the channels that this filter sees
            for position, (rows, cols) in enumerate(windows(window, x.shape[2:])):
                y[n, k, position] = np.vdot(padded[n, first : first + per_group, rows, cols], weight[k])
    return y.reshape(len(x), filters, out_h, out_w)


def conv2d_input_grad(dy, weight, x_shape, window, groups):
    padded = with_border(np.zeros(x_shape, dy.dtype), window)
    filters, per_group = weight.shape[:2]
    for n in range(len(dy)):
        for k in range(filters):
            first = k // (filters // groups) * per_group
            for cotangent, (rows, cols) in zip(dy[n, k].ravel(), windows(window, x_shape[2:]), strict=True):
                padded[n, first : first + per_group, rows, cols] += cotangent * weight[k]
    return without_border(padded, x_shape, window)


def conv2d_weight_grad(dy, x, weight_shape, window, groups):
    padded = with_border(x, window)
    result = np.zeros(weight_shape, dy.dtype)
    filters, per_group = weight_shape[:2]
    for n in range(len(dy)):
        for k in range(filters):
            first = k // (filters // groups) * per_group
            for cotangent, (rows, cols) in zip(dy[n, k].ravel(), windows(window, x.shape[2:]), strict=True):
                result[k] += cotangent * padded[n, first : first + per_group, rows, cols]
    return result


def windows(window: Window, size: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """The pixels of every window, one window after the other."""
    out_h, out_w = window.output_size(size)
    for p in range(out_h):
        for q in range(out_w):
            top, left = p * window.stride[0], q * window.stride[1]
            yield (
                slice(top, top + window.extent(0), window.dilation[0]),
                slice(left, left + window.extent(1), window.dilation[1]),
            )


def with_border(x: np.ndarray, window: Window) -> np.ndarray:
    """``x`` in the middle of zeros."""
    (above, below), (left, right) = window.padding
    n, c, h, w = x.shape
    padded = np.zeros((n, c, above + h + below, left + w + right), x.dtype)
    without_border(padded, x.shape, window)[...] = x
    return padded


def without_border(padded: np.ndarray, x_shape: tuple[int, ...], window: Window) -> np.ndarray:
    """The part of ``padded`` that is the image."""
    top, left = window.padding[0][0], window.padding[1][0]
    return padded[:, :, top : top + x_shape[2], left : left + x_shape[3]]
