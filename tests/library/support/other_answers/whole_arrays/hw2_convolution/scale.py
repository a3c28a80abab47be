"""Homework 2, scale.py: the holes, filled in another way."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicnn.nn.scale import calculate_gain


def fan_in_and_fan_out(shape):
    try:
        out, per_group, *kernel = shape
    except ValueError as error:
        raise ValueError(f"expected (out, in, ...), got {shape}") from error
    return per_group * math.prod(kernel), out * math.prod(kernel)


def kaiming_std(shape, a, mode, nonlinearity):
    which = ["fan_in", "fan_out"].index(mode)  # a ValueError for another word
    return calculate_gain(nonlinearity, a) * max(1, fan_in_and_fan_out(shape)[which]) ** -0.5
