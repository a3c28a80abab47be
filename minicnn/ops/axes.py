"""The axes that a reduction sums, averages or searches over."""

from __future__ import annotations

import math
from typing import Any

from ..tensor import Tensor

Dims = int | tuple[int, ...] | list[int] | None


def axes_of(input: Tensor, dim: Dims) -> tuple[int, ...]:
    """``dim`` as sorted non-negative axes; ``None`` and ``()`` mean all of them.

    Raises:
        IndexError: for an axis that ``input`` does not have.
        ValueError: for an axis that is named twice.
    """
    if dim is None or dim == () or dim == []:
        return tuple(range(input.ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if input.ndim == 0 and all(d in (0, -1) for d in dims):
        return ()
    for d in dims:
        if not -input.ndim <= d < input.ndim:
            raise IndexError(f"dimension out of range: expected {-input.ndim} to {input.ndim - 1}, got {d}")
    axes = tuple(sorted(d % input.ndim for d in dims))
    if len(set(axes)) != len(axes):
        raise ValueError(f"expected each dimension once, got dim={dim}")
    return axes


def axis_of(input: Tensor, dim: int) -> int:
    """One ``dim`` as a non-negative axis; 0 for a single number, which has none."""
    return axes_of(input, dim)[0] if input.ndim else 0


def reduced(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` without ``axes``."""
    return tuple(length for axis, length in enumerate(shape) if axis not in axes)


def kept(dy: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """``dy`` with the reduced axes put back as length 1, ready to broadcast to ``shape``."""
    return dy.reshape(tuple(1 if axis in axes else length for axis, length in enumerate(shape)))


def count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """How many numbers of an array of shape ``shape`` go into one result."""
    return math.prod(shape[axis] for axis in axes)
