"""How large the first weights are: fan in, fan out, gains, and the deviations of Glorot and He (L2.2.6).

A layer y = W x with n inputs has Var[y] = n Var[W] E[x^2]. Keeping that equal from layer to layer, forward or
backward, gives

- Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
  2010, equation 12: Var[W] = 2 / (fan_in + fan_out), for activations linear around zero (``xavier_std``);
- He et al., "Delving deep into rectifiers", ICCV 2015: a ReLU halves E[x^2], hence Var[W] = 2 / fan_in
  (equation 10, forward) or 2 / fan_out (equation 14, backward); with slope a on the negative side,
  2 / ((1 + a^2) fan) (equation 15) (``kaiming_std``).
"""

from __future__ import annotations

import math
from collections.abc import Callable

# The factor by which weights must grow to make up for what the nonlinearity behind them takes away.
GAINS: dict[str, Callable[[float | None], float]] = {
    "linear": lambda _: 1.0,
    "conv1d": lambda _: 1.0,
    "conv2d": lambda _: 1.0,
    "conv3d": lambda _: 1.0,
    "sigmoid": lambda _: 1.0,
    "tanh": lambda _: 5.0 / 3.0,
    "relu": lambda _: math.sqrt(2.0),
    "leaky_relu": lambda slope: math.sqrt(2.0 / (1.0 + (0.01 if slope is None else slope) ** 2)),
    "selu": lambda _: 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The gain for a nonlinearity: sqrt(2) for ``"relu"``, sqrt(2 / (1 + param^2)) for ``"leaky_relu"``, ...

    Raises:
        ValueError: for a nonlinearity that is not in ``GAINS``.
    """
    if nonlinearity not in GAINS:
        raise ValueError(f"expected one of {', '.join(GAINS)} as nonlinearity, got {nonlinearity!r}")
    return GAINS[nonlinearity](param)


def fan_in_and_fan_out(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs one output of a weight sees, and how many outputs one input reaches.

    Args:
        shape: of the weight: (out, in) if linear, (out, in / groups, kH, kW) if a convolution's. There each position of
            the kernel counts. Groups cannot be seen from the shape, so fan out counts all filters, as in PyTorch.

    Returns:
        (fan_in, fan_out).

    Raises:
        ValueError: for fewer than two dimensions.
    """
    if len(shape) < 2:
        raise ValueError(f"fan in and fan out need a weight with at least 2 dimensions, got shape {shape}")
    positions = math.prod(shape[2:])
    return shape[1] * positions, shape[0] * positions


def kaiming_std(shape: tuple[int, ...], a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> float:
    """The standard deviation that He et al. 2015 give a weight: the variance is gain^2 / fan.

    Args:
        shape: of the weight; a fan of 0, in an empty weight, counts as 1, whatever the kernel.
        a: the nonlinearity's parameter, for ``"leaky_relu"`` its slope on the negative side (0 is the plain ReLU).
        mode: ``"fan_in"`` keeps the variance of activations, ``"fan_out"`` that of gradients.
        nonlinearity: a name that ``calculate_gain`` knows.

    Raises:
        ValueError: for another mode, and where ``calculate_gain`` and ``fan_in_and_fan_out`` raise it.
    """
    fans = dict(zip(("fan_in", "fan_out"), fan_in_and_fan_out(shape), strict=True))
    if mode not in fans:
        raise ValueError(f"expected 'fan_in' or 'fan_out' as mode, got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fans[mode], 1))


def xavier_std(shape: tuple[int, ...], gain: float = 1.0) -> float:
    """The standard deviation that Glorot and Bengio 2010 give a weight: gain * sqrt(2 / (fan_in + fan_out))."""
    return gain * math.sqrt(2.0 / max(sum(fan_in_and_fan_out(shape)), 1))
