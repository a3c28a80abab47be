"""The dtypes of tensors, which are NumPy's, and the default that Python floats become."""

from __future__ import annotations

from typing import Any

import numpy as np

float16, float32, float64 = np.dtype("float16"), np.dtype("float32"), np.dtype("float64")
int8, int16, int32, int64 = np.dtype("int8"), np.dtype("int16"), np.dtype("int32"), np.dtype("int64")
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")

#: bfloat16 is not NumPy's. Its name stands for it; the tensors have the dtype of ml_dtypes, which comes with CuPy.
bfloat16 = "bfloat16"

FLOATS = "fV"  # the kinds of floating point dtypes, NumPy's letters: as_dtype lets no other V pass than bfloat16

#: What names a dtype: ``minicnn.float32``, NumPy's ``np.float32``, ``"float32"``, ``float``.
DType = np.dtype[Any] | type | str

_default_dtype: np.dtype[Any] = float32


def set_default_dtype(dtype: DType) -> None:
    """Set the dtype that Python floats become: ``float32`` at the start, ``float64`` for exact work.

    Raises:
        TypeError: for a dtype that is not floating point.
    """
    global _default_dtype
    wanted = np.dtype(dtype)
    if wanted.kind != "f":
        raise TypeError(f"the default dtype must be floating point, got {wanted}")
    _default_dtype = wanted


def get_default_dtype() -> np.dtype[Any]:
    """The dtype that Python floats become."""
    return _default_dtype


def as_dtype(value: Any) -> np.dtype[Any]:
    """``value`` as a dtype.

    Raises:
        TypeError: for one that does not hold numbers, and for bfloat16 without ml_dtypes.
    """
    if type(value) is str and value == bfloat16:
        try:
            import ml_dtypes
        except ImportError:
            raise TypeError("bfloat16: NumPy has no such dtype, and ml_dtypes is not installed: use float32") from None
        value = ml_dtypes.bfloat16
    dtype = np.dtype(value)
    if dtype.kind not in "biuf" and dtype.name != bfloat16:
        raise TypeError(f"expected numbers (float, int or bool), got dtype {dtype}")
    return dtype


def promoted(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that two meet in: NumPy's, to which bfloat16 is added as PyTorch has it."""
    if a == b or "V" not in a.kind + b.kind:
        return np.promote_types(a, b)
    short, other = (a, b) if a.kind == "V" else (b, a)
    return np.promote_types(other, float32) if other.kind == "f" else short


def short_results(results: tuple[Any, ...], inputs: list[Any]) -> tuple[Any, ...]:
    """What an operation computed from arrays of which the first has 16 bits: in that dtype, unless another is wider.

    To NumPy and CuPy the product of bfloat16 and a Python number is float32.
    """
    short = inputs[0].dtype
    if short.kind not in FLOATS or any(array.dtype.kind in FLOATS and array.dtype != short for array in inputs):
        return results
    return tuple(
        array.astype(short) if array.dtype.kind == "f" and array.dtype != short else array for array in results
    )
