"""Operators on integers and bools, as PyTorch has them: what is refused, and how Python numbers are fitted in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensors import Tensor

NEED_NUMBERS = frozenset({"sub", "pow", "floor_divide", "remainder"})
DIVIDE = frozenset({"floor_divide", "remainder"})
BITWISE = frozenset({"bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"})
# A Python integer beyond the tensor's dtype wraps around, as sums and products do; here it is an error.
EXACT = frozenset({"pow", "where", "clamp", "maximum", "minimum"})

CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2, "V": 2}  # bool < integer < float


def fitted(name: str, a: Any, b: Any, dtype: np.dtype) -> tuple[Any, Any]:
    """Operands that meet in an integer or bool ``dtype``, Python numbers brought into its range.

    Raises:
        TypeError: for bools where PyTorch refuses them.
        ValueError: for integers to a negative power.
        ZeroDivisionError: for integers divided by 0. (Not on a GPU.)
    """
    bools = any(isinstance(x, Tensor) and x.dtype.kind == "b" for x in (a, b))
    if name in NEED_NUMBERS and bools and (name == "sub" or dtype.kind == "b"):
        raise TypeError(f"{name}: expected numbers, got bools: convert with .int(), or use logical_not() or ^")
    if name in DIVIDE and _some(b, lambda x: x == 0):
        raise ZeroDivisionError(f"{name}: an integer divided by 0")
    if name == "pow" and _some(b, lambda x: x < 0):
        raise ValueError("pow: integers to a negative power are fractions: convert with .float()")
    return tuple(x if isinstance(x, Tensor) or name in EXACT else _wrapped(x, dtype) for x in (a, b))


def check_bits(name: str, a: Any, b: Any) -> None:
    """Raise a ``TypeError`` if a bitwise operation is given floating point numbers."""
    if name in BITWISE and any(x.is_floating_point() if isinstance(x, Tensor) else type(x) is float for x in (a, b)):
        raise TypeError(f"{name}: expected integers or bools, got floating point numbers")


def _some(value: Any, holds: Any) -> bool:
    if not isinstance(value, Tensor):
        return holds(value)
    return not value.is_cuda and bool(holds(value.array).any())


def _wrapped(value: Any, dtype: np.dtype) -> Any:
    return np.asarray(value).astype(dtype).item()
