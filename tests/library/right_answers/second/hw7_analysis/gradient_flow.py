"""Gradient flow (L1.2.1): how large the gradient is at every depth of a network, and what theory expects.

Going back through one layer multiplies the gradient by a factor, its *gain*, and through L layers these multiply: with
a gain of 0.7 nothing arrives, with 1.5 everything explodes. He et al. (2015, "Delving deep into rectifiers", equation
14) choose the first weights so that the gain is 1.

The gradient is measured at the *outputs* of layers. That of the weights would mislead: in a network of ReLUs without
norms, the sum of weight times gradient is the same in every layer, whatever vanishes on the way, because the smaller
gradient meets the larger activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.autograd import grad
from minicnn.nn.functional import cross_entropy
from minicnn.tensor import Tensor

Loss = Callable[[Any, Tensor], Tensor]


def weight_gradient_norms(
    model: nn.Module, images: Tensor, targets: Tensor, loss: Loss = cross_entropy
) -> dict[str, float]:
    """The Euclidean norm of the loss's gradient at every weight of convolutions and linear layers.

    Args:
        model: used in the mode it is in; its parameters' ``grad`` is not touched.
        images: (N, C, H, W).
        targets: (N,) class indices.
        loss: of the model's output and the targets.

    Returns:
        ``{"conv1.weight": norm, ...}`` in the order of ``named_parameters()``: all with two dimensions or more, so no
        biases and no norms. 0 for a weight on which the loss does not depend.
    """
    result = loss(model(images), targets)
    norms = {}
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            continue
        (gradient,) = grad(result, weight, retain_graph=True, allow_unused=True)
        norms[name] = 0.0 if gradient is None else _root_of_squares(gradient)
    return norms


def output_gradient_norms(
    model: nn.Module, layers: Iterable[str], images: Tensor, targets: Tensor, loss: Loss = cross_entropy
) -> dict[str, float]:
    """The Euclidean norm of the loss's gradient at the outputs of the named layers.

    Args:
        model: used in the mode it is in; its hooks are as before afterwards.
        layers: names as ``named_modules()`` spells them; each must run once and give one tensor.
        images: (N, C, H, W).
        targets: (N,) class indices.
        loss: of the model's output and the targets.

    Returns:
        ``{name: norm}`` in the order of ``layers``.
    """
    # Behind each layer a zero is added. The loss depends on the zero as it does on the output.
    zeros: dict[str, Tensor] = {}
    handles = []

    def probe(name):
        def hook(module, arguments, output):
            zeros[name] = Tensor(np.zeros_like(output.detach().cpu().numpy())).to(output.device).requires_grad_()
            return output + zeros[name]

        return hook

    layers = list(layers)
    for name in layers:
        handles.append(model.get_submodule(name).register_forward_hook(probe(name)))
    try:
        result = loss(model(images), targets)
    finally:
        while handles:
            handles.pop().remove()
    norms = {}
    for name in layers:
        (gradient,) = grad(result, zeros[name], retain_graph=True, allow_unused=True)
        norms[name] = 0.0 if gradient is None else _root_of_squares(gradient)
    return norms


def gain_per_layer(norms: Sequence[float]) -> float:
    """By what factor the gradient changes from a layer to the one before it, in the geometric mean.

    Args:
        norms: at least two gradient norms, from the layer nearest the input to the one nearest the loss.

    Returns:
        ``g`` with ``norms[0] = norms[-1] * g ** (len(norms) - 1)``: below 1 gradients vanish on their way back, above 1
        they explode. 0 when nothing reaches the first layer.
    """
    ratio, layers = float(norms[0]) / float(norms[-1]), len(norms) - 1
    low, high = 0.0, 1.0
    while high**layers < ratio:
        high *= 2
    for _ in range(200):  # halve the interval that holds the root
        middle = (low + high) / 2
        if middle**layers < ratio:
            low = middle
        else:
            high = middle
    return low


def behaviour(norms: Sequence[float], bound: float = 100.0) -> str:
    """What becomes of the gradient between the last layer and the first.

    Args:
        norms: from the layer nearest the input to the one nearest the loss.
        bound: the factor that counts as survival.

    Returns:
        ``"vanishes"`` where the first norm is more than ``bound`` times smaller than the last, ``"explodes"`` where it
        is more than ``bound`` times larger or no finite number any more, else ``"survives"``.
    """
    if any(norm - norm != 0 for norm in norms):  # true of infinity and of NaN
        return "explodes"
    front, back = float(norms[0]), float(norms[-1])
    small, large = sorted((front, back))
    if large <= bound * small or large == 0:
        return "survives"
    return "vanishes" if front == small else "explodes"


def expected_gain(fan_out: int, std: float, negative_slope: float = 0.0) -> float:
    """The gain of a fresh layer followed by a leaky ReLU (He et al. 2015, equations 14 and 15).

    A unit's gradient is the sum of ``fan_out`` gradients behind it times independent weights, and the activation lets
    it through at half of the units (at the others a share ``negative_slope`` of it): its expected square is
    ``fan_out * std ** 2 * (1 + negative_slope ** 2) / 2`` times theirs.

    Args:
        fan_out: how many outputs one input of the layer reaches: kernel height x width x output channels.
        std: standard deviation of the weights.
        negative_slope: of the activation; 0 is ReLU, 1 the identity.

    Returns:
        The square root of that factor.
    """
    through = np.array([1.0, negative_slope])  # what the activation lets through of a positive and of a negative input
    return float(std * np.sqrt(fan_out) * np.sqrt(np.mean(through**2)))


def _root_of_squares(gradient: Tensor) -> float:
    numbers = gradient.cpu().numpy().astype(np.float64).reshape(-1)
    return math.sqrt(numbers @ numbers)
