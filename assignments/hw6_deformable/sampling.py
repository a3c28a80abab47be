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

from typing import Any

import numpy as np
from numba import njit

from minicnn.backend.base import Window


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
    # The tap's row i and column j in the kernel.
    # The plane of offset that holds its dy; the next one holds its dx.
    # y, from p, i and dy; x, from q, j and dx.
    raise NotImplementedError("hw6.1 place: not written yet, see assignments/hw6_deformable/README.md")


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
    # The whole square outside, or a place that is no number: all zeros.
    # The upper left pixel, and how far the place is past it.
    # Which of the two rows and of the two columns are there?
    # Four addresses, four weights; zeros for what is not there.
    raise NotImplementedError("hw6.2 corners: not written yet, see assignments/hw6_deformable/README.md")


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
    raise NotImplementedError("hw6.3 slopes: not written yet, see assignments/hw6_deformable/README.md")


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
    raise NotImplementedError("hw6.4 gather: not written yet, see assignments/hw6_deformable/README.md")


@njit(cache=True)
def scatter(cotangent: Any, addresses: Any, weights: Any, d_plane: Any) -> None:
    """The gradient of ``gather`` at the plane, added to ``d_plane``: each pixel gets its share of each sample's.

    Args:
        cotangent: (L,), the gradient at ``samples``.
        addresses, weights: as of ``gather``.
        d_plane: (H * W,), to be added to. It holds what other taps have brought, and windows overlap too.
    """
    raise NotImplementedError("hw6.5 scatter: not written yet, see assignments/hw6_deformable/README.md")


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
    raise NotImplementedError("hw6.6 weight_grad: not written yet, see assignments/hw6_deformable/README.md")


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
    raise NotImplementedError("hw6.6 offset_grad: not written yet, see assignments/hw6_deformable/README.md")
