"""Checks of the arguments of layers: the message names the argument and its value."""

from __future__ import annotations

from ..ops.geometry import convolution_padding, pair, pooling_window
from ..ops.sizes import integer

Pair = int | tuple[int, int]


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


__all__ = ["Pair", "convolution_padding", "divisible", "integer", "pair", "pooling_window", "probability"]
