"""Pooling in plain NumPy: one pass over the image per tap of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn.backend.base import Pair, Window
from minicnn.backend.reference.conv import taps

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.backend.reference.pooling import _pad_to_fit


def max_pool2d(x: np.ndarray, window: Window, out_size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The largest pixel of each window, and its position.

    Of equal pixels the first in reading order is taken, also if all are minus infinity; NaN counts as larger than
    everything; padding is never taken.

    Args:
        x: (N, C, H, W).
        window: kernel size, stride, padding and dilation.
        out_size: (oH, oW), including windows that reach over the lower or right edge (``ceil_mode``).

    Returns:
        maxima (N, C, oH, oW), dtype of x, and their positions ``row * W + column`` in the input plane (int64).
    """
    # Pad with a value that can never win. _pad_to_fit pads; see how avg_pool2d uses it with taps, in
    # minicnn/backend/reference/pooling.py.
    # Walk over the taps in reading order; remember the best pixel of each window so far, and where it was.
    raise NotImplementedError("hw2.7 max_pool2d: not written yet, see assignments/hw2_convolution/README.md")


def max_pool2d_grad(dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Add each cotangent to the pixel that was the maximum of its window; a pixel may be that of several windows.

    Args:
        dy: cotangent (N, C, oH, oW).
        indices: positions from ``max_pool2d`` (N, C, oH, oW), ``row * W + column``.
        x_shape: (N, C, H, W) of the input.

    Returns:
        (N, C, H, W), dtype of dy; 0 for a pixel that was no maximum.
    """
    raise NotImplementedError("hw2.8 max_pool2d_grad: not written yet, see assignments/hw2_convolution/README.md")
