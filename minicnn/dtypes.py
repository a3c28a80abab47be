"""The dtypes of tensors, which are NumPy's, and the default that Python floats become."""

from __future__ import annotations

from typing import Any

import numpy as np

from .short_floats import bfloat16, bfloat16_type

float16, float32, float64 = np.dtype("float16"), np.dtype("float32"), np.dtype("float64")
int8, int16, int32, int64 = np.dtype("int8"), np.dtype("int16"), np.dtype("int32"), np.dtype("int64")
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")

#: What names a dtype: ``minicnn.float32``, NumPy's ``np.float32``, ``"float32"``, ``float``.
DType = np.dtype[Any] | type | str

_default_dtype: np.dtype[Any] = float32


def set_default_dtype(dtype: DType) -> None:
    """Set the dtype that Python floats become: ``float32`` at the start, ``float64`` for exact work.

    Raises:
        TypeError: for a dtype that is not floating point, and for bfloat16.
    """
    global _default_dtype
    wanted = as_dtype(dtype)
    if wanted.kind != "f":
        raise TypeError(f"the default dtype must be floating point, and of NumPy, got {wanted}")
    _default_dtype = wanted


def get_default_dtype() -> np.dtype[Any]:
    """The dtype that Python floats become."""
    return _default_dtype


def as_dtype(value: Any) -> np.dtype[Any]:
    """``value`` as a dtype.

    Raises:
        TypeError: for one that does not hold numbers, and for bfloat16 without ml_dtypes.
    """
    dtype = np.dtype(bfloat16_type() if type(value) is str and value == bfloat16 else value)
    if dtype.kind not in "biuf" and dtype.name != bfloat16:
        raise TypeError(f"expected numbers (float, int or bool), got dtype {dtype}")
    return dtype
