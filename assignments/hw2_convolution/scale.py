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
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.nn.scale import calculate_gain


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
    raise NotImplementedError("hw2.11 fan_in_and_fan_out: not written yet, see assignments/hw2_convolution/README.md")


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
    raise NotImplementedError("hw2.11 kaiming_std: not written yet, see assignments/hw2_convolution/README.md")
