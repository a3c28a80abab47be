"""The dtypes of tensors, which are NumPy's, and the default that Python floats become."""

from __future__ import annotations

from typing import Any

import numpy as np

float16, float32, float64 = np.dtype("float16"), np.dtype("float32"), np.dtype("float64")
int8, int16, int32, int64 = np.dtype("int8"), np.dtype("int16"), np.dtype("int32"), np.dtype("int64")
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")

_default_dtype = float32


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype that Python floats become: ``float32`` at the start, ``float64`` for exact work.

    Raises:
        TypeError: for a dtype that is not floating point.
    """
    global _default_dtype
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"the default dtype must be floating point, got {dtype}")
    _default_dtype = dtype


def get_default_dtype() -> np.dtype:
    """The dtype that Python floats become."""
    return _default_dtype


def as_dtype(value: Any) -> np.dtype:
    """``value`` as a dtype. Raises TypeError for one that does not hold numbers."""
    dtype = np.dtype(value)
    if dtype.kind not in "biuf":
        raise TypeError(f"expected numbers (float, int or bool), got dtype {dtype}")
    return dtype
