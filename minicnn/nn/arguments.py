"""Checking what layers are constructed with: the message quotes the argument and its value."""

from __future__ import annotations

import operator
from typing import Any

Pair = int | tuple[int, int]


def integer(name: str, value: Any, minimum: int) -> int:
    """``value`` as an int of at least ``minimum``.

    Raises:
        TypeError: if it is no integer.
        ValueError: if it is too small.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"expected an integer as {name}, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"expected {name} (={number}) to be at least {minimum}")
    return number


def pair(name: str, value: Any, minimum: int) -> tuple[int, int]:
    """``value`` for height and width: one integer for both, or a pair of them.

    Raises:
        TypeError: if it is neither.
        ValueError: if a number is too small, or there are not two.
    """
    if not isinstance(value, (tuple, list)):
        number = integer(name, value, minimum)
        return number, number
    if len(value) != 2:
        raise ValueError(f"expected an integer or a pair (height, width) as {name}, got {value!r}")
    height, width = (integer(name, number, minimum) for number in value)
    return height, width


def probability(name: str, value: float) -> float:
    """``value``, if it lies between 0 and 1.

    Raises:
        ValueError: if it does not.
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"expected {name} (={value}) to be between 0 and 1")
    return value


def divisible(**named: int) -> None:
    """Check that the first of two named numbers is a multiple of the second.

    Raises:
        ValueError: if it is not.
    """
    (name, number), (divisor_name, divisor) = named.items()
    if number % divisor:
        raise ValueError(f"expected {name} (={number}) to be divisible by {divisor_name} (={divisor})")
