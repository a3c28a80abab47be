"""The axes that a reduction sums, averages or searches over."""

from __future__ import annotations

import math
from typing import Any

from ..tensors import Tensor
from .sizes import integer, integers

Dims = int | tuple[int, ...] | list[int] | None


def axes_of(input: Tensor, dim: Dims) -> tuple[int, ...]:
    """``dim`` as sorted non-negative axes; ``None`` and ``()`` mean all of them.

    Raises:
        IndexError: for an axis that ``input`` does not have.
        ValueError: for an axis that is named twice.
    """
    dims = () if dim is None else integers("dim", dim)
    if not dims:
        return tuple(range(input.ndim))
    axes = tuple(sorted(normal_dim(input, d) for d in dims))
    if len(set(axes)) != len(axes):
        raise ValueError(f"expected each dimension once, got dim={dim}")
    return axes[: input.ndim]  # a single number has no axis, and 0 and -1 are no mistake


def normal_dim(input: Tensor, dim: int, new: int = 0) -> int:
    """``dim`` counted from the front; a single number counts as one dimension, and ``new`` ones may be meant too.

    Raises:
        IndexError: for a dimension that ``input`` does not have.
        TypeError: for no integer.
    """
    dims = max(input.ndim + new, 1)
    if not -dims <= integer("dim", dim) < dims:
        raise IndexError(f"dimension out of range: expected {-dims} to {dims - 1}, got {dim}")
    return integer("dim", dim) % dims


def reduced(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` without ``axes``."""
    return tuple(length for axis, length in enumerate(shape) if axis not in axes)


def kept(dy: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """``dy`` with the reduced axes put back as length 1, ready to broadcast to ``shape``."""
    return dy.reshape(tuple(1 if axis in axes else length for axis, length in enumerate(shape)))


def count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """How many numbers of an array of shape ``shape`` go into one result."""
    return math.prod(shape[axis] for axis in axes)
