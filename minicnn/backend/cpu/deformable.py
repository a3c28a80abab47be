"""Deformable sampling in Numba: ``backend/reference/deformable.py`` on all cores, one tap of one image at a time.

For a tap, ``_locate`` first writes down where each window samples: four addresses and four weights. Then every
channel of the group reads through the same list. Threads never share what they write: columns and the gradients of
offsets and mask are cut by (image, tap), the gradient of the image by (image, block of channels).

No pixel outside the image is read: a corner that lies outside has weight 0 and the address of a pixel inside. So has
a sample whose offset is NaN or infinite: it counts as outside.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from ..base import Window

CHANNEL_BLOCKS = 4  # pieces of an image's channels that threads may share out; each locates the samples anew


def deform_im2col(
    x: np.ndarray, offset: np.ndarray, mask: np.ndarray | None, window: Window, offset_groups: int
) -> np.ndarray:
    """See ``reference.deformable.deform_im2col``."""
    n, channels = x.shape[:2]
    taps = window.kernel_size[0] * window.kernel_size[1]
    columns = np.empty((channels * taps, n * offset.shape[2] * offset.shape[3]), x.dtype)
    if columns.size:
        _sample(*_ready(x, offset, mask), _geometry(window), offset_groups, columns)
    return columns


def deform_im2col_grad(
    d_columns: np.ndarray,
    x: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray | None,
    window: Window,
    offset_groups: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """See ``reference.deformable.deform_im2col_grad``."""
    x, offset, modulation = _ready(x, offset, mask)
    d_columns = np.ascontiguousarray(d_columns)
    d_x, d_offset, d_mask = np.zeros_like(x), np.zeros_like(offset), np.zeros_like(modulation)
    if d_columns.size:
        _image_grad(d_columns, offset, modulation, _geometry(window), offset_groups, d_x)
        _offset_grad(d_columns, x, offset, modulation, _geometry(window), offset_groups, d_offset, d_mask)
    return d_x, d_offset, None if mask is None else d_mask


def _ready(x: np.ndarray, offset: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contiguous arrays; no mask is an empty one."""
    mask = np.empty((0, 0, 0, 0), x.dtype) if mask is None else np.ascontiguousarray(mask)
    return np.ascontiguousarray(x), np.ascontiguousarray(offset), mask


def _geometry(window: Window) -> tuple[int, int, int, int, int, int, int, int]:
    (top, _), (left, _) = window.padding
    return (*window.kernel_size, *window.stride, top, left, *window.dilation)


@njit(cache=True)
def _locate(dy, dx, tap, geometry, height, width, address, nearness, slope_y, slope_x):
    """Fill in, for one tap and every window, the addresses, weights and slopes of the four pixels around its sample.

    ``dy, dx`` are the offsets (oH, oW) of the tap; the other four are (4, oH * oW): upper left, upper right, lower
    left, lower right.
    """
    kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w = geometry
    row0 = tap // kernel_w * dilation_h - pad_h
    column0 = tap % kernel_w * dilation_w - pad_w
    for p in range(dy.shape[0]):
        for q in range(dy.shape[1]):
            window = p * dy.shape[1] + q
            y = p * stride_h + row0 + dy[p, q]
            x = q * stride_w + column0 + dx[p, q]
            if not (-1 <= y < height and -1 <= x < width):  # NaN is outside too
                for corner in range(4):
                    address[corner, window] = 0
                    nearness[corner, window] = 0
                    slope_y[corner, window] = 0
                    slope_x[corner, window] = 0
                continue
            top, left = int(np.floor(y)), int(np.floor(x))
            below, right = y - top, x - left
            for down in range(2):
                for across in range(2):
                    qy, qx = top + down, left + across
                    corner = 2 * down + across
                    inside = 0 <= qy < height and 0 <= qx < width
                    near_y = below if down else 1 - below
                    near_x = right if across else 1 - right
                    address[corner, window] = qy * width + qx if inside else 0
                    nearness[corner, window] = near_y * near_x if inside else 0
                    slope_y[corner, window] = (near_x if down else -near_x) if inside else 0
                    slope_x[corner, window] = (near_y if across else -near_y) if inside else 0


@njit(cache=True)
def _samples(offset, which, tap, geometry, height, width, dtype):
    """Where the windows of one image sample with one tap: what ``_locate`` says, in fresh memory.

    ``offset`` is the image's (2 G K, oH, oW); ``which`` counts the taps of all groups.
    """
    windows = offset.shape[1] * offset.shape[2]
    address = np.empty((4, windows), np.int64)
    weights = np.empty((3, 4, windows), dtype)
    dy, dx = offset[2 * which], offset[2 * which + 1]
    _locate(dy, dx, tap, geometry, height, width, address, weights[0], weights[1], weights[2])
    return address, weights[0], weights[1], weights[2]


@njit(cache=True, parallel=True)
def _sample(x, offset, mask, geometry, groups, columns):
    images, channels, height, width = x.shape
    taps = geometry[0] * geometry[1]
    windows = offset.shape[2] * offset.shape[3]
    per_group = channels // groups
    for job in prange(images * groups * taps):
        n, group, tap = job // (groups * taps), job // taps % groups, job % taps
        which = group * taps + tap
        address, nearness, _, _ = _samples(offset[n], which, tap, geometry, height, width, x.dtype)
        if mask.size:
            nearness *= mask[n, which].reshape(windows)
        for channel in range(group * per_group, (group + 1) * per_group):
            plane = x[n, channel].reshape(height * width)
            out = columns[channel * taps + tap, n * windows : (n + 1) * windows]
            for w in range(windows):
                out[w] = (
                    nearness[0, w] * plane[address[0, w]]
                    + nearness[1, w] * plane[address[1, w]]
                    + nearness[2, w] * plane[address[2, w]]
                    + nearness[3, w] * plane[address[3, w]]
                )


@njit(cache=True, parallel=True)
def _image_grad(d_columns, offset, mask, geometry, groups, d_x):
    images, channels, height, width = d_x.shape
    taps = geometry[0] * geometry[1]
    windows = offset.shape[2] * offset.shape[3]
    per_group = channels // groups
    blocks = min(CHANNEL_BLOCKS, per_group)
    for job in prange(images * groups * blocks):
        n, group, block = job // (groups * blocks), job // blocks % groups, job % blocks
        first = group * per_group + block * per_group // blocks
        last = group * per_group + (block + 1) * per_group // blocks
        for tap in range(taps):
            which = group * taps + tap
            address, nearness, _, _ = _samples(offset[n], which, tap, geometry, height, width, d_x.dtype)
            if mask.size:
                nearness *= mask[n, which].reshape(windows)
            for channel in range(first, last):
                plane = d_x[n, channel].reshape(height * width)
                cotangent = d_columns[channel * taps + tap, n * windows : (n + 1) * windows]
                for w in range(windows):
                    for corner in range(4):
                        plane[address[corner, w]] += nearness[corner, w] * cotangent[w]


@njit(cache=True, parallel=True)
def _offset_grad(d_columns, x, offset, mask, geometry, groups, d_offset, d_mask):
    images, channels, height, width = x.shape
    taps = geometry[0] * geometry[1]
    windows = offset.shape[2] * offset.shape[3]
    per_group = channels // groups
    for job in prange(images * groups * taps):
        n, group, tap = job // (groups * taps), job // taps % groups, job % taps
        which = group * taps + tap
        address, nearness, slope_y, slope_x = _samples(offset[n], which, tap, geometry, height, width, x.dtype)
        towards = np.zeros((4, windows), x.dtype)  # sum over channels of cotangent * pixel, for each corner
        for channel in range(group * per_group, (group + 1) * per_group):
            plane = x[n, channel].reshape(height * width)
            cotangent = d_columns[channel * taps + tap, n * windows : (n + 1) * windows]
            for corner in range(4):
                for w in range(windows):
                    towards[corner, w] += cotangent[w] * plane[address[corner, w]]
        d_row = d_offset[n, 2 * which].reshape(windows)
        d_column = d_offset[n, 2 * which + 1].reshape(windows)
        for corner in range(4):
            for w in range(windows):
                d_row[w] += slope_y[corner, w] * towards[corner, w]
                d_column[w] += slope_x[corner, w] * towards[corner, w]
        if mask.size:
            d_modulation = d_mask[n, which].reshape(windows)
            for w in range(windows):
                modulation = mask[n, which, w // offset.shape[3], w % offset.shape[3]]
                d_row[w] *= modulation
                d_column[w] *= modulation
                for corner in range(4):
                    d_modulation[w] += nearness[corner, w] * towards[corner, w]
