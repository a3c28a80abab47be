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
    # Along one axis: tap i sees pixel i * dilation in the first window, and a pixel `stride` further in each next one.
    raise NotImplementedError("hw2.1 taps: not written yet, see assignments/hw2_convolution/README.md")


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
    # Pad the images with zeros.
    # For each tap (taps tells what it sees), copy its pixels of all images and channels at once.
    # Think in (C, kH, kW, N, oH, oW) and reshape at the end.
    raise NotImplementedError("hw2.2 im2col: not written yet, see assignments/hw2_convolution/README.md")


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
    # im2col backwards: where it copied, add.
    # Collect in an image that still has its padding, and cut the padding off at the end.
    raise NotImplementedError("hw2.3 col2im: not written yet, see assignments/hw2_convolution/README.md")


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
    # columns  (G, C/G * kH * kW, N * L)
    # filters  (G, K/G, C/G * kH * kW)
    # output   (G, K/G, N * L) = filters @ columns, then reordered to (N, K, oH, oW)
    raise NotImplementedError("hw2.4 conv2d: not written yet, see assignments/hw2_convolution/README.md")


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
    raise NotImplementedError("hw2.5 conv2d_input_grad: not written yet, see assignments/hw2_convolution/README.md")


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
    raise NotImplementedError("hw2.6 conv2d_weight_grad: not written yet, see assignments/hw2_convolution/README.md")
