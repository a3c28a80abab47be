"""Activations, arithmetic and comparisons as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import activation, arithmetic, elementwise, probability, reduction
from .errors import ExportError
from .table import Builder, one_node, writes

one_node(
    {
        activation.ReLU: "Relu",
        activation.Sigmoid: "Sigmoid",
        activation.Tanh: "Tanh",
        arithmetic.Add: "Add",
        arithmetic.Sub: "Sub",
        arithmetic.Neg: "Neg",
        arithmetic.Mul: "Mul",
        arithmetic.Div: "Div",
        arithmetic.Pow: "Pow",
        elementwise.Exp: "Exp",
        elementwise.Log: "Log",
        elementwise.Sqrt: "Sqrt",
        elementwise.Abs: "Abs",
        elementwise.Sin: "Sin",
        elementwise.Cos: "Cos",
        elementwise.Maximum: "Max",
        elementwise.Minimum: "Min",
        reduction.RootOfSquares: "Sqrt",
    }
)


@writes(activation.SiLU)
def silu(b: Builder, x: Any) -> str:
    """x * sigmoid(x)."""
    return b.node("Mul", x, b.node("Sigmoid", x))


@writes(activation.LeakyReLU)
def leaky_relu(b: Builder, x: Any, slope: float) -> str:
    """An attribute of ONNX is float32; a slope in float64 is an input."""
    if x.dtype == np.float32:
        return b.node("LeakyRelu", x, alpha=float(slope))
    return b.node("PRelu", x, b.constant(np.array(slope, x.dtype)))


@writes(activation.Hardtanh, elementwise.Clamp)
def clip(b: Builder, x: Any, low: float | None, high: float | None) -> str:
    """Bounds that are left out hold nothing back."""
    bounds = (None if bound is None else b.name(bound, x.dtype) for bound in (low, high))
    return b.node("Clip", x, *bounds)


@writes(probability.Softmax)
def softmax(b: Builder, x: Any, axis: int) -> str:
    """Along one axis."""
    return b.node("Softmax", x, axis=axis)


@writes(probability.LogSoftmax)
def log_softmax(b: Builder, x: Any, axis: int) -> str:
    """Along one axis."""
    return b.node("LogSoftmax", x, axis=axis)


@writes(elementwise.Where)
def where(b: Builder, condition: Any, x: Any, y: Any) -> str:
    """Two Python numbers have the dtype of the result."""
    dtype = b.step.outputs[0].dtype
    return b.node("Where", condition, b.name(x, dtype), b.name(y, dtype))


@writes(arithmetic.Remainder)
def remainder(b: Builder, x: Any, y: Any) -> str:
    """ONNX's fmod has the sign of x; ours has that of y, as Python's."""
    x, y = b.operands(x, y)
    zero = b.constant(np.array(0, b.step.outputs[0].dtype))
    rest = b.node("Mod", x, y, fmod=1)
    other_sign = b.node("Xor", b.node("Less", rest, zero), b.node("Less", y, zero))
    wrong = b.node("And", other_sign, b.node("Not", b.node("Equal", rest, zero)))
    return b.node("Where", wrong, b.node("Add", rest, y), rest)


def _not(kind: str) -> Callable[..., str]:
    return lambda b, *values: b.node("Not", b.node(kind, *values))


def _plain(kind: str) -> Callable[..., str]:
    return lambda b, *values: b.node(kind, *values)


def _logical(kind: str) -> Callable[..., str]:
    return lambda b, *values: b.node(kind, *(b.cast(value, bool) for value in values))


# By the names of NumPy's functions.
COMPARISONS: dict[str, Callable[..., str]] = {
    "less": _plain("Less"),
    "less_equal": _plain("LessOrEqual"),
    "greater": _plain("Greater"),
    "greater_equal": _plain("GreaterOrEqual"),
    "equal": _plain("Equal"),
    "not_equal": _not("Equal"),
    "logical_and": _logical("And"),
    "logical_or": _logical("Or"),
}


@writes(arithmetic.Compare)
def compare(b: Builder, x: Any, y: Any, name: str) -> str:
    """The comparisons; not the operations on the bits of integers."""
    if name not in COMPARISONS:
        raise ExportError(f"{name} has no entry in the table")
    return COMPARISONS[name](b, *b.operands(x, y))


@writes(elementwise.Predicate)
def predicate(b: Builder, x: Any, name: str) -> str:
    """isnan, isinf, isfinite."""
    if name == "isfinite":
        return b.node("Not", b.node("Or", b.node("IsNaN", x), b.node("IsInf", x)))
    return b.node({"isnan": "IsNaN", "isinf": "IsInf"}[name], x)
