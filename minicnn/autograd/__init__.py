"""The tape: operations are recorded as they run, and gradients flow back through it. Read ``README.md`` first."""

from __future__ import annotations

from .backprop import topological_order
from .backward import backward, grad
from .function import AccumulateGrad, Function, Node, gradient_edge
from .gradcheck import gradcheck
from .methods import attach
from .modes import detect_anomaly, enable_grad, is_grad_enabled, no_grad, set_grad_enabled

attach()

__all__ = [
    "AccumulateGrad",
    "Function",
    "Node",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradient_edge",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
    "topological_order",
]


def __dir__() -> list[str]:
    return __all__
