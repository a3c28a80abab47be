"""Sizes, strides and dimensions as whole numbers: Python's, NumPy's, or a tensor's single element."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

#: A shape, or an order of dimensions: ``f(2, 3)`` and ``f((2, 3))`` are the same call.
Size = SupportsIndex | Sequence[SupportsIndex]


def integer(name: str, value: Any, minimum: int | None = None) -> int:
    """``value`` as an int of at least ``minimum``.

    Raises:
        TypeError: if it is no integer.
        ValueError: if it is too small.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"expected an integer as {name}, got {value!r}") from None
    if minimum is not None and number < minimum:
        raise ValueError(f"expected {name} (={number}) to be at least {minimum}")
    return number


def integers(name: str, values: Any) -> tuple[int, ...]:
    """One integer or several, as a tuple of ints. Raises TypeError as ``integer`` does."""
    if not isinstance(values, Iterable) or isinstance(values, str) or getattr(values, "ndim", 1) == 0:
        return (integer(name, values),)
    return tuple(integer(name, value) for value in values)
