"""Broadcasting and its inverse, and which dtype two operands meet in: each in this one place."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import get_default_dtype, int64
from ..errors import ShapeError
from ..short_floats import FLOATS, promoted
from ..tensors import Tensor
from .integers import CATEGORY, fitted

#: What may stand on either side of an operator.
Operand = Tensor | float | np.ndarray | np.generic


def unbroadcast(gradient: Any, shape: tuple[int, ...]) -> Any:
    """The inverse of broadcasting ``shape`` to ``gradient.shape``: sum over every axis that was repeated.

    A value that was used several times collects the gradients of all its uses::

        (3, 1, 5) was stretched to (2, 3, 4, 5): sum over axis 0 (new) and axis 2 (1 -> 4)

    Args:
        gradient: an array of the shape after broadcasting.
        shape: the shape before, ``()`` for a single number.

    Returns:
        an array of shape ``shape``, dtype of gradient; 0 where nothing was used, in an empty batch (1 -> 0).
    """
    if gradient.shape == shape:
        return gradient
    new_axes = gradient.ndim - len(shape)
    stretched = [new_axes + axis for axis, length in enumerate(shape) if length == 1]
    axes = (*range(new_axes), *(axis for axis in stretched if gradient.shape[axis] != 1))
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)


def check_broadcast(name: str, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    """Raise a ``ShapeError`` that names the operation if the shapes do not broadcast."""
    if a_shape == b_shape:
        return
    for length, other in zip(reversed(a_shape), reversed(b_shape), strict=False):
        if length != other and 1 not in (length, other):
            raise ShapeError(f"{name}: shapes {a_shape} and {b_shape} do not broadcast together")


def result_type(a: Any, b: Any) -> np.dtype:
    """The dtype in which two operands meet, by PyTorch's rules: a float32 tensor stays float32.

    The higher of bool < integer < float decides. Within one of these a tensor with dimensions outweighs a 0-d tensor,
    which outweighs a Python number; between equals the wider dtype wins.
    """
    (rank_a, type_a), (rank_b, type_b) = _rank(a), _rank(b)
    category_a, category_b = CATEGORY[type_a.kind], CATEGORY[type_b.kind]
    if category_a != category_b:
        return type_a if category_a > category_b else type_b
    if rank_a != rank_b:
        return type_a if rank_a > rank_b else type_b
    return promoted(type_a, type_b)


def operands(name: str, a: Any, b: Any, floating: bool = False) -> tuple[Any, Any]:
    """``a`` and ``b`` ready for a ``Function``: tensors of one dtype, Python numbers as they are.

    Args:
        floating: turn integers into the default float dtype (for true division).

    Raises:
        ShapeError: if the shapes do not broadcast.
        TypeError, ValueError, ZeroDivisionError: for integers and bools, see ``integers.py``.
    """
    a, b = _as_operand(a), _as_operand(b)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        check_broadcast(name, a.shape, b.shape)
        if a.dtype == b.dtype and a.dtype.kind in FLOATS:
            return a, b
    dtype = result_type(a, b)
    if dtype.kind not in FLOATS and floating:
        dtype = get_default_dtype()
    elif dtype.kind not in FLOATS:
        a, b = fitted(name, a, b, dtype)
    a, b = (x.to(dtype) if isinstance(x, Tensor) and x.dtype != dtype else x for x in (a, b))
    return a, b


def _as_operand(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (Tensor, bool, int, float)) else Tensor(value)


def _rank(value: Any) -> tuple[int, np.dtype]:
    if isinstance(value, Tensor):
        return (2 if value.ndim else 1), value.dtype
    if isinstance(value, bool):
        return 0, np.dtype(bool)
    return 0, int64 if isinstance(value, int) else get_default_dtype()
