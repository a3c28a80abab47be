"""Scale and shift per channel, in plain NumPy: normalisation with given statistics."""

from __future__ import annotations

import numpy as np


def scale_and_shift(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """y = scale * x + shift.

    Args:
        x: (N, C, ...).
        scale, shift: (C,).
    """
    lined_up = (-1, *[1] * (x.ndim - 2))  # (C,) -> (C, 1, ...)
    return x * scale.reshape(lined_up) + shift.reshape(lined_up)
