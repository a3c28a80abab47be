"""Deformable sampling [Dai et al., ICCV 2017]: im2col on an irregular grid (lecture line L2.3.4).

A window of an ordinary convolution reads the pixels p0 + p_k, k = 1 .. K. A deformable one reads at p0 + p_k + dp_k,
where the offsets dp_k = (dy, dx), in pixels and not whole numbers, are predicted by another convolution for each
window (equation 2). Between pixels the image is interpolated bilinearly (equations 3 and 4), outside it is zero.
Version 2 [Zhu et al., CVPR 2019, equation 1] also weights each sample with a mask.

Shapes: x (N, C, H, W); offset (N, G * K * 2, oH, oW): for each of G groups of channels and each of the K taps in
reading order, first dy, then dx; mask (N, G * K, oH, oW).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, prod
from typing import Any

import numpy as np

from ..base import Window


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    """The plane (H, W) at a point between its pixels: the four pixels around it, weighted by their nearness (equation
    4).

    ``sum over pixels q of g(q_y, y) * g(q_x, x) * plane[q]`` with ``g(a, b) = max(0, 1 - |a - b|)``. Only four terms
    are not zero; pixels outside the plane count as zero.
    """
    height, width = plane.shape
    value = 0.0
    for qy in (floor(y), floor(y) + 1):
        for qx in (floor(x), floor(x) + 1):
            if 0 <= qy < height and 0 <= qx < width:
                value += max(0.0, 1 - abs(y - qy)) * max(0.0, 1 - abs(x - qx)) * plane[qy, qx]
    return value


def deform_conv2d_loops(
    x: np.ndarray,
    offset: np.ndarray,
    weight: np.ndarray,
    window: Window,
    mask: np.ndarray | None = None,
    groups: int = 1,
    offset_groups: int = 1,
) -> np.ndarray:
    """Deformable convolution as in the papers: ``y(p0) = sum_k w_k * x(p0 + p_k + dp_k) * m_k``.

    For reading and for tests; ``deform_im2col`` computes the same on whole arrays.

    Returns:
        (N, filters, oH, oW).
    """
    n, channels, h, w = x.shape
    filters, per_group, kernel_h, kernel_w = weight.shape
    out_h, out_w = window.output_size((h, w))
    y = np.zeros((n, filters, out_h, out_w), x.dtype)
    for image, k, p, q in np.ndindex(y.shape):
        first = k // (filters // groups) * per_group  # channels that filter k reads
        for c, i, j in np.ndindex(per_group, kernel_h, kernel_w):
            channel = first + c
            tap = (channel // (channels // offset_groups)) * kernel_h * kernel_w + i * kernel_w + j
            row = p * window.stride[0] - window.padding[0][0] + i * window.dilation[0] + offset[image, 2 * tap, p, q]
            col = (
                q * window.stride[1] - window.padding[1][0] + j * window.dilation[1] + offset[image, 2 * tap + 1, p, q]
            )
            modulation = 1.0 if mask is None else mask[image, tap, p, q]
            y[image, k, p, q] += weight[k, c, i, j] * bilinear(x[image, channel], row, col) * modulation
    return y


def deform_im2col(
    x: np.ndarray, offset: np.ndarray, mask: np.ndarray | None, window: Window, offset_groups: int
) -> np.ndarray:
    """``im2col`` with sampling points shifted by the offsets; with zero offsets and no mask it *is* ``im2col``.

    If an offset is NaN, so is the sample.

    Returns:
        (C * kH * kW, N * oH * oW), the rows in the order of ``im2col``.
    """
    samples = np.zeros(_sample_shape(x, offset, window, offset_groups), x.dtype)  # (N, G, C/G, K, L)
    for pixels, nearness, _, _ in _corners(x, offset, window, offset_groups):
        samples += nearness * pixels
    if mask is not None:
        samples *= _by_tap(mask, offset_groups)
    n, g, c, k, positions = samples.shape
    return samples.transpose(1, 2, 3, 0, 4).reshape(g * c * k, n * positions)


def spread_nan(xp: Any, columns: Any, offset: Any, offset_groups: int) -> Any:
    """``columns`` with NaN where an offset is NaN, for a ``deform_im2col`` that gives 0 there, as outside the image."""
    lost = xp.isnan(offset)
    if not lost.any():
        return columns
    n, planes, *out_size = offset.shape
    lost = lost.reshape(n, offset_groups, planes // 2 // offset_groups, 2, prod(out_size)).any(axis=3)  # (N, G, K, L)
    lost = lost.transpose(1, 2, 0, 3)[:, None]
    marked = columns.reshape(offset_groups, -1, *lost.shape[2:]) + xp.where(lost, xp.nan, 0).astype(columns.dtype)
    return marked.reshape(columns.shape)


def deform_im2col_grad(
    d_columns: np.ndarray,
    x: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray | None,
    window: Window,
    offset_groups: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The chain rule through the sampling: to the image, to the offsets, and to the mask.

    A sample is ``m * sum_q g(q_y, y) g(q_x, x) x[q]``. So pixel q gets ``m g g`` of the cotangent, the mask gets the
    unweighted sample, and y gets ``m * sum_q g'(q_y, y) g(q_x, x) x[q]`` with g' = -1 for the upper and +1 for the
    lower pixels: the difference of the pixels below and above. On a grid line, where the slope jumps, the slope
    towards larger coordinates is taken.

    Args:
        d_columns: cotangent of ``deform_im2col``'s result.

    Returns:
        gradients of the shapes of x, offset and mask (``None`` without a mask).
    """
    n, g, c, k, positions = _sample_shape(x, offset, window, offset_groups)
    d_samples = d_columns.reshape(g, c, k, n, positions).transpose(3, 0, 1, 2, 4)  # (N, G, C/G, K, L)
    modulated = d_samples if mask is None else d_samples * _by_tap(mask, offset_groups)
    d_x = np.zeros((n, g, c, x.shape[2] * x.shape[3]), x.dtype)
    samples = np.zeros_like(d_samples)
    d_y, d_xx = (np.zeros((n, g, k, positions), x.dtype) for _ in "yx")
    image, group, channel = (np.arange(m) for m in (n, g, c))
    for pixels, nearness, slopes, index in _corners(x, offset, window, offset_groups):
        samples += nearness * pixels
        towards = (modulated * pixels).sum(axis=2)  # over the channels that share an offset
        d_y += slopes[0] * towards
        d_xx += slopes[1] * towards
        where = (image[:, None, None, None, None], group[:, None, None, None], channel[:, None, None], index)
        np.add.at(d_x, where, nearness * modulated)
    d_offset = np.stack([d_y, d_xx], axis=3).reshape(offset.shape)  # dy, dx of each tap side by side
    d_mask = None if mask is None else (d_samples * samples).sum(axis=2).reshape(mask.shape)
    return d_x.reshape(x.shape), d_offset, d_mask


def _corners(
    x: np.ndarray, offset: np.ndarray, window: Window, offset_groups: int
) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]]:
    """For each of the four pixels around every sample: their values, nearness, slopes of the nearness, and index.

    Values have shape (N, G, C/G, K, L), nearness and index (N, G, 1, K, L), slopes (N, G, K, L) along y and x. For
    a pixel outside the image, values, nearness and slopes are zero.
    """
    n, channels, h, w = x.shape
    rows, columns = _positions(x, offset, window, offset_groups)  # (N, G, K, L)
    top, left = np.floor(rows), np.floor(columns)
    below, right = rows - top, columns - left  # how far past the upper left pixel, in [0, 1)
    planes = x.reshape(n, offset_groups, channels // offset_groups, h * w)
    for down in (0, 1):
        for across in (0, 1):
            qy, qx = top + down, left + across
            inside = ((qy >= 0) & (qy < h) & (qx >= 0) & (qx < w)).astype(x.dtype)
            index = np.clip(qy, 0, h - 1) * w + np.clip(qx, 0, w - 1)
            index = np.nan_to_num(index).astype(np.int64)[:, :, None]
            gy, gx = (below if down else 1 - below), (right if across else 1 - right)
            slope_y, slope_x = (1 if down else -1) * gx * inside, (1 if across else -1) * gy * inside
            flat = index.reshape(n, offset_groups, 1, index.shape[3] * index.shape[4])
            pixels = np.take_along_axis(planes, flat, axis=3).reshape(*planes.shape[:3], *index.shape[3:])
            yield pixels, (gy * gx * inside)[:, :, None], (slope_y, slope_x), index


def _positions(x: np.ndarray, offset: np.ndarray, window: Window, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """The sampling points of all taps and windows: rows and columns of the image, (N, G, K, L) each."""
    kernel, (out_h, out_w) = window.kernel_size, window.output_size(x.shape[2:])
    offset = offset.reshape(x.shape[0], groups, *kernel, 2, out_h, out_w)

    def regular(axis: int, length: int) -> np.ndarray:
        """p0 + p_k along one axis: (kernel, windows)."""
        start = np.arange(length) * window.stride[axis] - window.padding[axis][0]
        return (np.arange(kernel[axis])[:, None] * window.dilation[axis] + start).astype(x.dtype)

    rows = regular(0, out_h)[:, None, :, None] + offset[:, :, :, :, 0]  # (kH, 1, oH, 1) + (N, G, kH, kW, oH, oW)
    columns = regular(1, out_w)[None, :, None, :] + offset[:, :, :, :, 1]
    shape = (x.shape[0], groups, kernel[0] * kernel[1], out_h * out_w)
    return rows.reshape(shape), columns.reshape(shape)


def _sample_shape(x: np.ndarray, offset: np.ndarray, window: Window, groups: int) -> tuple[int, int, int, int, int]:
    taps = window.kernel_size[0] * window.kernel_size[1]
    return x.shape[0], groups, x.shape[1] // groups, taps, offset.shape[2] * offset.shape[3]


def _by_tap(mask: np.ndarray, groups: int) -> np.ndarray:
    """(N, G * K, oH, oW) -> (N, G, 1, K, L): one for all channels of a group."""
    n, rows, out_h, out_w = mask.shape
    return mask.reshape(n, groups, 1, rows // groups, out_h * out_w)
