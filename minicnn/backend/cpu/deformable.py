"""Deformable sampling in Numba: ``backend/reference/deformable.py`` on all cores, one tap of one image at a time.

For a tap, ``locate`` first writes down where each window samples: four addresses and four weights. Then every channel
of the group reads (``gather``) and writes (``scatter``) through the same list. Threads never share what they write:
columns and the gradients of offsets and mask are cut by (image, tap), the gradient of the image by (image, block of
channels).

No pixel outside the image is read: a corner that lies outside has weight 0 and the address of a pixel inside. So has
a sample whose offset is NaN or infinite: it counts as outside.

In what follows L = oH * oW is the number of windows, an address is ``row * W + column`` in a plane of H * W pixels,
and the four corners come in the order upper left, upper right, lower left, lower right.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from ..base import Window


class _Geometry(NamedTuple):
    """A window's numbers, flat: ``prange`` cannot hand tuples of tuples to its threads."""

    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    above: int
    below: int
    left: int
    right: int
    dilation_h: int
    dilation_w: int

    @classmethod
    def of(cls, window: Window) -> _Geometry:
        above_below, left_right = window.padding
        return cls(*window.kernel_size, *window.stride, *above_below, *left_right, *window.dilation)


CHANNEL_BLOCKS = 4  # pieces of an image's channels that threads may share out; each locates the samples anew


def deform_im2col(
    x: np.ndarray, offset: np.ndarray, mask: np.ndarray | None, window: Window, offset_groups: int
) -> np.ndarray:
    """See ``reference.deformable.deform_im2col``."""
    n, channels = x.shape[:2]
    x, offset, mask = _ready(x, offset, mask)
    columns = np.empty((channels, mask.shape[1] // offset_groups, n, mask.shape[2] * mask.shape[3]), x.dtype)
    if columns.size:
        _sample(x, offset, mask, _Geometry.of(window), offset_groups, columns)
    return columns.reshape(columns.shape[0] * columns.shape[1], columns.shape[2] * columns.shape[3])


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
    n, taps, out_h, out_w = modulation.shape
    d_columns = np.ascontiguousarray(d_columns).reshape(x.shape[1], taps // offset_groups, n, out_h * out_w)
    d_x, d_offset, d_mask = np.zeros_like(x), np.zeros_like(offset), np.zeros_like(modulation)
    if d_columns.size:
        _image_grad(d_columns, offset, modulation, _Geometry.of(window), offset_groups, d_x)
        _offset_grad(d_columns, x, offset, modulation, _Geometry.of(window), offset_groups, d_offset, d_mask)
    return d_x, d_offset, None if mask is None else d_mask


def _ready(x: np.ndarray, offset: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contiguous arrays; no mask is one of ones."""
    if mask is None:
        n, rows, out_h, out_w = offset.shape
        mask = np.ones((n, rows // 2, out_h, out_w), x.dtype)
    return np.ascontiguousarray(x), np.ascontiguousarray(offset), np.ascontiguousarray(mask)


# ---- one window and one tap: where it samples, and how much each pixel around counts ------------------------------


@njit(cache=True)
def place(offset: Any, group: int, tap: int, p: int, q: int, window: Window) -> Any:
    """Where one tap of one window samples: its place on the regular grid, moved by its offset (equation 2).

    Args:
        offset: (2 * G * kH * kW, oH, oW), the offsets of one image. The blocks of the G groups of channels follow each
            other; in a block each tap has two planes, in reading order of the taps, first dy, then dx, in pixels.
        group: number of the group of channels, from 0.
        tap: number of the tap in reading order, from 0: ``i * kW + j`` for row i and column j of the kernel.
        p, q: row and column of the window, that is of the output pixel.
        window: the geometry of the convolution; ``window.padding`` is ``((above, below), (left, right))``. An offset
            is in pixels of the image: neither stride nor dilation stretches it.

    Returns:
        (y, x): row and column in the unpadded image, whose first pixel is (0, 0). Not rounded; may lie outside, and is
        infinite or NaN where the offset is.
    """
    kernel_h, kernel_w = window.kernel_size
    i, j = tap // kernel_w, tap % kernel_w
    plane = 2 * (group * kernel_h * kernel_w + tap)
    y = p * window.stride[0] - window.padding[0][0] + i * window.dilation[0] + offset[plane, p, q]
    x = q * window.stride[1] - window.padding[1][0] + j * window.dilation[1] + offset[plane + 1, p, q]
    return y, x


@njit(cache=True)
def corners(y: float, x: float, height: int, width: int) -> Any:
    """The four pixels around a place, and how much each counts there (equations 3 and 4).

    A pixel q counts with ``g(q_y, y) * g(q_x, x)`` where ``g(a, b) = max(0, 1 - |a - b|)``: by its nearness. The sample
    at (y, x) is the sum of the four pixels times these weights.

    Args:
        y, x: the place, in pixels; any number, also a negative, an infinite one, or NaN.
        height, width: size of the image.

    Returns:
        (addresses, weights), a tuple of four each, in the order upper left, upper right, lower left, lower right; the
        upper row is floor(y), the left column is floor(x). An address is ``row * width + column``. A corner outside
        the image has address 0 and weight 0, so that reading it reads a pixel that exists, and that does not
        count. If all four lie outside, or the place is not a number, all eight are 0. At exactly y = -1 the lower row
        is row 0, which is there: its weight is 0 and its address is not, for the slope of its weight is not 0 either.
    """
    if not (-1 <= y < height and -1 <= x < width):  # NaN is outside too
        return (0, 0, 0, 0), (0.0, 0.0, 0.0, 0.0)
    top, left = int(np.floor(y)), int(np.floor(x))
    below, right = y - top, x - left  # how far past the upper left pixel, in [0, 1)
    up, down = top >= 0, top + 1 < height  # which rows and columns there are
    west, east = left >= 0, left + 1 < width
    first = top * width + left
    addresses = (
        first if up and west else 0,
        first + 1 if up and east else 0,
        first + width if down and west else 0,
        first + width + 1 if down and east else 0,
    )
    weights = (
        (1 - below) * (1 - right) if up and west else 0.0,
        (1 - below) * right if up and east else 0.0,
        below * (1 - right) if down and west else 0.0,
        below * right if down and east else 0.0,
    )
    return addresses, weights


@njit(cache=True)
def slopes(y: float, x: float, height: int, width: int) -> Any:
    """How fast the weights of ``corners`` change as the place moves: their derivatives in y, and in x.

    On a grid line, where a weight has a kink, it is the slope towards larger coordinates (down, right). That is what
    the formula for the square from floor(y), floor(x) gives.

    Args:
        y, x, height, width: as of ``corners``.

    Returns:
        (in y, in x), a tuple of four each, in the order of the corners. For a corner outside the image, and everywhere
        if the place is not a number, 0. At exactly -1 the lower (right) corners are inside, and have their slopes.
    """
    if not (-1 <= y < height and -1 <= x < width):
        return (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
    top, left = int(np.floor(y)), int(np.floor(x))
    below, right = y - top, x - left
    up, down = top >= 0, top + 1 < height
    west, east = left >= 0, left + 1 < width
    in_y = (
        right - 1 if up and west else 0.0,
        -right if up and east else 0.0,
        1 - right if down and west else 0.0,
        right if down and east else 0.0,
    )
    in_x = (
        below - 1 if up and west else 0.0,
        1 - below if up and east else 0.0,
        -below if down and west else 0.0,
        below if down and east else 0.0,
    )
    return in_y, in_x


# ---- one tap and one channel, all windows of an image -------------------------------------------------------------


@njit(cache=True)
def gather(plane: Any, addresses: Any, weights: Any, samples: Any) -> None:
    """Read one channel where one tap samples: for each window the sum over its corners of weight times pixel.

    Args:
        plane: (H * W,), the channel, flat.
        addresses: (4, L) integers, for each window the addresses of its four corners.
        weights: (4, L), how much each of them counts. With a mask they have been multiplied by it, so they may be any
            numbers.
        samples: (L,), to be written. It may hold anything before.
    """
    for w in range(samples.size):
        samples[w] = (
            weights[0, w] * plane[addresses[0, w]]
            + weights[1, w] * plane[addresses[1, w]]
            + weights[2, w] * plane[addresses[2, w]]
            + weights[3, w] * plane[addresses[3, w]]
        )


@njit(cache=True)
def scatter(cotangent: Any, addresses: Any, weights: Any, d_plane: Any) -> None:
    """The gradient of ``gather`` at the plane, added to ``d_plane``: each pixel gets its share of each sample's.

    Args:
        cotangent: (L,), the gradient at ``samples``.
        addresses, weights: as of ``gather``.
        d_plane: (H * W,), to be added to. It holds what other taps have brought, and windows overlap too.
    """
    for w in range(cotangent.size):
        d_plane[addresses[0, w]] += weights[0, w] * cotangent[w]
        d_plane[addresses[1, w]] += weights[1, w] * cotangent[w]
        d_plane[addresses[2, w]] += weights[2, w] * cotangent[w]
        d_plane[addresses[3, w]] += weights[3, w] * cotangent[w]


@njit(cache=True)
def weight_grad(cotangent: Any, plane: Any, addresses: Any, d_weights: Any) -> None:
    """The gradient at the weights, but for the mask, added to ``d_weights``: how much each corner would have brought.

    All channels of a group sample at the same places, with the same weights; this is called for each of them.

    Args:
        cotangent: (L,), the gradient at the channel's ``samples``.
        plane, addresses: as of ``gather``.
        d_weights: (4, L), to be added to: ``cotangent * pixel`` of each corner. It holds the sum over the channels
            before.
    """
    for corner in range(4):
        for w in range(cotangent.size):
            d_weights[corner, w] += cotangent[w] * plane[addresses[corner, w]]


@njit(cache=True)
def offset_grad(
    d_weights: Any, weights: Any, slopes_y: Any, slopes_x: Any, modulation: Any, d_y: Any, d_x: Any, d_modulation: Any
) -> None:
    """The gradients at the offsets and at the mask, from that at the weights: the chain rule through ``corners``.

    A sample is ``modulation * sum over corners of weight * pixel``, and the weights depend on the place, which moves
    one to one with its offset.

    Args:
        d_weights: (4, L), what ``weight_grad`` has summed over the channels. The mask is not in it.
        weights: (4, L), of the corners.
        slopes_y, slopes_x: (4, L), derivatives of the weights in y and in x.
        modulation: (L,), the mask: any numbers, also 0.
        d_y, d_x, d_modulation: (L,), to be written: the gradients at dy, dx and the mask. They may hold anything
            before.
    """
    for w in range(modulation.size):
        in_y = in_x = unmasked = d_weights[0, w] * 0
        for corner in range(4):
            in_y += slopes_y[corner, w] * d_weights[corner, w]
            in_x += slopes_x[corner, w] * d_weights[corner, w]
            unmasked += weights[corner, w] * d_weights[corner, w]
        d_y[w] = modulation[w] * in_y
        d_x[w] = modulation[w] * in_x
        d_modulation[w] = unmasked


# ---- one tap, all windows: the lists -------------------------------------------------------------------------------


@njit(cache=True)
def _window(geometry):
    return Window(
        (geometry.kernel_h, geometry.kernel_w),
        (geometry.stride_h, geometry.stride_w),
        ((geometry.above, geometry.below), (geometry.left, geometry.right)),
        (geometry.dilation_h, geometry.dilation_w),
    )


@njit(cache=True)
def locate(offset, group, tap, geometry, height, width):
    """Addresses and weights (4, L) of all windows of an image: ``corners`` at each ``place``."""
    window, (out_h, out_w) = _window(geometry), offset.shape[1:]
    addresses = np.empty((4, out_h * out_w), np.int64)
    weights = np.empty((4, out_h * out_w), offset.dtype)
    for p in range(out_h):
        for q in range(out_w):
            y, x = place(offset, group, tap, p, q, window)
            address, weight = corners(y, x, height, width)
            for corner in range(4):
                addresses[corner, p * out_w + q] = address[corner]
                weights[corner, p * out_w + q] = weight[corner]
    return addresses, weights


@njit(cache=True)
def incline(offset, group, tap, geometry, height, width):
    """The slopes (4, L) in y and in x of all windows of an image."""
    window, (out_h, out_w) = _window(geometry), offset.shape[1:]
    slopes_y = np.empty((4, out_h * out_w), offset.dtype)
    slopes_x = np.empty((4, out_h * out_w), offset.dtype)
    for p in range(out_h):
        for q in range(out_w):
            y, x = place(offset, group, tap, p, q, window)
            in_y, in_x = slopes(y, x, height, width)
            for corner in range(4):
                slopes_y[corner, p * out_w + q] = in_y[corner]
                slopes_x[corner, p * out_w + q] = in_x[corner]
    return slopes_y, slopes_x


# ---- all taps and channels, on all cores ---------------------------------------------------------------------------
# columns (C, K, N, L), mask (N, G * K, oH, oW), K = kH * kW


@njit(cache=True, parallel=True)
def _sample(x, offset, mask, geometry, groups, columns):
    images, channels, height, width = x.shape
    taps, windows = columns.shape[1], columns.shape[3]
    per_group = channels // groups
    for job in prange(images * groups * taps):
        n, group, tap = job // (groups * taps), job // taps % groups, job % taps
        addresses, weights = locate(offset[n], group, tap, geometry, height, width)
        weights *= mask[n, group * taps + tap].reshape(windows)
        for channel in range(group * per_group, (group + 1) * per_group):
            plane = x[n, channel].reshape(height * width)
            gather(plane, addresses, weights, columns[channel, tap, n])


@njit(cache=True, parallel=True)
def _image_grad(d_columns, offset, mask, geometry, groups, d_x):
    images, channels, height, width = d_x.shape
    taps, windows = d_columns.shape[1], d_columns.shape[3]
    per_group = channels // groups
    blocks = min(CHANNEL_BLOCKS, per_group)
    for job in prange(images * groups * blocks):
        n, group, block = job // (groups * blocks), job // blocks % groups, job % blocks
        first = group * per_group + block * per_group // blocks
        last = group * per_group + (block + 1) * per_group // blocks
        for tap in range(taps):
            addresses, weights = locate(offset[n], group, tap, geometry, height, width)
            weights *= mask[n, group * taps + tap].reshape(windows)
            for channel in range(first, last):
                d_plane = d_x[n, channel].reshape(height * width)
                scatter(d_columns[channel, tap, n], addresses, weights, d_plane)


@njit(cache=True, parallel=True)
def _offset_grad(d_columns, x, offset, mask, geometry, groups, d_offset, d_mask):
    images, channels, height, width = x.shape
    taps, windows = d_columns.shape[1], d_columns.shape[3]
    per_group = channels // groups
    for job in prange(images * groups * taps):
        n, group, tap = job // (groups * taps), job // taps % groups, job % taps
        addresses, weights = locate(offset[n], group, tap, geometry, height, width)
        slopes_y, slopes_x = incline(offset[n], group, tap, geometry, height, width)
        d_weights = np.zeros((4, windows), x.dtype)
        for channel in range(group * per_group, (group + 1) * per_group):
            plane = x[n, channel].reshape(height * width)
            weight_grad(d_columns[channel, tap, n], plane, addresses, d_weights)
        which = group * taps + tap
        offset_grad(
            d_weights,
            weights,
            slopes_y,
            slopes_x,
            mask[n, which].reshape(windows),
            d_offset[n, 2 * which].reshape(windows),
            d_offset[n, 2 * which + 1].reshape(windows),
            d_mask[n, which].reshape(windows),
        )
