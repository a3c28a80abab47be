"""What bfloat16 and float16 numbers become where they meet others: PyTorch's rules, which NumPy does not have."""

from __future__ import annotations

from typing import Any

import numpy as np

#: bfloat16 is not NumPy's. Its name stands for it; the tensors have the dtype of ml_dtypes, which comes with CuPy.
bfloat16 = "bfloat16"

FLOATS = "fV"  # the kinds of floating point dtypes, NumPy's letters: no other V than bfloat16 is let in


def bfloat16_type() -> type:
    """The type that an array of bfloat16 has.

    Raises:
        TypeError: without ml_dtypes.
    """
    try:
        import ml_dtypes
    except ImportError:
        raise TypeError("bfloat16: NumPy has no such dtype, and ml_dtypes is not installed: use float32") from None
    found: type = ml_dtypes.bfloat16
    return found


def promoted(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that two meet in: NumPy's, to which bfloat16 is added as PyTorch has it."""
    if a == b or "V" not in a.kind + b.kind:
        return np.promote_types(a, b)
    short, other = (a, b) if a.kind == "V" else (b, a)
    return np.promote_types(other, np.float32) if other.kind == "f" else short


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
