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
from typing import Any

import numpy as np

from ... import nn
from ...autograd import grad
from ...nn.functional import cross_entropy
from ...tensors import Tensor

Loss = Callable[[Any, Tensor], Tensor]


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
    weights = {name: weight for name, weight in model.named_parameters() if weight.ndim >= 2}
    gradients = grad(loss(model(images), targets), list(weights.values()), allow_unused=True)
    return {name: _norm(gradient) for name, gradient in zip(weights, gradients, strict=True)}


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
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Tensor) -> None:
            outputs[name] = output

        return hook

    names = list(layers)
    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        value = loss(model(images), targets)
    finally:
        for handle in handles:
            handle.remove()
    gradients = grad(value, [outputs[name] for name in names], allow_unused=True)
    return {name: _norm(gradient) for name, gradient in zip(names, gradients, strict=True)}


def _norm(gradient: Tensor | None) -> float:
    """The Euclidean norm, in float64: squares of vanishing gradients would be zero in float32."""
    if gradient is None:
        return 0.0
    return float(np.linalg.norm(gradient.cpu().numpy().astype(np.float64)))


def gain_per_layer(norms: Sequence[float]) -> float:
    """By what factor the gradient changes from a layer to the one before it, in the geometric mean.

    Args:
        norms: at least two gradient norms, from the layer nearest the input to the one nearest the loss; the last is
            not 0. Only the first and the last count.

    Returns:
        ``g`` with ``norms[0] = norms[-1] * g ** (len(norms) - 1)``: below 1 gradients vanish on their way back, above 1
        they explode. 0 if no gradient reaches the first layer.
    """
    if norms[0] == 0:
        return 0.0
    return math.exp((math.log(norms[0]) - math.log(norms[-1])) / (len(norms) - 1))


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
    if not np.isfinite(norms).all():
        return "explodes"
    if norms[0] * bound < norms[-1]:
        return "vanishes"
    return "explodes" if norms[0] > bound * norms[-1] else "survives"


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
    return std * math.sqrt(fan_out * (1 + negative_slope**2) / 2)
