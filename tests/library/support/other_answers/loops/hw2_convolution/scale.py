"""Homework 2, scale.py: the holes, filled in another way."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicnn.nn.scale import calculate_gain


def fan_in_and_fan_out(shape):
    if len(shape) in (0, 1):
        raise ValueError(f"a weight has at least 2 dimensions, not {len(shape)}")
    fans = [shape[1], shape[0]]
    for length in shape[2:]:
        fans = [fan * length for fan in fans]
    return fans[0], fans[1]


def kaiming_std(shape, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{mode} is no mode")
    fan_in, fan_out = fan_in_and_fan_out(shape)
    fan = fan_in if mode == "fan_in" else fan_out
    variance = calculate_gain(nonlinearity, a) ** 2 / (fan or 1)
    return math.sqrt(variance)
