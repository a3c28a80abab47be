"""Pooling in plain NumPy: one pass over the image for each tap of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn.backend.base import Pair, Window
from minicnn.backend.reference.conv import taps

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.backend.reference.pooling import _pad_to_fit


def max_pool2d(x: np.ndarray, window: Window, out_size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The largest pixel of each window, and where it was.

    Of equal pixels the first in reading order wins, also where all are minus infinity; NaN wins over everything;
    padding never wins.

    Args:
        x: (N, C, H, W).
        window: kernel size, stride, padding and dilation.
        out_size: (oH, oW), also counting windows that hang over the lower or right edge (``ceil_mode``).

    Returns:
        maxima (N, C, oH, oW), dtype of x, and their positions ``row * W + column`` in the input plane (int64).
    """
    # Pad with a value that can never win. _pad_to_fit pads; see how avg_pool2d uses it with taps, in
    # minicnn/backend/reference/pooling.py.
    # Walk over the taps in reading order; remember the best pixel of each window so far, and where it was.
    raise NotImplementedError("hw2.7 max_pool2d: not written yet, see assignments/hw2_convolution/README.md")


def max_pool2d_grad(dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Send each cotangent to the pixel that won its window; a pixel that won several collects their sum.

    Args:
        dy: cotangent (N, C, oH, oW).
        indices: positions from ``max_pool2d`` (N, C, oH, oW), ``row * W + column``.
        x_shape: (N, C, H, W) of the input.

    Returns:
        (N, C, H, W), dtype of dy; 0 where a pixel won nothing.
    """
    raise NotImplementedError("hw2.8 max_pool2d_grad: not written yet, see assignments/hw2_convolution/README.md")
