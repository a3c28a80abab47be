"""What a step is called: its kind (``Conv2d``, ``Add``) and a short label (``conv 3x3, 64, /2``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .. import ops
from ..nn import functional
from ..tensors import Tensor

if TYPE_CHECKING:
    from .steps import Step

FUNCTIONS = frozenset(ops.__all__) | frozenset(functional.__all__)
KINDS = {"relu": "ReLU", "relu6": "ReLU6", "silu": "SiLU", "leaky_relu": "LeakyReLU", "matmul": "MatMul"}
PLUMBING = frozenset({"Clone", "Overwrite", "Reshape", "Cast", "Expand", "Permute"})
LABELS = {
    "AdaptiveAvgPool2d": "avg pool",
    "Add": "add",
    "AvgPool2d": "avg pool",
    "BatchNorm2d": "batch norm",
    "Cat": "concat",
    "Conv2d": "conv",
    "DeformConv2d": "deformable conv",
    "Dropout": "dropout",
    "Flatten": "flatten",
    "GroupNorm": "group norm",
    "Identity": "identity",
    "Index": "slice",
    "Linear": "linear",
    "LocalResponseNorm": "local response norm",
    "MaxPool2d": "max pool",
    "Mean": "mean",
    "Mul": "multiply",
    "Sub": "subtract",
}


def kind_of_call(function: str, operations: list[str]) -> str:
    """``"Flatten"`` for a call of ``flatten``, by whatever operations; ``"Add"`` for an addition written as ``+``."""
    if "DeformIm2col" in operations:
        return "DeformConv2d"
    if function in FUNCTIONS:
        return KINDS.get(function) or re.sub("_?([a-z0-9]+)", lambda word: word[1][0].upper() + word[1][1:], function)
    main = [name for name in operations if name not in PLUMBING] or operations
    return main[0] if len(set(main)) == 1 or not function.isidentifier() or function[:1].islower() else function


def label(step: Step, output: Tensor) -> str:
    """A few words: what the step is, its window, its channels, its stride."""
    words = LABELS.get(step.kind, step.kind)
    window = next((window for _, window in step.operations if window is not None), None)
    if window is not None:
        words += f" {_times(window.kernel_size)}"
    if step.kind in ("Conv2d", "DeformConv2d", "Linear") and output.ndim > 1:
        words = f"{_grouped(step.layer)}{words}, {output.shape[1] if output.ndim == 4 else output.shape[-1]}"
    if step.kind == "AdaptiveAvgPool2d":
        words += f" to {_times(output.shape[2:])}"
    if window is not None and window.stride != (1, 1):
        words += f", /{_times(window.stride) if window.stride[0] != window.stride[1] else window.stride[0]}"
    return words


def _times(sizes: Any) -> str:
    return "x".join(map(str, sizes))


def _grouped(layer: Any) -> str:
    groups = getattr(layer, "groups", 1)
    if groups == 1:
        return ""
    return "depthwise " if groups == getattr(layer, "in_channels", None) else f"{groups} groups: "
