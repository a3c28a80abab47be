"""Convolution as a matrix product, in plain NumPy: im2col, and both gradients.

``docs/convolution.md`` derives every line. With N images, K filters of C/G channels in G groups and kH x kW taps, and
L = oH * oW window positions per image, the shapes are::

    columns  (G, C/G * kH * kW, N * L)   each column holds the pixels of one window
    filters  (G, K/G, C/G * kH * kW)     each row is one filter
    output   (G, K/G, N * L)             = filters @ columns
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.backend.base import Pair, Window


def taps(window: Window, out_size: Pair) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    """For each tap (i, j) of the kernel, the pixels of the padded image that it reads, one per window.

    Args:
        window: kernel size, stride and dilation; the image is padded already.
        out_size: (oH, oW), the numbers of windows along height and width.

    Yields:
        i, j and two slices (rows, columns), in reading order. ``padded[..., rows, columns]`` is oH x oW, and its entry
        (p, q) is ``padded[..., p * stride + i * dilation, q * stride + j * dilation]``. Height and width have a stride
        and a dilation each.
    """

    def seen(tap: int, axis: int) -> slice:
        start = tap * window.dilation[axis]
        return slice(start, start + (out_size[axis] - 1) * window.stride[axis] + 1, window.stride[axis])

    for i in range(window.kernel_size[0]):
        for j in range(window.kernel_size[1]):
            yield i, j, (seen(i, 0), seen(j, 1))


def im2col(x: np.ndarray, window: Window) -> np.ndarray:
    """Copy the pixels of each window into a column.

    Args:
        x: images (N, C, H, W).
        window: kernel size, stride, dilation, and how many rows and columns of zeros to pad on each side.

    Returns:
        (C * kH * kW, N * oH * oW), dtype of x: row (c, i, j) holds tap (i, j) of channel c, column (n, p, q) holds the
        pixels of window (p, q) in image n. In both, the last index runs fastest::

            columns[(c, i, j), (n, p, q)] = padded[n, c, p * stride + i * dilation, q * stride + j * dilation]
    """
    n, c, h, w = x.shape
    out_h, out_w = window.output_size((h, w))
    padded = np.pad(x, ((0, 0), (0, 0), *window.padding))
    columns = np.empty((c, *window.kernel_size, n, out_h, out_w), x.dtype)
    for i, j, seen in taps(window, (out_h, out_w)):
        columns[:, i, j] = padded[:, :, *seen].transpose(1, 0, 2, 3)  # (N, C, oH, oW) -> (C, N, oH, oW)
    return columns.reshape(c * window.kernel_size[0] * window.kernel_size[1], n * out_h * out_w)


def col2im(columns: np.ndarray, x_shape: tuple[int, ...], window: Window) -> np.ndarray:
    """The adjoint of ``im2col``: add every column back to the pixels it was copied from.

    Windows overlap, so a pixel gets the sum over all windows that contain it; the sums in the padding are dropped.

    Args:
        columns: (C * kH * kW, N * oH * oW), in the order of ``im2col``.
        x_shape: (N, C, H, W) of the images.
        window: as for ``im2col``.

    Returns:
        (N, C, H, W), dtype of columns; 0 for pixels in no window.
    """
    n, c, h, w = x_shape
    out_h, out_w = window.output_size((h, w))
    (above, below), (left, right) = window.padding
    columns = columns.reshape(c, *window.kernel_size, n, out_h, out_w)
    padded = np.zeros((n, c, h + above + below, w + left + right), columns.dtype)
    for i, j, seen in taps(window, (out_h, out_w)):
        padded[:, :, *seen] += columns[:, i, j].transpose(1, 0, 2, 3)  # (C, N, oH, oW) -> (N, C, oH, oW)
    return padded[:, :, above : above + h, left : left + w]


def conv2d(x: np.ndarray, weight: np.ndarray, window: Window, groups: int = 1) -> np.ndarray:
    """Slide the filters over the padded images, and at each position sum the pixels times the weights::

        y[n, k, p, q] = sum_cij weight[k, c, i, j] * padded[n, c, p * stride + i * dilation, q * stride + j * dilation]

    With groups, channels and filters are cut into that many parts, and each part of the filters reads one part of the
    channels.

    Args:
        x: (N, C, H, W).
        weight: (K, C / groups, kH, kW).
        window: kernel size (kH, kW), stride, padding and dilation.

    Returns:
        (N, K, oH, oW), dtype of x.
    """
    n, k = x.shape[0], weight.shape[0]
    columns = _grouped(im2col(x, window), groups)
    filters = weight.reshape(groups, k // groups, -1)
    y = filters @ columns  # (G, K/G, N*L) = (G, K/G, C/G*kH*kW) @ (G, C/G*kH*kW, N*L)
    out_h, out_w = window.output_size(x.shape[2:])
    return np.ascontiguousarray(y.reshape(k, n, out_h, out_w).transpose(1, 0, 2, 3))


def conv2d_input_grad(
    dy: np.ndarray, weight: np.ndarray, x_shape: tuple[int, ...], window: Window, groups: int = 1
) -> np.ndarray:
    """The gradient at the input: at each pixel, the sum over all outputs that depend on it.

    Args:
        dy: cotangent of the output (N, K, oH, oW).
        weight: (K, C / groups, kH, kW).
        x_shape: (N, C, H, W).
        window, groups: as for ``conv2d``.

    Returns:
        (N, C, H, W), dtype of dy.
    """
    filters = weight.reshape(groups, weight.shape[0] // groups, -1)
    columns = filters.transpose(0, 2, 1) @ _output_rows(dy, groups)  # (G, C/G*kH*kW, N*L)
    return col2im(columns, x_shape, window)


def conv2d_weight_grad(
    dy: np.ndarray, x: np.ndarray, weight_shape: tuple[int, ...], window: Window, groups: int = 1
) -> np.ndarray:
    """The gradient at the weight: correlate ``dy`` with the pixels of each window.

    Args:
        dy: cotangent of the output (N, K, oH, oW).
        x: (N, C, H, W), not padded.
        weight_shape: (K, C / groups, kH, kW).
        window, groups: as for ``conv2d``.

    Returns:
        ``weight_shape``, dtype of dy.
    """
    columns = _grouped(im2col(x, window), groups)
    filters = _output_rows(dy, groups) @ columns.transpose(0, 2, 1)  # (G, K/G, C/G*kH*kW)
    return filters.reshape(weight_shape)


def _grouped(columns: np.ndarray, groups: int) -> np.ndarray:
    """(C * kH * kW, N * L) -> (G, C/G * kH * kW, N * L): a group is a range of successive channels."""
    rows, positions = columns.shape
    return columns.reshape(groups, rows // groups, positions)


def _output_rows(dy: np.ndarray, groups: int) -> np.ndarray:
    """(N, K, oH, oW) -> (G, K/G, N * L)."""
    n, k, out_h, out_w = dy.shape
    return dy.transpose(1, 0, 2, 3).reshape(groups, k // groups, n * out_h * out_w)
