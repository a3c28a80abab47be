"""Convolution as a matrix product, in plain NumPy: im2col, and both gradients.

``docs/convolution.md`` derives every line. With N images, K filters of C/G channels in G groups and kH x kW taps, and
L = oH * oW window positions an image, the shapes are::

    columns  (G, C/G * kH * kW, N * L)   each column is what one window sees
    filters  (G, K/G, C/G * kH * kW)     each row is one filter
    output   (G, K/G, N * L)             = filters @ columns
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

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
    for tap in range(window.kernel_size[0] * window.kernel_size[1]):
        i, j = divmod(tap, window.kernel_size[1])
        top, left = i * window.dilation[0], j * window.dilation[1]
        bottom, right = top + out_size[0] * window.stride[0], left + out_size[1] * window.stride[1]
        yield i, j, (slice(top, bottom, window.stride[0]), slice(left, right, window.stride[1]))


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
    padded = with_border(x, window)
    columns = []
    for image in padded:
        for rows, cols in windows(window, x.shape[2:]):
            columns.append(image[:, rows, cols].reshape(-1))  # C x kH x kW, one behind the other
    return np.stack(columns, axis=1)


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
    padded = with_border(np.zeros(x_shape, columns.dtype), window)
    left_over = iter(columns.T)
    for image in padded:
        for rows, cols in windows(window, x_shape[2:]):
            image[:, rows, cols] += next(left_over).reshape(x_shape[1], *window.kernel_size)
    top, left = window.padding[0][0], window.padding[1][0]
    return padded[:, :, top : top + x_shape[2], left : left + x_shape[3]]


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
    padded = with_border(np.zeros(x_shape, dy.dtype), window)
    filters, per_group = weight.shape[:2]
    for n in range(len(dy)):
        for k in range(filters):
            first = k // (filters // groups) * per_group
            for cotangent, (rows, cols) in zip(dy[n, k].ravel(), windows(window, x_shape[2:]), strict=True):
                padded[n, first : first + per_group, rows, cols] += cotangent * weight[k]
    return without_border(padded, x_shape, window)


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
