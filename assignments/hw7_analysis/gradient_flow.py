"""Gradient flow (L1.2.1): how large the gradient is at every depth of a network, and what theory expects.

On its way back through one layer the gradient is multiplied by a factor, the *gain*, and the gains of L layers
multiply: with a gain of 0.7 nothing arrives, with 1.5 everything explodes. He et al. (2015, "Delving deep into
rectifiers", equation 14) choose the first weights so that the gain is 1.

The gradient is measured at the *outputs* of layers. The gradient of the weights would mislead: in a network of ReLUs
without norms, the sum of weight times gradient is the same in every layer, even if gradients vanish, because a smaller
gradient is multiplied by a larger activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import nn
from minicnn.autograd import grad
from minicnn.nn.functional import cross_entropy
from minicnn.tensors import Tensor

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.lecture.analyses.gradient_flow import Loss


def weight_gradient_norms(
    model: nn.Module, images: Tensor, targets: Tensor, loss: Loss = cross_entropy
) -> dict[str, float]:
    """The Euclidean norm of the loss's gradient at every weight of convolutions and linear layers.

    Args:
        model: runs once, in its present mode; its parameters' ``grad`` is not changed.
        images: (N, C, H, W).
        targets: (N,) class indices.
        loss: of the model's output and the targets.

    Returns:
        ``{"conv1.weight": norm, ...}`` in the order of ``named_parameters()``: all with two dimensions or more, so no
        biases and no norms. 0 for a weight on which the loss does not depend. The squares are summed in float64, in
        which those of a vanishing gradient are not 0 yet.
    """
    raise NotImplementedError("hw7.1 weight_gradient_norms: not written yet, see assignments/hw7_analysis/README.md")


def output_gradient_norms(
    model: nn.Module, layers: Iterable[str], images: Tensor, targets: Tensor, loss: Loss = cross_entropy
) -> dict[str, float]:
    """The Euclidean norm of the loss's gradient at the outputs of the named layers.

    Args:
        model: runs once, in its present mode; its parameters' ``grad`` is not changed, and afterwards its hooks are as
            before, also after an error.
        layers: names as in ``named_modules()``; each must run once and return one tensor.
        images: (N, C, H, W).
        targets: (N,) class indices.
        loss: of the model's output and the targets.

    Returns:
        ``{name: norm}`` in the order of ``layers``, summed in float64. 0 for an output on which the loss does not
        depend.
    """
    # A forward hook is called with (module, arguments, output); register_forward_hook gives a handle to remove it by.
    # minicnn.autograd.grad differentiates with respect to any tensors on the tape.
    raise NotImplementedError("hw7.1 output_gradient_norms: not written yet, see assignments/hw7_analysis/README.md")


def gain_per_layer(norms: Sequence[float]) -> float:
    """By what factor the gradient changes from a layer to the one before it, in the geometric mean.

    Args:
        norms: at least two gradient norms, from the layer nearest the input to the one nearest the loss; the last is
            not 0. Only the first and the last count.

    Returns:
        ``g`` with ``norms[0] = norms[-1] * g ** (len(norms) - 1)``: below 1 gradients vanish on their way back, above 1
        they explode. 0 if no gradient reaches the first layer.
    """
    raise NotImplementedError("hw7.2 gain_per_layer: not written yet, see assignments/hw7_analysis/README.md")


def behaviour(norms: Sequence[float], bound: float = 100.0) -> str:
    """What becomes of the gradient between the last layer and the first.

    Args:
        norms: from the layer nearest the input to the one nearest the loss; any of them may be 0, infinite or NaN.
        bound: the factor that counts as survival.

    Returns:
        ``"explodes"`` if any of the norms is NaN or infinite, or the first is more than ``bound`` times as large as the
        last; ``"vanishes"`` if the last is more than ``bound`` times as large as the first; else ``"survives"``. Any
        norm except 0 is more than ``bound`` times 0.
    """
    raise NotImplementedError("hw7.2 behaviour: not written yet, see assignments/hw7_analysis/README.md")


def expected_gain(fan_out: int, std: float, negative_slope: float = 0.0) -> float:
    """The gain of a fresh layer followed by a leaky ReLU (He et al. 2015, equations 14 and 15).

    A unit's gradient is the sum of ``fan_out`` gradients of the next layer, each times its own weight; the weights are
    independent, with mean 0. At half of the units the activation passes the gradient on unchanged, at the others times
    ``negative_slope``. So the expected square of a unit's gradient is a multiple of that in the next layer.

    Args:
        fan_out: how many outputs one input of the layer reaches: kernel height x width x output channels.
        std: standard deviation of the weights.
        negative_slope: of the activation; 0 is ReLU, 1 the identity.

    Returns:
        The square root of that multiple.
    """
    raise NotImplementedError("hw7.2 expected_gain: not written yet, see assignments/hw7_analysis/README.md")
